// The dom0 kernel as the boot loader brought it: an ELF, or a bzImage with one in it.
#pragma once

#include <torii/image/elf_image.h>

namespace torii::hw {

// The ELF image; unpacked into memory of its own when it is compressed. Doesn't return when it can't be.
[[nodiscard]] image::Bytes unpack_boot_kernel(image::Bytes file);
void release_unpacked_kernel();

}  // namespace torii::hw
