// The hypercall page that older kernels, Mini-OS and Unikraft call through: slot n, 32 bytes from n * 32 on,
// issues hypercall n (public xen.h, elfnote.h HYPERCALL_PAGE).
#pragma once

#include <cstdint>
#include <span>

#include "base/frame.h"

namespace torii::pv {

void fill_hypercall_page(std::span<uint8_t, kPageSize> page);

}  // namespace torii::pv
