// A hostile back end against the kit's front end: each request ends at most once, only what was asked ends,
// and a back end that claims anything else is not listened to any more.

#include <array>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <set>
#include <vector>

#include "drivers/block_front.h"
#include "fuzz/input.h"

namespace {

using namespace torii;

void require(bool condition, const char* what) {
    if (condition) return;
    std::fprintf(stderr, "%s\n", what);
    std::abort();
}

// The back end ends a request, or one that it makes up.
void respond(std::span<std::byte> page, fuzz::Input& input) {
    auto& header = *reinterpret_cast<abi::SharedRingHeader*>(page.data());
    abi::BlockResponse response{};
    response.id = input.choice(40);
    response.operation = static_cast<uint8_t>(input.choice(7));
    response.status = static_cast<int16_t>(input.word());
    std::memcpy(page.data() + sizeof(header) + (header.rsp_prod & 31) * sizeof(abi::BlockRequest), &response,
                sizeof(response));
    ++header.rsp_prod;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    fuzz::Input input(data, size);
    alignas(4096) static std::array<std::byte, 4096> page;
    page.fill(std::byte{0});
    static std::array<abi::BlockSegment, 512> descriptors;
    std::vector<guest::BlockFront::Shadow> shadows(guest::BlockFront::entries(page.size()));
    for (auto& shadow : shadows)
        shadow.descriptors = descriptors.data();
    guest::BlockFront front(page, shadows);
    front.set_most_indirect(input.byte());
    std::set<uint64_t> asked;
    uint64_t token = 0;
    while (!input.at_end()) {
        const bool was_broken = front.broken();
        switch (input.choice(6)) {
            case 0:
            case 1: {
                const std::vector<guest::BlockPiece> pieces(input.choice(40));
                const unsigned what = input.choice(5);
                const bool put = what == 0   ? front.read(1, pieces, token)
                                 : what == 1 ? front.write(1, pieces, token)
                                 : what == 2 ? front.barrier(1, pieces, token)
                                 : what == 3 ? front.flush(token)
                                             : front.discard(1, 2, token);
                require(!put || !was_broken, "a broken device takes requests");
                if (put) asked.insert(token++);
                front.publish();
                break;
            }
            case 2:
                respond(page, input);
                break;
            case 3:
                reinterpret_cast<uint32_t*>(page.data())[input.choice(4)] +=
                    static_cast<uint32_t>(input.word()) - 0x100;
                break;
            case 4:
                page[input.word() % page.size()] = static_cast<std::byte>(input.byte());
                break;
            default:
                for (unsigned i = 0; i < 64; ++i) {
                    const auto answer = front.next();
                    if (!answer) break;
                    require(asked.erase(answer->token) == 1,
                            "an answer to what was not asked, or a second one");
                }
        }
        require(front.outstanding() == asked.size(), "the count is wrong");
        require(front.outstanding() <= front.capacity(), "more than the ring holds");
        require(!was_broken || front.broken(), "it mended itself");
    }
    return 0;
}
