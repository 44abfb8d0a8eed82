#include "kernels/softmax/softmax.h"

#include <algorithm>
#include <cmath>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/softmax/softmax.cpp"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "kernels/math-inl.h"
#include "kernels/partial-inl.h"

HWY_BEFORE_NAMESPACE();
namespace linnet::HWY_NAMESPACE {
namespace {
namespace hn = hwy::HWY_NAMESPACE;

using D = hn::ScalableTag<float>;
using V = hn::Vec<D>;

// Rows are often worked on where they lie, one after the other: ends are stored so that no load waits for them.
void softmax_row_simd(bool log, const float* src, float* dst, size_t n) {
  const D d;
  const size_t lanes = hn::Lanes(d);
  const V least = hn::Set(d, -HUGE_VALF);
  const size_t whole = n - n % lanes;
  const size_t rest = n - whole;

  // NaN may be lost here; it comes back through the sum.
  V max0 = least, max1 = least;
  size_t i = 0;
  for (; i + 2 * lanes <= whole; i += 2 * lanes) {
    max0 = hn::Max(max0, hn::LoadU(d, src + i));
    max1 = hn::Max(max1, hn::LoadU(d, src + i + lanes));
  }
  if (i < whole) max0 = hn::Max(max0, hn::LoadU(d, src + i));
  if (rest != 0) max1 = hn::Max(max1, hn::IfThenElse(hn::FirstN(d, rest), load_partial(d, src + whole, rest), least));
  const V max = hn::MaxOfLanes(d, hn::Max(max0, max1));

  V sum0 = hn::Zero(d), sum1 = hn::Zero(d);
  const auto exponential = [&](V x) HWY_ATTR { return vec_exp_nonpositive(d, hn::Sub(x, max)); };
  if (log) {
    for (i = 0; i + 2 * lanes <= whole; i += 2 * lanes) {
      sum0 = hn::Add(sum0, exponential(hn::LoadU(d, src + i)));
      sum1 = hn::Add(sum1, exponential(hn::LoadU(d, src + i + lanes)));
    }
    if (i < whole) sum0 = hn::Add(sum0, exponential(hn::LoadU(d, src + i)));
    if (rest != 0)
      sum1 = hn::Add(sum1, hn::IfThenElseZero(hn::FirstN(d, rest), exponential(load_partial(d, src + whole, rest))));
    const V shift = hn::Set(d, std::log(hn::GetLane(hn::SumOfLanes(d, hn::Add(sum0, sum1)))));
    // Subtracting the maximum first keeps the small difference exact.
    for (i = 0; i < whole; i += lanes) hn::StoreU(hn::Sub(hn::Sub(hn::LoadU(d, src + i), max), shift), d, dst + i);
    if (rest != 0)
      store_by_halves(hn::Sub(hn::Sub(load_partial(d, src + whole, rest), max), shift), d, dst + whole, rest);
    return;
  }
  for (i = 0; i + 2 * lanes <= whole; i += 2 * lanes) {
    const V e0 = exponential(hn::LoadU(d, src + i));
    const V e1 = exponential(hn::LoadU(d, src + i + lanes));
    hn::StoreU(e0, d, dst + i);
    hn::StoreU(e1, d, dst + i + lanes);
    sum0 = hn::Add(sum0, e0);
    sum1 = hn::Add(sum1, e1);
  }
  if (i < whole) {
    const V e = exponential(hn::LoadU(d, src + i));
    hn::StoreU(e, d, dst + i);
    sum0 = hn::Add(sum0, e);
  }
  V last = hn::Zero(d);
  if (rest != 0) {
    last = hn::IfThenElseZero(hn::FirstN(d, rest), exponential(load_partial(d, src + whole, rest)));
    sum1 = hn::Add(sum1, last);
  }
  const V scale = hn::Div(hn::Set(d, 1.0f), hn::SumOfLanes(d, hn::Add(sum0, sum1)));
  for (i = 0; i < whole; i += lanes) hn::StoreU(hn::Mul(hn::LoadU(d, dst + i), scale), d, dst + i);
  if (rest != 0) store_by_halves(hn::Mul(last, scale), d, dst + whole, rest);
}

// Down the columns of [n, inner], one vector of columns (`width` of its lanes) at a time.
void softmax_columns_simd(bool log, const float* src, float* dst, size_t n, size_t inner, size_t width) {
  const D d;
  const auto load = [=](const float* p)
                        HWY_ATTR { return width == hn::Lanes(d) ? hn::LoadU(d, p) : load_partial(d, p, width); };
  const auto store = [=](V v, float* p) HWY_ATTR {
    if (width == hn::Lanes(d)) {
      hn::StoreU(v, d, p);
    } else {
      store_partial(v, d, p, width);
    }
  };
  V max = hn::Set(d, -HUGE_VALF);
  for (size_t i = 0; i < n; ++i) max = hn::Max(max, load(src + i * inner));
  V sum = hn::Zero(d);
  for (size_t i = 0; i < n; ++i) {
    const V e = vec_exp_nonpositive(d, hn::Sub(load(src + i * inner), max));
    sum = hn::Add(sum, e);
    if (!log) store(e, dst + i * inner);
  }
  if (log) {
    HWY_ALIGN float shift[hn::MaxLanes(D())];
    hn::Store(sum, d, shift);
    for (size_t k = 0; k < hn::Lanes(d); ++k) shift[k] = std::log(shift[k]);
    const V log_sum = hn::Load(d, shift);
    for (size_t i = 0; i < n; ++i) store(hn::Sub(hn::Sub(load(src + i * inner), max), log_sum), dst + i * inner);
  } else {
    const V scale = hn::Div(hn::Set(d, 1.0f), sum);
    for (size_t i = 0; i < n; ++i) store(hn::Mul(load(dst + i * inner), scale), dst + i * inner);
  }
}

void softmax_block_simd(bool log, const float* src, float* dst, size_t n, size_t inner) {
  const size_t lanes = hn::Lanes(D());
  for (size_t k = 0; k < inner; k += lanes)
    softmax_columns_simd(log, src + k, dst + k, n, inner, std::min(lanes, inner - k));
}

}  // namespace
}  // namespace linnet::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
#include "kernels/dispatch.h"

