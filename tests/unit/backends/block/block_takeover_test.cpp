// The daemon is killed at any step while a guest does input and output, and another goes on. The guest's
// front end sees neither: each request gets one answer, and what was answered holds. A model of the disk says
// what each sector may contain.

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <map>
#include <set>

#include "unit/backends/block/block_world.h"

namespace torii::backend::test {
namespace {

using abi::BlockStatus;
using guest::BlockPiece;

constexpr unsigned kSlots = 24;    // requests of the guest at a time
constexpr unsigned kSectors = 64;  // of the disk, pieces are one page of eight

// A guest that reads and writes pages of the disk, each at a time by one request, and knows what they hold.
class Model {
public:
    Model(uint32_t seed, bool persistent, unsigned rings)
        : random(seed), world(kSectors * 4096), rings_(rings) {
        world.connect(rings, 0, persistent);
        arm();
        for (unsigned i = 0; i < kSlots; ++i)
            pages_.push_back(world.guest.page());
        content_.resize(kSectors);
    }

    void kill_after(size_t steps) { steps_left_ = steps; }

    void play(unsigned rounds) {
        for (unsigned i = 0; i < rounds; ++i) {
            ask();
            alive([this] { some_work(); });
            collect();
            if (testing::Test::HasFatalFailure()) return;
        }
    }

    void finish() {
        steps_left_ = 0;
        for (unsigned i = 0; i < 20; ++i) {
            world.settle(&random);
            collect();
        }
        ASSERT_TRUE(asked_.empty()) << asked_.size() << " requests without an answer";
        for (unsigned place = 0; place < kSectors; ++place) {
            const std::byte* const bytes = world.disk->bytes.data() + place * 4096;
            const auto& allowed = content_[place];
            EXPECT_TRUE(allowed.ended.count(static_cast<uint8_t>(*bytes)) != 0) << "page " << place;
            EXPECT_TRUE(std::all_of(bytes, bytes + 4096, [&](std::byte byte) { return byte == *bytes; }));
        }
    }
    void detach() {
        world.device().close(true);
        world.settle();
        EXPECT_EQ(world.closed.size(), 1u);
        EXPECT_EQ(world.fake.mapped(), 0u);
        EXPECT_EQ(world.process->event_channels().bound_ports(), 0u);
    }

    size_t deaths = 0;
    std::map<std::string, size_t, std::less<>> died_at;
    std::mt19937 random;
    BlockWorld world;

private:
    struct Asked {
        char kind;  // 'r', 'w', 'f' or 'd'
        unsigned place;
        uint8_t value;
        unsigned slot;
        std::vector<std::pair<unsigned, uint8_t>> written_before;  // of a flush: what was answered before
    };
    struct Content {
        std::set<uint8_t> ended = {0};  // what it may hold now that nothing is under way
        bool busy = false;
        bool flushable = true;
    };

    void arm() {
        world.on_step = [this](std::string_view step) {
            if (steps_left_ != 0 && --steps_left_ == 0) {
                ++died_at[std::string(step)];
                throw Killed();
            }
        };
    }
    void alive(const std::function<void()>& work) {
        try {
            work();
        } catch (const Killed&) {
            ++deaths;
            restart();
        }
    }
    void restart() {
        world.kill(random);
        try {
            world.start();
            arm();
        } catch (const Killed&) {
            ++deaths;
            restart();
        }
    }
    void some_work() {
        for (size_t i = random() % 12; i != 0; --i) {
            world.store.run();
            world.process->run_control();
            auto& loop = world.process->loop();
            if (random() % 2 == 0) loop.turn();
            loop.advance(std::chrono::nanoseconds(0));
            if (loop.outstanding() != 0 && random() % 2 == 0) loop.complete(random() % loop.outstanding());
        }
        if (random() % 3 == 0) world.settle(&random);
    }

