#pragma once
// Included by source files only, so that the macro doesn't reach other parts of the daemon.

// Leaves the calling function with the error if `expression`, an Expected, holds one.
#define TRY(expression)                                            \
    do {                                                           \
        if (auto outcome_of_try = (expression); !outcome_of_try) { \
            return outcome_of_try.error();                         \
        }                                                          \
    } while (false)
