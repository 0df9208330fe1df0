#pragma once
// A folder with Debian's files in it, and Debian's programs run in it.

#include <filesystem>
#include <string>
#include <vector>

#include "image/recipe.h"
#include "process.h"

namespace torii::cli::image {

class Tree {
public:
    explicit Tree(std::filesystem::path folder) : folder_(std::move(folder)) {}

    const std::filesystem::path& folder() const { return folder_; }
    std::filesystem::path file(const std::string& path) const { return folder_ / path; }

    // Takes the place of what has that name; a link is replaced, not followed, since it could lead out of
    // here.
    void write(const TreeFile& file) const;
    void link(const std::string& path, const std::string& target) const;
    void remove(const std::string& path) const;
    // All that is in a folder, but not the folders in it.
    void remove_files_in(const std::string& path) const;

    // A program of the tree's with the tree as its world, contained.
    std::string run(const std::vector<std::string>& words, const OnLine& on_line = nullptr,
                    const std::string& input = "", const std::string& hint = "") const;

    // The newest release that has a kernel and a RAM disk in boot/. Throws Failure (kOperationFailed) if
    // there is none.
    std::string newest_kernel() const;
    // The public halves of ssh's keys as lines of known_hosts.
    std::string known_hosts(const std::string& alias) const;
    // What its files take, in bytes, each rounded up to whole blocks of a file system.
    uint64_t size() const;

private:
    std::filesystem::path folder_;
};

// Makes a file that is not there; throws Failure (kSystem).
void write_new_file(const std::filesystem::path& path, const std::string& text, mode_t mode);

}  // namespace torii::cli::image
