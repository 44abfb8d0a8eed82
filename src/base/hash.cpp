#include "base/hash.h"

#include <cstring>

namespace linnet {
namespace {

constexpr uint64_t kFactor = 0x9e3779b97f4a7c15u;  // odd: multiplying by it loses nothing

constexpr uint64_t mix(uint64_t h) noexcept {
  h = (h ^ h >> 32) * kFactor;
  h = (h ^ h >> 29) * kFactor;
  return h ^ h >> 32;
}

uint64_t word_at(const std::byte* from, size_t count) noexcept {
  uint64_t word = 0;
  std::memcpy(&word, from, count);
  return word;
}

}  // namespace

uint64_t hash_bytes(std::span<const std::byte> bytes, uint64_t seed) noexcept {
  // Four lanes, so that a multiplication need not wait for the one before.
  uint64_t lane[4] = {seed ^ 0x243f6a8885a308d3u, seed ^ 0x13198a2e03707344u, seed ^ 0xa4093822299f31d0u,
                      seed ^ 0x082efa98ec4e6c89u};
  const std::byte* at = bytes.data();
  size_t left = bytes.size();
  for (; left >= 32; left -= 32, at += 32)
    for (size_t i = 0; i < 4; ++i) {
      lane[i] = (lane[i] ^ word_at(at + 8 * i, 8)) * kFactor;
      lane[i] ^= lane[i] >> 32;
    }
  for (size_t i = 0; left != 0; ++i) {
    const size_t count = left < 8 ? left : 8;
    lane[i] = mix(lane[i] ^ word_at(at, count));
    at += count;
    left -= count;
  }
  uint64_t hash = mix(bytes.size());
  for (const uint64_t l : lane) hash = mix(hash ^ l);
  return hash;
}

}  // namespace linnet
