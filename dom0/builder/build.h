#pragma once
// Turns a kernel file into a domain that is ready to run: reads the kernel, makes the plan, applies it.

#include <functional>
#include <string>

#include "fail_point.h"
#include "xen/hypervisor.h"

namespace torii::dom0 {

struct BuildRequest {
    Uuid uuid{};
    std::string kernel_path;
    std::string ramdisk_path;  // empty: none
    std::string command_line;
    uint64_t memory_kib = 0;
    uint64_t max_memory_kib = 0;
    uint32_t vcpus = 1;
    TscPolicy tsc_policy = TscPolicy::kNeverEmulate;
};

// What the daemon needs to serve the domain. It is paused.
struct BuiltDomain {
    DomId domain;
    Mfn xenstore_frame;
    Port xenstore_port;  // the domain's end
    Mfn console_frame;
    Port console_port;  // the domain's end
};

// A step ("loading the kernel") and how far the whole work is, 0 to 100.
using ProgressCallback = std::function<void(const std::string& step, unsigned percent)>;

// Throws Failure with a sentence for people; the half-built domain is destroyed then.
BuiltDomain build_domain(Hypervisor& hypervisor, const BuildRequest& request,
                         const ProgressCallback& progress, const FailPointHook& fail_point);

}  // namespace torii::dom0