    void ask() {
        for (size_t i = random() % 6; i != 0; --i) {
            const unsigned slot = random() % kSlots;
            const unsigned place = random() % kSectors;
            const unsigned ring = random() % rings_;
            if (asked_.count(slot) != 0) continue;
            const unsigned dice = random() % 10;
            if (dice == 0) {
                flush(slot, ring);
            } else if (!content_[place].busy) {
                move(slot, place, ring, dice);
            }
        }
        for (unsigned ring = 0; ring < rings_; ++ring)
            world.guest.kick(ring);
    }
    void flush(unsigned slot, unsigned ring) {
        if (!world.guest.front(ring).flush(slot)) return;
        Asked asked{'f', 0, 0, slot, {}};
        for (unsigned place = 0; place < kSectors; ++place) {
            const Content& content = content_[place];
            if (!content.busy && content.ended.size() == 1)
                asked.written_before.push_back({place, *content.ended.begin()});
        }
        asked_[slot] = asked;
    }
    void move(unsigned slot, unsigned place, unsigned ring, unsigned dice) {
        const auto value = static_cast<uint8_t>(1 + random() % 255);
        const BlockPiece piece{pages_[slot].gref.raw(), 0, 7};
        // Many pieces in the same page now and then: an indirect request of single sectors.
        std::vector<BlockPiece> pieces{piece};
        if (dice % 4 == 0) {
            pieces.clear();
            for (uint8_t sector = 0; sector < 8; ++sector)
                pieces.push_back({piece.gref, sector, sector});
        }
        auto& front = world.guest.front(ring);
        std::byte* const bytes = world.guest.bytes(pages_[slot]);
        if (dice < 5) {
            std::memset(bytes, 0xEE, 4096);
            if (!front.read(place * 8, pieces, slot)) return;
            asked_[slot] = {'r', place, 0, slot, {}};
        } else if (dice < 9) {
            std::memset(bytes, value, 4096);
            const bool barrier = random() % 8 == 0;
            if (!(barrier ? front.barrier(place * 8, pieces, slot) : front.write(place * 8, pieces, slot)))
                return;
            asked_[slot] = {'w', place, value, slot, {}};
        } else {
            if (!front.discard(place * 8, 8, slot)) return;
            asked_[slot] = {'d', place, 0, slot, {}};
        }
        content_[place].busy = true;
    }

    void collect() {
        for (unsigned ring = 0; ring < rings_; ++ring) {
            while (const auto answer = world.guest.front(ring).next())
                take(*answer);
            ASSERT_FALSE(world.guest.front(ring).broken()) << "an answer to nothing";
        }
    }
    void take(const guest::BlockFront::Answer& answer) {
        const auto found = asked_.find(static_cast<unsigned>(answer.token));
        ASSERT_NE(found, asked_.end());
        const Asked asked = found->second;
        asked_.erase(found);
        ASSERT_EQ(answer.status, BlockStatus::kOkay);
        if (asked.kind == 'f') return check_flush(asked);
        Content& content = content_[asked.place];
        content.busy = false;
        if (asked.kind == 'r') return check_read(asked, content);
        content.ended = {asked.value};
    }
    void check_read(const Asked& asked, const Content& content) {
        const std::byte* const bytes = world.guest.bytes(pages_[asked.slot]);
        EXPECT_TRUE(content.ended.count(static_cast<uint8_t>(*bytes)) != 0);
        EXPECT_TRUE(std::all_of(bytes, bytes + 4096, [&](std::byte byte) { return byte == *bytes; }));
    }
    // What was answered before the flush was asked for is durable, or something newer is.
    void check_flush(const Asked& asked) {
        for (const auto& [place, value] : asked.written_before) {
            const Content& content = content_[place];
            if (content.busy || content.ended.size() != 1 || *content.ended.begin() != value) continue;
            EXPECT_EQ(world.disk->durable[place * 4096], static_cast<std::byte>(value)) << place;
        }
    }

