#include "core/domain/vcpu_info.h"

#include "core/memory/frame_table.h"
#include "port/frames.h"

namespace torii {

Result<> register_vcpu_info(Vcpu& vcpu, Mfn mfn, uint32_t offset) {
    if (vcpu.info_frame != kInvalidMfn) return Errno::kEINVAL;
    if (offset > kPageSize - sizeof(abi::VcpuInfo) || offset % alignof(abi::VcpuInfo) != 0)
        return Errno::kENXIO;
    FrameRef frame = FrameRef::take(mfn, vcpu.domain->id);
    if (!frame || !get_writable(*frame)) return Errno::kEINVAL;
    void* const page = permanent_map(mfn);
    if (page == nullptr) {
        put_writable(*frame);
        return Errno::kENOMEM;
    }
    auto& place = *reinterpret_cast<abi::VcpuInfo*>(static_cast<char*>(page) + offset);
    vcpu.events.move_info(place);
    vcpu.info_frame = mfn_of(*frame.release());
    return {};
}

void release_vcpu_info(Vcpu& vcpu) {
    abi::VcpuInfo* const place = vcpu.events.info.exchange(nullptr);
    if (vcpu.info_frame == kInvalidMfn) return;  // it was in the shared page
    permanent_unmap(reinterpret_cast<void*>(reinterpret_cast<uint64_t>(place) & kPageMask));
    Frame& frame = frame_at(vcpu.info_frame);
    vcpu.info_frame = kInvalidMfn;
    put_writable(frame);
    put_frame(frame);
}

}  // namespace torii
