#pragma once
// The shared page of a request-response ring (public io/ring.h): a 64-byte header, then as many entries as
// fit, rounded down to a power of two. Each entry holds a request and later, in the same slot, a response.
// Indices run freely. The rules of use are in <torii/ring/front_ring.h> and <torii/ring/back_ring.h>.

#include <cstddef>
#include <cstdint>

namespace torii::abi {

struct SharedRingHeader {
    uint32_t req_prod;   // written by the front end
    uint32_t req_event;  // written by the back end: wants an event when req_prod passes it
    uint32_t rsp_prod;   // written by the back end
    uint32_t rsp_event;  // written by the front end: wants an event when rsp_prod passes it
    uint8_t private_use[4];
    uint8_t padding[44];
};

// Entries of a ring that takes `bytes` in all.
constexpr uint32_t ring_entries(size_t bytes, size_t entry_size) {
    const size_t fitting = (bytes - sizeof(SharedRingHeader)) / entry_size;
    uint32_t entries = 1;
    while (entries * size_t{2} <= fitting) {
        entries *= 2;
    }
    return entries;
}

}  // namespace torii::abi
