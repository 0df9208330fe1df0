#include "arch/x86/pv/guest_msr.h"

#include "arch/x86/pv/guest_cpuid.h"
#include "arch/x86/pv/hypercall_page.h"
#include "arch/x86/pv/msr_policy.h"
#include "core/memory/frame_table.h"
#include "port/context.h"
#include "port/frames.h"

namespace torii::pv {
namespace {

MsrViewer viewer_of(const Vcpu& vcpu) {
    return {
        .policy = &policy_of(*vcpu.domain), .control_domain = vcpu.domain->privileged, .vcpu = vcpu.id.raw()};
}

// The guest's kernel is what runs when it reaches an MSR, so the active GS base is the kernel's.
uint64_t read_base(abi::SegmentBase base) {
    const LiveBases live = read_segment_bases();
    if (base == abi::SegmentBase::kFs) return live.fs;
    return base == abi::SegmentBase::kGsKernel ? live.active_gs : live.inactive_gs;
}

void write_base(abi::SegmentBase base, uint64_t value) {
    if (base == abi::SegmentBase::kFs) return write_fs_base(value);
    if (base == abi::SegmentBase::kGsKernel) return write_active_gs_base(value);
    write_inactive_gs_base(value);
}

bool write_hypercall_page(const Domain& domain, Mfn mfn) {
    const FrameRef frame = FrameRef::take(mfn, domain.id);
    if (!frame || !get_writable(*frame)) return false;
    {
        const MappedFrame page(mfn);
        fill_hypercall_page(std::span<uint8_t, kPageSize>(page.as<uint8_t>(), kPageSize));
    }
    put_writable(*frame);
    return true;
}

}  // namespace

bool read_guest_msr(Vcpu& vcpu, uint32_t index, uint64_t& value) {
    const MsrReadAnswer answer = read_msr(index, viewer_of(vcpu));
    switch (answer.source) {
        case MsrSource::kFault:
            return false;
        case MsrSource::kValue:
            value = answer.value;
            return true;
        case MsrSource::kHost:
            if (!read_machine_msr(index, value)) return false;
            value = (value & answer.mask) | answer.value;
            return true;
        case MsrSource::kTsc:
            value = read_timestamp();
            return true;
        case MsrSource::kTscAux:
            value = vcpu.pv.tsc_aux;
            return true;
        case MsrSource::kSegmentBase:
            value = read_base(answer.base);
            return true;
    }
    return false;
}

bool write_guest_msr(Vcpu& vcpu, uint32_t index, uint64_t value) {
    const MsrWriteAnswer answer = write_msr(index, value, viewer_of(vcpu));
    switch (answer.sink) {
        case MsrSink::kFault:
            return false;
        case MsrSink::kDrop:
            return true;
        case MsrSink::kTscAux:
            vcpu.pv.tsc_aux = static_cast<uint32_t>(value);
            write_tsc_aux(vcpu.pv.tsc_aux);
            return true;
        case MsrSink::kSegmentBase:
            write_base(answer.base, value);
            return true;
        case MsrSink::kHypercallPage:
            return write_hypercall_page(*vcpu.domain, Mfn(value >> kPageShift));
    }
    return false;
}

}  // namespace torii::pv
