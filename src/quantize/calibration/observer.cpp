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

void Observer::add_channels(std::span<const float> elements, size_t channels, size_t inner) {
  if (elements.empty()) return;
  if (channel_sums_.empty()) channel_sums_.assign(channels, 0);
  ragged_channels_ |= channel_sums_.size() != channels;
  if (ragged_channels_) return;
  for (size_t i = 0; i < elements.size(); i += inner) {
    double sum = 0;
    for (const float x : elements.subspan(i, inner)) sum += x;
    channel_sums_[i / inner % channels] += sum;
  }
  per_channel_ += elements.size() / channels;
}

void Observer::add_magnitudes(std::span<const float> elements, size_t channels) {
  if (elements.empty() || ragged_magnitudes_) return;
  if (magnitudes_.empty()) magnitudes_.assign(channels, 0);
  ragged_magnitudes_ = magnitudes_.size() != channels;
  if (ragged_magnitudes_) magnitudes_.clear();
  for (size_t i = 0; i < elements.size() && !ragged_magnitudes_; ++i)
    if (std::isfinite(elements[i]))
      magnitudes_[i % channels] = std::max(magnitudes_[i % channels], std::fabs(elements[i]));
}

std::vector<double> Observer::channel_means() const {
  if (ragged_channels_) return {};
  std::vector<double> means = channel_sums_;
  for (double& mean : means) mean /= static_cast<double>(per_channel_);
  return means;
}

}  // namespace linnet
