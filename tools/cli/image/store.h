#pragma once
// The folder of images: one folder for each, which appears whole or not at all.

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace torii::cli::image {

constexpr const char* kImagesFolder = "/var/lib/torii/images";

// The files of an image.
constexpr const char* kDisk = "disk.raw";
constexpr const char* kKernel = "vmlinuz";
constexpr const char* kRamdisk = "initrd.img";
constexpr const char* kKey = "id_ed25519";  // missing if the user gave a public key
constexpr const char* kKnownHosts = "known_hosts";
constexpr const char* kDescription = "guest.toml";
constexpr const char* kFacts = "image.toml";

// What is known of an image, in its image.toml.
struct Facts {
    std::string name;
    std::string suite;
    std::string mirror;
    std::string kernel;  // its release, as uname says it
    std::vector<std::string> packages;
    std::string user;
    std::string created;      // RFC 3339, UTC
    uint64_t size_bytes = 0;  // of the disk when it was made
    uint16_t ssh_port = 0;    // of dom0, forwarded to the guest's 22
    std::string kernel_sha256;
    std::string ramdisk_sha256;
    bool operator==(const Facts&) const = default;
};

std::string facts_text(const Facts& facts);
// Throws Failure (kConfigurationSyntax) that names the file, and what is wrong in it.
Facts parse_facts(const std::string& text, const std::string& path);

struct Image {
    std::string name;  // the folder's
    std::filesystem::path folder;
    std::optional<Facts> facts;
    std::string problem;           // why there are no facts
    uint64_t size_bytes = 0;       // the disk as a guest sees it; 0: there is none
    uint64_t allocated_bytes = 0;  // what the folder takes
    std::filesystem::path file(const char* name) const { return folder / name; }
};

// A folder in which an image is made. Unless it was kept it goes away with all that is in it, also when the
// process was killed: then the next one removes it.
class Draft {
public:
    Draft(std::filesystem::path images, std::string name);
    ~Draft();
    Draft(const Draft&) = delete;
    Draft& operator=(const Draft&) = delete;

    const std::filesystem::path& folder() const { return folder_; }
    // Writes all to the disk and gives it its name. Throws Failure (kDomainExists) if that is taken
    // meanwhile.
    std::filesystem::path keep();

private:
    std::filesystem::path images_;
    std::string name_;
    std::filesystem::path folder_;
    int lock_ = -1;
};

class Store {
public:
    explicit Store(std::filesystem::path folder) : folder_(std::move(folder)) {}

    // By name. A missing folder has none. Throws Failure (kSystem) if it can't be read.
    std::vector<Image> list() const;
    // Throws Failure: kInvalidArgument for a name that is none, kOperationFailed if there is no such image.
    Image find(const std::string& name) const;
    // Throws Failure (kDomainExists) if there is something of this name.
    void check_free(const std::string& name) const;
    // The first port from kFirstSshPort on that no image's guest has.
    uint16_t free_ssh_port() const;
    // It is gone at once for all others; what it takes is given back then.
    void remove(const Image& image) const;

private:
    std::filesystem::path folder_;
};

}  // namespace torii::cli::image
