// A cursor over the bytes of a file that nobody has vouched for: every read is checked, integers are little-endian.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace linnet::cli {

class ByteReader {
 public:
  explicit ByteReader(std::string_view bytes) : rest_(bytes) {}

  std::string_view rest() const { return rest_; }

  // The next `count` bytes, or nothing when fewer are left.
  std::optional<std::string_view> bytes(uint64_t count) {
    if (count > rest_.size()) return std::nullopt;
    const std::string_view taken = rest_.substr(0, static_cast<size_t>(count));
    rest_.remove_prefix(taken.size());
    return taken;
  }

  template <class T>
  std::optional<T> integer() {
    const std::optional<std::string_view> taken = bytes(sizeof(T));
    if (!taken) return std::nullopt;
    T value = 0;
    for (size_t i = 0; i < sizeof(T); ++i) {
      value = static_cast<T>(value | static_cast<T>(static_cast<T>(static_cast<uint8_t>((*taken)[i])) << (8 * i)));
    }
    return value;
  }

 private:
  std::string_view rest_;
};

}  // namespace linnet::cli
