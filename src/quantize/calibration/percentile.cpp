#include <cmath>

#include "quantize/calibration/range.h"

namespace linnet {

ValueRange percentile_range(const Observer& observer, double percentile) {
  const Histogram& histogram = observer.histogram();
  const std::span<const uint64_t> bins = histogram.bins();
  const size_t half = bins.size() / 2;
  const double wanted = percentile / 100 * static_cast<double>(observer.count());
  auto covered = static_cast<double>(histogram.zeros());
  size_t i = 0;
  while (i < half && covered < wanted) {
    covered += static_cast<double>(bins[half + i] + bins[half - 1 - i]);
    ++i;
  }
  const auto magnitude = static_cast<float>(static_cast<double>(i) * histogram.width());
  return {-magnitude, magnitude};
}

}  // namespace linnet
