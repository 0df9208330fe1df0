// Where a frame's bytes lie, and whose memory they are in.

#include "net/frame.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <memory>
#include <set>
#include <thread>
#include <vector>

#include "common/copy_memory.h"
#include "common/guest_memory.h"

namespace torii::backend::net::test {
namespace {

uintptr_t place(const Frame& frame, size_t byte) {
    return reinterpret_cast<uintptr_t>(frame.data()) + byte;
}

TEST(Frames, AShortOneLiesInOnePage) {
    std::vector<FramePtr> frames;
    for (unsigned i = 0; i < 100; ++i) {
        frames.push_back(Frame::make(1518));
        const Frame& frame = *frames.back();
        EXPECT_EQ(place(frame, 0) / kGuestPageSize, place(frame, 1517) / kGuestPageSize);
    }
}

TEST(Frames, ALongOneHasItsLeadBeforeAPage) {
    for (const size_t capacity : {size_t{2000}, size_t{16384}, kMaxFrame}) {
        for (const size_t lead : {0, 1, 66, 4000, 4032, 4033, 4095, 4096, 5000, 8192}) {
            const FramePtr frame = Frame::make(capacity, lead);
            ASSERT_EQ(frame->size(), capacity);
            EXPECT_EQ(place(*frame, lead) % kGuestPageSize, 0u) << capacity << ", " << lead;
            // All of it is the frame's own, which the sanitizer sees, and none is its object's.
            const FrameInfo before = frame->info;
            const std::span<uint8_t> whole = frame->with_room(kHeadroom);
            EXPECT_EQ(whole.data() + kHeadroom, frame->data());
            EXPECT_EQ(whole.size(), kHeadroom + capacity);
            std::fill(whole.begin(), whole.end(), uint8_t{0xFF});
            EXPECT_EQ(frame->info.gso, before.gso);
            EXPECT_EQ(place(*frame, lead) % kGuestPageSize, 0u);
            EXPECT_EQ(frame->size(), capacity);
        }
    }
}

// So many bytes, and then none.
class Lender final : public CopyMemory {
public:
    explicit Lender(size_t bytes)
        : memory_(static_cast<std::byte*>(std::aligned_alloc(kGuestPageSize, bytes))), left_(bytes) {}
    std::span<std::byte> take(size_t bytes) noexcept override {
        if (bytes > left_) return {};
        left_ -= bytes;
        return {memory_.get() + left_, bytes};
    }
    bool lent(const Frame& frame) const {
        return frame.data() >= reinterpret_cast<uint8_t*>(memory_.get()) &&
               frame.data() < reinterpret_cast<uint8_t*>(memory_.get()) + kBytes;
    }
    static constexpr size_t kBytes = size_t{1} << 20;

private:
    struct Free {
        void operator()(std::byte* memory) const { std::free(memory); }
    };
    std::unique_ptr<std::byte, Free> memory_;
    size_t left_;
};

TEST(Frames, MemoryThatIsLentIsUsedFirstAndAgain) {
    Lender lender(Lender::kBytes);
    // Its pool is that thread's alone.
    std::thread([&] {
        copy_memory_of_thread() = &lender;
        std::set<const void*> seen;
        for (unsigned round = 0; round < 3; ++round) {
            std::vector<FramePtr> frames;
            unsigned lent = 0;
            for (unsigned i = 0; i < 20; ++i) {
                frames.push_back(Frame::make(kMaxFrame));
                frames.push_back(Frame::make(100));
                lent += lender.lent(*frames[2 * i]) ? 1 : 0;
                if (lender.lent(*frames[2 * i])) seen.insert(frames[2 * i].get());
            }
            // 72 KiB each, and the rest is made as if nobody lent any.
            EXPECT_GE(lent, 13u);
            EXPECT_LT(lent, 20u);
        }
        EXPECT_LT(seen.size(), 15u);
    }).join();
}

}  // namespace
}  // namespace torii::backend::net::test
