// Random numbers from a counter: element i of a stream does not depend on the others, so threads may split it.
// Philox4x32-10: Salmon et al., Parallel random numbers: as easy as 1, 2, 3 (2011),
// https://doi.org/10.1145/2063384.2063405
#pragma once

#include <array>
#include <cmath>
#include <cstdint>
#include <utility>

namespace linnet {

class Philox {
 public:
  explicit Philox(uint64_t seed) noexcept : seed_(seed) {}

  std::array<uint32_t, 4> block(uint64_t index) const noexcept {
    std::array<uint32_t, 4> c{static_cast<uint32_t>(index), static_cast<uint32_t>(index >> 32), 0, 0};
    uint32_t k0 = static_cast<uint32_t>(seed_), k1 = static_cast<uint32_t>(seed_ >> 32);
    for (int round = 0; round < 10; ++round, k0 += 0x9e3779b9u, k1 += 0xbb67ae85u) {
      const uint64_t a = uint64_t{0xd2511f53u} * c[0], b = uint64_t{0xcd9e8d57u} * c[2];
      c = {static_cast<uint32_t>(b >> 32) ^ c[1] ^ k0, static_cast<uint32_t>(b),
           static_cast<uint32_t>(a >> 32) ^ c[3] ^ k1, static_cast<uint32_t>(a)};
    }
    return c;
  }

  // Two numbers in [0, 1) with 53 random bits.
  std::pair<double, double> uniform_pair(uint64_t index) const noexcept {
    const auto c = block(index);
    const auto unit = [](uint32_t high, uint32_t low) {
      return (static_cast<double>(high >> 5) * 0x1p26 + static_cast<double>(low >> 6)) * 0x1p-53;
    };
    return {unit(c[0], c[1]), unit(c[2], c[3])};
  }
  double uniform(uint64_t index) const noexcept {
    const auto pair = uniform_pair(index / 2);
    return index % 2 ? pair.second : pair.first;
  }
  // Two independent numbers of the standard normal distribution (Box and Muller).
  std::pair<double, double> normal_pair(uint64_t index) const noexcept {
    const auto [u, v] = uniform_pair(index);
    const double radius = std::sqrt(-2.0 * std::log(1.0 - u)), angle = 6.28318530717958647693 * v;
    return {radius * std::cos(angle), radius * std::sin(angle)};
  }

 private:
  uint64_t seed_;
};

}  // namespace linnet
