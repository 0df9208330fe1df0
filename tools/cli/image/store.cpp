#include "image/store.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <torii/failure.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <set>
#include <sstream>

#include "image/recipe.h"

namespace torii::cli::image {
namespace {

namespace fs = std::filesystem;

constexpr const char* kUnfinished = ".unfinished-";  // of drafts and of images that are being removed
constexpr uint64_t kBlockBytes = 512;                // of st_blocks, stat(2)

[[noreturn]] void fail(const std::string& what, int error) {
    const ErrorCode code = error == EACCES || error == EPERM ? ErrorCode::kAccessDenied : ErrorCode::kSystem;
    throw Failure(code, what + ": " + std::strerror(error));
}

std::string read_text(const fs::path& path) {
    std::ifstream stream(path, std::ios::binary);
    std::ostringstream text;
    text << stream.rdbuf();
    if (!stream) throw Failure(ErrorCode::kSystem, path.string() + " cannot be read");
    return text.str();
}

class Descriptor {
public:
    explicit Descriptor(int number) : number_(number) {}
    ~Descriptor() {
        if (number_ >= 0) ::close(number_);
    }
    Descriptor(const Descriptor&) = delete;
    Descriptor& operator=(const Descriptor&) = delete;
    int get() const { return number_; }

private:
    int number_;
};

int open_folder(const fs::path& folder) {
    return ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
}

// Nobody's mounts are followed, nor links.
void remove_tree(const fs::path& folder) {
    std::error_code error;
    fs::remove_all(folder, error);
    if (error) fail(folder.string() + " cannot be removed whole", error.value());
}

// While it is held drafts neither appear nor are taken for left over.
class OneAtATime {
public:
    explicit OneAtATime(const fs::path& images) : folder_(open_folder(images)) {
        if (folder_.get() < 0) fail("the folder of images " + images.string() + " cannot be opened", errno);
        if (::flock(folder_.get(), LOCK_EX) != 0) fail(images.string() + " cannot be locked", errno);
    }

private:
    Descriptor folder_;
};

// Of processes that were killed: theirs are not locked any more.
void remove_left_over(const fs::path& images) {
    std::vector<fs::path> found;
    std::error_code error;
    for (const auto& entry : fs::directory_iterator(images, error)) {
        if (entry.path().filename().string().starts_with(kUnfinished)) found.push_back(entry.path());
    }
    for (const fs::path& folder : found) {
        const Descriptor lock(open_folder(folder));
        if (lock.get() >= 0 && ::flock(lock.get(), LOCK_EX | LOCK_NB) == 0) remove_tree(folder);
    }
}

// Its own name follows, so that a person who finds one knows what it was.
fs::path make_unfinished(const fs::path& images, const std::string& name) {
    std::string pattern = (images / (kUnfinished + name + ".XXXXXX")).string();
    if (::mkdtemp(pattern.data()) == nullptr)
        fail("a folder in " + images.string() + " cannot be made", errno);
    return pattern;
}

void write_through(const fs::path& folder) {
    const Descriptor opened(open_folder(folder));
    if (opened.get() < 0 || ::syncfs(opened.get()) != 0) fail(folder.string() + " cannot be written", errno);
}

void measure(Image& image) {
    struct stat told {};
    if (::lstat(image.file(kDisk).c_str(), &told) == 0 && S_ISREG(told.st_mode)) {
        image.size_bytes = static_cast<uint64_t>(told.st_size);
    }
    std::error_code error;
    for (const auto& entry : fs::directory_iterator(image.folder, error)) {
        if (::lstat(entry.path().c_str(), &told) == 0) {
            image.allocated_bytes += static_cast<uint64_t>(told.st_blocks) * kBlockBytes;
        }
    }
}

Image look_at(const fs::path& folder) {
    Image image;
    image.name = folder.filename().string();
    image.folder = folder;
    try {
        image.facts = parse_facts(read_text(image.file(kFacts)), image.file(kFacts).string());
    } catch (const Failure& failure) {
        image.problem = failure.what();
    }
    measure(image);
    return image;
}

// A folder, no link to one, with the file that images have.
bool is_image(const fs::path& folder) {
    std::error_code error;
    return fs::symlink_status(folder, error).type() == fs::file_type::directory &&
           fs::symlink_status(folder / kFacts, error).type() == fs::file_type::regular;
}

}  // namespace

Draft::Draft(fs::path images, std::string name) : images_(std::move(images)), name_(std::move(name)) {
    std::error_code error;
    fs::create_directories(images_, error);
    if (error) fail("the folder of images " + images_.string() + " cannot be made", error.value());
    const OneAtATime lock(images_);
    remove_left_over(images_);
    folder_ = make_unfinished(images_, name_);
    lock_ = open_folder(folder_);
    if (lock_ < 0 || ::flock(lock_, LOCK_EX) != 0) fail(folder_.string() + " cannot be locked", errno);
}

Draft::~Draft() {
    try {
        if (!folder_.empty()) remove_tree(folder_);
    } catch (const Failure& failure) {
        std::fprintf(stderr, "torii: %s\n", failure.what());
    }
    if (lock_ >= 0) ::close(lock_);
}

fs::path Draft::keep() {
    if (::chmod(folder_.c_str(), 0755) != 0) fail(folder_.string() + " cannot be opened for all", errno);
    write_through(folder_);
    const fs::path target = images_ / name_;
    if (::renameat2(AT_FDCWD, folder_.c_str(), AT_FDCWD, target.c_str(), RENAME_NOREPLACE) != 0) {
        if (errno == EEXIST) Store(images_).check_free(name_);
        fail(folder_.string() + " cannot be renamed to " + target.string(), errno);
    }
    folder_.clear();
    write_through(images_);
    return target;
}

std::vector<Image> Store::list() const {
    std::vector<Image> images;
    std::error_code error;
    for (const auto& entry : fs::directory_iterator(folder_, error)) {
        if (!entry.path().filename().string().starts_with(".") && is_image(entry.path())) {
            images.push_back(look_at(entry.path()));
        }
    }
    if (error && error != std::errc::no_such_file_or_directory) {
        fail("the folder of images " + folder_.string() + " cannot be read", error.value());
    }
    std::sort(images.begin(), images.end(), [](const Image& a, const Image& b) { return a.name < b.name; });
    return images;
}

Image Store::find(const std::string& name) const {
    check_image_name(name);
    const fs::path folder = folder_ / name;
    if (!is_image(folder)) {
        throw Failure(ErrorCode::kOperationFailed, "there is no image \"" + name + "\" in " +
                                                       folder_.string() +
                                                       "; `torii image list` shows those that there are");
    }
    return look_at(folder);
}

void Store::check_free(const std::string& name) const {
    std::error_code error;
    if (fs::symlink_status(folder_ / name, error).type() == fs::file_type::not_found) return;
    throw Failure(ErrorCode::kDomainExists,
                  (folder_ / name).string() +
                      " is there already; give another name, or remove it first: torii image rm " + name);
}

uint16_t Store::free_ssh_port() const {
    std::set<uint16_t> taken;
    for (const Image& image : list()) {
        if (image.facts) taken.insert(image.facts->ssh_port);
    }
    uint16_t port = kFirstSshPort;
    while (taken.contains(port))
        port++;
    return port;
}

void Store::remove(const Image& image) const {
    const OneAtATime lock(folder_);
    remove_left_over(folder_);
    const fs::path grave = make_unfinished(folder_, image.name);
    // A rename replaces an empty folder, in one step.
    if (::rename(image.folder.c_str(), grave.c_str()) != 0) {
        const int error = errno;
        ::rmdir(grave.c_str());
        fail(image.folder.string() + " cannot be removed", error);
    }
    remove_tree(grave);
}

}  // namespace torii::cli::image
