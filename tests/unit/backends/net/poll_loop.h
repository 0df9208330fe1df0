#pragma once
// An IoLoop over poll(2) that a test runs for a while at a time: for parts that wait for files of the host.

#include <poll.h>

#include <algorithm>
#include <cerrno>
#include <deque>
#include <functional>
#include <stdexcept>
#include <vector>

#include "common/io_loop.h"

namespace torii::backend::net::test {

class PollLoop final : public IoLoop {
public:
    // Until `done`, at most 15 seconds.
    bool run_until(const std::function<bool()>& done) {
        const auto limit = now() + std::chrono::seconds(15);
        while (!done() && now() < limit)
            run_once(std::chrono::milliseconds(10));
        return done();
    }

    void run_once(std::chrono::milliseconds most) {
        std::vector<pollfd> files;
        for (const Wait& wait : waits_)
            files.push_back({.fd = wait.file, .events = wait.events, .revents = 0});
        ::poll(files.data(), files.size(), posted_.empty() ? static_cast<int>(most.count()) : 0);
        std::vector<std::pair<Completion*, int32_t>> ended;
        const auto time = now();
        for (size_t index = files.size(); index-- > 0;) {
            const bool due = waits_[index].file < 0 && waits_[index].due <= time;
            if (files[index].revents == 0 && !due) continue;
            ended.emplace_back(waits_[index].completion, due ? 0 : files[index].revents);
            waits_.erase(waits_.begin() + static_cast<ptrdiff_t>(index));
        }
        for (const auto& [completion, result] : ended)
            posted_.push_back([completion = completion, result = result] { completion->done(result); });
        for (size_t left = posted_.size(); left != 0; --left) {
            const auto action = std::move(posted_.front());
            posted_.pop_front();
            action();
        }
    }

    void poll(int file, short events, Completion& completion) override {
        waits_.push_back({file, events, {}, &completion});
    }
    void after(std::chrono::nanoseconds delay, Completion& completion) override {
        waits_.push_back({-1, 0, now() + delay, &completion});
    }
    void cancel(Completion& completion) override {
        const auto found = std::find_if(waits_.begin(), waits_.end(),
                                        [&](const Wait& wait) { return wait.completion == &completion; });
        if (found == waits_.end()) return;
        waits_.erase(found);
        posted_.push_back([&completion] { completion.done(-ECANCELED); });
    }
    void post(std::function<void()> action) override { posted_.push_back(std::move(action)); }
    std::chrono::nanoseconds now() const override {
        return std::chrono::steady_clock::now().time_since_epoch();
    }

    // Not for files on disks.
    void read(int, std::span<const iovec>, uint64_t, Completion&) override { throw std::logic_error("read"); }
    void write(int, std::span<const iovec>, uint64_t, Completion&) override {
        throw std::logic_error("write");
    }
    void flush(int, Completion&) override { throw std::logic_error("flush"); }
    void allocate(int, int, uint64_t, uint64_t, Completion&) override { throw std::logic_error("allocate"); }

private:
    struct Wait {
        int file;
        short events;
        std::chrono::nanoseconds due;
        Completion* completion;
    };
    std::vector<Wait> waits_;
    std::deque<std::function<void()>> posted_;
};

}  // namespace torii::backend::net::test
