// The machine-to-physical table: for each frame the guest's own number of it. Guests read it (it is mapped
// read-only at 0xffff800000000000, public xen-x86_64.h), only the hypervisor writes.
#pragma once

#include "base/frame.h"

namespace torii {

extern uint64_t* m2p_table;  // the writable view; written once at boot

inline void m2p_set(Mfn mfn, Pfn pfn) {
    __atomic_store_n(&m2p_table[mfn.raw()], pfn.raw(), __ATOMIC_RELAXED);
}
inline void m2p_clear(Mfn mfn) {
    __atomic_store_n(&m2p_table[mfn.raw()], ~uint64_t{0}, __ATOMIC_RELAXED);
}
[[nodiscard]] inline Pfn m2p_get(Mfn mfn) {
    return Pfn(__atomic_load_n(&m2p_table[mfn.raw()], __ATOMIC_RELAXED));
}

}  // namespace torii
