#include "builder/build.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <torii/abi/basic_types.h>
#include <torii/failure.h>

#include <cerrno>
#include <cstring>
#include <optional>

#include "builder/apply.h"
#include "builder/kernel_image.h"
#include "builder/plan.h"
#include "log/log.h"

namespace torii::dom0 {
namespace {

constexpr unsigned kUnpackShare = 60;  // percent of the progress bar; unpacking dominates when there is any

struct Ramdisk {
    FileDescriptor file;
    uint64_t bytes = 0;
};

Ramdisk open_ramdisk(const std::string& path) {
    Ramdisk ramdisk;
    if (path.empty()) return ramdisk;
    ramdisk.file = FileDescriptor(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    struct stat status {};
    if (!ramdisk.file.valid() || ::fstat(ramdisk.file.get(), &status) != 0) {
        throw Failure(ErrorCode::kInvalidArgument,
                      fmt::format("cannot open the ramdisk {}: {}", path, std::strerror(errno)));
    }
    if (!S_ISREG(status.st_mode) || status.st_size == 0) {
        throw Failure(
            ErrorCode::kInvalidArgument,
            fmt::format("the ramdisk {} is {}", path, status.st_size == 0 ? "empty" : "not a regular file"));
    }
    ramdisk.bytes = static_cast<uint64_t>(status.st_size);
    return ramdisk;
}

}  // namespace

BuiltDomain build_domain(Hypervisor& hypervisor, const BuildRequest& request,
                         const ProgressCallback& progress, const FailPointHook& fail_point) {
    // Everything that can be wrong with the files is found before anything exists.
    progress("reading the kernel", 0);
    unsigned told = 0;
    const KernelImage kernel(request.kernel_path, [&](unsigned percent) {
        const unsigned now = percent * kUnpackShare / 100;
        if (now >= told + 5) progress("unpacking the kernel", told = now);
    });
    const Ramdisk ramdisk = open_ramdisk(request.ramdisk_path);
    const Plan plan = make_plan(
        PlanRequest{kernel.description(), request.memory_kib / (abi::kPageSize / 1024), ramdisk.bytes});
    fail_point("create.planned");

    DomainAssembly assembly(hypervisor, request, plan);
    assembly.create(fail_point);
    progress("giving it memory", kUnpackShare + 5);
    assembly.populate();
    fail_point("create.memory");
    progress("loading the kernel", kUnpackShare + 15);
    assembly.load_kernel(kernel);
    progress("loading the ramdisk", kUnpackShare + 20);
    assembly.load_ramdisk(ramdisk.file.get(), [&](unsigned percent) {
        progress("loading the ramdisk", kUnpackShare + 20 + percent / 10);
    });
    fail_point("create.loaded");
    progress("making its page tables", kUnpackShare + 32);
    assembly.write_page_tables();
    fail_point("create.tables");
    assembly.start_vcpu();
    fail_point("create.context");
    progress("built", 95);
    return assembly.finish();
}

}  // namespace torii::dom0
