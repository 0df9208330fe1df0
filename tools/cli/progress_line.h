#pragma once
// One line on the terminal that tells how far a long piece of work is, and is written over.

#include <cstdint>
#include <string>

namespace torii::cli {

// Only on a terminal, and only if wanted: elsewhere nothing is written. The line goes away with the object.
class ProgressLine {
public:
    explicit ProgressLine(bool wanted);
    ~ProgressLine() { clear(); }
    ProgressLine(const ProgressLine&) = delete;
    ProgressLine& operator=(const ProgressLine&) = delete;

    // `step` is cut at the terminal's width.
    void show(uint32_t percent, const std::string& step);
    void clear();
    bool is_on_terminal() const { return wanted_; }

private:
    bool wanted_;
    bool shown_ = false;
};

}  // namespace torii::cli
