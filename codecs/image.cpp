#include "codecs/image.h"

namespace linnet::codecs {
namespace {

bool begins(std::string_view bytes, std::string_view magic) { return bytes.substr(0, magic.size()) == magic; }
bool is_png(std::string_view b) { return begins(b, "\x89PNG\r\n\x1a\n"); }
bool is_jpeg(std::string_view b) { return begins(b, "\xff\xd8\xff"); }
bool is_jpeg2000(std::string_view b) {
  return begins(b, std::string_view("\0\0\0\x0cjP  \r\n\x87\n", 12)) || begins(b, "\xff\x4f\xff\x51");
}
bool is_webp(std::string_view b) { return begins(b, "RIFF") && b.size() >= 12 && b.substr(8, 4) == "WEBP"; }
bool is_tiff(std::string_view b) {
  return begins(b, std::string_view("II*\0", 4)) || begins(b, std::string_view("MM\0*", 4)) ||
         begins(b, std::string_view("II+\0", 4)) || begins(b, std::string_view("MM\0+", 4));
}
bool is_bmp(std::string_view b) { return begins(b, "BM"); }
bool is_pnm(std::string_view b) { return b.size() > 2 && b[0] == 'P' && b[1] >= '1' && b[1] <= '6'; }

struct Format {
  bool (*is)(std::string_view);
  Result<Image> (*decode)(std::string_view);
};
constexpr Format kFormats[] = {{is_png, decode_png},   {is_jpeg, decode_jpeg}, {is_jpeg2000, decode_jpeg2000},
                               {is_webp, decode_webp}, {is_tiff, decode_tiff}, {is_bmp, decode_bmp},
                               {is_pnm, decode_pnm}};

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

bool is_image(std::string_view bytes) {
  for (const Format& format : kFormats)
    if (format.is(bytes)) return true;
  return false;
}

Result<Image> decode_image(std::string_view bytes, int channels) {
  for (const Format& format : kFormats) {
    if (!format.is(bytes)) continue;
    LINNET_ASSIGN(Image image, format.decode(bytes));
    return with_channels(std::move(image), channels);
  }
  return invalid_argument("not an image of a known format (PNG, JPEG, JPEG 2000, WebP, TIFF, BMP, PNM)");
}

}  // namespace linnet::codecs
