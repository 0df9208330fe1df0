// Transmit entries of any content: what is found in them lies inside pages, adds up, and answers every entry
// that was taken.
#include <cstdlib>
#include <cstring>

#include "common/guest_memory.h"
#include "fuzz/input.h"
#include "net/net_request.h"

namespace torii::backend::net {
namespace {

void require(bool condition) {
    if (!condition) std::abort();
}

class Entries final : public TxEntries {
public:
    explicit Entries(fuzz::Input& input) : input_(input) {}
    size_t taken = 0;

    std::optional<abi::TxRequest> next() override {
        if (input_.at_end()) return std::nullopt;
        ++taken;
        abi::TxRequest entry{};
        if (input_.choice(3) == 0) {
            auto* const bytes = reinterpret_cast<uint8_t*>(&entry);
            for (size_t index = 0; index < sizeof(entry); ++index)
                bytes[index] = input_.byte();
            return entry;
        }
        entry = {.gref = input_.byte(),
                 .offset = static_cast<uint16_t>(input_.choice(2) != 0 ? 0 : input_.word()),
                 .flags = static_cast<uint16_t>(input_.choice(16)),
                 .id = input_.byte(),
                 .size = static_cast<uint16_t>(input_.word())};
        return entry;
    }

private:
    fuzz::Input& input_;
};

void run(fuzz::Input& input) {
    Entries entries(input);
    TxPacket packet;
    while (true) {
        const char* problem = nullptr;
        entries.taken = 0;
        const TxOutcome outcome = parse_tx_packet(entries, packet, problem);
        if (outcome == TxOutcome::kNothing) return;
        require((problem == nullptr) == (outcome == TxOutcome::kPacket));
        if (outcome == TxOutcome::kBroken) continue;
        require(packet.entry_count == entries.taken);
        if (outcome != TxOutcome::kPacket || packet.multicast_request()) continue;
        size_t sum = 0;
        for (uint32_t index = 0; index < packet.fragment_count; ++index) {
            require(uint32_t{packet.fragments[index].offset} + packet.fragments[index].size <=
                    kGuestPageSize);
            sum += packet.fragments[index].size;
        }
        require(sum == packet.size && packet.size >= kEthernetHeader);
        require(packet.fragment_count <= abi::kNetMinimumSlots);
        require((packet.gso == Gso::kNone) || packet.gso_size != 0);
    }
}

}  // namespace
}  // namespace torii::backend::net

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    torii::fuzz::Input input(data, size);
    torii::backend::net::run(input);
    return 0;
}
