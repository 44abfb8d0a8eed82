#include "quantize/calibration/range.h"

namespace linnet {

ValueRange min_max_range(const Observer& observer, const RangeOptions& options) {
  if (!options.moving_average) return {observer.least(), observer.greatest()};
  return {static_cast<float>(observer.mean_least()), static_cast<float>(observer.mean_greatest())};
}

}  // namespace linnet
