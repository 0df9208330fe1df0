#pragma once
// A kernel file as the builder uses it: found out what it is, unpacked if need be, described, and read piece
// by piece into the new domain.

#include <torii/image/image_error.h>

#include <cstddef>
#include <span>
#include <string>

#include "builder/decompress.h"
#include "builder/kernel_description.h"
#include "xen/file_descriptor.h"
#include "xen/privileged_calls.h"

namespace torii::dom0 {

class KernelImage {
public:
    // Opens `path`: an ELF file, a bzImage, or an ELF file packed with xz, zstd, gzip or lz4 (the legacy
    // format). Throws Failure (kNoKernel, kSystem) with a sentence that names the file.
    KernelImage(const std::string& path, const PercentCallback& unpacking);

    const KernelDescription& description() const { return description_; }

    // Copies `destination.size()` bytes of the ELF file from `offset`. Throws Failure if the file has shrunk.
    void read(uint64_t offset, std::span<std::byte> destination) const;

private:
    std::string path_;
    FileDescriptor file_;
    OwnedMemory mapped_file_;
    OwnedMemory unpacked_;
    std::span<const std::byte> elf_;
    KernelDescription description_;
};

// Describes the ELF image in `elf`. Throws Failure (kNoKernel); the sentence does not name the file. In
// builder/elf_kernel.cpp.
KernelDescription describe_elf_kernel(std::span<const std::byte> elf);

// Throws the Failure (kNoKernel) for a reason of the image readers, with what can be done.
[[noreturn]] void fail_for_image(image::ImageError error);

// Reads exactly `destination.size()` bytes of `file` from `offset`; false at the end of file or on an error.
bool read_file_exactly(int file, uint64_t offset, std::span<std::byte> destination);

}  // namespace torii::dom0
