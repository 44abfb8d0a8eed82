#include <algorithm>
#include <cmath>
#include <limits>

#include "quantize/calibration/range.h"

namespace linnet {
namespace {

constexpr int kSteps = 64;  // candidates for an end of the range
constexpr int kRounds = 2;  // over both ends

// The sum of squared errors of all elements but zeros, which have none.
double error_of(const Histogram& histogram, double least, double greatest, uint32_t levels) {
  const double step = (greatest - least) / (levels - 1);
  if (!(step > 0)) return std::numeric_limits<double>::infinity();
  const double zero_point = std::nearbyint(-least / step);
  const double low = -zero_point * step, high = (levels - 1 - zero_point) * step;
  // Within a bin, elements are taken to lie evenly.
  const double within = histogram.width() * histogram.width() / 12;
  double sum = 0;
  const std::span<const uint64_t> bins = histogram.bins();
  for (size_t i = 0; i < bins.size(); ++i) {
    if (bins[i] == 0) continue;
    const double x = histogram.edge(i) + histogram.width() / 2;
    const double error = x - std::clamp(std::nearbyint(x / step) * step, low, high);
    sum += static_cast<double>(bins[i]) * (error * error + within);
  }
  return sum;
}

}  // namespace

ValueRange mse_range(const Observer& observer, uint32_t levels, bool symmetric) {
  const Histogram& histogram = observer.histogram();
  const double full_least = std::min(0.0f, observer.least()), full_greatest = std::max(0.0f, observer.greatest());
  double least = full_least, greatest = full_greatest;
  double best = error_of(histogram, least, greatest, levels);
  const auto consider = [&](double low, double high) {
    const double error = error_of(histogram, low, high, levels);
    if (error >= best) return;
    best = error;
    least = low;
    greatest = high;
  };
  if (symmetric) {
    const double magnitude = std::max(-full_least, full_greatest);
    best = error_of(histogram, -magnitude, magnitude, levels);
    least = -magnitude;
    greatest = magnitude;
    for (int i = 1; i < kSteps; ++i) consider(-magnitude * i / kSteps, magnitude * i / kSteps);
  } else {
    for (int round = 0; round < kRounds; ++round) {
      for (int i = 0; i < kSteps; ++i) consider(least, full_greatest * i / kSteps);
      for (int i = 0; i < kSteps; ++i) consider(full_least * i / kSteps, greatest);
    }
  }
  return {static_cast<float>(least), static_cast<float>(greatest)};
}

}  // namespace linnet
