#include <gtest/gtest.h>
#include <torii/cpu_set.h>
#include <torii/failure.h>

#include <random>

namespace torii {
namespace {

std::string refusal(const std::string& text, const CpuSet& existing) {
    try {
        CpuList::parse(text).among(existing);
        return "";
    } catch (const Failure& failure) {
        EXPECT_EQ(failure.code(), ErrorCode::kInvalidArgument) << text;
        return failure.what();
    }
}

CpuSet parsed(const std::string& text, uint32_t count = 8) {
    return CpuList::parse(text).among(first_cpus(count));
}

TEST(Cpus, ListsAsPeopleWriteThem) {
    EXPECT_EQ(parsed("0-3,6"), (CpuSet{0, 1, 2, 3, 6}));
    EXPECT_EQ(parsed("0-3,^2"), (CpuSet{0, 1, 3}));
    EXPECT_EQ(parsed("all"), first_cpus(8));
    EXPECT_EQ(parsed("all,^2-5"), (CpuSet{0, 1, 6, 7}));
    EXPECT_EQ(parsed(" 1 , 2-2 "), (CpuSet{1, 2}));
    EXPECT_EQ(parsed("0-3,^all,5"), (CpuSet{5}));
    EXPECT_EQ(parsed("0-3,^1,1"), (CpuSet{0, 1, 2, 3}));
    EXPECT_EQ(parsed("7,7,7"), (CpuSet{7}));
}

TEST(Cpus, MistakesAreQuoted) {
    for (const char* bad : {"", ",", "1,", "x", "1-", "-1", "3-1", "^2", "1 2", "0x1", "1--2", "all-3",
                            "8192", "99999999999", "0-99999999999"}) {
        EXPECT_NE(refusal(bad, first_cpus(8)).find("\"" + std::string(bad) + "\""), std::string::npos) << bad;
        EXPECT_NE(refusal(bad, first_cpus(8)).find("is not a list of CPUs"), std::string::npos) << bad;
    }
    const std::string missing = refusal("0,5", {0, 1, 3});
    EXPECT_NE(missing.find("no CPU 5"), std::string::npos);
    EXPECT_NE(missing.find("\"0,5\""), std::string::npos);
    EXPECT_NE(missing.find("the CPUs are 0-1,3"), std::string::npos);
    EXPECT_NE(refusal("2,^2", first_cpus(4)).find("leaves no CPU"), std::string::npos);
}

TEST(Cpus, RangesComeBackAsTheyWere) {
    EXPECT_EQ(format_cpus({}), "none");
    EXPECT_EQ(format_cpus({3}), "3");
    EXPECT_EQ(format_cpus({0, 1, 2, 3, 6}), "0-3,6");
    EXPECT_EQ(format_cpus({0, 2, 4, 5}), "0,2,4-5");
    EXPECT_EQ(read_cpus("none"), CpuSet());
    std::mt19937 random(1);
    for (int round = 0; round < 200; round++) {
        CpuSet cpus;
        for (int i = 0; i < 40; i++)
            cpus.insert(static_cast<uint32_t>(random() % (round % 2 == 0 ? 64 : kMaxCpus)));
        EXPECT_EQ(read_cpus(format_cpus(cpus)), cpus);
    }
    EXPECT_EQ(read_cpus(format_cpus(first_cpus(kMaxCpus))), first_cpus(kMaxCpus));
}

TEST(Cpus, SetsAreCompared) {
    EXPECT_EQ(common_cpus({1, 2, 3}, {2, 3, 4}), (CpuSet{2, 3}));
    EXPECT_EQ(cpus_without({1, 2, 3}, {2, 3, 4}), (CpuSet{1}));
}

}  // namespace
}  // namespace torii
