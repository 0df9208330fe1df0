#include "net/net_request.h"

#include <gtest/gtest.h>

#include <cstring>
#include <vector>

namespace torii::backend::net {
namespace {

class Entries final : public TxEntries {
public:
    std::vector<abi::TxRequest> list;
    size_t taken = 0;

    std::optional<abi::TxRequest> next() override {
        if (taken == list.size()) return std::nullopt;
        return list[taken++];
    }
    void request(uint16_t size, uint16_t flags = 0, uint16_t offset = 0) {
        list.push_back({.gref = static_cast<uint32_t>(100 + list.size()),
                        .offset = offset,
                        .flags = flags,
                        .id = static_cast<uint16_t>(list.size()),
                        .size = size});
    }
    void extra(const abi::NetExtraInfo& info) {
        abi::TxRequest entry{};
        std::memcpy(&entry, &info, sizeof(info));
        list.push_back(entry);
    }
    void gso(uint16_t size, abi::NetGsoType type = abi::NetGsoType::kTcpV4, bool more = false) {
        abi::NetExtraInfo info{
            .type = abi::NetExtraType::kGso, .flags = more ? abi::kNetExtraMore : uint8_t{0}, .u = {}};
        info.u.gso = {.size = size, .type = type, .pad = 0, .features = 0};
        extra(info);
    }
};

class TxParse : public testing::Test {
protected:
    TxOutcome parse() { return parse_tx_packet(entries_, packet_, problem_); }

