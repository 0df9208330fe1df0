// Copying between the hypervisor and the address space that the current vCPU runs in. A fault ends the copy:
// the caller learns that it failed, nothing else happens. Addresses in the hypervisor's own area never
// succeed.
#pragma once

#include <cstddef>
#include <cstdint>

namespace torii {

[[nodiscard]] bool copy_from_guest(void* to, uint64_t from, size_t bytes);
[[nodiscard]] bool copy_to_guest(uint64_t to, const void* from, size_t bytes);
// Compare-and-exchange of one aligned word in guest memory; `seen` gets what was there.
[[nodiscard]] bool exchange_in_guest(uint64_t address, uint64_t expected, uint64_t desired, uint64_t& seen);

}  // namespace torii
