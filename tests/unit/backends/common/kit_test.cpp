// The fakes themselves: what a backend's test relies on.

#include <gtest/gtest.h>
#include <torii/failure.h>

#include <cstring>

#include "unit/backends/kit/fake_guest.h"
#include "unit/backends/kit/fake_io_loop.h"
#include "unit/backends/kit/fake_store.h"

namespace torii::backend::test {
namespace {

struct Seen final : Completion {
    std::vector<int32_t> results;
    void done(int32_t result) override { results.push_back(result); }
};

TEST(FakeGuest, MappingsAreTheGuestsPagesAndAreCounted) {
    FakeGuest guest(DomId(5));
    FakeGuestMemory memory(guest);
    const size_t first = guest.allocate_page();
    const size_t second = guest.allocate_page();
    const GrantRef grefs[] = {guest.grant(second), guest.grant(first, false)};
    EXPECT_THROW(memory.map(grefs, true), Failure);
    EXPECT_EQ(guest.mapped(), 0u);
    {
        const auto mapping = memory.map(grefs, false);
        EXPECT_EQ(guest.mapped(), 2u);
        EXPECT_FALSE(guest.end_grant(grefs[0]));
        guest.page(first)[7] = std::byte{9};
        EXPECT_EQ(mapping->bytes()[kGuestPageSize + 7], std::byte{9});
    }
    EXPECT_EQ(guest.mapped(), 0u);
    EXPECT_TRUE(guest.end_grant(grefs[0]));
}

TEST(FakeGuest, CopiesTellTheirOutcomeOneByOne) {
    FakeGuest guest(DomId(5));
    FakeGuestMemory memory(guest);
    const GrantRef gref = guest.grant(guest.allocate_page(), false);
    std::memset(guest.page(0), 0x5A, kGuestPageSize);
    std::byte local[64] = {};
    GrantCopySegment segments[] = {{GrantRef(99), 0, 16, local, false},
                                   {gref, 4090, 16, local, false},
                                   {gref, 0, 16, local, true},
                                   {gref, 4080, 16, local, false}};
    memory.copy(segments);
    EXPECT_EQ(segments[0].status, abi::GrantStatus::kBadGntref);
    EXPECT_EQ(segments[1].status, abi::GrantStatus::kBadCopyArg);
    EXPECT_EQ(segments[2].status, abi::GrantStatus::kGeneralError);
    EXPECT_EQ(segments[3].status, abi::GrantStatus::kOkay);
    EXPECT_EQ(local[15], std::byte{0x5A});
}

TEST(FakeGuest, AProcessThatEndsLeavesThePortsToTheNext) {
    FakeGuest guest(DomId(5));
    FakeIoLoop loop;
    const Port port = guest.allocate_unbound();
    int served = 0;
    for (int life = 0; life < 2; ++life) {
        FakeEventChannels channels([&](auto action) { loop.post(action); });
        channels.add_guest(guest);
        const Port local = channels.bind_interdomain(guest.id(), port, [&] { ++served; });
        EXPECT_THROW(channels.bind_interdomain(guest.id(), port, [] {}), Failure);
        guest.notify(port);
        guest.notify(port);
        loop.run();
        channels.notify(local);
        guest.notify(port);  // dies with the process
    }
    loop.run();
    EXPECT_EQ(served, 2);
    EXPECT_FALSE(guest.bound(port));
    EXPECT_EQ(guest.take_signals(port), 2u);
}

TEST(FakeIoLoop, OrderFaultsAndTime) {
    FakeIoLoop loop;
    auto file = std::make_shared<FakeFile>(8192);
    loop.add_file(3, file);
    std::byte bytes[512];
    std::memset(bytes, 1, sizeof(bytes));
    const iovec part{bytes, sizeof(bytes)};
    Seen seen;
    loop.write(3, {&part, 1}, 0, seen);
    loop.read(3, {&part, 1}, 8000, seen);
    loop.flush(3, seen);
    loop.faults = {{}, {.error = -EIO, .most_bytes = {}}, {}};
    loop.complete(1);
    EXPECT_EQ(seen.results, std::vector<int32_t>{192}) << "a short read at the end";
    loop.settle();
    EXPECT_EQ(seen.results, (std::vector<int32_t>{192, -EIO, 0}));
    EXPECT_EQ(file->durable[0], std::byte{0});

    loop.after(std::chrono::milliseconds(2), seen);
    loop.advance(std::chrono::milliseconds(1));
    EXPECT_EQ(seen.results.size(), 3u);
    loop.advance(std::chrono::milliseconds(1));
    EXPECT_EQ(seen.results.size(), 4u);
    loop.poll(3, 1, seen);
    loop.cancel(seen);
    loop.run();
    EXPECT_EQ(seen.results.back(), -ECANCELED);
}

TEST(FakeStore, WatchesFireForWhatIsBelowAndOnceAtFirst) {
    FakeStore store;
    int fired = 0;
    auto watch = store.watch("/a/b", [&] { ++fired; });
    EXPECT_EQ(fired, 0);
    store.run();
    EXPECT_EQ(fired, 1);
    store.write({{"/a/b/c", "1"}, {"/a/b", "2"}});
    store.set("/a/bc", "3");
    store.run();
    EXPECT_EQ(fired, 2);
    EXPECT_EQ(store.directory("/a"), (std::vector<std::string>{"b", "bc"}));
    store.remove("/a");
    store.run();
    EXPECT_EQ(fired, 3);
    watch.reset();
    store.set("/a/b", "4");
    EXPECT_FALSE(store.run());
}

}  // namespace
}  // namespace torii::backend::test
