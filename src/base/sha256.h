// SHA-256, so that what is told of a file can be checked with other tools.
// https://csrc.nist.gov/pubs/fips/180-4/upd1/final
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

namespace linnet {

class Sha256 {
 public:
  void add(std::span<const std::byte> bytes) noexcept;
  // Of all that was added, as 64 digits of base 16. Nothing can be added after that.
  std::string finish();

 private:
  void block(const std::byte* bytes) noexcept;

  std::array<uint32_t, 8> state_{0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
  std::array<std::byte, 64> rest_{};  // of a block that is not full
  uint64_t count_ = 0;
};

}  // namespace linnet
