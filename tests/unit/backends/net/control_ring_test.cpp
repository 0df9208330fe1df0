#include "net/control_ring.h"

#include <gtest/gtest.h>
#include <torii/ring/front_ring.h>

#include <cstring>

#include "unit/backends/kit/fake_guest.h"

namespace torii::backend::net {
namespace {

using backend::test::FakeGuest;
using backend::test::FakeGuestMemory;
using Status = abi::NetControlStatus;
using Type = abi::NetControlType;

class Control : public testing::Test {
protected:
    Control() : front_(guest_.page(ring_page_), kGuestPageSize) { attach(); }

    void attach() {
        control_ = std::make_unique<ControlRing>(memory_, memory_.map({&ring_gref_, 1}, true), 4, settings_,
                                                 [this] { ++changes_; });
    }
    Status ask(Type type, uint32_t first = 0, uint32_t second = 0, uint32_t third = 0) {
        EXPECT_TRUE(
            front_.put({.id = 7, .type = static_cast<uint16_t>(type), .data = {first, second, third}}));
        front_.publish();
        EXPECT_TRUE(control_->serve());
        const auto response = front_.take();
        EXPECT_TRUE(response && response->id == 7 && response->type == static_cast<uint16_t>(type));
        if (!response) return Status::kNotSupported;
        data_ = response->data;
        return static_cast<Status>(response->status);
    }
    template <typename Value>
    uint32_t put(const std::vector<Value>& values) {
        std::memcpy(guest_.page(data_page_), values.data(), values.size() * sizeof(Value));
        return data_gref_.raw();
    }

    FakeGuest guest_{DomId(3)};
    FakeGuestMemory memory_{guest_};
    size_t ring_page_ = guest_.allocate_page();
    size_t data_page_ = guest_.allocate_page();
    GrantRef ring_gref_ = guest_.grant(ring_page_);
    GrantRef data_gref_ = guest_.grant(data_page_, false);
    ring::FrontRing<abi::NetControlRequest, abi::NetControlResponse> front_;
    HashSettings settings_;
    std::unique_ptr<ControlRing> control_;
    size_t changes_ = 0;
    uint32_t data_ = 0;
};

TEST_F(Control, SetsUpAHash) {
    EXPECT_EQ(ask(Type::kGetHashFlags), Status::kNotSupported) << "no algorithm yet";
    EXPECT_EQ(ask(Type::kSetHashFlags, 1), Status::kNotSupported);
    EXPECT_EQ(ask(Type::kSetHashAlgorithm, 2), Status::kInvalidParameter);
    EXPECT_EQ(ask(Type::kSetHashAlgorithm, 1), Status::kSuccess);
    EXPECT_EQ(ask(Type::kGetHashFlags), Status::kSuccess);
    EXPECT_EQ(data_, kAllHashTypes);
    EXPECT_EQ(ask(Type::kSetHashFlags, 16), Status::kInvalidParameter);
    EXPECT_EQ(ask(Type::kSetHashFlags, 3), Status::kSuccess);
    EXPECT_TRUE(settings_.active());
    EXPECT_EQ(changes_, 2u);
}

TEST_F(Control, TakesAKey) {
    const std::vector<uint8_t> key(40, 9);
    EXPECT_EQ(ask(Type::kSetHashKey, put(key), 41), Status::kBufferOverflow);
    EXPECT_EQ(ask(Type::kSetHashKey, put(key), 10), Status::kSuccess);
    EXPECT_EQ(settings_.key[9], 9);
    EXPECT_EQ(settings_.key[10], 0) << "what is not given is zero";
    EXPECT_EQ(ask(Type::kSetHashKey, 9999, 10), Status::kInvalidParameter);
    EXPECT_EQ(settings_.key[9], 9) << "a failure changes nothing";
    EXPECT_EQ(ask(Type::kSetHashKey, 9999, 0), Status::kSuccess) << "none is looked for";
    EXPECT_EQ(settings_.key[9], 0);
}

TEST_F(Control, TakesAMapping) {
    EXPECT_EQ(ask(Type::kGetHashMappingSize), Status::kSuccess);
    EXPECT_EQ(data_, kMaxHashMapping);
    EXPECT_EQ(ask(Type::kSetHashMappingSize, kMaxHashMapping + 1), Status::kInvalidParameter);
    EXPECT_EQ(ask(Type::kSetHashMappingSize, 8), Status::kSuccess);
    const std::vector<uint32_t> part = {1, 2, 3, 4};
    EXPECT_EQ(ask(Type::kSetHashMapping, put(part), 3, 5), Status::kSuccess);
    EXPECT_EQ(settings_.mapping, (std::vector<uint32_t>{0, 0, 0, 0, 0, 1, 2, 3}));
    EXPECT_EQ(ask(Type::kSetHashMapping, put(part), 4, 0), Status::kInvalidParameter) << "queue 4 of 4";
    EXPECT_EQ(ask(Type::kSetHashMapping, put(part), 3, 6), Status::kInvalidParameter);
    EXPECT_EQ(ask(Type::kSetHashMapping, put(part), 3, 0xFFFF'FFFF), Status::kInvalidParameter);
    EXPECT_EQ(ask(Type::kSetHashMapping, put(part), 5000, 0), Status::kBufferOverflow);
    EXPECT_EQ(ask(Type::kSetHashMapping, 9999, 1, 0), Status::kInvalidParameter);
    EXPECT_EQ(settings_.mapping[5], 1u);
}

TEST_F(Control, RefusesWhatItDoesNotOffer) {
    for (const uint16_t type : {0, 8, 9, 10, 11, 0xFFFF})
        EXPECT_EQ(ask(static_cast<Type>(type), 1, 2, 3), Status::kNotSupported);
}

TEST_F(Control, ABrokenRingIsReported) {
    reinterpret_cast<abi::SharedRingHeader*>(guest_.page(ring_page_))->req_prod = 5000;
    EXPECT_FALSE(control_->serve());
}

TEST_F(Control, SuccessorAnswersWhatItFinds) {
    front_.put({.id = 1, .type = static_cast<uint16_t>(Type::kSetHashAlgorithm), .data = {1, 0, 0}});
    front_.publish();
    attach();
    EXPECT_TRUE(control_->serve());
    EXPECT_EQ(front_.take()->status, 0u);
    EXPECT_EQ(settings_.algorithm, abi::NetHashAlgorithm::kToeplitz);
}

}  // namespace
}  // namespace torii::backend::net
