// Whose translations: those of one domain's page tables, of anyone's, of nobody's.
//
// A CPU holds translations of one domain at a time, since it flushes when it begins to run another. A frame
// has been reached through its owner's page tables, or through those of others too. Where the two have
// nothing in common, the CPU need not be interrupted when the frame gets a new use.
#pragma once

#include <cstdint>

#include "base/ids.h"

namespace torii {

class Rememberers {
public:
    [[nodiscard]] static constexpr Rememberers nobody() { return Rememberers(0); }
    [[nodiscard]] static constexpr Rememberers anyone() { return Rememberers(0xffff); }
    [[nodiscard]] static constexpr Rememberers only(DomId domain) {
        return Rememberers(static_cast<uint16_t>(domain.raw() + 1));
    }
    [[nodiscard]] static constexpr Rememberers from_raw(uint16_t raw) { return Rememberers(raw); }
    [[nodiscard]] constexpr uint16_t raw() const { return raw_; }

    [[nodiscard]] constexpr bool may_share(Rememberers other) const {
        if (raw_ == 0 || other.raw_ == 0) return false;
        return raw_ == other.raw_ || raw_ == anyone().raw_ || other.raw_ == anyone().raw_;
    }
    friend constexpr bool operator==(Rememberers, Rememberers) = default;

private:
    constexpr explicit Rememberers(uint16_t raw) : raw_(raw) {}
    uint16_t raw_;
};

}  // namespace torii
