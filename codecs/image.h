// From a compressed image to its pixels: JPEG, JPEG 2000, PNG, WebP, TIFF, BMP and PNM.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace linnet::codecs {

// 8 bits a channel, rows from the top, channels interleaved: 1 grey, 3 RGB, 4 RGBA.
struct Image {
  int64_t width = 0, height = 0;
  int channels = 0;
  std::vector<uint8_t> pixels;
};

inline constexpr int64_t kMostPixels = int64_t{1} << 27;  // a few bytes can claim any size; this much is allocated

// Converted to `channels`, or as it is stored for 0. Where alpha is dropped, colours stay as they are stored; grey is
// 0.299 R + 0.587 G + 0.114 B.
Result<Image> decode_image(std::string_view bytes, int channels);

// --- for the decoders, one file a format; each gives the channels that are stored

Result<Image> blank_image(int64_t width, int64_t height, int channels);
Result<Image> decode_png(std::string_view bytes);
Result<Image> decode_jpeg(std::string_view bytes);
Result<Image> decode_jpeg2000(std::string_view bytes);
Result<Image> decode_webp(std::string_view bytes);
Result<Image> decode_tiff(std::string_view bytes);
Result<Image> decode_bmp(std::string_view bytes);
Result<Image> decode_pnm(std::string_view bytes);

}  // namespace linnet::codecs
