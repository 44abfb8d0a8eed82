// The discrete Fourier transform of any length, in double precision.
//
// Lengths whose prime factors are small go through a self-sorting mixed-radix transform (Stockham); others become a
// convolution of a power of two (Bluestein's algorithm).
#pragma once

#include <complex>
#include <cstddef>
#include <cstdint>

namespace linnet {

using Complex = std::complex<double>;

// Plain data, over tables that the caller keeps.
struct FftPlan {
  static constexpr size_t kMaxFactors = 64;
  size_t n = 1;
  size_t factors = 0;
  uint32_t factor[kMaxFactors];     // of n, or of `convolution`
  size_t convolution = 0;           // the power of two that n is embedded in; 0 when n is transformed as it is
  const Complex* roots = nullptr;   // exp(-2 pi i k / length) of the length that is transformed
  const Complex* chirp = nullptr;   // exp(-pi i k^2 / n)
  const Complex* filter = nullptr;  // the transform of the conjugate chirp
};

// Numbers in the tables of a transform of n > 0, and in the scratch of one call.
size_t fft_table_size(size_t n) noexcept;
size_t fft_scratch_size(size_t n) noexcept;
// `tables` must stay; `scratch` may go.
FftPlan make_fft(size_t n, Complex* tables, Complex* scratch) noexcept;
// In place. The inverse is not divided by n.
void fft(const FftPlan& plan, bool inverse, Complex* data, Complex* scratch) noexcept;

}  // namespace linnet
