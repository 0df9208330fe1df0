#pragma once
// Names of nodes: "/", or "/component" one or more times (xenstore.txt).

#include <cstddef>
#include <string>
#include <string_view>

#include "xenstore/types.h"

namespace torii::dom0::xenstore {

// The node below which a domain's relative paths live: "/local/domain/<domid>".
[[nodiscard]] std::string domain_path(DomId domain);

// Absolute, within the length limits, only permitted characters, no empty component, no slash at the end.
[[nodiscard]] bool is_valid_path(std::string_view path);

// "@introduceDomain" and the like: names of events, not of nodes.
[[nodiscard]] constexpr bool is_special(std::string_view path) {
    return path.starts_with('@');
}

// The absolute path that `text` means for `domain`; error kInvalid if it is no path.
[[nodiscard]] Expected<std::string> resolve_path(std::string_view text, DomId domain);

// "/" for "/a"; undefined for "/" itself.
[[nodiscard]] std::string_view parent_path(std::string_view path);
// "b" for "/a/b".
[[nodiscard]] std::string_view leaf_name(std::string_view path);
// Whether `path` is `ancestor` or lies below it.
[[nodiscard]] bool is_at_or_below(std::string_view path, std::string_view ancestor);
[[nodiscard]] std::string join_path(std::string_view parent, std::string_view leaf);

// Takes a path apart, one component a call, without copying.
class PathComponents {
public:
    explicit PathComponents(std::string_view path) : rest_(path) { skip_slash(); }
    [[nodiscard]] bool at_end() const { return rest_.empty(); }
    // Precondition: not at_end().
    std::string_view next();

private:
    void skip_slash() {
        if (rest_.starts_with('/')) rest_.remove_prefix(1);
    }
    std::string_view rest_;
};

}  // namespace torii::dom0::xenstore
