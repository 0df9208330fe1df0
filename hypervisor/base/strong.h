// Strong numbers: frame numbers, addresses and ids that don't mix by accident.
//
// A strong number costs nothing over the integer it holds. `raw()` belongs at the edge only: ABI structures,
// page-table entries, hardware registers.
#pragma once

#include <compare>
#include <concepts>
#include <cstddef>
#include <cstdint>

namespace torii {

// An identifier: comparable, not computable.
template <class Tag, std::unsigned_integral T>
class StrongId {
public:
    using Raw = T;
    constexpr StrongId() = default;
    explicit constexpr StrongId(T raw) : raw_(raw) {}
    [[nodiscard]] constexpr T raw() const { return raw_; }
    friend constexpr auto operator<=>(StrongId, StrongId) = default;

private:
    T raw_ = 0;
};

// A position on a line: adding a distance gives a position, subtracting two positions gives a distance,
// adding two positions doesn't compile.
template <class Tag, std::unsigned_integral T = uint64_t>
class StrongPosition {
public:
    using Raw = T;
    constexpr StrongPosition() = default;
    explicit constexpr StrongPosition(T raw) : raw_(raw) {}
    [[nodiscard]] constexpr T raw() const { return raw_; }
    friend constexpr auto operator<=>(StrongPosition, StrongPosition) = default;
    friend constexpr StrongPosition operator+(StrongPosition a, T n) { return StrongPosition(a.raw_ + n); }
    friend constexpr StrongPosition operator-(StrongPosition a, T n) { return StrongPosition(a.raw_ - n); }
    friend constexpr T operator-(StrongPosition a, StrongPosition b) { return a.raw_ - b.raw_; }
    constexpr StrongPosition& operator+=(T n) {
        raw_ += n;
        return *this;
    }
    constexpr StrongPosition& operator++() {
        ++raw_;
        return *this;
    }

private:
    T raw_ = 0;
};

}  // namespace torii
