#pragma once
// Images for people and for programs.

#include <string>
#include <vector>

#include "image/store.h"

namespace torii::cli::image {

std::string render_images(const std::vector<Image>& images);
std::string render_images_json(const std::vector<Image>& images);
std::string render_image(const Image& image);
std::string render_image_json(const Image& image);

}  // namespace torii::cli::image
