// A device from attaching to detaching, and what requests do.

#include "block/block_device.h"

#include <gtest/gtest.h>
#include <torii/failure.h>

#include <algorithm>
#include <cstring>

#include "block/block_negotiation.h"
#include "unit/backends/block/block_world.h"

namespace torii::backend::test {
namespace {

using abi::BlockStatus;
using guest::BlockPiece;
using namespace std::chrono_literals;

class Device : public testing::Test {
protected:
    static BlockPiece whole(const Guest::Page& page) { return {page.gref.raw(), 0, 7}; }
    void fill(const Guest::Page& page, int value) {
        std::memset(world.guest.bytes(page), value, kGuestPageSize);
    }
    // How many bytes of a page are `value`.
    long count(const Guest::Page& page, int value) {
        const std::byte* const bytes = world.guest.bytes(page);
        return std::count(bytes, bytes + kGuestPageSize, static_cast<std::byte>(value));
    }
    void expect_nothing_left() {
        EXPECT_EQ(world.fake.mapped(), 0u);
        EXPECT_EQ(world.process->event_channels().bound_ports(), 0u);
    }

    BlockWorld world;
};

TEST_F(Device, WritesAreReadBack) {
    world.connect();
    EXPECT_EQ(world.back("sectors"), "2048");
    EXPECT_EQ(world.back("sector-size"), "512");
    EXPECT_EQ(world.back("info"), "0");
    EXPECT_EQ(world.device().state(), BlockState::kConnected);
    const auto page = world.guest.page();
    const BlockPiece piece{page.gref.raw(), 2, 5};
    fill(page, 7);
    ASSERT_TRUE(world.guest.front().write(100, {&piece, 1}, 1));
    EXPECT_EQ(world.answer_to(1), BlockStatus::kOkay);
    fill(page, 0);
    ASSERT_TRUE(world.guest.front().read(102, {&piece, 1}, 2));
    EXPECT_EQ(world.answer_to(2), BlockStatus::kOkay);
    EXPECT_EQ(count(page, 7), 2 * 512);
    EXPECT_EQ(world.guest.bytes(page)[2 * 512], std::byte{7});
    const BlockStatistics seen = world.device().statistics();
    EXPECT_EQ(seen.reads, 1u);
    EXPECT_EQ(seen.bytes_written, 4 * 512u);
    EXPECT_EQ(seen.read_latency.total, 1u);
}

TEST_F(Device, DetachesWhenAskedAndLeavesNothing) {
    world.connect();
    world.device().close(false);
    world.settle();
    EXPECT_EQ(world.back("state"), "5");
    EXPECT_TRUE(world.closed.empty());
    world.guest.set_state(6);
    world.settle();
    EXPECT_EQ(world.back("state"), "6");
    ASSERT_EQ(world.closed.size(), 1u);
    EXPECT_EQ(world.closed[0], "");
    expect_nothing_left();
    EXPECT_FALSE(std::filesystem::exists(world.config.state_file));
    world.guest.forget();
}

TEST_F(Device, DetachByForceEndsWhatIsUnderWayFirst) {
    world.connect();
    const auto page = world.guest.page();
    const BlockPiece piece = whole(page);
    ASSERT_TRUE(world.guest.front().write(0, {&piece, 1}, 1));
    world.guest.kick();
    world.process->loop().run();
    ASSERT_EQ(world.process->loop().outstanding(), 1u);
    world.device().close(true);
    while (world.process->run_control() || world.process->loop().run() || world.store.run()) {
    }
    EXPECT_TRUE(world.closed.empty()) << "the disk still writes from memory of the guest's";
    world.settle();
    EXPECT_EQ(world.closed.size(), 1u);
    expect_nothing_left();
}

TEST_F(Device, AFrontendThatLoadsItsDriverAgainIsServedAgain) {
    world.connect();
    for (unsigned i = 0; i < 3; ++i) {
        world.guest.set_state(5);
        world.settle();
        world.guest.set_state(6);
        world.settle();
        EXPECT_EQ(world.back("state"), "6");
        world.guest.forget();
        expect_nothing_left();
        world.guest.set_state(1);
        world.settle();
        EXPECT_EQ(world.back("state"), "2");
        world.guest.publish(1 + i, i);
        world.settle();
        ASSERT_EQ(world.back("state"), "4");
        const auto page = world.guest.page();
        const BlockPiece piece = whole(page);
        ASSERT_TRUE(world.guest.front(i).read(0, {&piece, 1}, 9));
        EXPECT_EQ(world.answer_to(9, i), BlockStatus::kOkay);
    }
}

TEST_F(Device, IndirectRequestsMoveAMegabyte) {
    world.connect(1, 0, false);
    std::vector<BlockPiece> pieces;
    std::vector<Guest::Page> pages;
    for (unsigned i = 0; i < 256; ++i) {
        pages.push_back(world.guest.page());
        pieces.push_back(whole(pages.back()));
        fill(pages.back(), static_cast<int>(i));
    }
    ASSERT_TRUE(world.guest.front().write(0, pieces, 1));
    EXPECT_EQ(world.answer_to(1), BlockStatus::kOkay);
    for (unsigned i = 0; i < 256; ++i)
        EXPECT_EQ(world.disk->bytes[i * 4096 + 77], static_cast<std::byte>(i));
    for (const auto& page : pages)
        fill(page, 0);
    ASSERT_TRUE(world.guest.front().read(0, pieces, 2));
    EXPECT_EQ(world.answer_to(2), BlockStatus::kOkay);
    EXPECT_EQ(count(pages[255], 255), 4096);
    // A descriptor page that isn't granted.
    world.guest.rings[0].shadows[3].descriptors_gref = 0xFFFF;
    ASSERT_TRUE(world.guest.front().read(0, pieces, 3));
    EXPECT_EQ(world.answer_to(3), BlockStatus::kError);
}

TEST_F(Device, PersistentGrantsAreMappedOnceAndNeedNoCall) {
    world.connect(1, 0, true);
    const auto page = world.guest.page();
    const BlockPiece piece = whole(page);
    const size_t maps = world.process->memory->map_calls;
    for (unsigned i = 0; i < 10; ++i) {
        fill(page, static_cast<int>(i));
        ASSERT_TRUE(world.guest.front().write(i * 8, {&piece, 1}, i));
        EXPECT_EQ(world.answer_to(i), BlockStatus::kOkay);
        EXPECT_EQ(world.disk->bytes[i * 4096], static_cast<std::byte>(i));
    }
    EXPECT_EQ(world.process->memory->map_calls, maps + 1);
    EXPECT_EQ(world.process->memory->copy_calls, 0u);
    EXPECT_EQ(world.fake.mapped(page.gref), 1u);
    // One that cannot be mapped is copied.
    const auto read_only = world.guest.page(false);
    fill(read_only, 99);
    const BlockPiece other = whole(read_only);
    ASSERT_TRUE(world.guest.front().write(0, {&other, 1}, 1));
    EXPECT_EQ(world.answer_to(1), BlockStatus::kOkay);
    EXPECT_EQ(world.disk->bytes[0], std::byte{99});
    ASSERT_TRUE(world.guest.front().read(0, {&other, 1}, 2));
    EXPECT_EQ(world.answer_to(2), BlockStatus::kError) << "a page that is granted for reading";
}

TEST(BlockFeatures, NoRequestIsOfferedThatTheDiskMustCut) {
    const auto segments = [](uint64_t piece) {
        BlockGeometry geometry;
        geometry.bytes = 1 << 20;
        geometry.piece = piece;
        for (const auto& [name, value] : block_features({}, geometry))
            if (name == "feature-max-indirect-segments") return value;
        return std::string("none");
    };
    EXPECT_EQ(segments(0), "256") << "nothing is known of it";
    EXPECT_EQ(segments(4 << 20), "256");
    EXPECT_EQ(segments(255 * 512), "31");
    EXPECT_EQ(segments(4096), "11") << "every frontend may ask for so many";
}

TEST_F(Device, BadGrantsAndPlacesCostTheRequestOnly) {
    world.connect();
    const auto page = world.guest.page();
    const BlockPiece piece = whole(page);
    const BlockPiece bad{0xFFFFF0, 0, 7};
    auto& front = world.guest.front();
    ASSERT_TRUE(front.write(0, {&bad, 1}, 1));
    EXPECT_EQ(world.answer_to(1), BlockStatus::kError);
    ASSERT_TRUE(front.read(0, {&bad, 1}, 2));
    EXPECT_EQ(world.answer_to(2), BlockStatus::kError);
    ASSERT_TRUE(front.read(2041, {&piece, 1}, 3));
    EXPECT_EQ(world.answer_to(3), BlockStatus::kError);
    ASSERT_TRUE(front.write(UINT64_MAX, {&piece, 1}, 4));
    EXPECT_EQ(world.answer_to(4), BlockStatus::kError);
    ASSERT_TRUE(front.write(2040, {&piece, 1}, 5));
    EXPECT_EQ(world.answer_to(5), BlockStatus::kOkay);
    EXPECT_EQ(world.device().statistics().errors, 4u);
    EXPECT_EQ(world.device().statistics().refused, 4u);
}

TEST_F(Device, FailuresOfTheDiskReachTheGuest) {
    world.connect();
    const auto page = world.guest.page();
    const BlockPiece piece = whole(page);
    auto& front = world.guest.front();
    auto& faults = world.process->loop().faults;
    faults = {{.error = -EIO, .most_bytes = {}}};
    ASSERT_TRUE(front.read(0, {&piece, 1}, 1));
    EXPECT_EQ(world.answer_to(1), BlockStatus::kError);
    faults = {{.error = -ENOSPC, .most_bytes = {}}};
    ASSERT_TRUE(front.write(0, {&piece, 1}, 2));
    EXPECT_EQ(world.answer_to(2), BlockStatus::kError);
    EXPECT_EQ(world.device().statistics().no_space, 1u);
    faults = {{.error = -EIO, .most_bytes = {}}};
    ASSERT_TRUE(front.flush(3));
    EXPECT_EQ(world.answer_to(3), BlockStatus::kError);
    faults = {{.error = -EOPNOTSUPP, .most_bytes = {}}};
    ASSERT_TRUE(front.discard(0, 8, 4));
    EXPECT_EQ(world.answer_to(4), BlockStatus::kNotSupported);
    EXPECT_EQ(world.troubles.size(), 3u) << "each kind is told once";
}

TEST_F(Device, ShortTransfersGoOnAndAnEndOfTheImageIsAnError) {
    world.connect();
    const auto page = world.guest.page();
    const BlockPiece piece = whole(page);
    auto& front = world.guest.front();
    fill(page, 0x33);
    world.process->loop().faults = {{.error = {}, .most_bytes = 100}, {.error = {}, .most_bytes = 1000}};
    ASSERT_TRUE(front.write(8, {&piece, 1}, 1));
    EXPECT_EQ(world.answer_to(1), BlockStatus::kOkay);
    EXPECT_EQ(world.disk->bytes[2 * 4096 - 1], std::byte{0x33});
    // Somebody made the image shorter. Not a byte of an earlier request comes along.
    fill(page, 0);
    world.disk->bytes.resize(4096 + 512);
    ASSERT_TRUE(front.read(8, {&piece, 1}, 2));
    EXPECT_EQ(world.answer_to(2), BlockStatus::kError);
    EXPECT_EQ(count(page, 0x33), 0);
}

TEST_F(Device, ABarrierWaitsForAllBeforeAndHoldsAllBehind) {
    world.connect();
    std::vector<Guest::Page> pages;
    for (unsigned i = 0; i < 3; ++i) {
        pages.push_back(world.guest.page());
        fill(pages.back(), static_cast<int>(i) + 1);
    }
    const BlockPiece a = whole(pages[0]);
    const BlockPiece b = whole(pages[1]);
    const BlockPiece c = whole(pages[2]);
    auto& front = world.guest.front();
    ASSERT_TRUE(front.write(0, {&a, 1}, 1));
    ASSERT_TRUE(front.write(8, {&a, 1}, 2));
    ASSERT_TRUE(front.barrier(0, {&b, 1}, 3));
    ASSERT_TRUE(front.write(0, {&c, 1}, 4));
    world.guest.kick();
    std::mt19937 random(1);
    world.settle(&random);
    using Kind = FakeFile::Kind;
    std::vector<Kind> kinds;
    for (const auto& event : world.disk->history)
        kinds.push_back(event.kind);
    EXPECT_EQ(kinds, (std::vector{Kind::kWrite, Kind::kWrite, Kind::kFlush, Kind::kWrite, Kind::kFlush,
                                  Kind::kWrite}));
    EXPECT_EQ(world.disk->bytes[0], std::byte{3});
    EXPECT_EQ(world.disk->durable[0], std::byte{2});
    for (unsigned i = 0; i < 4; ++i)
        EXPECT_EQ(front.next()->status, BlockStatus::kOkay);
}

TEST_F(Device, DiscardZeroesAndReadOnlyRefuses) {
    std::fill(world.disk->bytes.begin(), world.disk->bytes.end(), std::byte{9});
    world.connect();
    EXPECT_EQ(world.back("feature-discard"), "1");
    ASSERT_TRUE(world.guest.front().discard(1, 2, 1));
    EXPECT_EQ(world.answer_to(1), BlockStatus::kOkay);
    EXPECT_EQ(world.disk->bytes[511], std::byte{9});
    EXPECT_EQ(world.disk->bytes[512], std::byte{0});
    EXPECT_EQ(world.disk->bytes[1536], std::byte{9});

    BlockWorld other;
    other.config.read_only = true;
    other.config.cdrom = true;
    other.connect();
    EXPECT_EQ(other.back("info"), "5");
    EXPECT_EQ(other.back("feature-discard"), "0");
    const auto page = other.guest.page();
    const BlockPiece piece = whole(page);
    ASSERT_TRUE(other.guest.front().write(0, {&piece, 1}, 1));
    EXPECT_EQ(other.answer_to(1), BlockStatus::kError);
    ASSERT_TRUE(other.guest.front().discard(0, 8, 2));
    EXPECT_EQ(other.answer_to(2), BlockStatus::kNotSupported);
    ASSERT_TRUE(other.guest.front().flush(3));
    EXPECT_EQ(other.answer_to(3), BlockStatus::kOkay);
    EXPECT_TRUE(std::none_of(other.disk->history.begin(), other.disk->history.end(),
                             [](const auto& event) { return event.kind == FakeFile::Kind::kWrite; }));
}

TEST_F(Device, SectorsOf4096Bytes) {
    world.config.sector_size = 4096;
    world.connect();
    // A frontend that doesn't say otherwise counts in units of 512 bytes.
    EXPECT_EQ(world.back("sectors"), "2048");
    EXPECT_EQ(world.back("sector-size"), "4096");
    const auto page = world.guest.page();
    const BlockPiece piece = whole(page);
    const BlockPiece part{page.gref.raw(), 0, 0};
    auto& front = world.guest.front();
    ASSERT_TRUE(front.write(8, {&piece, 1}, 1));
    EXPECT_EQ(world.answer_to(1), BlockStatus::kOkay);
    ASSERT_TRUE(front.write(8, {&part, 1}, 2));
    EXPECT_EQ(world.answer_to(2), BlockStatus::kError) << "half a sector";
    ASSERT_TRUE(front.write(9, {&piece, 1}, 3));
    EXPECT_EQ(world.answer_to(3), BlockStatus::kError) << "between sectors";

    BlockWorld large;
    large.config.sector_size = 4096;
    large.store.set(std::string(kFrontend) + "/feature-large-sector-size", "1");
    large.connect();
    EXPECT_EQ(large.back("sectors"), "256");
    const auto other = large.guest.page();
    const BlockPiece sector{other.gref.raw(), 0, 0};
    std::memset(large.guest.bytes(other), 5, 4096);
    ASSERT_TRUE(large.guest.front().write(255, {&sector, 1}, 1));
    EXPECT_EQ(large.answer_to(1), BlockStatus::kOkay);
    EXPECT_EQ(large.disk->bytes.back(), std::byte{5});
    const BlockPiece beyond{other.gref.raw(), 0, 1};
    ASSERT_TRUE(large.guest.front().write(0, {&beyond, 1}, 2));
    EXPECT_EQ(large.answer_to(2), BlockStatus::kError);
}

TEST_F(Device, ARingWithImpossibleIndicesEndsTheDevice) {
    world.connect();
    auto& header = *reinterpret_cast<abi::SharedRingHeader*>(world.fake.page(world.guest.rings[0].pages[0]));
    header.req_prod = 1000;
    world.fake.notify(world.guest.rings[0].port);
    world.settle();
    EXPECT_EQ(world.back("state"), "5");
    EXPECT_NE(world.back("error"), "");
    EXPECT_NE(world.device().problem().find("more requests than its ring"), std::string::npos);
    ASSERT_EQ(world.troubles.size(), 1u);
    expect_nothing_left();
}

TEST_F(Device, ImpossibleParametersAreRefusedAndHoldNothing) {
    const std::pair<const char*, const char*> wrong[] = {
        {"ring-ref", "x"},          {"ring-ref", "4294967295"},      {"event-channel", "99999"},
        {"event-channel", ""},      {"ring-page-order", "5"},        {"multi-queue-num-queues", "0"},
        {"protocol", "x86_32-abi"}, {"multi-queue-num-queues", "5"}, {"feature-persistent", "yes"},
    };
    for (const auto& [name, value] : wrong) {
        BlockWorld other;
        other.start();
        other.guest.set_state(1);
        other.settle();
        other.guest.publish();
        other.store.set(std::string(kFrontend) + "/" + name, value);
        other.settle();
        EXPECT_EQ(other.back("state"), "5") << name;
        EXPECT_NE(other.back("error"), "") << name;
        EXPECT_EQ(other.fake.mapped(), 0u) << name;
        EXPECT_EQ(other.process->event_channels().bound_ports(), 0u) << name;
    }
}

TEST_F(Device, LimitsHoldAndLift) {
    world.config.limits.requests = {.per_second = 100, .burst = 5};
    world.connect();
    const auto page = world.guest.page();
    const BlockPiece piece = whole(page);
    auto& front = world.guest.front();
    for (unsigned i = 0; i < 30; ++i)
        ASSERT_TRUE(front.read(0, {&piece, 1}, i));
    world.guest.kick();
    world.settle();
    const auto answered = [&] {
        unsigned count = 0;
        while (front.next())
            ++count;
        return count;
    };
    EXPECT_EQ(answered(), 5u);
    for (unsigned i = 0; i < 10; ++i) {
        world.process->loop().advance(10ms);
        world.settle();
    }
    EXPECT_NEAR(answered(), 10, 1);
    world.device().set_limits({});
    world.settle();
    EXPECT_NEAR(answered(), 15, 1);
    EXPECT_GE(world.device().statistics().throttled, 5u);
}

TEST_F(Device, ASizeThatChangesIsTold) {
    world.connect();
    std::vector<std::string> told;
    const auto take = [&](const std::string& problem) { told.push_back(problem); };
    world.device().resize(take);
    EXPECT_TRUE(told.empty()) << "never from inside the call";
    world.settle();
    ASSERT_EQ(told.size(), 1u);
    EXPECT_NE(told[0].find("detach it and attach it again"), std::string::npos)
        << "a disk in memory has no file to look at: " << told[0];
    // Who asks while it goes is told that it went.
    world.device().close(true);
    world.device().resize(take);
    for (unsigned i = 0; i < 20 && told.size() < 2; ++i)
        world.settle();
    EXPECT_EQ(told.size(), 2u);
}

TEST_F(Device, AnImageInUseIsNotAttached) {
    world.lock_free = false;
    world.start();
    for (unsigned i = 0; i < 1100 && world.closed.empty(); ++i) {
        world.settle();
        world.process->loop().advance(5ms);
    }
    ASSERT_EQ(world.closed.size(), 1u);
    EXPECT_NE(world.closed[0].find("in use"), std::string::npos);
    EXPECT_EQ(world.back("state"), "");
}

TEST_F(Device, ATurnHasABudget) {
    world.connect(1, 4, true);
    std::vector<BlockPiece> pieces;
    for (unsigned i = 0; i < 64; ++i)
        pieces.push_back(whole(world.guest.page()));
    for (unsigned i = 0; i < 100; ++i)
        ASSERT_TRUE(world.guest.front().read(0, pieces, i));
    world.guest.kick();
    world.process->loop().turn();
    EXPECT_LE(world.process->loop().outstanding(), 9u);
    EXPECT_GE(world.process->loop().outstanding(), 7u);
    world.settle();
    EXPECT_EQ(world.device().statistics().reads, 100u);
}

TEST_F(Device, BadConfigurationsAreRefused) {
    world.config.sector_size = 1024;
    EXPECT_THROW(world.start(), Failure);
    world.config.sector_size = 512;
    world.config.queues = 0;
    EXPECT_THROW(world.start(), Failure);
}

}  // namespace
}  // namespace torii::backend::test
