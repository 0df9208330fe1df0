#pragma once
// Makes an image: Debian's own tools fill a folder, mke2fs makes a file system of it.

#include <functional>
#include <string>

#include "image/recipe.h"
#include "image/store.h"

namespace torii::cli::image {

struct BuildOptions {
    Wishes wishes;
    std::string folder = kImagesFolder;
    std::string ssh_key;          // a file with public keys; empty: a new key is made
    std::string password_file;    // "-": standard input; empty: no password
    std::string mirror;           // empty: what the host's apt uses, or else Debian's
    std::string security_mirror;  // the same; "none": no security updates
};

// What is done now, of the whole in percent, and what the program in hand says (empty when a step begins).
struct Step {
    uint32_t percent = 0;
    std::string what;
    std::string detail;
};
using OnStep = std::function<void(const Step&)>;

// Throws Failure. Whatever happens, nothing is left in the folder but a whole image.
Image build_image(const BuildOptions& options, const OnStep& on_step);

}  // namespace torii::cli::image
