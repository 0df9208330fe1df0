#include "xenstore/path.h"

#include <algorithm>

namespace torii::dom0::xenstore {
namespace {

// XENSTORE_ABS_PATH_MAX and XENSTORE_REL_PATH_MAX of public io/xs_wire.h.
constexpr std::size_t kAbsolutePathMax = 3072;
constexpr std::size_t kRelativePathMax = 2048;

constexpr bool is_path_character(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '/' || c == '_' || c == '@';
}

}  // namespace

std::string domain_path(DomId domain) {
    return "/local/domain/" + std::to_string(domain.raw());
}

bool is_valid_path(std::string_view path) {
    if (!path.starts_with('/') || path.size() > kAbsolutePathMax) return false;
    if (path == "/") return true;
    return !path.ends_with('/') && path.find("//") == std::string_view::npos &&
           std::all_of(path.begin(), path.end(), is_path_character);
}

Expected<std::string> resolve_path(std::string_view text, DomId domain) {
    if (text.empty()) return StoreError::kInvalid;
    const bool relative = text.front() != '/';
    if (relative && text.size() > kRelativePathMax) return StoreError::kInvalid;
    std::string path = relative ? join_path(domain_path(domain), text) : std::string(text);
    if (!is_valid_path(path)) return StoreError::kInvalid;
    return path;
}

std::string_view parent_path(std::string_view path) {
    const std::size_t slash = path.rfind('/');
    return slash == 0 ? path.substr(0, 1) : path.substr(0, slash);
}

std::string_view leaf_name(std::string_view path) {
    return path.substr(path.rfind('/') + 1);
}

bool is_at_or_below(std::string_view path, std::string_view ancestor) {
    if (!path.starts_with(ancestor)) return false;
    return ancestor == "/" || path.size() == ancestor.size() || path[ancestor.size()] == '/';
}

std::string join_path(std::string_view parent, std::string_view leaf) {
    std::string path(parent);
    if (!path.ends_with('/')) path += '/';
    path += leaf;
    return path;
}

std::string_view PathComponents::next() {
    const std::size_t slash = rest_.find('/');
    const std::string_view component = rest_.substr(0, slash);
    rest_.remove_prefix(component.size());
    skip_slash();
    return component;
}

}  // namespace torii::dom0::xenstore
