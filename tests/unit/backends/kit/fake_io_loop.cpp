#include "unit/backends/kit/fake_io_loop.h"

#include <fcntl.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace torii::backend::test {

void FakeIoLoop::read(int file, std::span<const iovec> parts, uint64_t offset, Completion& completion) {
    operations_.push_back(
        {FakeFile::Kind::kRead, file, {parts.begin(), parts.end()}, offset, 0, 0, &completion});
}

void FakeIoLoop::write(int file, std::span<const iovec> parts, uint64_t offset, Completion& completion) {
    operations_.push_back(
        {FakeFile::Kind::kWrite, file, {parts.begin(), parts.end()}, offset, 0, 0, &completion});
}

void FakeIoLoop::flush(int file, Completion& completion) {
    operations_.push_back({FakeFile::Kind::kFlush, file, {}, 0, 0, 0, &completion});
}

void FakeIoLoop::allocate(int file, int mode, uint64_t offset, uint64_t length, Completion& completion) {
    operations_.push_back({FakeFile::Kind::kAllocate, file, {}, offset, length, mode, &completion});
}

void FakeIoLoop::poll(int file, short events, Completion& completion) {
    polls_.push_back({file, events, &completion});
}

void FakeIoLoop::after(std::chrono::nanoseconds delay, Completion& completion) {
    timers_.push_back({now_ + delay, &completion});
}

void FakeIoLoop::cancel(Completion& completion) {
    for (Operation& operation : operations_) {
        if (operation.completion == &completion) operation.cancelled = true;
    }
    const auto end = [this, &completion](auto& list) {
        const auto found = std::find_if(list.begin(), list.end(),
                                        [&](const auto& entry) { return entry.completion == &completion; });
        if (found == list.end()) return;
        list.erase(found);
        post([&completion] { completion.done(-ECANCELED); });
    };
    end(timers_);
    end(polls_);
}

bool FakeIoLoop::run(size_t most) {
    const bool any = !posted_.empty();
    for (size_t i = 0; i < most && !posted_.empty(); ++i) {
        const auto action = std::move(posted_.front());
        posted_.pop_front();
        action();
    }
    return any;
}

void FakeIoLoop::turn() {
    run(posted_.size());
}

void FakeIoLoop::complete(size_t number) {
    const Operation operation = std::move(operations_.at(number));
    operations_.erase(operations_.begin() + static_cast<ptrdiff_t>(number));
    operation.completion->done(operation.cancelled ? -ECANCELED : take_effect(operation));
}

void FakeIoLoop::settle(std::mt19937* random) {
    while (run() || outstanding() != 0) {
        if (outstanding() != 0) complete(random != nullptr ? (*random)() % outstanding() : 0);
    }
}

void FakeIoLoop::advance(std::chrono::nanoseconds by) {
    now_ += by;
    while (true) {
        const auto due = std::find_if(timers_.begin(), timers_.end(),
                                      [this](const Timer& timer) { return timer.due <= now_; });
        if (due == timers_.end()) return;
        Completion* const completion = due->completion;
        timers_.erase(due);
        completion->done(0);
    }
}

void FakeIoLoop::ready(int file, short events) {
    const auto found = std::find_if(polls_.begin(), polls_.end(), [&](const Poll& poll) {
        return poll.file == file && (poll.events & events) != 0;
    });
    if (found == polls_.end()) return;
    Completion* const completion = found->completion;
    const short has = found->events & events;
    polls_.erase(found);
    completion->done(has);
}

void FakeIoLoop::abandon(std::mt19937& random) {
    faults.clear();
    std::shuffle(operations_.begin(), operations_.end(), random);
    for (const Operation& operation : operations_) {
        // What an abandoned read puts into memory nobody may look at; that memory may be gone.
        if (operation.kind != FakeFile::Kind::kRead && random() % 2 == 0) (void)take_effect(operation);
    }
    operations_.clear();
    posted_.clear();
    timers_.clear();
    polls_.clear();
}

int32_t FakeIoLoop::take_effect(const Operation& operation) {
    Fault fault;
    if (!faults.empty()) {
        fault = faults.front();
        faults.pop_front();
    }
    if (fault.error) return *fault.error;
    const auto found = files_.find(operation.file);
    if (found == files_.end()) return -EBADF;
    FakeFile& file = *found->second;
    file.history.push_back({operation.kind, operation.offset, operation.length});
    switch (operation.kind) {
        case FakeFile::Kind::kFlush:
            file.durable = file.bytes;
            return 0;
        case FakeFile::Kind::kAllocate: {
            if ((operation.mode & (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE)) == 0) return -EOPNOTSUPP;
            if (operation.offset >= file.bytes.size()) return 0;
            const uint64_t length =
                std::min<uint64_t>(operation.length, file.bytes.size() - operation.offset);
            std::memset(file.bytes.data() + operation.offset, 0, length);
            return 0;
        }
        default:
            return transfer(file, operation, fault.most_bytes.value_or(SIZE_MAX));
    }
}

int32_t FakeIoLoop::transfer(FakeFile& file, const Operation& operation, size_t most) {
    uint64_t at = operation.offset;
    size_t moved = 0;
    for (const iovec& part : operation.parts) {
        if (at >= file.bytes.size() || moved >= most) break;
        const size_t count = std::min({part.iov_len, file.bytes.size() - at, most - moved});
        if (operation.kind == FakeFile::Kind::kRead) {
            std::memcpy(part.iov_base, file.bytes.data() + at, count);
        } else {
            std::memcpy(file.bytes.data() + at, part.iov_base, count);
        }
        at += count;
        moved += count;
    }
    file.history.back().length = moved;
    return static_cast<int32_t>(moved);
}

}  // namespace torii::backend::test
