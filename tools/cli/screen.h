#pragma once
// The whole terminal for a display that is drawn again and again, and given back as it was.

#include <termios.h>

#include <chrono>
#include <csignal>
#include <optional>
#include <string>

namespace torii::cli {

class Screen {
public:
    // Throws Failure (kInvalidArgument) unless standard input and output are a terminal.
    Screen();
    ~Screen();
    Screen(const Screen&) = delete;
    Screen& operator=(const Screen&) = delete;

    void draw(const std::string& text);
    size_t rows() const;
    size_t columns() const;

    enum class Happened { kNothing, kKey, kResized, kInterrupted };
    struct Event {
        Happened what = Happened::kNothing;
        char key = 0;
    };
    // Waits at most so long for something to happen.
    Event wait(std::chrono::milliseconds limit);

private:
    Event read_signal() const;

    termios before_{};
    sigset_t mask_before_{};
    int signals_ = -1;
};

}  // namespace torii::cli
