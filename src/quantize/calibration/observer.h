// What calibration learns of one tensor.
#pragma once

#include <cstdint>
#include <limits>
#include <span>
#include <vector>

#include "quantize/calibration/gram.h"
#include "quantize/calibration/histogram.h"

namespace linnet {

class Observer {
 public:
  // Without a histogram only the least and greatest elements are known.
  explicit Observer(bool with_histogram) : with_histogram_(with_histogram) {}

  // The tensor of one sample; its shape may differ from sample to sample.
  void add(std::span<const float> elements);
  // The sums of the tensor's channels, as [outer][channels][inner].
  void add_channels(std::span<const float> elements, size_t channels, size_t inner);

  // The greatest magnitudes of the channels along the last axis.
  void add_magnitudes(std::span<const float> elements, size_t channels);

  Gram& products() noexcept { return products_; }
  const Gram& products() const noexcept { return products_; }

  // Over finite elements.
  uint64_t count() const noexcept { return count_; }
  float least() const noexcept { return least_; }
  float greatest() const noexcept { return greatest_; }
  // Of the samples' least and greatest elements.
  double mean_least() const noexcept { return samples_ ? sum_least_ / static_cast<double>(samples_) : 0; }
  double mean_greatest() const noexcept { return samples_ ? sum_greatest_ / static_cast<double>(samples_) : 0; }
  const Histogram& histogram() const noexcept { return histogram_; }

  // By channel; empty without add_channels, and where the number of channels is not always the same.
  std::vector<double> channel_means() const;

  // By channel; empty without add_magnitudes, and where the number of channels is not always the same.
  const std::vector<float>& magnitudes() const noexcept { return magnitudes_; }

  uint64_t not_numbers() const noexcept { return not_numbers_; }
  uint64_t infinities() const noexcept { return infinities_; }

 private:
  bool with_histogram_;
  uint64_t count_ = 0, samples_ = 0, not_numbers_ = 0, infinities_ = 0;
  float least_ = std::numeric_limits<float>::infinity(), greatest_ = -std::numeric_limits<float>::infinity();
  double sum_least_ = 0, sum_greatest_ = 0;
  Histogram histogram_;
  std::vector<double> channel_sums_;
  std::vector<float> magnitudes_;
  bool ragged_magnitudes_ = false;
  uint64_t per_channel_ = 0;
  bool ragged_channels_ = false;
  Gram products_;
};

}  // namespace linnet
