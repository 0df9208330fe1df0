#include "net/nat/confine.h"

#include <grp.h>
#include <pwd.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <torii/failure.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace torii::backend::net {

namespace {

// Sockets, of which each connection of the guest takes one.
constexpr rlim_t kFiles = 1024;

void require(bool done, const std::string& what) {
    if (done) return;
    throw Failure(ErrorCode::kSystem, "The NAT helper could not give up its privileges: " + what +
                                          " failed (" + std::strerror(errno) +
                                          "). It does not run with them.");
}

}  // namespace

void confine(const std::string& user) {
    rlimit files{};
    require(::getrlimit(RLIMIT_NOFILE, &files) == 0, "getrlimit");
    files.rlim_cur = std::min(files.rlim_max, kFiles);
    files.rlim_max = files.rlim_cur;
    require(::setrlimit(RLIMIT_NOFILE, &files) == 0, "setrlimit");
    const rlimit none{0, 0};
    require(::setrlimit(RLIMIT_CORE, &none) == 0, "setrlimit");
    if (::geteuid() == 0) {
        const passwd* const entry = ::getpwnam(user.c_str());
        if (entry == nullptr) {
            throw Failure(ErrorCode::kInvalidArgument,
                          "There is no user \"" + user +
                              "\" for the NAT helper to become. Create it, or name another with --user.");
        }
        const uid_t uid = entry->pw_uid;
        const gid_t gid = entry->pw_gid;
        if (uid == 0)
            throw Failure(ErrorCode::kInvalidArgument,
                          "The NAT helper does not run as root: name another user with --user.");
        require(::setgroups(0, nullptr) == 0, "setgroups");
        require(::setresgid(gid, gid, gid) == 0, "setresgid");
        // All capabilities go with root's number.
        require(::setresuid(uid, uid, uid) == 0, "setresuid");
    }
    require(::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0, "prctl");
    // Others of the same user cannot look into it.
    require(::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) == 0, "prctl");
    require(::chdir("/") == 0, "chdir");
}

}  // namespace torii::backend::net
