// A ring whose back end dies at every step, in turn, and whose successor goes on: each request gets one
// response.

#include "common/durable_ring.h"

#include <gtest/gtest.h>
#include <torii/ring/front_ring.h>

#include <array>
#include <deque>
#include <map>
#include <random>

#include "common/shared_record.h"
#include "unit/backends/kit/temporary_file.h"

namespace torii::backend::test {
namespace {

struct Request {
    uint64_t id;
    uint64_t value[13];
};
struct Response {
    uint64_t id;
    uint64_t value;
};
using Front = ring::FrontRing<Request, Response>;
using Back = DurableRing<Request, Response>;

struct Killed {};

// Both ends, with a back end that may die when a step is reached for the n-th time.
class Ends {
public:
    explicit Ends(uint32_t seed) : random_(seed), record_(Back::record_bytes(Back::entries(page_.size()))) {
        back_.emplace(Back::start(ring(), record_, hook()));
    }

    void kill_after(size_t steps) { steps_ = steps; }

    // Makes requests, serves them in any order, takes responses; the back end may die meanwhile.
    void play(unsigned rounds) {
        for (unsigned i = 0; i < rounds; ++i) {
            request();
            try {
                serve();
            } catch (const Killed&) {
                ++deaths;
                resume();
            }
            collect();
        }
    }
    void finish() {
        steps_ = 0;
        for (unsigned i = 0; i < 1000 && !waiting_.empty(); ++i) {
            serve();
            collect();
        }
        EXPECT_TRUE(waiting_.empty()) << "a request without a response";
        EXPECT_EQ(back_->in_work(), 0u);
    }
    size_t deaths = 0;

private:
    std::span<std::byte> ring() { return std::as_writable_bytes(std::span(page_)); }
    FailPointHook hook() {
        return [this](std::string_view) {
            if (steps_ != 0 && --steps_ == 0) throw Killed();
        };
    }
    void request() {
        for (size_t count = random_() % 8; count != 0; --count) {
            if (!front_.put({next_id_, {next_id_ * 3}})) break;
            waiting_[next_id_] = next_id_ * 3;
            ++next_id_;
        }
        front_.publish();
    }
    void serve() {
        while (random_() % 8 != 0) {
            const auto slot = back_->take();
            if (!slot) break;
            working_.push_back(*slot);
        }
        while (!working_.empty() && random_() % 4 != 0) {
            const size_t which = random_() % working_.size();
            const uint32_t slot = working_[which];
            const Request& asked = back_->request(slot);
            // The list of this process forgets it first, as it dies with the process.
            working_.erase(working_.begin() + static_cast<ptrdiff_t>(which));
            back_->put(slot, {asked.id, asked.value[0]});
            if (random_() % 4 == 0) back_->publish();
        }
        back_->publish();
    }
    void resume() {
        auto next = Back::resume(ring(), record_, hook());
        ASSERT_TRUE(next.has_value());
        back_.emplace(std::move(*next));
        working_ = back_->unfinished();
        try {
            back_->publish();
        } catch (const Killed&) {
            resume();
        }
    }
    void collect() {
        while (const auto response = front_.take()) {
            const auto found = waiting_.find(response->id);
            ASSERT_NE(found, waiting_.end()) << "a second response to " << response->id;
            EXPECT_EQ(response->value, found->second);
            waiting_.erase(found);
        }
        ASSERT_FALSE(front_.broken());
    }

    std::mt19937 random_;
    alignas(4096) std::array<uint8_t, 4096> page_{};
    std::vector<std::byte> record_;
    Front front_{page_.data(), page_.size()};
    std::optional<Back> back_;
    std::vector<uint32_t> working_;
    std::map<uint64_t, uint64_t> waiting_;
    uint64_t next_id_ = 1;
    size_t steps_ = 0;
};

TEST(DurableRing, EachRequestGetsOneResponseWhereverTheBackEndDies) {
    size_t deaths = 0;
    for (uint32_t seed = 0; seed < 20; ++seed) {
        for (size_t step = 1; step < 60; ++step) {
            Ends ends(seed);
            ends.kill_after(step);
            ends.play(12);
            ends.finish();
            deaths += ends.deaths;
            if (HasFatalFailure()) FAIL() << "seed " << seed << " step " << step;
        }
    }
    EXPECT_GT(deaths, 1000u);
}

TEST(DurableRing, DyingAgainAndAgain) {
    Ends ends(99);
    for (unsigned i = 0; i < 2000; ++i) {
        ends.kill_after(1 + i % 7);
        ends.play(1);
    }
    ends.finish();
    EXPECT_GT(ends.deaths, 500u);
}

class Meddled : public testing::Test {
protected:
    std::span<std::byte> ring() { return std::as_writable_bytes(std::span(page_)); }
    abi::SharedRingHeader& header() { return *reinterpret_cast<abi::SharedRingHeader*>(page_.data()); }
    void make_two_and_take_them() {
        front_.put({1, {}});
        front_.put({2, {}});
        front_.publish();
        Back back = Back::start(ring(), record_, {});
        ASSERT_TRUE(back.take() && back.take());
    }

    alignas(4096) std::array<uint8_t, 4096> page_{};
    std::vector<std::byte> record_ = std::vector<std::byte>(Back::record_bytes(Back::entries(4096)));
    Front front_{page_.data(), page_.size()};
};

TEST_F(Meddled, AnIndexThatOnlyTheBackEndWritesMakesTheRingNotFit) {
    make_two_and_take_them();
    for (const uint32_t wrong : {1u, 2u, 3u, 0x8000'0000u, 0xFFFF'FFFFu}) {
        header().rsp_prod = wrong;
        std::vector<std::byte> record = record_;
        EXPECT_FALSE(Back::resume(ring(), record, {}).has_value()) << wrong;
    }
    header().rsp_prod = 0;
    const auto next = Back::resume(ring(), record_, {});
    ASSERT_TRUE(next.has_value());
    EXPECT_EQ(next->unfinished().size(), 2u);
    EXPECT_EQ(next->request(next->unfinished()[0]).id, 1u);
}

TEST_F(Meddled, RandomRecordsAndIndicesNeverGoOutside) {
    std::mt19937 random(5);
    for (unsigned i = 0; i < 20'000; ++i) {
        for (size_t k = random() % 16; k != 0; --k)
            record_[random() % record_.size()] = static_cast<std::byte>(random());
        reinterpret_cast<uint32_t*>(record_.data())[0] = Back::entries(4096);
        header().rsp_prod = random() % 80 - 40;
        header().req_prod = random() % 80 - 40;
        auto next = Back::resume(ring(), record_, {});
        if (!next) continue;
        for (unsigned k = 0; k < 100; ++k) {
            const auto slot = next->take();
            if (!slot) break;
            next->put(*slot, {next->request(*slot).id, 0});
        }
        next->publish();
    }
}

TEST(SharedRecord, KeepsWhatWasStoredAndGrows) {
    const TemporaryFolder folder;
    const std::string path = folder.file("record");
    {
        SharedRecord record(path);
        EXPECT_TRUE(record.bytes().empty());
        record.grow(5000);
        record.bytes()[4999] = std::byte{7};
    }
    SharedRecord record(path);
    ASSERT_EQ(record.bytes().size(), 5000u);
    record.grow(20'000);
    EXPECT_EQ(record.bytes()[4999], std::byte{7});
    EXPECT_EQ(record.bytes()[19'999], std::byte{0});
    SharedRecord::remove(path);
    EXPECT_TRUE(SharedRecord(path).bytes().empty());
}

}  // namespace
}  // namespace torii::backend::test
