// Numbers that kernels are tried with.
#pragma once

#include <cstddef>
#include <random>
#include <vector>

namespace linnet {

// From -bound to bound, the same for the same seed.
template <class T = float>
std::vector<T> noise(size_t count, unsigned seed, T bound = 1) {
  std::mt19937 random(seed);
  std::uniform_real_distribution<T> uniform(-bound, bound);
  std::vector<T> values(count);
  for (T& v : values) v = uniform(random);
  return values;
}

}  // namespace linnet
