#include "xenstore/types.h"

#include <array>

namespace torii::dom0::xenstore {
namespace {

struct ErrorText {
    std::string_view name;
    std::string_view description;
};

// In the order of StoreError.
constexpr std::array kErrorTexts{
    ErrorText{"EINVAL", "the path or an argument is malformed"},
    ErrorText{"EACCES", "the node's permissions forbid it"},
    ErrorText{"EEXIST", "it exists already"},
    ErrorText{"ENOENT", "it does not exist"},
    ErrorText{"ENOMEM", "there is no memory left for it"},
    ErrorText{"ENOSPC", "a quota or the state directory is used up"},
    ErrorText{"EIO", "the domain's ring could not be reached"},
    ErrorText{"ENOSYS", "this kind of request is not known here"},
    ErrorText{"EROFS", "the connection is read-only"},
    ErrorText{"EBUSY", "a transaction cannot be started inside another"},
    ErrorText{"EAGAIN", "somebody else changed what the transaction used; run it again"},
    ErrorText{"EISCONN", "the domain is connected already"},
    ErrorText{"E2BIG", "it is larger than the protocol or a quota allows"},
    ErrorText{"EPERM", "only the control domain may do this"},
};

}  // namespace

std::string_view error_name(StoreError error) {
    return kErrorTexts[static_cast<std::size_t>(error)].name;
}

std::string_view error_description(StoreError error) {
    return kErrorTexts[static_cast<std::size_t>(error)].description;
}

}  // namespace torii::dom0::xenstore
