#include <algorithm>
#include <optional>

#include "codecs/image.h"

namespace linnet::codecs {
namespace {

// https://netpbm.sourceforge.net/doc/ppm.html
class PnmReader {
 public:
  explicit PnmReader(std::string_view bytes) : rest_(bytes.substr(2)), kind_(bytes[1]), plain_(kind_ < '4') {}

  Result<Image> read() {
    const bool bitmap = kind_ == '1' || kind_ == '4';
    const std::optional<int64_t> width = number(), height = number(), greatest = bitmap ? 1 : number();
    LINNET_REQUIRE(width && height && greatest && *greatest > 0 && *greatest < 65536,
                   invalid_argument("the PNM header is cut off"));
    if (!plain_ && !rest_.empty()) rest_.remove_prefix(1);  // one whitespace ends the header
    // A byte holds at most eight pixels.
    const auto most = static_cast<int64_t>(rest_.size()) * 8;
    LINNET_REQUIRE(*width <= most && *height <= most, invalid_argument("the PNM is cut off"));
    LINNET_ASSIGN(Image image, blank_image(*width, *height, kind_ % 3 == 0 ? 3 : 1));
    size_t column = 0;
    for (uint8_t& sample : image.pixels) {
      const std::optional<int64_t> value = plain_   ? (bitmap ? digit() : number())
                                           : bitmap ? bit(column)
                                                    : raw(*greatest > 255 ? 2 : 1);
      if (++column == static_cast<size_t>(*width)) column = 0;
      LINNET_REQUIRE(value && *value <= *greatest, invalid_argument("the PNM is cut off or has a sample out of range"));
      sample = static_cast<uint8_t>((*value * 255 + *greatest / 2) / *greatest);
      if (bitmap) sample = static_cast<uint8_t>(255 - sample);  // 1 is black
    }
    return image;
  }

 private:
  std::optional<int64_t> raw(size_t bytes) {
    if (rest_.size() < bytes) return std::nullopt;
    int64_t value = 0;
    for (size_t i = 0; i < bytes; ++i) value = value * 256 + static_cast<uint8_t>(rest_[i]);
    rest_.remove_prefix(bytes);
    return value;
  }
  // Rows begin with a new byte.
  std::optional<int64_t> bit(size_t column) {
    if (column % 8 == 0) {
      const std::optional<int64_t> next = raw(1);
      if (!next) return std::nullopt;
      byte_ = *next;
    }
    return byte_ >> (7 - column % 8) & 1;
  }
  std::optional<int64_t> digit() {
    skip_space();
    if (rest_.empty() || (rest_[0] != '0' && rest_[0] != '1')) return std::nullopt;
    const int64_t value = rest_[0] - '0';
    rest_.remove_prefix(1);
    return value;
  }
  void skip_space() {  // and comments
    while (!rest_.empty() && (rest_.front() == '#' || rest_.front() <= ' ')) {
      const bool comment = rest_.front() == '#';
      const size_t skipped = comment ? rest_.find('\n') : 1;
      rest_.remove_prefix(std::min(skipped, rest_.size()));
    }
  }
  std::optional<int64_t> number() {
    skip_space();
    int64_t value = 0;
    size_t digits = 0;
    while (digits < rest_.size() && digits < 9 && rest_[digits] >= '0' && rest_[digits] <= '9') {
      value = value * 10 + (rest_[digits++] - '0');
    }
    rest_.remove_prefix(digits);
    return digits ? std::optional(value) : std::nullopt;
  }

  std::string_view rest_;
  char kind_;
  bool plain_;
  int64_t byte_ = 0;
};

}  // namespace

Result<Image> decode_pnm(std::string_view bytes) { return PnmReader(bytes).read(); }

}  // namespace linnet::codecs
