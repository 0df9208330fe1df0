// What the hypervisor does when its own state is wrong. A guest's mistake never ends here.
#pragma once

namespace torii {

// Stops the machine (on the host: aborts the test) with the reason and the place. Defined by arch/x86/hw or
// tests/fakes.
[[noreturn, gnu::cold]] void panic_at(const char* reason, const char* file, unsigned line);

}  // namespace torii

// In every build: going on could leak another domain's data.
#define BUG(reason) ::torii::panic_at(reason, __FILE_NAME__, __LINE__)
#define BUG_ON(condition)                                           \
    do {                                                            \
        if (condition) [[unlikely]]                                 \
            ::torii::panic_at(#condition, __FILE_NAME__, __LINE__); \
    } while (false)

// In debug and host builds: what the other tiers already cover.
#ifdef TORII_ASSERTS
#define ASSERT(condition) BUG_ON(!(condition))
#else
#define ASSERT(condition)        \
    do {                         \
        (void)sizeof(condition); \
    } while (false)
#endif
