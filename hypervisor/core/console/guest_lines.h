// Puts the output of guests together to whole lines, so that two guests that print at once don't mix.
//
// A few buffers serve all domains: when every one is taken, the line that waits the longest is shown as it
// is. So nothing is allocated for a guest's output, and nothing has to be given back when a domain ends.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/ids.h"

namespace torii {

class GuestLines {
public:
    static constexpr unsigned kBuffers = 8;
    static constexpr size_t kLongest = 160;

    constexpr GuestLines() = default;

    // Adds `text` of a domain; `show(domain, line)` gets each finished line, without its end.
    template <class Show>
    void write(DomId domain, std::string_view text, Show&& show) {
        Buffer& buffer = buffer_of(domain, show);
        for (const char c : text) {
            if (c == '\n' || buffer.used == kLongest) flush(buffer, show);
            if (is_printable(c)) buffer.text[buffer.used++] = c;
        }
    }

private:
    struct Buffer {
        DomId domain{};
        uint32_t used = 0;  // zero: free
        uint64_t last_write = 0;
        char text[kLongest]{};
    };

    // Escape sequences of a guest must not reach the terminal of whoever reads the log.
    static bool is_printable(char c) { return (c >= 0x20 && c < 0x7f) || c == '\t'; }

    template <class Show>
    static void flush(Buffer& buffer, Show& show) {
        show(buffer.domain, std::string_view(buffer.text, buffer.used));
        buffer.used = 0;
    }

    template <class Show>
    Buffer& buffer_of(DomId domain, Show& show) {
        ++writes_;
        Buffer* oldest = &buffers_[0];
        Buffer* unused = nullptr;
        for (Buffer& buffer : buffers_) {
            if (buffer.used == 0) {
                unused = &buffer;
            } else if (buffer.domain == domain) {
                buffer.last_write = writes_;
                return buffer;
            }
            if (buffer.last_write < oldest->last_write) oldest = &buffer;
        }
        Buffer& chosen = unused != nullptr ? *unused : *oldest;
        if (chosen.used != 0) flush(chosen, show);
        chosen.domain = domain;
        chosen.last_write = writes_;
        return chosen;
    }

    uint64_t writes_ = 0;
    Buffer buffers_[kBuffers]{};
};

}  // namespace torii
