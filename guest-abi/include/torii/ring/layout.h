#pragma once
// The shared page of a request-response ring, with its entries in place (see <torii/abi/io/ring.h> for the
// header).

#include <torii/abi/io/ring.h>

#include <cstddef>
#include <cstdint>
#include <type_traits>

namespace torii::ring {

template <typename Request, typename Response>
class Layout {
    static_assert(std::is_trivially_copyable_v<Request> && std::is_trivially_copyable_v<Response>);

public:
    static constexpr size_t kEntrySize = sizeof(Request) > sizeof(Response) ? sizeof(Request)
                                                                            : sizeof(Response);

    // `memory` is the shared area, at least one page, aligned to 8 bytes; it must outlive this object.
    Layout(void* memory, size_t bytes)
        : header_(static_cast<abi::SharedRingHeader*>(memory)),
          entries_(static_cast<uint8_t*>(memory) + sizeof(abi::SharedRingHeader)),
          count_(abi::ring_entries(bytes, kEntrySize)) {}

    abi::SharedRingHeader& header() const { return *header_; }
    uint32_t count() const { return count_; }

    // Any index names an entry: indices run freely and wrap at 32 bits, which the power-of-two count divides.
    uint8_t* entry(uint32_t index) const { return entries_ + size_t{index & (count_ - 1)} * kEntrySize; }

private:
    abi::SharedRingHeader* header_;
    uint8_t* entries_;
    uint32_t count_;
};

}  // namespace torii::ring
