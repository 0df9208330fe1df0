#include "net/offload.h"

#include <gtest/gtest.h>

#include "net/checksum.h"
#include "net/headers.h"
#include "unit/backends/net/packets.h"

namespace torii::backend::net {
namespace {

using namespace test;

struct Case {
    const char* name;
    PacketOptions options;
};

std::vector<Case> all_cases() {
    std::vector<Case> cases;
    for (const bool version_6 : {false, true}) {
        for (const bool tcp : {false, true}) {
            for (const size_t ip_options : {0u, 8u, 16u}) {
                for (const bool vlan : {false, true}) {
                    PacketOptions options;
                    options.version_6 = version_6;
                    options.tcp = tcp;
                    options.ip_options = ip_options;
                    options.vlan = vlan;
                    options.tcp_options = tcp ? 12 : 0;
                    options.fill_checksum = false;
                    cases.push_back({"", options});
                }
            }
        }
    }
    return cases;
}

TEST(Checksum, AgreesWithTheSlowSum) {
    std::mt19937 random(1);
    for (int round = 0; round < 2000; ++round) {
        const Bytes bytes = random_bytes(random, random() % 300);
        const uint16_t sum = fold_sum(add_to_sum(0, bytes));
        EXPECT_EQ(read_be16(reinterpret_cast<const uint8_t*>(&sum)), slow_sum(bytes));
    }
    const Bytes ones(65535, 0xFF);
    EXPECT_EQ(fold_sum(add_to_sum(0xFFFF'FFFF, std::span(ones).first(65534))), 0xFFFF);
}

TEST(Checksum, IsFilledInForEveryShape) {
    std::mt19937 random(2);
    for (const Case& test : all_cases()) {
        for (const size_t length : {0u, 1u, 2u, 999u, 1400u}) {
            const FramePtr frame = Frame::copy_of(make_packet(test.options, random_bytes(random, length)));
            ASSERT_TRUE(prepare_checksum(*frame));
            EXPECT_EQ(frame->info.checksum, Checksum::kPartial);
            complete_checksum(*frame);
            EXPECT_TRUE(inspect(frame->bytes()).transport_checksum_right);
            EXPECT_EQ(frame->info.checksum, Checksum::kVerified);
        }
    }
}

TEST(Checksum, WhatTheGuestLeftInItsPlaceIsNoMatter) {
    PacketOptions options;
    Bytes bytes = make_packet(options, Bytes(100, 7));
    bytes[inspect(bytes).transport + 16] = 0xAB;
    const FramePtr frame = Frame::copy_of(bytes);
    ASSERT_TRUE(prepare_checksum(*frame));
    complete_checksum(*frame);
    EXPECT_TRUE(inspect(frame->bytes()).transport_checksum_right);
}

TEST(Checksum, PaddingIsCutOff) {
    PacketOptions options;
    options.fill_checksum = false;
    Bytes bytes = make_packet(options, Bytes(2, 7));
    const size_t length = bytes.size();
    bytes.resize(60, 0x55);
    const FramePtr frame = Frame::copy_of(bytes);
    ASSERT_TRUE(prepare_checksum(*frame));
    EXPECT_EQ(frame->size(), length);
    complete_checksum(*frame);
    EXPECT_TRUE(inspect(frame->bytes()).transport_checksum_right);
}

TEST(Checksum, ZeroOfUdpIsWrittenAsAllOnes) {
    PacketOptions options;
    options.tcp = false;
    options.fill_checksum = false;
    // Two bytes of payload that make the sum come out as zero.
    const Bytes bytes = make_packet(options, Bytes{0, 0});
    FramePtr frame = Frame::copy_of(bytes);
    ASSERT_TRUE(prepare_checksum(*frame));
    complete_checksum(*frame);
    const size_t transport = inspect(bytes).transport;
    const uint16_t sum = read_be16(frame->data() + transport + 6);
    Bytes payload = {static_cast<uint8_t>(sum >> 8), static_cast<uint8_t>(sum)};
    frame = Frame::copy_of(make_packet(options, payload));
    ASSERT_TRUE(prepare_checksum(*frame));
    complete_checksum(*frame);
    EXPECT_EQ(read_be16(frame->data() + transport + 6), 0xFFFF);
}

TEST(Checksum, RefusesWhatHasNone) {
    const Bytes short_frame = make_ethernet(kMacA, kMacB, 0x0800, Bytes(10));
    EXPECT_FALSE(prepare_checksum(*Frame::copy_of(short_frame)));
    EXPECT_FALSE(prepare_checksum(*Frame::copy_of(make_arp(kMacA, kMacA, kIpA, kIpB))));
    Bytes fragment = make_packet({}, Bytes(100));
    fragment[14 + 6] = 0x20;  // more fragments
    EXPECT_FALSE(prepare_checksum(*Frame::copy_of(fragment)));
    Bytes icmp = make_packet({}, Bytes(100));
    icmp[14 + 9] = 1;
    EXPECT_FALSE(prepare_checksum(*Frame::copy_of(icmp)));
    Bytes too_long = make_packet({}, Bytes(100));
    too_long[14 + 2] = 0x10;
    EXPECT_FALSE(prepare_checksum(*Frame::copy_of(too_long)));
}

FramePtr large_frame(PacketOptions options, const Bytes& payload, uint16_t segment_size) {
    options.tcp = true;
    FramePtr frame = Frame::copy_of(make_packet(options, payload));
    frame->info.checksum = Checksum::kPartial;
    EXPECT_TRUE(prepare_checksum(*frame));
    frame->info.gso = options.version_6 ? Gso::kTcpV6 : Gso::kTcpV4;
    frame->info.gso_size = segment_size;
    EXPECT_TRUE(prepare_gso(*frame));
    return frame;
}

TEST(Segments, CarryThePayloadInOrderWithRightHeaders) {
    std::mt19937 random(3);
    for (const Case& test : all_cases()) {
        if (!test.options.tcp) continue;
        PacketOptions options = test.options;
        options.tcp_flags = 0x99;  // CWR, ACK, PSH, FIN
        options.sequence = 0xFFFF'FF00;
        for (const uint16_t size : {48u, 536u, 1448u, 9000u}) {
            const Bytes payload = random_bytes(random, 1 + random() % 60000);
            const FramePtr frame = large_frame(options, payload, size);
            if (frame->info.gso == Gso::kNone) continue;
            Bytes carried;
            size_t index = 0;
            const auto pieces = segment(*frame, true);
            for (const FramePtr& piece : pieces) {
                const Inspected found = inspect(piece->bytes());
                ASSERT_TRUE(found.ip_checksum_right && found.transport_checksum_right && found.length_right);
                EXPECT_EQ(found.sequence, static_cast<uint32_t>(options.sequence + carried.size()));
                EXPECT_LE(found.payload.size(), size);
                EXPECT_EQ((found.tcp_flags & 0x80) != 0, index == 0) << "CWR on the first only";
                EXPECT_EQ((found.tcp_flags & 0x09) != 0, index + 1 == pieces.size())
                    << "FIN, PSH on the last only";
                EXPECT_EQ(found.tcp_flags & 0x10, 0x10);
                if (!options.version_6) {
                    EXPECT_EQ(found.ip_id, 500 + index);
                }
                carried.insert(carried.end(), found.payload.begin(), found.payload.end());
                ++index;
            }
            EXPECT_EQ(carried, payload);
        }
    }
}

TEST(Segments, PartialChecksumsOfSegmentsComeOutRight) {
    const FramePtr frame = large_frame({}, Bytes(5000, 9), 1000);
    for (const FramePtr& piece : segment(*frame, false)) {
        EXPECT_EQ(piece->info.checksum, Checksum::kPartial);
        complete_checksum(*piece);
        EXPECT_TRUE(inspect(piece->bytes()).transport_checksum_right);
    }
}

TEST(Segments, OneIsEnoughWhereThePayloadFits) {
    const FramePtr frame = large_frame({}, Bytes(1000, 9), 1000);
    EXPECT_EQ(frame->info.gso, Gso::kNone);
}

TEST(Segments, RefusesWhatCannotBeCut) {
    const auto refused = [](const Bytes& bytes, Gso gso, uint16_t size) {
        const FramePtr frame = Frame::copy_of(bytes);
        frame->info.gso = gso;
        frame->info.gso_size = size;
        return !prepare_gso(*frame);
    };
    const Bytes tcp = make_packet({}, Bytes(3000));
    EXPECT_FALSE(refused(tcp, Gso::kTcpV4, 1000));
    EXPECT_TRUE(refused(tcp, Gso::kTcpV6, 1000)) << "the other IP";
    EXPECT_TRUE(refused(tcp, Gso::kTcpV4, 0));
    EXPECT_TRUE(refused(tcp, Gso::kTcpV4, 1)) << "three thousand frames of one";
    PacketOptions udp;
    udp.tcp = false;
    EXPECT_TRUE(refused(make_packet(udp, Bytes(3000)), Gso::kTcpV4, 1000));
    Bytes bad_header = tcp;
    bad_header[14 + 20 + 12] = 0x40;  // 16 bytes of TCP header
    EXPECT_TRUE(refused(bad_header, Gso::kTcpV4, 1000));
    Bytes long_header = make_packet({}, Bytes(3));
    long_header[14 + 20 + 12] = 0xF0;  // beyond the packet
    EXPECT_TRUE(refused(long_header, Gso::kTcpV4, 1000));
}

TEST(Shape, GivesEachReceiverWhatItTakes) {
    for (const bool version_6 : {false, true}) {
        for (unsigned bits = 0; bits < 16; ++bits) {
            PacketOptions options;
            options.version_6 = version_6;
            options.fill_checksum = false;
            const Takes takes = {(bits & 1) != 0, (bits & 2) != 0, (bits & 4) != 0, (bits & 8) != 0};
            std::vector<FramePtr> shaped;
            shape(large_frame(options, Bytes(4000, 1), 1000), takes, shaped);
            const bool whole = version_6 ? takes.segmentation_v6 : takes.segmentation_v4;
            const bool partial = version_6 ? takes.partial_checksum_v6 : takes.partial_checksum_v4;
            EXPECT_EQ(shaped.size(), whole ? 1u : 4u);
            for (const FramePtr& frame : shaped) {
                EXPECT_EQ(frame->info.checksum == Checksum::kPartial, partial);
                EXPECT_EQ(inspect(frame->bytes()).transport_checksum_right, !partial);
                EXPECT_EQ(frame->info.gso != Gso::kNone, whole);
            }
        }
    }
}

TEST(Offsets, OfATapAreHeldAgainstTheFrame) {
    const FramePtr frame = Frame::copy_of(make_packet({}, Bytes(100)));
    frame->info.checksum = Checksum::kPartial;
    frame->info.checksum_start = 34;
    frame->info.checksum_offset = 16;
    EXPECT_TRUE(check_offsets(*frame));
    frame->info.checksum_offset = static_cast<uint16_t>(frame->size() - 35);
    EXPECT_FALSE(check_offsets(*frame));
    frame->info.checksum_start = 2;
    frame->info.checksum_offset = 0;
    EXPECT_FALSE(check_offsets(*frame));
}

}  // namespace
}  // namespace torii::backend::net
