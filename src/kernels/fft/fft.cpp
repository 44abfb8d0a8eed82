#include "kernels/fft/fft.h"

#include <algorithm>
#include <cmath>
#include <cstdint>

namespace linnet {
namespace {

constexpr uint32_t kGreatestFactor = 31;  // beyond it, a convolution is quicker

// The factors of n, 4 before 2; the rest that has no factor up to kGreatestFactor.
size_t factorize(size_t n, uint32_t* factors, size_t& count) noexcept {
  count = 0;
  for (uint32_t f = 4; n > 1 && f <= kGreatestFactor; f = f == 4 ? 2 : f == 2 ? 3 : f + 2)
    while (n % f == 0) {
      factors[count++] = f;
      n /= f;
    }
  return n;
}

size_t convolution_size(size_t n) noexcept {
  uint32_t factors[FftPlan::kMaxFactors];
  size_t count = 0;
  if (factorize(n, factors, count) == 1) return 0;
  size_t m = 1;
  while (m < 2 * n - 1) m *= 2;
  return m;
}

// exp(-2 pi i k / n), with the angle reduced to an eighth of the circle so that it is exact at the axes.
Complex root(uint64_t k, uint64_t n) noexcept {
  k %= n;
  const uint64_t eighth = 8 * k / n;
  const auto turn = [n](uint64_t numerator) {
    return 3.14159265358979323846 / 4.0 * (static_cast<double>(numerator) / static_cast<double>(n));
  };
  // Within the eighth: from its beginning when it is even, to its end when it is odd.
  const double angle = eighth % 2 == 0 ? turn(8 * k - eighth * n) : turn((eighth + 1) * n - 8 * k);
  const double c = std::cos(angle), s = std::sin(angle);
  switch (eighth) {
    case 0: return {c, -s};
    case 1: return {s, -c};
    case 2: return {-s, -c};
    case 3: return {-c, -s};
    case 4: return {-c, s};
    case 5: return {-s, c};
    case 6: return {s, c};
    default: return {c, s};
  }
}

// Without the checks for infinities that std::complex makes.
Complex times(Complex a, Complex b) noexcept {
  return {a.real() * b.real() - a.imag() * b.imag(), a.real() * b.imag() + a.imag() * b.real()};
}
Complex times_minus_i(Complex a) noexcept { return {a.imag(), -a.real()}; }

// One pass: `s` interleaved transforms of n, of which factor p is taken.
void pass(const Complex* roots, size_t length, size_t n, size_t s, size_t p, const Complex* x, Complex* y) noexcept {
  const size_t m = n / p;
  for (size_t j = 0; j < m; ++j) {
    const Complex* in = x + s * j;
    Complex* out = y + s * p * j;
    const size_t part = s * m;
    if (p == 2) {
      const Complex w = roots[j * s];
      for (size_t q = 0; q < s; ++q) {
        const Complex a = in[q], b = in[q + part];
        out[q] = a + b;
        out[q + s] = times(a - b, w);
      }
    } else if (p == 4) {
      const Complex w1 = roots[j * s], w2 = roots[2 * j * s], w3 = roots[3 * j * s];
      for (size_t q = 0; q < s; ++q) {
        const Complex a = in[q], b = in[q + part], c = in[q + 2 * part], d = in[q + 3 * part];
        const Complex ac = a + c, a_c = a - c, bd = b + d, b_d = times_minus_i(b - d);
        out[q] = ac + bd;
        out[q + s] = times(a_c + b_d, w1);
        out[q + 2 * s] = times(ac - bd, w2);
        out[q + 3 * s] = times(a_c - b_d, w3);
      }
    } else {
      // Sums and differences of opposite inputs share their products (p is odd here).
      const size_t step = length / p, half = p / 2;
      Complex sum[kGreatestFactor / 2 + 1], difference[kGreatestFactor / 2 + 1];
      for (size_t q = 0; q < s; ++q) {
        Complex all = in[q];
        for (size_t r = 1; r <= half; ++r) {
          const Complex a = in[q + r * part], b = in[q + (p - r) * part];
          sum[r] = a + b;
          difference[r] = times_minus_i(a - b);
          all += sum[r];
        }
        out[q] = all;
        for (size_t k = 1; k <= half; ++k) {
          Complex even = in[q], odd = 0;
          size_t turn = 0;
          for (size_t r = 1; r <= half; ++r) {
            turn += k;
            if (turn >= p) turn -= p;
            const Complex w = roots[turn * step];  // cos - i sin
            even += sum[r] * w.real();
            odd += difference[r] * -w.imag();
          }
          out[q + k * s] = times(even + odd, roots[j * k * s]);
          out[q + (p - k) * s] = times(even - odd, roots[j * (p - k) * s]);
        }
      }
    }
  }
}

// data holds the result; `other` is as long.
void stockham(const FftPlan& plan, size_t length, Complex* data, Complex* other) noexcept {
  Complex *x = data, *y = other;
  size_t n = length, s = 1;
  for (size_t i = 0; i < plan.factors; ++i) {
    pass(plan.roots, length, n, s, plan.factor[i], x, y);
    n /= plan.factor[i];
    s *= plan.factor[i];
    std::swap(x, y);
  }
  if (x != data) std::copy_n(x, length, data);
}

void conjugate(Complex* data, size_t n) noexcept {
  for (size_t i = 0; i < n; ++i) data[i] = std::conj(data[i]);
}

}  // namespace

size_t fft_table_size(size_t n) noexcept {
  const size_t m = convolution_size(n);
  return m ? n + 2 * m : n;
}

size_t fft_scratch_size(size_t n) noexcept {
  const size_t m = convolution_size(n);
  return m ? 2 * m : n;
}

FftPlan make_fft(size_t n, Complex* tables, Complex* scratch) noexcept {
  FftPlan plan;
  plan.n = n;
  plan.convolution = convolution_size(n);
  const size_t length = plan.convolution ? plan.convolution : n;
  factorize(length, plan.factor, plan.factors);
  for (size_t k = 0; k < length; ++k) tables[k] = root(k, length);
  plan.roots = tables;
  if (!plan.convolution) return plan;
  Complex *filter = tables + length, *chirp = filter + length;
  std::fill_n(filter, length, Complex{});
  uint64_t square = 0;  // k^2 modulo 2n
  for (size_t k = 0; k < n; ++k) {
    chirp[k] = root(square, 2 * uint64_t{n});
    filter[k] = std::conj(chirp[k]);
    if (k) filter[length - k] = filter[k];
    square = (square + 2 * uint64_t{k} + 1) % (2 * uint64_t{n});
  }
  stockham(plan, length, filter, scratch);
  plan.filter = filter;
  plan.chirp = chirp;
  return plan;
}

void fft(const FftPlan& plan, bool inverse, Complex* data, Complex* scratch) noexcept {
  const size_t n = plan.n, m = plan.convolution;
  if (inverse) conjugate(data, n);
  if (m == 0) {
    stockham(plan, n, data, scratch);
  } else {
    Complex *work = scratch, *other = scratch + m;
    for (size_t k = 0; k < n; ++k) work[k] = times(data[k], plan.chirp[k]);
    std::fill(work + n, work + m, Complex{});
    stockham(plan, m, work, other);
    for (size_t k = 0; k < m; ++k) work[k] = std::conj(times(work[k], plan.filter[k]));
    stockham(plan, m, work, other);  // the inverse, conjugated
    const double scale = 1.0 / static_cast<double>(m);
    for (size_t k = 0; k < n; ++k) data[k] = times(std::conj(work[k]) * scale, plan.chirp[k]);
  }
  if (inverse) conjugate(data, n);
}

}  // namespace linnet
