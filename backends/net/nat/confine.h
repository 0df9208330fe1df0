#pragma once
// Gives up what the helper does not need once its socket is there: it handles a guest's packets.

#include <string>

namespace torii::backend::net {

// Becomes `user` when this process is root's, without any group or capability of before, and in any case can
// never gain privileges again. Throws Failure.
void confine(const std::string& user);

}  // namespace torii::backend::net
