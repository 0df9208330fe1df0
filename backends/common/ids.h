#pragma once
// Numbers that must not be mixed up: each is a type of its own, also in release builds.

#include <compare>
#include <cstdint>

namespace torii::backend {

template <typename Tag, typename Raw>
class StrongNumber {
public:
    constexpr StrongNumber() = default;
    constexpr explicit StrongNumber(Raw raw) : raw_(raw) {}
    constexpr Raw raw() const { return raw_; }
    constexpr auto operator<=>(const StrongNumber&) const = default;

    // The number `count` further on: frames and ports are counted, never added to each other.
    constexpr StrongNumber plus(Raw count) const { return StrongNumber(static_cast<Raw>(raw_ + count)); }

private:
    Raw raw_ = 0;
};

using DomId = StrongNumber<struct DomIdTag, uint16_t>;
using Port = StrongNumber<struct PortTag, uint32_t>;  // an event channel of the domain it is spoken of
using GrantRef = StrongNumber<struct GrantRefTag, uint32_t>;

inline constexpr DomId kDom0{0};

}  // namespace torii::backend
