#include "kernels/norm/norm.h"

#include <algorithm>
#include <cmath>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/norm/norm.cpp"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "kernels/partial-inl.h"

HWY_BEFORE_NAMESPACE();
namespace linnet::HWY_NAMESPACE {
namespace {
namespace hn = hwy::HWY_NAMESPACE;

using D = hn::ScalableTag<float>;
using V = hn::Vec<D>;

// Calls visit(i, count) for the vectors of a row; count is the constant number of lanes but in the last call.
template <class Visit>
HWY_INLINE void for_each_vector(size_t n, Visit visit) {
  const size_t lanes = hn::Lanes(D());
  size_t i = 0;
  for (; i + lanes <= n; i += lanes) visit(i, lanes);
  if (i < n) visit(i, n - i);
}

HWY_INLINE V load(const float* p, size_t count) {
  const D d;
  return HWY_LIKELY(count == hn::Lanes(d)) ? hn::LoadU(d, p) : load_partial(d, p, count);
}
HWY_INLINE void store(V v, float* p, size_t count) {
  const D d;
  if (HWY_LIKELY(count == hn::Lanes(d))) {
    hn::StoreU(v, d, p);
  } else {
    store_partial(v, d, p, count);
  }
}

// The sum over i of term(i, count); term gives 0 in lanes from `count` on. Four chains hide the adder's latency.
template <class Term>
HWY_INLINE float sum_of(size_t n, Term term) {
  const D d;
  const size_t lanes = hn::Lanes(d);
  V a = hn::Zero(d), b = hn::Zero(d), c = hn::Zero(d), e = hn::Zero(d);
  size_t i = 0;
  for (; i + 4 * lanes <= n; i += 4 * lanes) {
    a = hn::Add(a, term(i, lanes));
    b = hn::Add(b, term(i + lanes, lanes));
    c = hn::Add(c, term(i + 2 * lanes, lanes));
    e = hn::Add(e, term(i + 3 * lanes, lanes));
  }
  for (; i + lanes <= n; i += lanes) a = hn::Add(a, term(i, lanes));
  if (i < n) b = hn::Add(b, hn::IfThenElseZero(hn::FirstN(d, n - i), term(i, n - i)));
  return hn::GetLane(hn::SumOfLanes(d, hn::Add(hn::Add(a, b), hn::Add(c, e))));
}

HWY_INLINE float mean_of(const float* x, size_t n) {
  return sum_of(n, [=](size_t i, size_t count) HWY_ATTR { return load(x + i, count); }) / static_cast<float>(n);
}

HWY_INLINE float inverse_deviation(const float* x, size_t n, float mean, float epsilon) {
  const V center = hn::Set(D(), mean);
  const float squares = sum_of(n, [=](size_t i, size_t count) HWY_ATTR {
    const V difference = hn::Sub(load(x + i, count), center);
    return hn::Mul(difference, difference);
  });
  return 1.0f / std::sqrt(squares / static_cast<float>(n) + epsilon);
}

void layer_norm_row_simd(const LayerNorm& norm, size_t row) {
  const D d;
  const size_t n = norm.n;
  const float* x = norm.src + row * n;
  float* dst = norm.dst + row * n;
  if (norm.skip || norm.bias) {
    const float* skip = norm.skip ? norm.skip + row % norm.skip_rows * n : nullptr;
    float* sum = norm.sum ? norm.sum + row * n : dst;
    for_each_vector(n, [=, bias = norm.bias](size_t i, size_t count) HWY_ATTR {
      V v = load(x + i, count);
      if (skip) v = hn::Add(v, load(skip + i, count));
      if (bias) v = hn::Add(v, load(bias + i, count));
      store(v, sum + i, count);
    });
    x = sum;
  }
  const float mean = norm.rms ? 0.0f : mean_of(x, n);
  const float inverse = inverse_deviation(x, n, mean, norm.epsilon);
  if (norm.mean) norm.mean[row] = mean;
  if (norm.inverse) norm.inverse[row] = inverse;
  const V center = hn::Set(d, mean);
  const V factor = hn::Set(d, inverse);
  for_each_vector(n, [=, scale = norm.scale, shift = norm.shift](size_t i, size_t count) HWY_ATTR {
    V v = hn::Mul(hn::Sub(load(x + i, count), center), factor);
    if (scale) v = hn::Mul(v, load(scale + i, count));
    if (shift) v = hn::Add(v, load(shift + i, count));
    store(v, dst + i, count);
  });
}

void affine_row_simd(const float* src, float* dst, size_t n, float scale, float shift) {
  const V a = hn::Set(D(), scale);
  const V b = hn::Set(D(), shift);
  for_each_vector(
      n, [=](size_t i, size_t count) HWY_ATTR { store(hn::MulAdd(load(src + i, count), a, b), dst + i, count); });
}

// One number a channel, as in channels-last data and classifiers.
void affine_channels_simd(const float* src, float* dst, size_t n, const float* scale, const float* shift) {
  for_each_vector(n, [=](size_t i, size_t count) HWY_ATTR {
    store(hn::MulAdd(load(src + i, count), load(scale + i, count), load(shift + i, count)), dst + i, count);
  });
}

void moments_simd(const float* src, size_t n, float epsilon, float* mean, float* inverse) {
  *mean = mean_of(src, n);
  *inverse = inverse_deviation(src, n, *mean, epsilon);
}

}  // namespace
}  // namespace linnet::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
#include "kernels/dispatch.h"

