// A guest that writes what it likes into its rings, while it is served and another guest uses the same
// switch: it costs itself the device and nobody else anything. The other one's frames arrive as they were,
// and all that the hostile one's grants held is let go.
#include <cstdlib>
#include <cstring>

#include "fuzz/input.h"
#include "unit/backends/net/net_world.h"

namespace torii::backend::net::test {
namespace {

void require(bool condition) {
    if (!condition) std::abort();
}

class World {
public:
    explicit World(fuzz::Input& input) : input_(input) {
        daemon_.add(hostile_, NetDaemon::config_for(hostile_));
        daemon_.add(honest_, NetDaemon::config_for(honest_));
        hostile_.load();
        honest_.load();
        settle(store_, daemon_, {&hostile_, &honest_});
        if (input_.choice(2) != 0) daemon_.while_copying = [this] { meddle(); };
    }

    void run() {
        while (!input_.at_end()) {
            step();
            check();
        }
        daemon_.while_copying = nullptr;
        // The honest one still gets through to itself: its frame is taken and answered.
        const size_t free = honest_.front().free_transmit_buffers();
        require(honest_.front().send(broadcast_, {}));
        settle(store_, daemon_, {&honest_});
        require(honest_.front().free_transmit_buffers() >= free && !honest_.front().broken());
        for (const auto& device : daemon_.devices)
            device->close(true);
        settle(store_, daemon_, {&honest_});
        require(hostile_.guest().mapped() == 0 && honest_.guest().mapped() == 0);
    }

private:
    std::byte* ring(unsigned which) { return hostile_.guest().page(which); }

    void meddle() {
        if (input_.at_end()) return;
        auto& header = *reinterpret_cast<abi::SharedRingHeader*>(ring(input_.choice(2)));
        uint32_t* const words[] = {&header.req_prod, &header.req_event, &header.rsp_prod, &header.rsp_event};
        uint32_t& word = *words[input_.choice(4)];
        word = input_.choice(2) != 0 ? word + input_.choice(40) - 8 : static_cast<uint32_t>(input_.number());
    }

    void write_request() {
        auto& header = *reinterpret_cast<abi::SharedRingHeader*>(ring(0));
        const uint32_t index = header.req_prod;
        auto* const entry = ring(0) + sizeof(header) + (index % 256) * sizeof(abi::TxRequest);
        abi::TxRequest request{};
        if (input_.choice(4) == 0) {
            abi::NetExtraInfo extra{.type = static_cast<abi::NetExtraType>(input_.choice(6)),
                                    .flags = static_cast<uint8_t>(input_.choice(2)),
                                    .u = {}};
            extra.u.gso.size = static_cast<uint16_t>(input_.word());
            extra.u.gso.type = static_cast<abi::NetGsoType>(input_.choice(4));
            std::memcpy(&request, &extra, sizeof(extra));
        } else {
            request = {.gref = 8 + input_.word() % 300,
                       .offset = static_cast<uint16_t>(input_.choice(2) != 0 ? 0 : input_.word() % 5000),
                       .flags = static_cast<uint16_t>(input_.choice(16)),
                       .id = static_cast<uint16_t>(input_.byte()),
                       .size = static_cast<uint16_t>(input_.word())};
        }
        std::memcpy(entry, &request, sizeof(request));
        header.req_prod = index + 1;
    }

    void step() {
        switch (input_.choice(8)) {
            case 0:
            case 1:
            case 2:
                return write_request();
            case 3:
                return meddle();
            case 4: {
                auto* const page = ring(input_.choice(2));
                page[input_.word() % 4096] = static_cast<std::byte>(input_.byte());
                return;
            }
            case 5:
                hostile_.guest().notify(input_.choice(2) != 0 ? hostile_.tx_port() : hostile_.rx_port());
                return daemon_.run();
            case 6:
                (void)honest_.front().send(broadcast_, {});
                honest_.run();
                return daemon_.run();
            default:
                if (hostile_.backend_state() != abi::XenbusState::kConnected) hostile_.load();
                hostile_.set_state(static_cast<abi::XenbusState>(input_.choice(9)));
                return daemon_.run();
        }
    }

    void check() {
        honest_.run();
        require(!honest_.front().broken());
        for (; !honest_.arrived.empty(); honest_.arrived.pop_front())
            require(honest_.arrived.front().bytes.size() >= kEthernetHeader);
    }

    fuzz::Input& input_;
    FakeStore store_;
    NetGuest hostile_{store_, DomId(1), 8, 32};
    NetGuest honest_{store_, DomId(2), 8, 32};
    NetDaemon daemon_{store_, {&hostile_, &honest_}};
    const Bytes broadcast_ =
        make_ethernet(NetDaemon::mac_of(2), {{255, 255, 255, 255, 255, 255}}, 0x88B5, Bytes(80));
};

}  // namespace
}  // namespace torii::backend::net::test

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    torii::fuzz::Input input(data, size);
    torii::backend::net::test::World world(input);
    world.run();
    return 0;
}