    unsigned rings_;
    size_t steps_left_ = 0;
    std::vector<Guest::Page> pages_;
    std::vector<Content> content_;
    std::map<unsigned, Asked> asked_;
};

// Every step of a short game in turn, from the first to the last.
TEST(Takeover, KilledAtEachStep) {
    size_t deaths = 0;
    std::map<std::string, size_t, std::less<>> died_at;
    for (const bool persistent : {false, true}) {
        for (uint32_t seed = 1; seed <= 3; ++seed) {
            for (size_t step = 1; step <= 120; ++step) {
                Model model(seed, persistent, 1);
                model.kill_after(step);
                model.play(8);
                model.finish();
                model.detach();
                deaths += model.deaths;
                for (const auto& [name, count] : model.died_at)
                    died_at[name] += count;
                ASSERT_FALSE(testing::Test::HasFailure())
                    << "seed " << seed << " step " << step << " persistent " << persistent;
            }
        }
    }
    EXPECT_GT(deaths, 500u);
    for (const char* step : {"ring.copied", "ring.taken", "block.submitted", "block.ended", "ring.answered",
                             "ring.put", "ring.published", "ring.freed", "block.notified"}) {
        EXPECT_GT(died_at[step], 5u) << "hardly ever died at " << step;
    }
}

// Again and again, also while the one before is still being taken over.
TEST(Takeover, KilledAllTheTime) {
    size_t deaths = 0;
    for (uint32_t seed = 1; seed <= 30; ++seed) {
        Model model(seed, seed % 2 == 0, 1 + seed % 3);
        for (unsigned i = 0; i < 60; ++i) {
            model.kill_after(1 + model.random() % 25);
            model.play(2);
        }
        model.finish();
        model.detach();
        deaths += model.deaths;
        ASSERT_FALSE(testing::Test::HasFailure()) << "seed " << seed;
    }
    EXPECT_GT(deaths, 1000u);
}

TEST(Takeover, NothingIsReissuedWhileTheOldOnesRequestsRun) {
    BlockWorld world;
    world.connect();
    const auto page = world.guest.page();
    const BlockPiece piece{page.gref.raw(), 0, 7};
    ASSERT_TRUE(world.guest.front().write(0, {&piece, 1}, 1));
    world.guest.kick();
    world.process->loop().run();
    ASSERT_EQ(world.process->loop().outstanding(), 1u);
    std::mt19937 random(2);
    world.kill(random);
    world.lock_free = false;
    world.start();
    for (unsigned i = 0; i < 10'000; ++i) {
        world.settle();
        world.process->loop().advance(std::chrono::milliseconds(5));
    }
    EXPECT_EQ(world.fake.mapped(), 0u);
    EXPECT_TRUE(world.closed.empty()) << "a guest waits: there is no giving up";
    EXPECT_EQ(world.device().state(), BlockState::kOpening);
    world.lock_free = true;
    world.process->loop().advance(std::chrono::milliseconds(5));
    world.settle();
    EXPECT_EQ(world.guest.front().next()->status, BlockStatus::kOkay);
    EXPECT_EQ(world.device().state(), BlockState::kConnected);
}

TEST(Takeover, TheGuestIsSignalledForWhatWasAnsweredBefore) {
    BlockWorld world;
    world.connect();
    world.on_step = [](std::string_view step) {
        if (step == "ring.published") throw Killed();
    };
    ASSERT_TRUE(world.guest.front().flush(1));
    world.guest.kick();
    EXPECT_THROW(world.settle(), Killed);
    EXPECT_TRUE(world.guest.front().next().has_value());
    world.fake.take_signals(world.guest.rings[0].port);
    std::mt19937 random(2);
    world.kill(random);
    world.start();
    world.settle();
    EXPECT_GE(world.fake.take_signals(world.guest.rings[0].port), 1u);
    EXPECT_FALSE(world.guest.front().next().has_value());
}

TEST(Takeover, ADeliberateEndLeavesTheRingsToTheNext) {
    BlockWorld world;
    world.connect();
    const auto page = world.guest.page();
    const BlockPiece piece{page.gref.raw(), 0, 7};
    std::mt19937 random(2);
    for (unsigned i = 0; i < 3; ++i) {
        ASSERT_TRUE(world.guest.front().read(0, {&piece, 1}, i));
        EXPECT_EQ(world.answer_to(i), BlockStatus::kOkay);
        world.detach_process();
        EXPECT_EQ(world.back("state"), "4");
        world.start();
        world.settle();
        EXPECT_EQ(world.device().state(), BlockState::kConnected);
    }
}

TEST(Takeover, AGuestThatWroteTheWrongIndexLosesItsDevice) {
    BlockWorld world;
    world.connect();
    const auto page = world.guest.page();
    const BlockPiece piece{page.gref.raw(), 0, 7};
    ASSERT_TRUE(world.guest.front().read(0, {&piece, 1}, 1));
    world.guest.kick();
    world.process->loop().run();
    std::mt19937 random(2);
    world.kill(random);
    reinterpret_cast<abi::SharedRingHeader*>(world.fake.page(world.guest.rings[0].pages[0]))->rsp_prod = 17;
    world.start();
    world.settle();
    EXPECT_EQ(world.back("state"), "5");
    EXPECT_EQ(world.troubles.size(), 1u);
    EXPECT_EQ(world.fake.mapped(), 0u);
    world.guest.set_state(6);
    world.settle();
    EXPECT_EQ(world.back("state"), "6");
}

TEST(Takeover, AFrontendThatClosedMeanwhileIsLetGo) {
    BlockWorld world;
    world.connect();
    std::mt19937 random(2);
    world.kill(random);
    world.guest.set_state(6);
    world.start();
    world.settle();
    EXPECT_EQ(world.back("state"), "6");
    EXPECT_EQ(world.fake.mapped(), 0u);
}

}  // namespace
}  // namespace torii::backend::test
