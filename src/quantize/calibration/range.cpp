#include "quantize/calibration/range.h"

#include <algorithm>
#include <cmath>

namespace linnet {
namespace {

constexpr std::string_view kNames[] = {"minmax", "entropy", "percentile", "mse"};

}  // namespace

std::string_view calibration_name(CalibrationMethod method) noexcept { return kNames[static_cast<size_t>(method)]; }

std::optional<CalibrationMethod> parse_calibration(std::string_view name) noexcept {
  for (size_t i = 0; i < std::size(kNames); ++i)
    if (kNames[i] == name) return static_cast<CalibrationMethod>(i);
  return std::nullopt;
}

ValueRange choose_range(const Observer& observer, const RangeOptions& options, uint32_t levels) {
  ValueRange range = min_max_range(observer, options);
  if (!observer.histogram().empty()) {
    switch (options.method) {
      case CalibrationMethod::min_max: break;
      case CalibrationMethod::entropy:
        range = entropy_range(observer, options.num_bins, options.num_quantized_bins);
        break;
      case CalibrationMethod::percentile: range = percentile_range(observer, options.percentile); break;
      case CalibrationMethod::mse: range = mse_range(observer, levels, options.symmetric); break;
    }
  }
  range.least = std::max(range.least, observer.least());
  range.greatest = std::min(range.greatest, observer.greatest());
  if (options.symmetric) {
    range.greatest = std::max(std::fabs(range.least), std::fabs(range.greatest));
    range.least = -range.greatest;
  }
  return range;
}

}  // namespace linnet
