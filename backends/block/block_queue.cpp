#include "block/block_queue.h"

#include <torii/failure.h>

#include <cerrno>
#include <utility>

#include "block/block_work.h"

namespace torii::backend {

using abi::BlockStatus;

void BlockQueue::Timer::done(int32_t) {
    armed = false;
    queue_.turn();
}

BlockQueue::BlockQueue(BlockShared& shared, const BlockRingParameters& parameters,
                       std::span<std::byte> record, bool resume,
                       std::function<void(const std::string&)> broken)
    : shared_(shared),
      bounce_(shared.loop, kBounceLimit),
      persistent_(shared.memory, kPersistentPages),
      broken_(std::move(broken)) {
    ring_memory_ = shared.memory.map(parameters.pages, true);
    const std::span<std::byte> ring = ring_memory_->bytes();
    ring_ =
        resume ? BlockRing::resume(ring, record, shared.hook) : BlockRing::start(ring, record, shared.hook);
    if (!ring_) {
        throw Failure(ErrorCode::kOperationFailed,
                      "its ring does not fit what was in work: the guest wrote an index that is not its own");
    }
    const Port local = shared.channels.bind_interdomain(shared.guest, parameters.port, [this] { turn(); });
    port_ = BoundPort(shared.channels, local);
}

BlockQueue::~BlockQueue() {
    *alive_ = false;
}

void BlockQueue::begin() {
    for (const uint32_t slot : ring_->unfinished())
        begin_work(slot);
    run_batch();
    turn();
    port_.notify();
}

void BlockQueue::stop(std::function<void()> stopped) {
    stopping_ = true;
    stopped_ = std::move(stopped);
    port_.reset();
    if (timer_.armed) shared_.loop.cancel(timer_);
    check_stopped();
}

void BlockQueue::check_stopped() {
    if (!stopping_ || active_ != 0 || timer_.armed || !stopped_) return;
    shared_.loop.post(std::exchange(stopped_, nullptr));
}

void BlockQueue::broke(const std::string& sentence) {
    if (std::exchange(is_broken_, true)) return;
    shared_.loop.post([this, sentence, alive = alive_] {
        if (*alive) broken_(sentence);
    });
}

// --- a turn

void BlockQueue::schedule() {
    if (in_turn_) {
        again_ = true;
        return;
    }
    if (std::exchange(scheduled_, true)) return;
    shared_.loop.post([this, alive = alive_] {
        if (*alive) turn();
    });
}

void BlockQueue::turn() {
    scheduled_ = false;
    in_turn_ = true;
    finish();
    // Before taking: what is published makes room in a full ring.
    publish();
    again_ = false;
    take();
    run_batch();
    publish();
    in_turn_ = false;
    if (again_) schedule();
    check_stopped();
}

// What has ended goes to the guest, and what waited for that goes on.
void BlockQueue::finish() {
    Works reads = std::exchange(ended_, {});
    copy_granted(reads, true);
    for (Work* work : reads)
        answer(*work, BlockStatus::kOkay);
    Works ready;
    while (!waiting_.empty() && give_memory(*waiting_.front())) {
        ready.push_back(waiting_.front());
        waiting_.erase(waiting_.begin());
    }
    start(ready);
    if (barrier_ != nullptr && !barrier_runs_ && active_ == 1) {
        barrier_runs_ = true;
        submit(*barrier_);
    }
}

bool BlockQueue::held_back() {
    if (barrier_ != nullptr || !waiting_.empty() || ring_->in_work() == ring_->capacity()) return true;
    const std::chrono::nanoseconds now = shared_.loop.now();
    const auto wait = std::max(shared_.requests.wait(now), shared_.bytes.wait(now));
    if (wait.count() == 0) return false;
    if (!timer_.armed) {
        timer_.armed = true;
        shared_.counters.throttled.add(1);
        shared_.loop.after(wait, timer_);
    }
    return true;
}

void BlockQueue::take() {
    unsigned spent = 0;
    // Whatever holds it back has a turn follow when it is over.
    while (!stopping_ && !is_broken_ && !held_back()) {
        if (spent >= kBudget) return schedule();
        const auto slot = ring_->take();
        if (slot) {
            spent += begin_work(*slot);
        } else if (ring_->broken()) {
            broke("it claimed more requests than its ring has room for");
        } else if (!ring_->enable_events()) {
            return;
        }
    }
}

// Returns what it costs of the budget.
unsigned BlockQueue::begin_work(uint32_t slot) {
    Work& work = new_work();
    work.slot = slot;
    const BlockStatus status = parse_request(ring_->request(slot), shared_.rules, work.ask);
    if (status != BlockStatus::kOkay) {
        refuse(work, status);
        return 1;
    }
    const uint64_t bytes = upper_bound(work.ask);
    shared_.requests.take(1);
    shared_.bytes.take(bytes);
    if (work.ask.action == BlockAction::kBarrier) {
        barrier_ = &work;
        work.step = Work::Step::kFlushBefore;
        schedule();
    } else {
        batch_.push_back(&work);
    }
    return 1 + static_cast<unsigned>(bytes / kGuestPageSize);
}

void BlockQueue::run_batch() {
    Works batch = std::exchange(batch_, {});
    read_descriptors(batch);
    Works ready;
    for (Work* work : batch) {
        // Behind those that wait already, so that none waits for ever.
        if (!work->moves_data() || (waiting_.empty() && give_memory(*work))) {
            ready.push_back(work);
        } else {
            waiting_.push_back(work);
        }
    }
    start(ready);
}

// Requests that have their memory: their data comes from the guest, and the engine gets them.
void BlockQueue::start(Works& works) {
    Works copied;
    for (Work* work : works) {
        const bool reads_guest = work->moves_data() && work->ask.action != BlockAction::kRead;
        if (reads_guest && work->pages.empty()) {
            copied.push_back(work);
        } else {
            if (reads_guest) copy_mapped(*work, false);
            submit(*work);
        }
    }
    copy_granted(copied, false);
    for (Work* work : copied)
        submit(*work);
}

void BlockQueue::publish() {
    if (!ring_->publish()) return;
    port_.notify();
    reach(shared_.hook, "block.notified");
}

// --- one request

void BlockQueue::submit(Work& work) {
    switch (work.ask.action) {
        case BlockAction::kRead:
            work.kind = BlockIo::Kind::kRead;
            break;
        case BlockAction::kWrite:
            work.kind = BlockIo::Kind::kWrite;
            break;
        case BlockAction::kFlush:
            work.kind = BlockIo::Kind::kFlush;
            break;
        case BlockAction::kDiscard:
            work.kind = BlockIo::Kind::kDiscard;
            break;
        case BlockAction::kBarrier:
            work.kind =
                work.step == Work::Step::kBarrierWrite ? BlockIo::Kind::kWrite : BlockIo::Kind::kFlush;
            break;
    }
    work.offset = work.ask.offset;
    work.length = work.ask.length;
    work.memory = work.bounce.empty() ? std::span<std::byte>() : work.bounce.bytes().first(work.ask.length);
    shared_.engine.submit(work);
    reach(shared_.hook, "block.submitted");
}

void BlockQueue::io_ended(Work& work, int error) {
    reach(shared_.hook, "block.ended");
    if (error != 0) {
        shared_.io_failed(error);
        if (error == ENOSPC || error == EDQUOT) shared_.counters.no_space.add(1);
        const bool unable = work.ask.action == BlockAction::kDiscard && error == EOPNOTSUPP;
        return answer(work, unable ? BlockStatus::kNotSupported : BlockStatus::kError);
    }
    if (work.ask.action == BlockAction::kBarrier) return barrier_step_ended(work);
    if (work.ask.action != BlockAction::kRead) return answer(work, BlockStatus::kOkay);
    if (work.pages.empty()) {
        ended_.push_back(&work);
        return schedule();
    }
    copy_mapped(work, true);
    answer(work, BlockStatus::kOkay);
}

void BlockQueue::barrier_step_ended(Work& work) {
    if (work.step == Work::Step::kFlushAfter || !(work.moves_data() || work.needs_descriptors())) {
        return answer(work, BlockStatus::kOkay);
    }
    if (work.step == Work::Step::kBarrierWrite) {
        work.step = Work::Step::kFlushAfter;
        return submit(work);
    }
    work.step = Work::Step::kBarrierWrite;
    Works alone{&work};
    read_descriptors(alone);
    // Nothing else is under way, so there is memory.
    if (!alone.empty() && give_memory(work)) start(alone);
}

void BlockQueue::refuse(Work& work, BlockStatus status) {
    shared_.counters.refused.add(1);
    answer(work, status);
}

void BlockQueue::answer(Work& work, BlockStatus status) {
    if (status == BlockStatus::kOkay) {
        count(work);
    } else {
        shared_.counters.errors.add(1);
    }
    abi::BlockResponse response{};
    response.id = work.ask.id;
    response.operation = work.ask.echo;
    response.status = static_cast<int16_t>(status);
    ring_->put(work.slot, response);
    release(work);
    schedule();
}

void BlockQueue::count(const Work& work) {
    BlockCounters& counters = shared_.counters;
    const std::chrono::nanoseconds took = shared_.loop.now() - work.taken_at;
    switch (work.ask.action) {
        case BlockAction::kRead:
            counters.reads.add(1);
            counters.bytes_read.add(work.ask.length);
            counters.read_latency.add(took);
            break;
        case BlockAction::kWrite:
        case BlockAction::kBarrier:
            counters.writes.add(1);
            counters.bytes_written.add(work.ask.length);
            counters.write_latency.add(took);
            break;
        case BlockAction::kFlush:
            counters.flushes.add(1);
            counters.flush_latency.add(took);
            break;
        case BlockAction::kDiscard:
            counters.discards.add(1);
            counters.bytes_discarded.add(work.ask.length);
            break;
    }
}

BlockQueue::Work& BlockQueue::new_work() {
    if (idle_.empty()) {
        works_.push_back(std::make_unique<Work>());
        idle_.push_back(works_.back().get());
    }
    Work& work = *idle_.back();
    idle_.pop_back();
    ++active_;
    work.queue = this;
    work.step = Work::Step::kOnly;
    work.taken_at = shared_.loop.now();
    return work;
}

void BlockQueue::release(Work& work) {
    for (PersistentGrants::Page* page : work.pages)
        persistent_.release(page);
    work.pages.clear();
    work.bounce.reset();
    if (&work == barrier_) {
        barrier_ = nullptr;
        barrier_runs_ = false;
    }
    idle_.push_back(&work);
    --active_;
}

}  // namespace torii::backend
