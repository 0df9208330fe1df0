// How the hypervisor reaches machine memory.
//
// Frames below `direct_map_frames` lie in the direct map and cost an addition. Frames above go through
// per-CPU windows (arch/x86/hw/windows.cpp; the tests' fake shrinks the direct map to take that path). Use
// MappedFrame unless the frame is known to come from the directly mapped zone.
#pragma once

#include "base/frame.h"
#include "base/panic.h"

namespace torii {

struct DirectMap {
    unsigned char* base;  // address of frame 0
    uint64_t frames;      // frames [0, frames) are mapped
};
// Written once at boot, read-only afterwards.
extern DirectMap direct_map;

// A short-lived window on one frame, for frames outside the direct map. Windows nest at least eight deep per
// CPU. Defined by the platform.
void* window_map(Mfn mfn);
void window_unmap(void* address);

[[nodiscard]] inline bool directly_mapped(Mfn mfn) {
    return mfn.raw() < direct_map.frames;
}
[[nodiscard]] inline void* direct_address(Mfn mfn) {
    ASSERT(directly_mapped(mfn));
    return direct_map.base + (mfn.raw() << kPageShift);
}
[[nodiscard]] inline Mfn direct_frame(const void* address) {
    return Mfn(static_cast<uint64_t>(static_cast<const unsigned char*>(address) - direct_map.base) >>
               kPageShift);
}

// A frame, reachable while the object lives.
class [[nodiscard]] MappedFrame {
public:
    explicit MappedFrame(Mfn mfn) : mfn_(mfn) {
        address_ = directly_mapped(mfn) ? direct_address(mfn) : window_map(mfn);
    }
    MappedFrame(const MappedFrame&) = delete;
    MappedFrame& operator=(const MappedFrame&) = delete;
    ~MappedFrame() { release(); }

    // Moves to another frame; nothing happens when it is the same one, which is what batches live on.
    void move_to(Mfn mfn) {
        if (mfn == mfn_) return;
        release();
        mfn_ = mfn;
        address_ = directly_mapped(mfn) ? direct_address(mfn) : window_map(mfn);
    }

    template <class T = void>
    [[nodiscard]] T* as() const {
        return static_cast<T*>(address_);
    }

private:
    void release() {
        if (!directly_mapped(mfn_)) [[unlikely]]
            window_unmap(address_);
    }
    void* address_;
    Mfn mfn_;
};

// A mapping that stays until it is unmapped, for pages that guests share with the hypervisor for long
// (vcpu_info, FIFO event arrays). Null when the area is exhausted. The caller holds a reference on the frame.
void* permanent_map(Mfn mfn);
void permanent_unmap(void* address);

// Page-sized memory operations, written for the CPU at hand.
void zero_frame(Mfn mfn);
void copy_frame(Mfn to, Mfn from);
// As memmove, of bytes that guests may write to meanwhile. The hypervisor looks at none of them, so a copy
// that is half old and half new is its guests' own affair.
void move_guest_bytes(void* to, const void* from, uint64_t bytes);

}  // namespace torii
