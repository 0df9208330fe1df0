#include "base/format.h"

namespace torii {

class Formatter {
public:
    explicit Formatter(std::span<char> out) : out_(out) {}

    size_t run(std::string_view format, std::span<const FormatArgument> arguments) {
        size_t next = 0;
        for (size_t i = 0; i < format.size(); ++i) {
            const bool plain = format[i] == '{' && i + 1 < format.size() && format[i + 1] == '}';
            const bool hex =
                format[i] == '{' && i + 2 < format.size() && format[i + 1] == 'x' && format[i + 2] == '}';
            if (!plain && !hex) {
                put(format[i]);
                continue;
            }
            if (next < arguments.size()) argument(arguments[next++], hex);
            i += hex ? 2 : 1;
        }
        return used_;
    }

private:
    void put(char c) {
        if (used_ < out_.size()) out_[used_++] = c;
    }

    void number(uint64_t value, unsigned base) {
        char digits[20];
        unsigned count = 0;
        do {
            digits[count++] = "0123456789abcdef"[value % base];
            value /= base;
        } while (value != 0);
        while (count != 0)
            put(digits[--count]);
    }

    void argument(const FormatArgument& a, bool hex) {
        if (a.kind_ == FormatArgument::Kind::kText) {
            for (const char c : a.text_)
                put(c);
        } else if (hex) {
            put('0');
            put('x');
            number(a.number_, 16);
        } else if (a.kind_ == FormatArgument::Kind::kSigned && static_cast<int64_t>(a.number_) < 0) {
            put('-');
            number(-a.number_, 10);
        } else {
            number(a.number_, 10);
        }
    }

    std::span<char> out_;
    size_t used_ = 0;
};

size_t format_to(std::span<char> out, std::string_view format, std::span<const FormatArgument> arguments) {
    return Formatter(out).run(format, arguments);
}

}  // namespace torii
