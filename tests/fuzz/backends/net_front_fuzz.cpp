// The kit's network driver against a back end that writes what it likes: it stays inside its own pages (the
// sanitizers see), hands out no buffer twice, and comes to rest.
#include <cstdlib>
#include <cstring>
#include <vector>

#include "drivers/net_front.h"
#include "fuzz/input.h"

namespace torii::guest {
namespace {

constexpr size_t kPage = NetFront::kPageSize;

struct alignas(kPage) Memory {
    uint8_t tx_ring[kPage];
    uint8_t rx_ring[kPage];
    uint8_t tx_buffers[8 * kPage];
    uint8_t rx_buffers[24 * kPage];
};

class Host final : public NetFrontHost {
public:
    abi::RawGrantRef grant(void*, bool) override { return 8 + granted_++; }
    bool end_grant(abi::RawGrantRef) override { return true; }
    void notify_transmit() override {}
    void notify_receive() override {}
    void received(std::span<const uint8_t> frame, const NetFrameInfo&) override {
        for (const uint8_t byte : frame)
            sum_ = sum_ + byte;
    }

private:
    uint32_t granted_ = 0;
    volatile uint64_t sum_ = 0;
};

void run(fuzz::Input& input) {
    static Memory memory;
    static std::vector<uint8_t> frame(20'000);
    std::memset(&memory, 0, sizeof(memory));
    Host host;
    NetFront front(host, {.tx_ring = memory.tx_ring,
                          .rx_ring = memory.rx_ring,
                          .tx_buffers = memory.tx_buffers,
                          .rx_buffers = memory.rx_buffers,
                          .frame = frame});
    front.start();
    const std::vector<uint8_t> sent(9000, 1);
    while (!input.at_end()) {
        uint8_t* const ring = input.choice(2) != 0 ? memory.tx_ring : memory.rx_ring;
        auto& header = *reinterpret_cast<abi::SharedRingHeader*>(ring);
        const size_t entry = ring == memory.tx_ring ? sizeof(abi::TxRequest) : sizeof(abi::RxRequest);
        switch (input.choice(5)) {
            case 0: {
                // An answer at the next place.
                abi::RxResponse response = {
                    .id = input.byte(),
                    .offset = static_cast<uint16_t>(input.choice(4) == 0 ? input.word() : 0),
                    .flags = static_cast<uint16_t>(input.choice(32)),
                    .status = static_cast<int16_t>(input.word() % 5000)};
                if (ring == memory.tx_ring) response.offset = static_cast<uint16_t>(input.choice(3));
                std::memcpy(ring + sizeof(header) + (header.rsp_prod % 256) * entry, &response,
                            sizeof(response));
                ++header.rsp_prod;
                break;
            }
            case 1:
                header.rsp_prod += input.choice(30);
                break;
            case 2:
                ring[input.word() % kPage] = input.byte();
                break;
            case 3:
                (void)front.send({sent.data(), input.word() % sent.size()}, {});
                break;
            default:
                front.poll();
        }
        if (front.free_transmit_buffers() > 8) std::abort();
    }
    front.poll();
    if (front.stop() != 0) std::abort();
}

}  // namespace
}  // namespace torii::guest

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    torii::fuzz::Input input(data, size);
    torii::guest::run(input);
    return 0;
}
