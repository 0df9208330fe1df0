#include <gtest/gtest.h>
#include <torii/ring/back_ring.h>
#include <torii/ring/byte_ring.h>
#include <torii/ring/front_ring.h>

#include <array>
#include <cstring>
#include <deque>
#include <numeric>
#include <random>
#include <string>
#include <vector>

namespace torii::ring {
namespace {

struct Request {
    uint64_t id;
    uint32_t value;
    uint32_t pad[5];
};

struct Response {
    uint64_t id;
    uint32_t result;
    uint32_t pad;
};

class RequestRing : public testing::Test {
protected:
    alignas(4096) std::array<uint8_t, 4096> page_{};
    FrontRing<Request, Response> front_{page_.data(), page_.size()};
    BackRing<Request, Response> back_{page_.data(), page_.size()};

    abi::SharedRingHeader& header() { return *reinterpret_cast<abi::SharedRingHeader*>(page_.data()); }
};

TEST_F(RequestRing, TakesAPowerOfTwoOfEntries) {
    // (4096 - 64) / 32 is 126, rounded down.
    EXPECT_EQ(front_.capacity(), 64u);
    EXPECT_EQ(back_.capacity(), 64u);
}

TEST_F(RequestRing, CarriesRequestsAndResponses) {
    ASSERT_TRUE(front_.put({.id = 7, .value = 1, .pad = {}}));
    EXPECT_FALSE(back_.take().has_value()) << "not published yet";
    EXPECT_TRUE(front_.publish()) << "a fresh back end wants the first event";
    const auto request = back_.take();
    ASSERT_TRUE(request.has_value());
    EXPECT_EQ(request->id, 7u);
    ASSERT_TRUE(back_.put({.id = request->id, .result = 42, .pad = 0}));
    EXPECT_TRUE(back_.publish());
    const auto response = front_.take();
    ASSERT_TRUE(response.has_value());
    EXPECT_EQ(response->result, 42u);
    EXPECT_FALSE(front_.take().has_value());
}

TEST_F(RequestRing, RefusesWhenFullAndRecovers) {
    for (uint32_t index = 0; index < front_.capacity(); ++index) {
        ASSERT_TRUE(front_.put({.id = index, .value = 0, .pad = {}}));
    }
    EXPECT_FALSE(front_.put({}));
    front_.publish();
    ASSERT_TRUE(back_.take().has_value());
    EXPECT_FALSE(front_.put({})) << "a request taken still occupies its slot";
    ASSERT_TRUE(back_.put({}));
    back_.publish();
    ASSERT_TRUE(front_.take().has_value());
    EXPECT_TRUE(front_.put({}));
}

TEST_F(RequestRing, NoResponseWithoutRequest) {
    EXPECT_FALSE(back_.put({}));
}

TEST_F(RequestRing, FrontRefusesResponsesToNothing) {
    header().rsp_prod = 1;
    EXPECT_FALSE(front_.take().has_value());
    EXPECT_TRUE(front_.broken());
    header().rsp_prod = 0;
    EXPECT_FALSE(front_.enable_events()) << "a broken ring stays broken";
}

TEST_F(RequestRing, BackRefusesMoreRequestsThanSlots) {
    header().req_prod = back_.capacity() + 1;
    EXPECT_FALSE(back_.take().has_value());
    EXPECT_TRUE(back_.broken());
}

TEST_F(RequestRing, EventsAreAskedForOnce) {
    front_.put({});
    EXPECT_TRUE(front_.publish());
    front_.put({});
    EXPECT_FALSE(front_.publish()) << "the back end has not asked again";
    EXPECT_TRUE(back_.enable_events()) << "there is work";
    while (back_.take()) {
    }
    EXPECT_FALSE(back_.enable_events());
    front_.put({});
    EXPECT_TRUE(front_.publish());
}

TEST_F(RequestRing, RandomTrafficKeepsOrder) {
    std::mt19937 random(1);
    uint64_t next_request = 0;
    uint64_t next_taken = 0;
    uint64_t next_response = 0;
    std::deque<uint64_t> in_work;
    for (int step = 0; step < 200'000; ++step) {
        switch (random() % 4) {
            case 0:
                if (front_.put({.id = next_request, .value = 0, .pad = {}})) ++next_request;
                break;
            case 1:
                front_.publish();
                back_.publish();
                break;
            case 2:
                if (const auto request = back_.take()) {
                    ASSERT_EQ(request->id, next_taken++);
                    in_work.push_back(request->id);
                }
                if (!in_work.empty() && random() % 2 == 0 &&
                    back_.put({.id = in_work.front(), .result = 0, .pad = 0})) {
                    in_work.pop_front();
                }
                break;
            default:
                if (const auto response = front_.take()) {
                    ASSERT_EQ(response->id, next_response++);
                }
        }
    }
    EXPECT_GT(next_response, 10'000u);
    EXPECT_FALSE(front_.broken() || back_.broken());
}

TEST_F(RequestRing, AttachGoesOnAfterTheLastResponse) {
    for (uint64_t id = 0; id < 3; ++id) {
        front_.put({.id = id, .value = 0, .pad = {}});
    }
    front_.publish();
    back_.take();
    back_.take();
    back_.put({});
    back_.publish();
    auto successor = BackRing<Request, Response>::attach(page_.data(), page_.size());
    EXPECT_EQ(successor.take()->id, 1u) << "the request that was not answered comes again";
}

TEST_F(RequestRing, BackRefusesAnIndexThatGoesBack) {
    for (int count = 0; count < 4; ++count)
        front_.put({});
    front_.publish();
    while (back_.take()) {
    }
    header().req_prod = 2;
    EXPECT_FALSE(back_.take().has_value()) << "requests that were taken already";
    EXPECT_TRUE(back_.broken());
}

TEST_F(RequestRing, SuccessorKnowsWhatMayBeOverwritten) {
    for (uint64_t id = 0; id < 6; ++id) {
        front_.put({.id = id, .value = 0, .pad = {}});
    }
    front_.publish();
    for (int count = 0; count < 4; ++count)
        back_.take();
    back_.announce(1);
    back_.put({});
    back_.publish();
    EXPECT_EQ((BackRing<Request, Response>::attach(page_.data(), page_.size()).uncertain()), 0u);
    back_.announce(3);
    back_.put({.id = 77, .result = 0, .pad = 0});

    auto successor = BackRing<Request, Response>::attach(page_.data(), page_.size());
    EXPECT_EQ(successor.available(), 5u);
    EXPECT_EQ(successor.uncertain(), 3u);
    EXPECT_EQ(successor.take()->id, 77u) << "the response lies where the request was";
    EXPECT_EQ(successor.uncertain(), 2u);
    successor.announce(1);
    successor.put({});

    // Killed as well: what the first one overwrote is still uncertain.
    auto third = BackRing<Request, Response>::attach(page_.data(), page_.size());
    EXPECT_EQ(third.uncertain(), 3u);
    for (int count = 0; count < 3; ++count)
        third.take();
    EXPECT_EQ(third.uncertain(), 0u);
    EXPECT_EQ(third.take()->id, 4u);
    third.announce(4);
    for (int count = 0; count < 4; ++count)
        third.put({});
    third.publish();
    EXPECT_EQ((BackRing<Request, Response>::attach(page_.data(), page_.size()).uncertain()), 0u);
}

TEST_F(RequestRing, NoteOfAHostileFrontEndIsHarmless) {
    std::memset(header().private_use, 0xEE, sizeof(header().private_use));
    EXPECT_EQ((BackRing<Request, Response>::attach(page_.data(), page_.size()).uncertain()), 0u);
}

class Bytes : public testing::Test {
protected:
    std::array<uint8_t, 64> buffer_{};
    uint32_t consumed_ = 0xFFFF'FFF0;  // wraps soon
    uint32_t produced_ = 0xFFFF'FFF0;
    ByteRingMemory memory_{buffer_.data(), 64, &consumed_, &produced_};
    ByteRingWriter writer_{memory_};
    ByteRingReader reader_{memory_};
};

TEST_F(Bytes, StreamSurvivesEveryWrap) {
    std::mt19937 random(2);
    uint8_t next_written = 0;
    uint8_t next_read = 0;
    for (int step = 0; step < 10'000; ++step) {
        std::vector<uint8_t> out(random() % 100);
        std::iota(out.begin(), out.end(), next_written);
        next_written = static_cast<uint8_t>(next_written + writer_.write(out));
        std::vector<uint8_t> in(random() % 100);
        in.resize(reader_.read(in));
        for (const uint8_t byte : in) {
            ASSERT_EQ(byte, next_read++);
        }
    }
}

TEST_F(Bytes, WritesWhatFits) {
    const std::vector<uint8_t> many(100, 1);
    EXPECT_EQ(writer_.write(many), 64u);
    EXPECT_EQ(writer_.write(many), 0u);
    EXPECT_EQ(reader_.available(), 64u);
}

TEST_F(Bytes, GarbageIndicesMoveNothing) {
    for (const uint32_t distance : {65u, 0x8000'0000u, 0xFFFF'FFFFu}) {
        produced_ = consumed_ + distance;
        std::vector<uint8_t> bytes(10, 9);
        EXPECT_TRUE(reader_.broken());
        EXPECT_TRUE(writer_.broken());
        EXPECT_EQ(reader_.read(bytes), 0u);
        EXPECT_EQ(writer_.write(bytes), 0u);
    }
}

}  // namespace
}  // namespace torii::ring
