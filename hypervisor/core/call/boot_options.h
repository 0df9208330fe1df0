// What the boot loader and the build told the hypervisor, as far as guests may ask for it.
#pragma once

#include <span>
#include <string_view>

namespace torii {

struct BootOptions {
    std::string_view command_line;            // as given; lies in memory that stays
    std::span<const unsigned char> build_id;  // empty: none
};
extern BootOptions boot_options;  // written once at boot

// Set by the build; the values here serve builds outside of a checkout.
#ifndef TORII_REVISION
#define TORII_REVISION "unknown"
#endif
#ifndef TORII_BUILD_DATE
#define TORII_BUILD_DATE "unknown"
#endif
inline constexpr std::string_view kExtraVersion = ".0-torii";
inline constexpr std::string_view kSourceRevision = TORII_REVISION;
inline constexpr std::string_view kBuildDate = TORII_BUILD_DATE;

}  // namespace torii
