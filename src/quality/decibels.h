#pragma once

#include <cmath>
#include <limits>

namespace linnet {

// Signal to noise in decibels, of sums of squares; infinite without noise.
inline double snr_db(double signal, double noise) noexcept {
  return noise == 0 ? std::numeric_limits<double>::infinity() : 10 * std::log10(signal / noise);
}

}  // namespace linnet
