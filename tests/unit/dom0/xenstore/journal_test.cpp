#include "xenstore/journal.h"

#include <gtest/gtest.h>

#include <fstream>
#include <random>

#include "xenstore/fail_points.h"
#include "xenstore_kit.h"

namespace torii::dom0::xenstore::test {
namespace {

TEST(JournalFile, KeepsWhatWasAppended) {
    const TemporaryDirectory directory;
    {
        JournalFile file(directory.path(), "boot", nullptr);
        EXPECT_TRUE(file.contents().empty());
        EXPECT_TRUE(file.append("one"));
        EXPECT_TRUE(file.append("two"));
    }
    JournalFile file(directory.path(), "boot", nullptr);
    EXPECT_EQ(file.contents(), "onetwo");
    EXPECT_TRUE(file.replace("new"));
    EXPECT_TRUE(file.append("er"));
    EXPECT_EQ(file.contents(), "newer");
}

TEST(JournalFile, GrowsAndComesBack) {
    const TemporaryDirectory directory;
    const std::string record(100'000, 'r');
    {
        JournalFile file(directory.path(), "boot", nullptr);
        for (int i = 0; i != 30; ++i)
            ASSERT_TRUE(file.append(record));
    }
    EXPECT_EQ(JournalFile(directory.path(), "boot", nullptr).contents().size(), 3'000'000u);
}

TEST(JournalFile, AnotherBootsStateIsDropped) {
    const TemporaryDirectory directory;
    EXPECT_TRUE(JournalFile(directory.path(), "boot-a", nullptr).append("x"));
    EXPECT_TRUE(JournalFile(directory.path(), "boot-b", nullptr).contents().empty());
    EXPECT_TRUE(JournalFile(directory.path(), "boot-a", nullptr).contents().empty());
}

// Guests of this boot run with what it holds: a daemon that can't read it must not begin anew.
TEST(JournalFile, AnotherVersionOfThisBootIsRefusedAndKept) {
    const TemporaryDirectory directory;
    EXPECT_TRUE(JournalFile(directory.path(), "boot", nullptr).append("x"));
    const auto write_version = [&](char version) {
        std::fstream file(directory.path() / "journal", std::ios::binary | std::ios::in | std::ios::out);
        file.seekp(7);  // "TORIIXS1"
        file.put(version);
    };
    write_version('2');
    try {
        JournalFile file(directory.path(), "boot", nullptr);
        FAIL();
    } catch (const Failure& failure) {
        EXPECT_EQ(failure.code(), ErrorCode::kNotSupported);
    }
    write_version('1');
    EXPECT_EQ(JournalFile(directory.path(), "boot", nullptr).contents(), "x");
    write_version('2');
    EXPECT_TRUE(JournalFile(directory.path(), "next boot", nullptr).contents().empty());
}

TEST(JournalFile, UnfinishedAppendIsNotThere) {
    const TemporaryDirectory directory;
    bool die = false;
    const auto hook = [&](std::string_view step) {
        if (die && step == fail_point::kRecordCopied) throw Killed();
    };
    {
        JournalFile file(directory.path(), "boot", hook);
        EXPECT_TRUE(file.append("whole"));
        die = true;
        EXPECT_THROW((void)file.append("half"), Killed);
    }
    EXPECT_EQ(JournalFile(directory.path(), "boot", nullptr).contents(), "whole");
}

TEST(JournalFile, RewriteIsOldOrNew) {
    for (const std::string_view step : {fail_point::kSnapshotWritten, fail_point::kSnapshotInstalled}) {
        const TemporaryDirectory directory;
        bool die = false;
        {
            JournalFile file(directory.path(), "boot", [&](std::string_view reached) {
                if (die && reached == step) throw Killed();
            });
            EXPECT_TRUE(file.append("old"));
            die = true;
            EXPECT_THROW((void)file.replace("new"), Killed);
        }
        EXPECT_EQ(JournalFile(directory.path(), "boot", nullptr).contents(),
                  step == fail_point::kSnapshotWritten ? "old" : "new");
    }
}

TEST(JournalFile, GarbageIsNotRead) {
    const TemporaryDirectory directory;
    for (const std::size_t size : {0u, 10u, 79u, 80u, 5000u}) {
        std::ofstream(directory.path() / "journal", std::ios::binary) << std::string(size, '\xee');
        EXPECT_TRUE(JournalFile(directory.path(), "boot", nullptr).contents().empty()) << size;
    }
}

TEST(JournalFile, UnusableDirectoryIsExplained) {
    try {
        JournalFile file("/proc/no-such-place", "boot", nullptr);
        FAIL();
    } catch (const Failure& failure) {
        EXPECT_NE(std::string(failure.what()).find("/proc/no-such-place"), std::string::npos);
    }
}

// Writes down again what is read: the bytes must come back the same.
std::string all_records() {
    RecordWriter writer;
    writer.node("/a", 7, {{DomId(5), Access::kRead}, {DomId(6), Access::kReadWrite}}, std::string("v\0v", 3));
    writer.node_removed("/a/b", 8);
    writer.special_permissions("@releaseDomain", {{kDom0, Access::kNone}});
    writer.domain_introduced(DomId(5), {0x123456789, 17});
    writer.domain_released(DomId(4));
    writer.domain_target(DomId(5), DomId(6));
    writer.watch_added(DomId(5), "/local/domain/5/x", "token", true);
    writer.watch_removed(DomId(5), "/y", "");
    writer.transaction_opened(DomId(5), 3);
    writer.transaction_closed(DomId(5), 3);
    writer.watches_reset(DomId(5));
    writer.input_taken(DomId(5), 99, "half a requ");
    writer.request_done(DomId(5), 120);
    writer.output_queued(DomId(5), "answer");
    writer.output_sent(DomId(5), 1000, 6);
    writer.ring_reset(DomId(5), 1, 2, true);
    return writer.bytes();
}

TEST(JournalRecords, RoundTrip) {
    RecordWriter copy;
    EXPECT_TRUE(replay_records(all_records(), copy));
    EXPECT_EQ(copy.bytes(), all_records());
}

TEST(JournalRecords, TruncatedOrDamagedNeverHurts) {
    const std::string records = all_records();
    for (std::size_t size = 0; size != records.size(); ++size) {
        RecordWriter sink;
        (void)replay_records(std::string_view(records).substr(0, size), sink);
        EXPECT_EQ(records.substr(0, sink.bytes().size()), sink.bytes());
    }
    std::mt19937 random(1);
    for (int round = 0; round != 20000; ++round) {
        std::string damaged = records;
        for (int i = 0; i != 3; ++i)
            damaged[random() % damaged.size()] = static_cast<char>(random());
        RecordWriter sink;
        (void)replay_records(damaged, sink);
    }
}

TEST(Service, GoesOnWithWhatADamagedJournalHolds) {
    const TemporaryDirectory directory;
    const std::string records = all_records();
    std::mt19937 random(2);
    for (int round = 0; round != 300; ++round) {
        {
            JournalFile file(directory.path(), "boot", nullptr);
            std::string damaged = records;
            damaged[random() % damaged.size()] = static_cast<char>(random());
            ASSERT_TRUE(file.replace(damaged));
        }
        boost::asio::io_context io;
        Options options;
        options.state_directory = directory.path();
        options.boot_id = "boot";
        Service service(io, options);
        service.client().write("/still/works", "yes");
        EXPECT_EQ(service.client().read("/still/works"), "yes");
    }
}

}  // namespace
}  // namespace torii::dom0::xenstore::test
