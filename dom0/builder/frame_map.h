#pragma once
// The machine frames of a domain that is being built, by PFN. Memory comes in runs of 512 frames where the
// machine has them, so a run costs one word here, not 512.

#include <cstdint>
#include <memory>
#include <vector>

#include "xen/ids.h"

namespace torii::dom0 {

class FrameMap {
public:
    static constexpr unsigned kRunOrder = 9;
    static constexpr uint64_t kRunFrames = 1ull << kRunOrder;

    explicit FrameMap(uint64_t pages) : pages_(pages), runs_((pages + kRunFrames - 1) / kRunFrames) {}

    uint64_t pages() const { return pages_; }

    // A whole run, aligned in PFNs.
    void set_run(Pfn first, Mfn mfn) { runs_[first.raw() / kRunFrames].first = mfn.raw(); }
    void set_frame(Pfn pfn, Mfn mfn) {
        Run& run = runs_[pfn.raw() / kRunFrames];
        if (!run.single) run.single = std::make_unique<uint64_t[]>(kRunFrames);
        run.single[pfn.raw() % kRunFrames] = mfn.raw();
    }

    // `pfn` must lie below pages() and have been set.
    Mfn at(Pfn pfn) const {
        const Run& run = runs_[pfn.raw() / kRunFrames];
        const uint64_t offset = pfn.raw() % kRunFrames;
        return Mfn(run.single ? run.single[offset] : run.first + offset);
    }

private:
    struct Run {
        uint64_t first = 0;
        std::unique_ptr<uint64_t[]> single;  // when the frames are scattered
    };

    uint64_t pages_;
    std::vector<Run> runs_;
};

}  // namespace torii::dom0
