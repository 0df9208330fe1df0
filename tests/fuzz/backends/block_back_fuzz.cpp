// A hostile guest against a whole block device: anything in the ring, in pages that are being copied, in
// xenstore, in its grants; and a daemon that is killed at any step. When the device is detached nothing of
// the guest's is held, and its disk has not changed its size.

#include <gtest/gtest.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "fuzz/input.h"
#include "unit/backends/block/block_world.h"

namespace torii::backend::test {
namespace {

using fuzz::Input;

constexpr size_t kDisk = 64 * 4096;

void require(bool condition, const char* what) {
    if (condition) return;
    std::fprintf(stderr, "%s\n", what);
    std::abort();
}

class Hostile {
public:
    explicit Hostile(Input& input) : input_(input), world_(kDisk) {
        persistent_ = input.choice(2) == 0;
        world_.connect(1 + input.choice(2), input.choice(2), persistent_);
        for (unsigned i = 0; i < 4; ++i)
            pages_.push_back(world_.guest.page(i != 3));
        arm();
        while (!input_.at_end())
            alive([this] { step(); });
        steps_left_ = 0;
        for (unsigned i = 0; i < 3; ++i)
            world_.settle();
        if (world_.closed.empty()) world_.device().close(true);
        world_.settle();
        require(world_.closed.size() == 1, "it cannot be detached");
        require(world_.fake.mapped() == 0, "a page stays mapped");
        require(world_.process->event_channels().bound_ports() == 0, "a port stays bound");
        require(world_.disk->bytes.size() == kDisk, "the disk has another size");
    }

private:
    void arm() {
        world_.on_step = [this](std::string_view) {
            if (steps_left_ != 0 && --steps_left_ == 0 && !lets_go()) throw Killed();
        };
        world_.process->while_copying = [this] { meddle_while_copying(); };
        if (world_.process->memory != nullptr)
            world_.process->memory->while_copying = world_.process->while_copying;
    }
    void alive(const std::function<void()>& work) {
        try {
            work();
        } catch (const Killed&) {
            restart();
        }
    }
    // A device keeps itself until it has let go of everything. Killed then, it leaves that to the kernel,
    // which this world does not have.
    bool lets_go() {
        const BlockState state = world_.device().state();
        return state == BlockState::kClosing || state == BlockState::kClosed;
    }
    void restart() {
        if (lets_go()) return;
        std::mt19937 random(input_.byte());
        world_.kill(random);
        steps_left_ = 0;
        world_.start();
        arm();
    }
    void meddle_while_copying() {
        if (input_.at_end() || input_.choice(4) != 0) return;
        std::byte* const page = world_.guest.bytes(pages_[input_.choice(4)]);
        page[input_.word() % 4096] = static_cast<std::byte>(input_.byte());
    }

    void step() {
        switch (input_.choice(16)) {
            case 0:
            case 1:
            case 2:
                return honest();
            case 3:
            case 4:
                return wild_request();
            case 5:
                return wild_index();
            case 6:
                return node();
            case 7:
                return grants();
            case 8:
                steps_left_ = 1 + input_.choice(20);
                return;
            case 9:
                return restart();
            case 10:
                world_.process->loop().advance(std::chrono::milliseconds(input_.choice(100)));
                return;
            case 11:
                fault();
                return;
            case 12:
                descriptors();
                return;
            default:
                return serve();
        }
    }
    size_t ring() { return input_.choice(static_cast<unsigned>(world_.guest.rings.size())); }
    std::byte* ring_memory(size_t which) { return world_.fake.page(world_.guest.rings[which].pages[0]); }

