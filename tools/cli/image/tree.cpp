#include "image/tree.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <torii/failure.h>
#include <unistd.h>

#include <cerrno>
#include <fstream>

namespace torii::cli::image {
namespace {

namespace fs = std::filesystem;

constexpr uint64_t kBlockBytes = 4096;

[[noreturn]] void fail(const std::string& what, int error) {
    throw Failure(ErrorCode::kSystem, what + ": " + ::strerror(error));
}

void make_way(const fs::path& path) {
    std::error_code error;
    fs::create_directories(path.parent_path(), error);
    if (!error) fs::remove(path, error);
    if (error) fail(path.string() + " cannot be replaced", error.value());
}

}  // namespace

void write_new_file(const fs::path& path, const std::string& text, mode_t mode) {
    const int file = ::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode);
    if (file < 0) fail(path.string() + " cannot be made", errno);
    int error = 0;
    for (size_t written = 0; written < text.size() && error == 0;) {
        const ssize_t count = ::write(file, text.data() + written, text.size() - written);
        if (count < 0 && errno != EINTR) error = errno;
        if (count > 0) written += static_cast<size_t>(count);
    }
    if (error == 0 && ::fchmod(file, mode) != 0) error = errno;
    if (::close(file) != 0 && error == 0) error = errno;
    if (error != 0) fail(path.string() + " cannot be written", error);
}

void Tree::write(const TreeFile& file) const {
    const fs::path path = this->file(file.path);
    make_way(path);
    write_new_file(path, file.text, file.mode);
}

void Tree::link(const std::string& path, const std::string& target) const {
    make_way(file(path));
    if (::symlink(target.c_str(), file(path).c_str()) != 0)
        fail(file(path).string() + " cannot be made", errno);
}

void Tree::remove(const std::string& path) const {
    make_way(file(path));
}

void Tree::remove_files_in(const std::string& path) const {
    std::vector<fs::path> files;
    std::error_code error;
    for (const auto& entry : fs::directory_iterator(file(path), error)) {
        if (!entry.is_directory()) files.push_back(entry.path());
    }
    for (const fs::path& found : files) {
        if (::unlink(found.c_str()) != 0) fail(found.string() + " cannot be removed", errno);
    }
}

std::string Tree::run(const std::vector<std::string>& words, const OnLine& on_line, const std::string& input,
                      const std::string& hint) const {
    Command command;
    command.words = contained(words, folder_.string());
    command.input = input;
    command.environment = plain_environment();
    command.hint = hint;
    for (const std::string& word : words)
        command.told_as += (command.told_as.empty() ? "" : " ") + word;
    return cli::run(command, on_line);
}

std::string Tree::newest_kernel() const {
    constexpr std::string_view kPrefix = "vmlinuz-";
    std::string newest;
    std::error_code error;
    for (const auto& entry : fs::directory_iterator(file("boot"), error)) {
        const std::string name = entry.path().filename().string();
        if (!name.starts_with(kPrefix)) continue;
        const std::string release = name.substr(kPrefix.size());
        const bool complete = fs::is_regular_file(file("boot/initrd.img-" + release), error);
        if (complete && ::strverscmp(release.c_str(), newest.c_str()) > 0) newest = release;
    }
    if (!newest.empty()) return newest;
    throw Failure(
        ErrorCode::kOperationFailed,
        "after all packages were installed there is no kernel with its RAM disk in boot/ of the image; did "
        "one of --packages remove it?");
}

std::string Tree::known_hosts(const std::string& alias) const {
    std::string lines;
    std::error_code error;
    for (const auto& entry : fs::directory_iterator(file("etc/ssh"), error)) {
        const std::string name = entry.path().filename().string();
        if (!name.starts_with("ssh_host_") || !name.ends_with("_key.pub")) continue;
        std::ifstream stream(entry.path());
        std::string kind, key;
        if (stream >> kind >> key) lines += alias + " " + kind + " " + key + "\n";
    }
    if (lines.empty())
        throw Failure(ErrorCode::kOperationFailed, "openssh-server has made no keys in the image");
    return lines;
}

uint64_t Tree::size() const {
    uint64_t bytes = 0;
    std::error_code error;
    for (auto entry = fs::recursive_directory_iterator(folder_, error); entry != fs::end(entry) && !error;
         entry.increment(error)) {
        struct stat told {};
        if (::lstat(entry->path().c_str(), &told) != 0) continue;
        const uint64_t links = S_ISDIR(told.st_mode) || told.st_nlink == 0 ? 1 : told.st_nlink;
        bytes += (static_cast<uint64_t>(told.st_size) + kBlockBytes - 1) / kBlockBytes * kBlockBytes / links;
    }
    if (error) fail(folder_.string() + " cannot be measured", error.value());
    return bytes;
}

}  // namespace torii::cli::image
