#pragma once
// One wait at a time on a loop, for a file or for time, that may be given up at any moment: the object goes,
// and the loop's completion stays among the thread's given-up ones until it has ended.

#include <chrono>
#include <functional>
#include <list>
#include <memory>

#include "common/file_descriptor.h"
#include "common/io_loop.h"

namespace torii::backend::net {

class Waiter {
public:
    explicit Waiter(IoLoop& loop) : loop_(loop) {}
    ~Waiter() { stop(); }
    Waiter(const Waiter&) = delete;
    Waiter& operator=(const Waiter&) = delete;

    // Calls `then` once, with the result; replaces what was waited for before. The file stays open meanwhile.
    void poll(std::shared_ptr<FileDescriptor> file, short events, std::function<void(int32_t)> then) {
        const int number = file->get();
        Wait& wait = begin(std::move(then));
        wait.file = std::move(file);
        loop_.poll(number, events, wait);
    }
    void after(std::chrono::nanoseconds delay, std::function<void()> then) {
        loop_.after(delay, begin([then = std::move(then)](int32_t) { then(); }));
    }
    bool waiting() const { return wait_ != nullptr; }

    void stop() {
        if (wait_ == nullptr) return;
        Wait& wait = *wait_;
        wait.owner = nullptr;
        wait.then = nullptr;
        given_up().push_back(std::move(wait_));
        wait.place = std::prev(given_up().end());
        loop_.cancel(wait);
    }

private:
    struct Wait;
    using GivenUp = std::list<std::unique_ptr<Wait>>;
    struct Wait final : Completion {
        Waiter* owner = nullptr;
        std::function<void(int32_t)> then;
        std::shared_ptr<FileDescriptor> file;
        GivenUp::iterator place;  // without an owner

        void done(int32_t result) override {
            if (owner == nullptr) {
                given_up().erase(place);
                return;
            }
            const std::unique_ptr<Wait> self = std::move(owner->wait_);
            then(result);  // may destroy the waiter, or wait again
        }
    };
    static GivenUp& given_up() {
        thread_local GivenUp list;
        return list;
    }

    Wait& begin(std::function<void(int32_t)> then) {
        stop();
        wait_ = std::make_unique<Wait>();
        wait_->owner = this;
        wait_->then = std::move(then);
        return *wait_;
    }

    IoLoop& loop_;
    std::unique_ptr<Wait> wait_;
};

}  // namespace torii::backend::net
