#include "quantize/calibration/observer.h"

#include <algorithm>
#include <cmath>

namespace linnet {

void Observer::add(std::span<const float> elements) {
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  float least = kInfinity, greatest = -kInfinity;
  uint64_t numbers = 0;
  for (const float x : elements) {
    if (std::isfinite(x)) {
      least = std::min(least, x);
      greatest = std::max(greatest, x);
      ++numbers;
    } else {
      ++(std::isnan(x) ? not_numbers_ : infinities_);
    }
  }
  if (numbers == 0) return;
  if (with_histogram_) histogram_.add(elements, std::max(std::fabs(least), std::fabs(greatest)));
  count_ += numbers;
  ++samples_;
  least_ = std::min(least_, least);
  greatest_ = std::max(greatest_, greatest);
  sum_least_ += least;
  sum_greatest_ += greatest;
}

}  // namespace linnet
