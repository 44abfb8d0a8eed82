#include "codecs/image.h"

#include "codecs/format.h"

namespace linnet::codecs {
namespace {

Result<Image> decode(Format format, std::string_view bytes) {
  switch (format) {
    case Format::png: return decode_png(bytes);
    case Format::jpeg: return decode_jpeg(bytes);
    case Format::jpeg2000: return decode_jpeg2000(bytes);
    case Format::webp: return decode_webp(bytes);
    case Format::tiff: return decode_tiff(bytes);
    case Format::bmp: return decode_bmp(bytes);
    case Format::pnm: return decode_pnm(bytes);
    case Format::none: break;
  }
  return invalid_argument("not an image of a known format (PNG, JPEG, JPEG 2000, WebP, TIFF, BMP, PNM)");
}

Image with_channels(Image image, int to) {
  const int from = image.channels;
  if (to == 0 || from == to) return image;
  Image out{image.width, image.height, to, {}};
  out.pixels.reserve(image.pixels.size() / static_cast<size_t>(from) * static_cast<size_t>(to));
  for (size_t i = 0; i < image.pixels.size(); i += static_cast<size_t>(from)) {
    const uint8_t* p = &image.pixels[i];
    if (to == 1) {
      out.pixels.push_back(static_cast<uint8_t>((19595 * p[0] + 38470 * p[1] + 7471 * p[2] + 32768) >> 16));
    } else {
      for (int c = 0; c < 3; ++c) out.pixels.push_back(p[from == 1 ? 0 : c]);
      if (to == 4) out.pixels.push_back(255);
    }
  }
  return out;
}

}  // namespace

Result<Image> blank_image(int64_t width, int64_t height, int channels) {
  LINNET_REQUIRE(
      width > 0 && height > 0 && width <= kMostPixels && height <= kMostPixels / width,
      invalid_argument("an image of ", width, "x", height, " pixels is more than is decoded (", kMostPixels, ")"));
  return Image{width, height, channels, std::vector<uint8_t>(static_cast<size_t>(width * height * channels))};
}

Result<Image> decode_image(std::string_view bytes, int channels) {
  LINNET_ASSIGN(Image image, decode(format_of(bytes), bytes));
  return with_channels(std::move(image), channels);
}

}  // namespace linnet::codecs
