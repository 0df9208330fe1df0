// A domain that writes whatever it likes into its page, at any time; its neighbour must always be served.

#include <algorithm>
#include <cstring>

#include "fuzz_world.h"

namespace torii::dom0::xenstore::fuzz {
namespace {

constexpr unsigned kHostile = 1;
constexpr unsigned kNeighbour = 2;

// A well-formed request, put into the ring without regard to what is there.
void put_request(abi::XenstoreRing& ring, Input& input) {
    const std::string message = encode_message(static_cast<abi::XenstoreMessage>(input.choice(24)), 0,
                                               input.choice(3), input.bytes(30) + '\0');
    for (const char byte : message) {
        ring.req[ring.req_prod % abi::kXenstoreRingSize] = static_cast<std::uint8_t>(byte);
        ++ring.req_prod;
    }
}

void meddle(FuzzWorld& world, Input& input) {
    abi::XenstoreRing& ring = world.ring(kHostile);
    std::uint32_t* const indices[] = {&ring.req_cons, &ring.req_prod,        &ring.rsp_cons,  &ring.rsp_prod,
                                      &ring.error,    &ring.server_features, &ring.connection};
    switch (input.choice(8)) {
        case 0: {
            const std::string bytes = input.bytes(64);
            const std::size_t at = input.word() % (4096 - 64);
            std::memcpy(reinterpret_cast<unsigned char*>(&ring) + at, bytes.data(), bytes.size());
            break;
        }
        case 1:
            *indices[input.choice(7)] += input.word();
            break;
        case 2:
            *indices[input.choice(7)] -= input.byte();
            break;
        case 3:
            ring.connection = abi::kXenstoreReconnect;
            break;
        case 4:
            ring.rsp_cons = ring.rsp_prod;
            break;
        default:
            put_request(ring, input);
    }
}

void run_input(Input& input) {
    FuzzWorld world(input.choice(4) == 0);
    while (!input.at_end()) {
        const unsigned choice = input.byte();
        if (choice < 200) {
            meddle(world, input);
            if (choice < 100) world.run();
        } else if (choice < 230) {
            world.exchange(kNeighbour, static_cast<std::uint32_t>(abi::XenstoreMessage::kWrite), 0,
                           std::string("n\0v", 3));
        } else if (choice < 240) {
            world.restart();
        } else {
            world.run();
        }
    }
    world.exchange(kNeighbour, static_cast<std::uint32_t>(abi::XenstoreMessage::kRead), 0,
                   std::string("n\0", 2));
    world.check();
}

}  // namespace
}  // namespace torii::dom0::xenstore::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    torii::dom0::xenstore::fuzz::Input input(data, size);
    torii::dom0::xenstore::fuzz::run_input(input);
    return 0;
}