    void honest() {
        const size_t which = ring();
        auto& front = world_.guest.front(which);
        std::vector<guest::BlockPiece> pieces(1 + input_.choice(16));
        for (auto& piece : pieces) {
            piece.gref = pages_[input_.choice(4)].gref.raw();
            piece.first_sector = static_cast<uint8_t>(input_.choice(4));
            piece.last_sector = static_cast<uint8_t>(piece.first_sector + input_.choice(4));
        }
        const uint64_t sector = input_.word() % 600;
        switch (input_.choice(5)) {
            case 0:
                front.read(sector, pieces, 0);
                break;
            case 1:
                front.write(sector, pieces, 0);
                break;
            case 2:
                front.barrier(sector, pieces, 0);
                break;
            case 3:
                front.flush(0);
                break;
            default:
                front.discard(sector, input_.word() % 100, 0);
        }
        world_.guest.kick(which);
        while (front.next()) {
        }
    }
    void wild_request() {
        const size_t which = ring();
        auto& header = *reinterpret_cast<abi::SharedRingHeader*>(ring_memory(which));
        const std::string bytes = input_.bytes(sizeof(abi::BlockRequest));
        const uint32_t entries = guest::BlockFront::entries(world_.guest.rings[which].pages.size() * 4096);
        std::memcpy(ring_memory(which) + 64 + (header.req_prod & (entries - 1)) * sizeof(abi::BlockRequest),
                    bytes.data(), bytes.size());
        ++header.req_prod;
        world_.fake.notify(world_.guest.rings[which].port);
    }
    void wild_index() {
        const size_t which = ring();
        auto* const words = reinterpret_cast<uint32_t*>(ring_memory(which));
        words[input_.choice(4)] +=
            input_.choice(2) == 0 ? input_.choice(40) : static_cast<uint32_t>(input_.number());
        world_.fake.notify(world_.guest.rings[which].port);
    }
    void node() {
        static const char* const names[] = {"state",
                                            "state",
                                            "state",
                                            "ring-ref",
                                            "ring-ref0",
                                            "event-channel",
                                            "ring-page-order",
                                            "multi-queue-num-queues",
                                            "protocol",
                                            "feature-persistent",
                                            "feature-large-sector-size",
                                            "num-ring-pages"};
        static const char* const values[] = {"0", "1", "2", "3", "4", "5",
                                             "6", "8", "9", "",  "x", "99999999999"};
        const std::string path = std::string(kFrontend) + "/" + names[input_.choice(std::size(names))];
        if (input_.choice(8) == 0) {
            world_.store.remove(path);
        } else {
            world_.store.set(path, values[input_.choice(std::size(values))]);
        }
        if (input_.choice(2) == 0) world_.store.run();
    }
    void grants() {
        const unsigned which = input_.choice(4);
        if (world_.fake.end_grant(pages_[which].gref))
            pages_[which].gref = world_.fake.grant(pages_[which].number, input_.choice(2) == 0);
    }
    void descriptors() {
        auto& shadow = world_.guest.rings[ring()].shadows[input_.choice(32)];
        const std::string bytes = input_.bytes(64);
        std::memcpy(shadow.descriptors, bytes.data(), bytes.size());
        if (input_.choice(4) == 0) shadow.descriptors_gref = input_.word();
    }
    void fault() {
        static constexpr int kErrors[] = {EIO, ENOSPC, EINTR, EOPNOTSUPP, EINVAL};
        if (input_.choice(2) == 0) {
            world_.process->loop().faults.push_back({.error = -kErrors[input_.choice(5)], .most_bytes = {}});
        } else {
            world_.process->loop().faults.push_back({.error = {}, .most_bytes = size_t{1} + input_.word()});
        }
    }
    void serve() {
        auto& loop = world_.process->loop();
        for (unsigned i = input_.choice(16); i != 0; --i) {
            world_.store.run();
            world_.process->run_control();
            loop.turn();
            loop.advance(std::chrono::nanoseconds(0));
            if (loop.outstanding() != 0 && input_.choice(2) == 0)
                loop.complete(input_.word() % loop.outstanding());
        }
    }

    Input& input_;
    BlockWorld world_;
    bool persistent_;
    size_t steps_left_ = 0;
    std::vector<Guest::Page> pages_;
};

}  // namespace
}  // namespace torii::backend::test

extern "C" int LLVMFuzzerInitialize(int*, char***) {
    GTEST_FLAG_SET(throw_on_failure, true);
    return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    torii::fuzz::Input input(data, size);
    torii::backend::test::Hostile hostile(input);
    return 0;
}
