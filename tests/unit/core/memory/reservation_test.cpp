#include "core/memory/reservation.h"

#include "core/memory/m2p.h"
#include "fakes/fake_machine.h"
#include "unit/core/call/call_world.h"

namespace torii::test {
namespace {

class ReservationTest : public CallWorld {
protected:
    // The list forwards and backwards: how many frames it has in front that are held, and how many behind.
    static void expect_list(const Domain& domain, uint64_t held, uint64_t others) {
        uint64_t seen_held = 0;
        uint64_t seen_others = 0;
        uint32_t last = 0;
        for (uint32_t at = domain.first_frame; at != 0; at = frame_at(Mfn(at)).next) {
            const uint64_t count = frame_at(Mfn(at)).count.load();
            const bool is_held = (count & CountWord::kAllocated) != 0 && (count & kSharedByHypervisor) == 0;
            if (is_held) {
                EXPECT_EQ(seen_others, 0u) << "a held frame stands behind one that isn't";
                ++seen_held;
            } else {
                ++seen_others;
            }
            if (last != 0) {
                EXPECT_EQ(frame_at(Mfn(at)).previous, last);
            }
            last = at;
        }
        if (domain.first_frame != 0) {
            EXPECT_EQ(frame_at(Mfn(domain.first_frame)).previous, last);
        }
        EXPECT_EQ(seen_held, held);
        EXPECT_EQ(seen_others, others);
    }
};

TEST_F(ReservationTest, TheListKeepsItsOrderThroughEveryChange) {
    // One shared frame, the shared page, is there from the start.
    expect_list(guest(), 0, 1);
    const std::vector<uint64_t> frames = give_frames(guest(), 6);
    expect_list(guest(), 6, 1);
    FrameRef held = FrameRef::take(Mfn(frames[2]), guest().id);
    ASSERT_TRUE(give_up_frame(guest(), Mfn(frames[2])).ok());
    expect_list(guest(), 5, 2);
    EXPECT_EQ(guest().frame_count, 6u);
    EXPECT_EQ(give_up_frame(guest(), Mfn(frames[2])).error(), Errno::kEINVAL);
    ASSERT_TRUE(steal_frame(guest(), Mfn(frames[0])).ok());
    expect_list(guest(), 4, 2);
    Result<Mfn> shared = allocate_shared_frame(guest());
    ASSERT_TRUE(shared.ok());
    expect_list(guest(), 4, 3);
    EXPECT_EQ(guest().frame_count, 5u);
    ASSERT_TRUE(assign_frame(guest(), Mfn(frames[0]), true).ok());
    expect_list(guest(), 5, 3);
    EXPECT_EQ(give_up_some_frames(guest(), 3), 3u);
    expect_list(guest(), 2, 3);
    EXPECT_EQ(give_up_some_frames(guest(), 100), 2u);
    EXPECT_EQ(give_up_some_frames(guest(), 100), 0u);
    stop_sharing_frame(shared.value());
    held.reset();
    expect_list(guest(), 0, 1);
    EXPECT_EQ(guest().frame_count, 0u);
}

TEST_F(ReservationTest, SharedFramesCantBeGivenAway) {
    const Mfn shared = guest().shared_info_frame;
    EXPECT_EQ(give_up_frame(guest(), shared).error(), Errno::kEINVAL);
    EXPECT_EQ(steal_frame(guest(), shared).error(), Errno::kEBUSY);
    EXPECT_TRUE(get_frame(shared, guest().id));
    put_frame(frame_at(shared));
}

TEST_F(ReservationTest, AStolenFrameIsNobodysAndCanChangeHands) {
    const Mfn mfn(give_frames(guest(), 1)[0]);
    ASSERT_TRUE(steal_frame(guest(), mfn).ok());
    EXPECT_FALSE(get_frame(mfn, guest().id));
    ASSERT_TRUE(assign_frame(control(), mfn, true).ok());
    EXPECT_FALSE(get_frame(mfn, guest().id));
    EXPECT_TRUE(get_frame(mfn, control().id));
    put_frame(frame_at(mfn));
    EXPECT_EQ(control().frame_count, 1u);
}

TEST_F(ReservationTest, ADyingDomainGetsNothing) {
    guest().life.store(Life::kDying);
    EXPECT_EQ(allocate_domain_frames(guest(), 0).error(), Errno::kESRCH);
    EXPECT_EQ(allocate_shared_frame(guest()).error(), Errno::kESRCH);
    guest().life.store(Life::kAlive);
}

TEST_F(ReservationTest, TheLimitCountsWhatIsStillMapped) {
    guest().frame_limit = 2;
    const std::vector<uint64_t> frames = give_frames(guest(), 2);
    FrameRef held = FrameRef::take(Mfn(frames[0]), guest().id);
    ASSERT_TRUE(give_up_frame(guest(), Mfn(frames[0])).ok());
    EXPECT_EQ(allocate_domain_frames(guest(), 0).error(), Errno::kENOMEM);
    held.reset();
    EXPECT_TRUE(allocate_domain_frames(guest(), 0).ok());
}

}  // namespace
}  // namespace torii::test
