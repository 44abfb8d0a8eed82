// From what was seen of a tensor to the range that its quantisation covers: one algorithm a file.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <utility>

#include "quantize/calibration/observer.h"

namespace linnet {

// The first three are onnxruntime.quantization.CalibrationMethod's, with its parameters' names and meaning.
enum class CalibrationMethod : uint8_t { min_max, entropy, percentile, mse };

std::string_view calibration_name(CalibrationMethod method) noexcept;  // "minmax"
std::optional<CalibrationMethod> parse_calibration(std::string_view name) noexcept;
inline bool needs_histogram(CalibrationMethod method) noexcept { return method != CalibrationMethod::min_max; }

struct RangeOptions {
  CalibrationMethod method = CalibrationMethod::min_max;
  // Of all elements, how many percent the range covers.
  double percentile = 99.999;
  // entropy: bins of the distribution, over both sides of zero, and what they are merged to. As many bins as merged
  // ones leave nothing to choose: the range is min_max's. The search takes time by the square of the bins.
  size_t num_bins = 128, num_quantized_bins = 128;
  // min_max: mean of the samples' ranges instead of their union.
  bool moving_average = false;
  // Equally far to both sides of zero.
  bool symmetric = false;
};

struct ValueRange {
  float least = 0, greatest = 0;
};

// `levels`: how many numbers the quantised type has. The observer has seen an element, and has a histogram where the
// method needs one. No end is beyond the least and greatest element seen.
ValueRange choose_range(const Observer& observer, const RangeOptions& options, uint32_t levels);

// --- the algorithms

// The pair of thresholds, as bins [begin, end), between which a distribution keeps most of its information when it is
// cut off there and quantised to `levels` numbers: the least Kullback-Leibler divergence. `counts` lies around zero.
// S. Migacz: 8-bit inference with TensorRT, GTC 2017.
std::pair<size_t, size_t> least_divergence(std::span<const uint64_t> counts, size_t levels);

ValueRange min_max_range(const Observer& observer, const RangeOptions& options);
ValueRange entropy_range(const Observer& observer, size_t num_bins, size_t num_quantized_bins);
// The magnitude that `percentile` percent of all elements do not exceed, to both sides.
ValueRange percentile_range(const Observer& observer, double percentile);
// The range of the least mean squared error, rounding and cutting off together.
ValueRange mse_range(const Observer& observer, uint32_t levels, bool symmetric);

}  // namespace linnet
