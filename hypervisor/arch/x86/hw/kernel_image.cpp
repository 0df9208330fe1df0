#include "arch/x86/hw/kernel_image.h"

#include <torii/image/bzimage.h>

#include <bit>

#include "arch/x86/hw/registers.h"
#include "base/log.h"
#include "base/panic.h"
#include "boot/unpack.h"
#include "core/memory/allocator.h"
#include "port/frames.h"

namespace torii::hw {
namespace {

// A kernel is some 60 MiB unpacked; a header that claims more than this is damaged.
constexpr uint64_t kLargestKernel = uint64_t{512} << 20;

struct Block {
    Mfn first{};
    unsigned order = 0;
    bool taken = false;
};
constinit Block unpacked;

Block take_block(uint64_t bytes) {
    const auto order = static_cast<unsigned>(std::bit_width((bytes - 1) >> kPageShift));
    Result<Mfn> first = allocate_frames(order, {.directly_mapped = true, .keep_content = true});
    if (!first.ok()) BUG("not enough memory to unpack the kernel");
    return {first.value(), order, true};
}

std::span<uint8_t> bytes_of(const Block& block) {
    return {static_cast<uint8_t*>(direct_address(block.first)), kPageSize << block.order};
}

[[noreturn]] void refuse(const char* why) {
    log(LogLevel::kError, "the kernel image is refused: {}", why);
    BUG("no control domain");
}

}  // namespace

image::Bytes unpack_boot_kernel(image::Bytes file) {
    if (!image::looks_like_bzimage(file)) return file;
    const auto payload = image::find_payload(file);
    if (!payload) refuse(image::to_string(payload.error));
    if (payload.value.format == image::PayloadFormat::kElf) return payload.value.data;
    write_msr(kMsrFsBase,
              reinterpret_cast<uint64_t>(boot::thread_area));  // before anything of the libraries runs
    const uint64_t size = payload.value.unpacked_size_hint;
    const size_t working_bytes = boot::working_memory_for(payload.value);
    if (size == 0 || size > kLargestKernel || working_bytes == 0) refuse("its compressed part is damaged");

    const Block working = take_block(working_bytes);
    unpacked = take_block(size);
    const boot::Unpacked result = boot::unpack_kernel(payload.value, bytes_of(unpacked), bytes_of(working));
    free_frames(working.first, working.order, true);
    if (result.error != boot::UnpackError::kNone) refuse(boot::to_string(result.error));
    log(LogLevel::kInfo, "kernel unpacked ({}): {} KiB", image::to_string(payload.value.format),
        result.size >> 10);
    return {bytes_of(unpacked).data(), result.size};
}

void release_unpacked_kernel() {
    if (unpacked.taken) free_frames(unpacked.first, unpacked.order, true);
    unpacked.taken = false;
}

}  // namespace torii::hw
