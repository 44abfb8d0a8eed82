#include "files/utf8.h"

namespace linnet::cli {
namespace {

bool is_code_point(uint32_t c) { return c <= 0x10ffff && (c < 0xd800 || c > 0xdfff); }

}  // namespace

void append_utf8(std::string& text, uint32_t c) {
  if (!is_code_point(c)) c = 0xfffd;
  const auto add = [&](uint32_t byte) { text += static_cast<char>(byte); };
  if (c < 0x80) {
    add(c);
  } else if (c < 0x800) {
    add(0xc0 | c >> 6);
    add(0x80 | (c & 0x3f));
  } else if (c < 0x10000) {
    add(0xe0 | c >> 12);
    add(0x80 | (c >> 6 & 0x3f));
    add(0x80 | (c & 0x3f));
  } else {
    add(0xf0 | c >> 18);
    add(0x80 | (c >> 12 & 0x3f));
    add(0x80 | (c >> 6 & 0x3f));
    add(0x80 | (c & 0x3f));
  }
}

std::optional<std::u32string> decode_utf8(std::string_view text) {
  constexpr uint32_t kLeast[] = {0, 0x80, 0x800, 0x10000};  // a longer form than needed is invalid
  std::u32string out;
  for (size_t i = 0; i < text.size();) {
    const uint32_t lead = static_cast<uint8_t>(text[i++]);
    size_t more = 0;
    uint32_t c = lead;
    if (lead >= 0xf8 || (lead >= 0x80 && lead < 0xc0)) return std::nullopt;
    if (lead >= 0xf0) {
      more = 3;
      c = lead & 0x07;
    } else if (lead >= 0xe0) {
      more = 2;
      c = lead & 0x0f;
    } else if (lead >= 0xc0) {
      more = 1;
      c = lead & 0x1f;
    }
    if (more > text.size() - i) return std::nullopt;
    for (size_t k = 0; k < more; ++k, ++i) {
      const uint32_t next = static_cast<uint8_t>(text[i]);
      if ((next & 0xc0) != 0x80) return std::nullopt;
      c = c << 6 | (next & 0x3f);
    }
    if (c < kLeast[more] || !is_code_point(c)) return std::nullopt;
    out += static_cast<char32_t>(c);
  }
  return out;
}

}  // namespace linnet::cli
