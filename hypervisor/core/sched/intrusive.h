// Boost.Intrusive's ordered sets, with its own checks turned into ours: there is no C library to print and
// abort.
#pragma once

#include "base/panic.h"

#define BOOST_INTRUSIVE_INVARIANT_ASSERT(condition) ASSERT(condition)
#define BOOST_INTRUSIVE_SAFE_HOOK_DEFAULT_ASSERT(condition) ASSERT(condition)
#define BOOST_INTRUSIVE_SAFE_HOOK_DESTRUCTOR_ASSERT(condition) ASSERT(condition)

#ifndef BOOST_DISABLE_ASSERTS
#define BOOST_DISABLE_ASSERTS
#endif

#include <boost/intrusive/set.hpp>
