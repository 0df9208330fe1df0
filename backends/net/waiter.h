#pragma once
// One wait at a time on a loop, for a file or for time, that may be given up at any moment: the object goes,
// and the loop's completion ends by itself.

#include <chrono>
#include <functional>
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
        Wait* const wait = wait_;
        wait_ = nullptr;
        wait->owner = nullptr;
        wait->then = nullptr;
        loop_.cancel(*wait);
    }

private:
    struct Wait final : Completion {
        Waiter* owner = nullptr;
        std::function<void(int32_t)> then;
        std::shared_ptr<FileDescriptor> file;

        void done(int32_t result) override {
            const std::unique_ptr<Wait> self(this);
            if (owner == nullptr) return;
            owner->wait_ = nullptr;
            then(result);  // may destroy the waiter, or wait again
        }
    };

    Wait& begin(std::function<void(int32_t)> then) {
        stop();
        wait_ = new Wait;  // deletes itself when done
        wait_->owner = this;
        wait_->then = std::move(then);
        return *wait_;
    }

    IoLoop& loop_;
    Wait* wait_ = nullptr;
};

}  // namespace torii::backend::net
