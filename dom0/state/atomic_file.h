#pragma once
// A file that is either the old one or the new one, whenever the writer is killed.

#include <filesystem>
#include <string_view>

namespace torii::dom0 {

// Throws Failure (kSystem).
void write_file_atomically(const std::filesystem::path& path, std::string_view content);

}  // namespace torii::dom0
