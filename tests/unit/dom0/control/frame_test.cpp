#include <gtest/gtest.h>
#include <torii/failure.h>
#include <torii/frame.h>

namespace torii {
namespace {

TEST(Frame, ArrivesWholeHoweverItIsCut) {
    const std::string stream =
        encode_frame("first") + encode_frame("") + encode_frame(std::string(100000, 'x'));
    for (const size_t cut : {1u, 3u, 4u, 7u, 4096u, 200000u}) {
        FrameReader reader;
        std::vector<std::string> bodies;
        for (size_t at = 0; at < stream.size(); at += cut) {
            reader.append(std::string_view(stream).substr(at, cut));
            while (auto body = reader.next())
                bodies.push_back(*body);
        }
        ASSERT_EQ(bodies.size(), 3u) << cut;
        EXPECT_EQ(bodies[0], "first");
        EXPECT_EQ(bodies[1], "");
        EXPECT_EQ(bodies[2].size(), 100000u);
        EXPECT_EQ(reader.buffered(), 0u);
    }
}

TEST(Frame, LengthsAreBounded) {
    FrameReader reader;
    reader.append(std::string_view("\xFF\xFF\xFF\x7F", 4));
    EXPECT_THROW(reader.next(), Failure);
    EXPECT_THROW(encode_frame(std::string(kMaxFrameBytes + 1, 'x')), Failure);
    EXPECT_NO_THROW(encode_frame(std::string(kMaxFrameBytes, 'x')));
}

}  // namespace
}  // namespace torii
