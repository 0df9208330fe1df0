// Kernel images: bzImage payload, ELF headers, PV notes. Nothing may be read outside the input (ASan), and
// every view that is handed out must lie inside it. Most inputs are damage to a valid image.

#include <torii/image/bzimage.h>
#include <torii/image/pv_notes.h>

#include <cstdint>
#include <cstdlib>
#include <vector>

#include "fuzz/input.h"
#include "unit/dom0/kit/kernel_file.h"

using namespace torii::image;

namespace {

std::string some_file(const uint8_t* data, size_t size) {
    using namespace torii::dom0::test;
    torii::fuzz::Input input(data, size);
    const uint8_t kind = input.byte();
    if (kind < 64) return std::string(data + (size != 0), data + size);
    KernelRecipe recipe;
    recipe.text_bytes = 64;
    recipe.notes = input.choice(16) != 0;
    recipe.p2m = input.choice(2) != 0;
    recipe.hypercall_page = input.choice(2) != 0;
    std::string kernel = make_kernel(recipe);
    if (kind < 192) return input.damage(kernel);
    const auto unpacked = static_cast<uint32_t>(kernel.size());
    return input.damage(make_boot_image(kernel, unpacked, kind < 224));
}

void read_all(Bytes kernel, Bytes file) {
    const auto inside = [&](Bytes view) {
        return view.empty() ||
               (view.data() >= file.data() && view.data() + view.size() <= file.data() + file.size());
    };
    const auto image = ElfImage::parse(kernel);
    if (!image) return;
    volatile uint8_t sink = 0;
    for (const Segment& segment : image.value.segments()) {
        if (!inside(segment.file) || segment.file.size() > segment.memory_size) std::abort();
        if (!segment.file.empty()) sink = segment.file.back();
    }
    const auto notes = read_pv_notes(image.value, ~0u);
    if (notes) {
        for (const char character : notes.value.guest_os)
            sink = static_cast<uint8_t>(character);
    }
    (void)sink;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    const std::string made = some_file(data, size);
    const std::vector<uint8_t> bytes(made.begin(), made.end());  // ends where AddressSanitizer sees it
    const Bytes file(bytes);
    read_all(file, file);
    const auto payload = find_payload(file);
    if (!payload) return 0;
    const Bytes packed = payload.value.data;
    if (!packed.empty() &&
        (packed.data() < file.data() || packed.data() + packed.size() > file.data() + file.size()))
        std::abort();
    read_all(packed, file);
    return 0;
}
