#pragma once
// What an image is to become: the user's wishes, checked, and all that follows from them without looking at
// the machine.

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <vector>

#include "image/sources.h"

namespace torii::cli::image {

// As options give it.
struct Wishes {
    std::string name;
    std::string size = "4G";
    std::string suite = "bookworm";
    std::vector<std::string> packages;  // each may be a list with commas
    std::string kernel = "standard";
    std::string user = "torii";
    std::string memory = "512M";
    int64_t ssh_port = 0;  // 0: the first that no other image has
};

struct Recipe {
    std::string name;
    std::string host_name;
    std::string suite;
    uint64_t size_bytes = 0;
    std::string kernel;                 // its package
    std::vector<std::string> packages;  // beside what each image has
    std::string user;
    uint64_t memory_kib = 0;
    uint16_t ssh_port = 0;
    Sources sources;
    std::string file_system_uuid;
    std::string authorized_keys;
    std::string password;  // empty: none
};

// The smallest disk on which Debian has room to live, in bytes.
constexpr uint64_t kSmallestDisk = uint64_t{1} << 30;
constexpr uint16_t kFirstSshPort = 2222;

// Without sources, identity of the file system, keys and password. Throws Failure (kInvalidArgument) with the
// first thing that is not possible.
Recipe check_wishes(const Wishes& wishes);

// The rule for domains' names, which the daemon has too: an image's name is its guest's.
void check_image_name(const std::string& name);

// A host name is narrower: letters, digits and hyphens.
std::string host_name_for(const std::string& name);

// The lines of a file with public keys. Throws Failure (kInvalidArgument) if there is none, or a private key.
std::string check_public_keys(const std::string& text, const std::string& path);

// The first line. Throws Failure (kInvalidArgument) if it can't be a password.
std::string check_password(const std::string& text, const std::string& path);

// All that is installed beside the smallest Debian.
std::vector<std::string> all_packages(const Recipe& recipe);

struct TreeFile {
    std::string path;  // without a leading slash
    std::string text;
    mode_t mode = 0644;
};

// What the tree needs before packages are installed, and what is left in it.
std::vector<TreeFile> files_for_installation(const Recipe& recipe);
std::vector<TreeFile> files_of_guest(const Recipe& recipe);

// Those of the former that don't stay.
std::vector<std::string> files_to_remove();

// A description for `torii create`, with paths relative to the image's folder.
std::string guest_description(const Recipe& recipe);

}  // namespace torii::cli::image
