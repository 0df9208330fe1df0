#pragma once
// Carries out a plan: a domain is made and filled. If the object goes before finish(), so does the domain.

#include <functional>
#include <memory>
#include <optional>

#include "builder/build.h"
#include "builder/frame_map.h"
#include "builder/kernel_image.h"
#include "builder/plan.h"
#include "xen/hypervisor.h"

namespace torii::dom0 {

// The steps must be called in the order of their declaration.
class DomainAssembly {
public:
    DomainAssembly(Hypervisor& hypervisor, const BuildRequest& request, const Plan& plan);
    ~DomainAssembly();
    DomainAssembly(const DomainAssembly&) = delete;
    DomainAssembly& operator=(const DomainAssembly&) = delete;

    void create(const FailPointHook& fail_point);
    void populate();
    void load_kernel(const KernelImage& kernel);
    void load_ramdisk(int file, const PercentCallback& percent);
    void write_page_tables();
    void start_vcpu();
    BuiltDomain finish();

private:
    ForeignMapping map(FrameRange range);
    void keep(ForeignMapping mapping) { kept_.push_back(std::move(mapping)); }
    void populate_singly(Pfn first, uint64_t count);
    void load_segment(const KernelImage& kernel, const KernelSegment& segment, std::span<std::byte> memory);
    void write_p2m();
    void write_start_info();
    void write_shared_info();
    void seed_grants();
    void write_table(const PageTable& table, std::span<uint64_t> entries) const;

    Hypervisor& hypervisor_;
    const BuildRequest& request_;
    const Plan& plan_;
    FrameMap frames_;
    std::optional<DomId> domain_;
    Port xenstore_port_;
    Port console_port_;
    std::vector<ForeignMapping> kept_;
};

}  // namespace torii::dom0