    Entries entries_;
    TxPacket packet_;
    const char* problem_ = nullptr;
};

TEST_F(TxParse, NothingIsNothing) {
    EXPECT_EQ(parse(), TxOutcome::kNothing);
}

TEST_F(TxParse, OneFragment) {
    entries_.request(60, abi::kTxChecksumBlank | abi::kTxDataValidated, 100);
    ASSERT_EQ(parse(), TxOutcome::kPacket);
    EXPECT_EQ(packet_.fragment_count, 1u);
    EXPECT_EQ(packet_.fragments[0].gref, GrantRef(100));
    EXPECT_EQ(packet_.fragments[0].offset, 100);
    EXPECT_EQ(packet_.fragments[0].size, 60);
    EXPECT_TRUE(packet_.checksum_blank);
}

TEST_F(TxParse, TheFirstFragmentIsWhatTheOthersLeave) {
    entries_.request(5000, abi::kTxMoreData | abi::kTxExtraInfo);
    entries_.gso(1448);
    entries_.request(3000, abi::kTxMoreData);
    entries_.request(1000);
    entries_.request(99);  // the next packet
    ASSERT_EQ(parse(), TxOutcome::kPacket);
    EXPECT_EQ(packet_.size, 5000u);
    EXPECT_EQ(packet_.fragment_count, 3u);
    EXPECT_EQ(packet_.fragments[0].size, 1000);
    EXPECT_EQ(packet_.gso, Gso::kTcpV4);
    EXPECT_EQ(packet_.gso_size, 1448);
    EXPECT_EQ(packet_.entry_count, 4u);
    EXPECT_TRUE(packet_.entries[1].extra);
    EXPECT_FALSE(packet_.entries[2].extra);
    EXPECT_EQ(entries_.taken, 4u);
}

TEST_F(TxParse, BadPacketsLeaveTheRingInStep) {
    const auto bad = [this](auto&& fill) {
        entries_ = {};
        fill();
        const size_t own = entries_.list.size();
        entries_.request(100);
        EXPECT_EQ(parse(), TxOutcome::kBad);
        EXPECT_NE(problem_, nullptr);
        EXPECT_EQ(entries_.taken, own);
        EXPECT_EQ(packet_.entry_count, own);
        return problem_ != nullptr ? std::string(problem_) : "";
    };
    bad([this] { entries_.request(13); });
    bad([this] { entries_.request(4000, 0, 97); });
    bad([this] {
        entries_.request(100, abi::kTxMoreData);
        entries_.request(101);
    });
    bad([this] {
        entries_.request(100, abi::kTxMoreData);
        entries_.request(100);
    });
    bad([this] {
        entries_.request(100, abi::kTxExtraInfo);
        entries_.gso(0);
    });
    bad([this] {
        entries_.request(100, abi::kTxExtraInfo);
        entries_.gso(100, static_cast<abi::NetGsoType>(9));
    });
    bad([this] {
        for (unsigned count = 0; count < abi::kNetMinimumSlots; ++count)
            entries_.request(count == 0 ? 2000 : 100, abi::kTxMoreData);
        entries_.request(100);
    });
}

TEST_F(TxParse, WhatCannotBeFollowedBreaksTheRing) {
    const auto broken = [this](auto&& fill) {
        entries_ = {};
        fill();
        EXPECT_EQ(parse(), TxOutcome::kBroken);
        EXPECT_NE(problem_, nullptr);
    };
    broken([this] { entries_.request(100, abi::kTxMoreData); });
    broken([this] { entries_.request(100, abi::kTxExtraInfo); });
    broken([this] {
        entries_.request(100, abi::kTxExtraInfo);
        entries_.extra({.type = abi::NetExtraType::kNone, .flags = 0, .u = {}});
    });
    broken([this] {
        entries_.request(100, abi::kTxExtraInfo);
        entries_.extra({.type = static_cast<abi::NetExtraType>(5), .flags = 0, .u = {}});
    });
    broken([this] {
        entries_.request(100, abi::kTxExtraInfo);
        for (int count = 0; count < 5; ++count)
            entries_.gso(100, abi::NetGsoType::kTcpV4, true);
    });
    broken([this] {
        for (unsigned count = 0; count < kMostTxSlots + 1; ++count)
            entries_.request(count == 0 ? 5000 : 100, abi::kTxMoreData);
    });
}

TEST_F(TxParse, MulticastRequestsHaveNoFrame) {
    entries_.request(0, abi::kTxExtraInfo);
    abi::NetExtraInfo info{.type = abi::NetExtraType::kMulticastAdd, .flags = 0, .u = {}};
    info.u.mcast.addr[0] = 1;
    entries_.extra(info);
    ASSERT_EQ(parse(), TxOutcome::kPacket);
    ASSERT_TRUE(packet_.multicast_request());
    EXPECT_TRUE(packet_.multicast_add->multicast());
    EXPECT_EQ(packet_.entry_count, 2u);
}

TEST_F(TxParse, AnswerOverAnExtraStillReadsAsThatExtra) {
    // What a successor sees of a packet whose answers were put and not published.
    entries_.request(5000, abi::kTxMoreData | abi::kTxExtraInfo);
    entries_.gso(1448, abi::NetGsoType::kTcpV4, true);
    abi::NetExtraInfo hash{.type = abi::NetExtraType::kHash, .flags = 0, .u = {}};
    entries_.extra(hash);
    entries_.request(3000);
    ASSERT_EQ(parse(), TxOutcome::kPacket);
    const TxPacket before = packet_;
    for (size_t index = 0; index < entries_.list.size(); ++index) {
        const abi::TxResponse answer = {
            before.entries[index].id,
            static_cast<int16_t>(before.entries[index].extra ? abi::NetResponse::kNull
                                                             : abi::NetResponse::kOkay)};
        std::memcpy(&entries_.list[index], &answer, sizeof(answer));
    }
    entries_.taken = 0;
    EXPECT_NE(parse(), TxOutcome::kBroken);
    ASSERT_EQ(packet_.entry_count, before.entry_count);
    for (uint32_t index = 0; index < before.entry_count; ++index) {
        EXPECT_EQ(packet_.entries[index].extra, before.entries[index].extra);
        EXPECT_EQ(packet_.entries[index].id, before.entries[index].id);
    }
}

}  // namespace
}  // namespace torii::backend::net
