// Which format an image has, by its first bytes.
#pragma once

#include <string_view>

namespace linnet::codecs {

enum class Format { none, png, jpeg, jpeg2000, webp, tiff, bmp, pnm };

inline Format format_of(std::string_view bytes) noexcept {
  const auto begins = [&](std::string_view magic) { return bytes.substr(0, magic.size()) == magic; };
  using namespace std::string_view_literals;
  if (begins("\x89PNG\r\n\x1a\n"sv)) return Format::png;
  if (begins("\xff\xd8\xff"sv)) return Format::jpeg;
  if (begins("\0\0\0\x0cjP  \r\n\x87\n"sv) || begins("\xff\x4f\xff\x51"sv)) return Format::jpeg2000;
  if (begins("RIFF"sv) && bytes.size() >= 12 && bytes.substr(8, 4) == "WEBP") return Format::webp;
  if (begins("II*\0"sv) || begins("MM\0*"sv) || begins("II+\0"sv) || begins("MM\0+"sv)) return Format::tiff;
  if (begins("BM"sv)) return Format::bmp;
  if (bytes.size() > 2 && bytes[0] == 'P' && bytes[1] >= '1' && bytes[1] <= '6') return Format::pnm;
  return Format::none;
}

}  // namespace linnet::codecs
