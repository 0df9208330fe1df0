// The time of day by the real-time clock (Motorola MC146818A data sheet), whichever way it counts.
#pragma once

#include <cstdint>

namespace torii::hw {

// Days from 1970 to a civil date (proleptic Gregorian).
[[nodiscard]] constexpr uint64_t days_from_civil(uint64_t year, unsigned month, unsigned day) {
    const uint64_t y = month <= 2 ? year - 1 : year;
    const uint64_t m = month <= 2 ? month + 9 : month - 3;
    return y * 365 + y / 4 - y / 100 + y / 400 + (m * 153 + 2) / 5 + day - 1 - 719468;
}

// `read(index)` reads one register. Seconds since 1970; zero when what it holds is no time.
template <class Read>
class RealTimeClock {
public:
    explicit RealTimeClock(Read read) : read_(read) {}

    [[nodiscard]] uint64_t seconds() {
        // One that changes while it is read is read again; one that is not there must not hold us up.
        Registers last = registers();
        for (unsigned i = 0; i < kTries; ++i) {
            const Registers again = registers();
            if (again == last) return to_seconds(last);
            last = again;
        }
        return 0;
    }

private:
    static constexpr unsigned kTries = 8;
    static constexpr uint8_t kUpdating = 0x80;  // in register A
    static constexpr uint8_t kBinary = 4;       // in register B
    static constexpr uint8_t k24Hours = 2;
    static constexpr uint8_t kAfternoon = 0x80;  // in the hours, of twelve

    struct Registers {
        uint8_t second, minute, hour, day, month, year, mode;
        bool operator==(const Registers&) const = default;
    };

    Registers registers() {
        // An update takes at most 2 ms.
        for (unsigned spins = 0; spins < 100'000 && (read_(0x0a) & kUpdating) != 0; ++spins) {
        }
        return {read_(0), read_(2), read_(4), read_(7), read_(8), read_(9), read_(0x0b)};
    }

    static uint64_t to_seconds(const Registers& r) {
        const bool binary = (r.mode & kBinary) != 0;
        const auto value = [binary](uint8_t raw) -> unsigned {
            return binary ? raw : (raw >> 4) * 10u + (raw & 15u);
        };
        unsigned hour = 0;
        if ((r.mode & k24Hours) != 0) {
            hour = value(r.hour);
        } else {
            hour = value(r.hour & ~kAfternoon & 0xff) % 12 + ((r.hour & kAfternoon) != 0 ? 12 : 0);
        }
        const unsigned second = value(r.second);
        const unsigned minute = value(r.minute);
        const unsigned day = value(r.day);
        const unsigned month = value(r.month);
        if (second > 60 || minute > 59 || hour > 23 || day == 0 || day > 31 || month == 0 || month > 12)
            return 0;
        return days_from_civil(2000 + value(r.year) % 100, month, day) * 86400 + hour * 3600ull +
               minute * 60ull + second;
    }

    Read read_;
};

}  // namespace torii::hw