namespace linnet {
namespace {

void moments_reference(const float* src, size_t n, float epsilon, float* mean, float* inverse) {
  double sum = 0.0;
  for (size_t i = 0; i < n; ++i) sum += static_cast<double>(src[i]);
  const double center = sum / static_cast<double>(n);
  double squares = 0.0;
  for (size_t i = 0; i < n; ++i) {
    const double difference = static_cast<double>(src[i]) - center;
    squares += difference * difference;
  }
  *mean = static_cast<float>(center);
  *inverse = static_cast<float>(1.0 / std::sqrt(squares / static_cast<double>(n) + static_cast<double>(epsilon)));
}

void layer_norm_row_reference(const LayerNorm& norm, size_t row) {
  const size_t n = norm.n;
  const float* src = norm.src + row * n;
  float* sum = norm.sum ? norm.sum + row * n : norm.dst + row * n;
  const bool residual = norm.skip || norm.bias;
  if (residual) {
    for (size_t i = 0; i < n; ++i) {
      float v = src[i];
      if (norm.skip) v += norm.skip[row % norm.skip_rows * n + i];
      if (norm.bias) v += norm.bias[i];
      sum[i] = v;
    }
  }
  const float* x = residual ? sum : src;
  float mean = 0.0f;
  float inverse = 0.0f;
  if (norm.rms) {
    double squares = 0.0;
    for (size_t i = 0; i < n; ++i) squares += static_cast<double>(x[i]) * static_cast<double>(x[i]);
    inverse = static_cast<float>(1.0 / std::sqrt(squares / static_cast<double>(n) + static_cast<double>(norm.epsilon)));
  } else {
    moments_reference(x, n, norm.epsilon, &mean, &inverse);
  }
  if (norm.mean) norm.mean[row] = mean;
  if (norm.inverse) norm.inverse[row] = inverse;
  for (size_t i = 0; i < n; ++i) {
    float v = (x[i] - mean) * inverse;
    if (norm.scale) v *= norm.scale[i];
    if (norm.shift) v += norm.shift[i];
    norm.dst[row * n + i] = v;
  }
}

void affine_row_reference(const float* src, float* dst, size_t n, float scale, float shift) {
  for (size_t i = 0; i < n; ++i) dst[i] = src[i] * scale + shift;
}

void affine_channels_reference(const float* src, float* dst, size_t n, const float* scale, const float* shift) {
  for (size_t i = 0; i < n; ++i) dst[i] = src[i] * scale[i] + shift[i];
}

void affine_row(const float* src, float* dst, size_t n, float scale, float shift) noexcept {
  LINNET_DISPATCH(affine_row_simd, affine_row_reference)(src, dst, n, scale, shift);
}

}  // namespace

void layer_norm(const LayerNorm& norm, const Parallel& parallel) noexcept {
  parallel.for_range(norm.rows, grain_for(0.4 * static_cast<double>(norm.n)), [&](size_t begin, size_t end, size_t) {
    const auto row = LINNET_DISPATCH(layer_norm_row_simd, layer_norm_row_reference);
    for (size_t r = begin; r < end; ++r) row(norm, r);
  });
}

void channel_norm(const ChannelNorm& norm, const Parallel& parallel) noexcept {
  const size_t count = norm.groups * norm.n;
  parallel.for_range(norm.rows, grain_for(0.4 * static_cast<double>(count)), [&](size_t begin, size_t end, size_t) {
    for (size_t r = begin; r < end; ++r) {
      float mean = 0.0f;
      float inverse = 0.0f;
      LINNET_DISPATCH(moments_simd, moments_reference)(norm.src + r * count, count, norm.epsilon, &mean, &inverse);
      for (size_t g = 0; g < norm.groups; ++g) {
        const size_t channel = (r * norm.groups + g) % norm.channels;
        const size_t at = r * count + g * norm.n;
        const float scale = norm.scale[channel] * inverse;
        affine_row(norm.src + at, norm.dst + at, norm.n, scale, norm.shift[channel] - mean * scale);
      }
    }
  });
}

void channel_affine(const ChannelAffine& affine, const Parallel& parallel) noexcept {
  if (affine.inner == 1) {
    const auto row = LINNET_DISPATCH(affine_channels_simd, affine_channels_reference);
    parallel.for_range(affine.outer, grain_for(0.2 * static_cast<double>(affine.channels)),
                       [&](size_t begin, size_t end, size_t) {
                         for (size_t r = begin; r < end; ++r) {
                           const size_t at = r * affine.channels;
                           row(affine.src + at, affine.dst + at, affine.channels, affine.scale, affine.shift);
                         }
                       });
    return;
  }
  const double ns = 0.2 * static_cast<double>(affine.inner) + 5.0;
  parallel.for_range(affine.outer * affine.channels, grain_for(ns), [&](size_t begin, size_t end, size_t) {
    for (size_t r = begin; r < end; ++r) {
      const size_t channel = r % affine.channels;
      const size_t at = r * affine.inner;
      affine_row(affine.src + at, affine.dst + at, affine.inner, affine.scale[channel], affine.shift[channel]);
    }
  });
}

void local_response(const LocalResponse& what, const float* src, float* dst, const Parallel& parallel) noexcept {
  const size_t before = (what.size - 1) / 2;
  const size_t after = what.size - 1 - before;
  const double ns = static_cast<double>(what.inner) * (static_cast<double>(what.size) + 15.0);
  parallel.for_range(what.outer * what.channels, grain_for(ns), [&](size_t begin, size_t end, size_t) {
    for (size_t r = begin; r < end; ++r) {
      const size_t channel = r % what.channels;
      const size_t first = channel - std::min(channel, before);
      const size_t last = std::min(channel + after, what.channels - 1);
      const float* image = src + (r - channel) * what.inner;
      for (size_t i = 0; i < what.inner; ++i) {
        float squares = 0.0f;
        for (size_t c = first; c <= last; ++c) squares += image[c * what.inner + i] * image[c * what.inner + i];
        const float base = what.bias + what.alpha / static_cast<float>(what.size) * squares;
        dst[r * what.inner + i] = src[r * what.inner + i] / std::pow(base, what.beta);
      }
    }
  });
}

template <class T>
void lp_normalize(int p, size_t outer, size_t n, size_t inner, const T* src, T* dst,
                  const Parallel& parallel) noexcept {
  const double ns = static_cast<double>(n) * static_cast<double>(inner);
  parallel.for_range(outer, grain_for(ns), [&](size_t begin, size_t end, size_t) {
    for (size_t o = begin; o < end; ++o) {
      for (size_t k = 0; k < inner; ++k) {
        const T* from = src + o * n * inner + k;
        T* to = dst + o * n * inner + k;
        double sums[4] = {};  // not one chain of additions
        for (size_t i = 0; i < n; ++i) {
          const double x = static_cast<double>(from[i * inner]);
          sums[i % 4] += p == 1 ? std::fabs(x) : x * x;
        }
        const double sum = (sums[0] + sums[2]) + (sums[1] + sums[3]), norm = p == 1 ? sum : std::sqrt(sum);
        if (norm == 0.0) {
          for (size_t i = 0; i < n; ++i) to[i * inner] = T{0};
        } else if constexpr (std::is_same_v<T, double>) {
          for (size_t i = 0; i < n; ++i) to[i * inner] = from[i * inner] / norm;
        } else {
          const double inverse = 1.0 / norm;  // rounds once more, far below a float's last bit
          for (size_t i = 0; i < n; ++i) to[i * inner] = static_cast<T>(static_cast<double>(from[i * inner]) * inverse);
        }
      }
    }
  });
}
template void lp_normalize<float>(int, size_t, size_t, size_t, const float*, float*, const Parallel&) noexcept;
template void lp_normalize<double>(int, size_t, size_t, size_t, const double*, double*, const Parallel&) noexcept;

}  // namespace linnet
#endif