namespace linnet {
namespace {

template <class T>
void softmax_block_reference(bool log, const T* src, T* dst, size_t n, size_t inner) {
  for (size_t k = 0; k < inner; ++k) {
    T max = src[k];
    for (size_t i = 1; i < n; ++i) max = std::max(max, src[i * inner + k]);
    double sum = 0.0;
    for (size_t i = 0; i < n; ++i) sum += std::exp(static_cast<double>(src[i * inner + k]) - static_cast<double>(max));
    for (size_t i = 0; i < n; ++i) {
      const double x = static_cast<double>(src[i * inner + k]) - static_cast<double>(max);
      dst[i * inner + k] = static_cast<T>(log ? x - std::log(sum) : std::exp(x) / sum);
    }
  }
}

void softmax_row_reference(bool log, const float* src, float* dst, size_t n) {
  softmax_block_reference(log, src, dst, n, 1);
}

}  // namespace

void softmax_row(bool log, const float* src, float* dst, size_t n) noexcept {
  if (n != 0) LINNET_DISPATCH(softmax_row_simd, softmax_row_reference)(log, src, dst, n);
}

template <class T>
void softmax(bool log, const SoftmaxShape& shape, const T* src, T* dst, const Parallel& parallel) noexcept {
  const size_t block = shape.n * shape.inner;
  if (block == 0) return;
  parallel.for_range(shape.outer, grain_for(static_cast<double>(block)), [&](size_t begin, size_t end, size_t) {
    for (size_t o = begin; o < end; ++o) {
      const T* from = src + o * block;
      T* to = dst + o * block;
      if constexpr (std::is_same_v<T, double>) {
        softmax_block_reference(log, from, to, shape.n, shape.inner);
      } else if (shape.inner == 1) {
        LINNET_DISPATCH(softmax_row_simd, softmax_row_reference)(log, from, to, shape.n);
      } else {
        LINNET_DISPATCH(softmax_block_simd, softmax_block_reference<float>)(log, from, to, shape.n, shape.inner);
      }
    }
  });
}

template void softmax<float>(bool, const SoftmaxShape&, const float*, float*, const Parallel&) noexcept;
template void softmax<double>(bool, const SoftmaxShape&, const double*, double*, const Parallel&) noexcept;

}  // namespace linnet
#endif
