#include "quantize/calibration/histogram.h"

#include <algorithm>
#include <cmath>

namespace linnet {
namespace {

// Below it, the reciprocal of a bin's width would not be a float.
constexpr int kLeastExponent = -100;

}  // namespace

void Histogram::widen(int exponent) {
  if (bins_.empty()) {
    bins_.assign(kBins, 0);
  } else {
    const int steps = std::min(exponent - exponent_, 62);
    std::vector<uint64_t> merged(kBins, 0);
    for (int64_t i = 0; i < static_cast<int64_t>(kBins); ++i)
      merged[static_cast<size_t>(((i - kHalf) >> steps) + kHalf)] += bins_[static_cast<size_t>(i)];
    bins_ = std::move(merged);
  }
  exponent_ = exponent;
  width_ = std::ldexp(1.0, exponent) / static_cast<double>(kHalf);
}

void Histogram::add(std::span<const float> elements, float magnitude) {
  if (magnitude > 0) {
    int exponent = 0;
    static_cast<void>(std::frexp(magnitude, &exponent));
    exponent = std::max(exponent, kLeastExponent);
    if (bins_.empty() || exponent > exponent_) widen(exponent);
  }
  const auto per_bin = static_cast<float>(bins_.empty() ? 0 : 1 / width_);
  for (const float x : elements) {
    if (x == 0)
      ++zeros_;
    else if (std::isfinite(x))
      ++bins_[static_cast<size_t>(static_cast<int64_t>(std::floor(x * per_bin)) + kHalf)];
  }
}

}  // namespace linnet
