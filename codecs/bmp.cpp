// https://learn.microsoft.com/windows/win32/gdi/bitmap-storage
#include <bit>
#include <cstdlib>

#include "codecs/image.h"

namespace linnet::codecs {
namespace {

constexpr uint32_t kPlain = 0, kBitFields = 3;

struct Channel {
  uint32_t mask = 0;

  uint8_t of(uint32_t pixel) const {
    if (mask == 0) return 0;
    const uint32_t value = (pixel & mask) >> std::countr_zero(mask), greatest = mask >> std::countr_zero(mask);
    return static_cast<uint8_t>((static_cast<uint64_t>(value) * 255 + greatest / 2) / greatest);
  }
};

}  // namespace

Result<Image> decode_bmp(std::string_view bytes) {
  const auto cut_off = [] { return invalid_argument("the BMP is cut off"); };
  LINNET_REQUIRE(bytes.size() >= 26, cut_off());
  const auto number = [&](size_t at, size_t width) {
    uint32_t value = 0;
    for (size_t i = 0; i < width; ++i) value |= static_cast<uint32_t>(static_cast<uint8_t>(bytes[at + i])) << (8 * i);
    return value;
  };
  const size_t pixels_at = number(10, 4), header = number(14, 4);
  const bool old = header == 12;
  LINNET_REQUIRE((old || header >= 40) && header <= 256 && bytes.size() >= 14 + header, cut_off());
  const int64_t width = old ? number(18, 2) : static_cast<int32_t>(number(18, 4));
  const int64_t tall = old ? number(20, 2) : static_cast<int32_t>(number(22, 4));
  const uint32_t bits = number(old ? 24 : 28, 2), compression = old ? kPlain : number(30, 4);
  LINNET_REQUIRE(compression == kPlain || (compression == kBitFields && bits >= 16),
                 unsupported("BMP compression ", compression));
  LINNET_REQUIRE(bits == 1 || bits == 4 || bits == 8 || bits == 16 || bits == 24 || bits == 32,
                 invalid_argument("a BMP of ", bits, " bits a pixel"));
  const bool upwards = tall > 0;
  LINNET_ASSIGN(Image image, blank_image(width, std::abs(tall), 3));
  const size_t stride = (static_cast<size_t>(width) * bits + 31) / 32 * 4;
  LINNET_REQUIRE(pixels_at <= bytes.size() && static_cast<size_t>(image.height) <= (bytes.size() - pixels_at) / stride,
                 cut_off());
  Channel red{bits == 16 ? 0x7c00u : 0xff0000u}, green{bits == 16 ? 0x3e0u : 0xff00u}, blue{bits == 16 ? 0x1fu : 0xffu};
  if (compression == kBitFields) {
    LINNET_REQUIRE(bytes.size() >= 66, cut_off());
    red.mask = number(54, 4), green.mask = number(58, 4), blue.mask = number(62, 4);
  }
  const size_t palette_at = 14 + header, entry = old ? 3 : 4;
  const size_t colors =
      bits <= 8 ? std::min((pixels_at - std::min(pixels_at, palette_at)) / entry, size_t{1} << bits) : 0;
  for (int64_t y = 0; y < image.height; ++y) {
    const size_t row = pixels_at + static_cast<size_t>(upwards ? image.height - 1 - y : y) * stride;
    for (int64_t x = 0; x < width; ++x) {
      uint8_t* to = &image.pixels[static_cast<size_t>((y * width + x) * 3)];
      const size_t bit = static_cast<size_t>(x) * bits;
      if (bits <= 8) {
        const uint32_t index = number(row + bit / 8, 1) >> (8 - bits - bit % 8) & ((1u << bits) - 1);
        LINNET_REQUIRE(index < colors, invalid_argument("color ", index, " of the BMP is not in its palette"));
        for (size_t c = 0; c < 3; ++c) to[c] = static_cast<uint8_t>(number(palette_at + index * entry + 2 - c, 1));
      } else {
        const uint32_t pixel = number(row + bit / 8, bits / 8);
        to[0] = red.of(pixel), to[1] = green.of(pixel), to[2] = blue.of(pixel);
      }
    }
  }
  return image;
}

}  // namespace linnet::codecs
