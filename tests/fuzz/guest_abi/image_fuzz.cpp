// Kernel images: bzImage payload, ELF headers, PV notes. Nothing may be read outside the input (ASan), and
// every view that is handed out must lie inside it.

#include <torii/image/bzimage.h>
#include <torii/image/pv_notes.h>

#include <cstdint>
#include <cstdlib>

using namespace torii::image;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    const Bytes file(data, size);
    const auto inside = [&](Bytes view) {
        return view.empty() || (view.data() >= data && view.data() + view.size() <= data + size);
    };
    const auto payload = find_payload(file);
    if (payload && !inside(payload.value.data)) std::abort();
    const Bytes kernel = payload ? payload.value.data : file;
    const auto image = ElfImage::parse(kernel);
    if (!image) return 0;
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
    return 0;
}
