// From a compressed image to its pixels.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace linnet::cli {

// 8 bits a channel, rows from the top, channels interleaved.
struct Image {
  int64_t width = 0, height = 0;
  std::vector<uint8_t> pixels;
};

inline constexpr int64_t kMostPixels = int64_t{1} << 27;  // a few bytes can claim any size; this much is allocated

// `channels`: 1 grey, 3 RGB, 4 RGBA; converted as needed. Where alpha is dropped, the background is black.
Result<Image> decode_image(std::string_view bytes, int channels);

}  // namespace linnet::cli
