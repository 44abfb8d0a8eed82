// UnaryFn over whole buffers: every type, and the split over threads.
#include <algorithm>
#include <cstdint>
#include <limits>

#include "kernels/elementwise/half_convert.h"
#include "kernels/elementwise/unary_reference.h"
#include "kernels/number_types.h"

namespace linnet {
namespace {

// Functions of few instructions stand in loops of their own.
void run_doubles(UnaryFn fn, double alpha, double beta, const double* src, double* dst, size_t count) noexcept {
  const auto loop = [=](auto function) {
    for (size_t i = 0; i < count; ++i) dst[i] = function(src[i]);
  };
  switch (fn) {
    case UnaryFn::abs: return loop([](double x) { return std::fabs(x); });
    case UnaryFn::neg: return loop([](double x) { return -x; });
    case UnaryFn::sqrt: return loop([](double x) { return std::sqrt(x); });
    case UnaryFn::relu: return loop([](double x) { return x < 0 ? 0.0 : x; });
    default: return loop([=](double x) { return unary_reference<double>(fn, alpha, beta, x); });
  }
}

template <class T>
void run_range(UnaryFn fn, UnaryParams params, const T* src, T* dst, size_t count) noexcept {
  if constexpr (std::is_same_v<T, float>) {
    unary_range(fn, params, src, dst, count);
  } else if constexpr (std::is_same_v<T, f16> || std::is_same_v<T, bf16>) {
    float chunk[kHalfChunk];
    for (size_t i = 0; i < count; i += kHalfChunk) {
      const size_t n = std::min(kHalfChunk, count - i);
      to_float(src + i, chunk, n);
      unary_range(fn, params, chunk, chunk, n);
      from_float(chunk, dst + i, n);
    }
  } else if constexpr (std::is_same_v<T, double>) {
    run_doubles(fn, static_cast<double>(params.alpha), static_cast<double>(params.beta), src, dst, count);
  } else if (unary_on_integers(fn)) {
    for (size_t i = 0; i < count; ++i) dst[i] = unary_reference(fn, src[i]);
  } else {
    for (size_t i = 0; i < count; ++i) {
      const double x = unary_reference<double>(fn, static_cast<double>(params.alpha), static_cast<double>(params.beta),
                                               static_cast<double>(src[i]));
      constexpr double kLeast = static_cast<double>(std::numeric_limits<T>::min());
      constexpr double kGreatest = static_cast<double>(std::numeric_limits<T>::max());
      dst[i] = x >= kGreatest ? std::numeric_limits<T>::max()
               : x > kLeast   ? static_cast<T>(x)
               : x <= kLeast  ? std::numeric_limits<T>::min()
                              : T{0};
    }
  }
}

}  // namespace

double unary_ns(UnaryFn fn) noexcept {
  if (fn <= UnaryFn::round) return 0.1;
  if (fn == UnaryFn::tan || (fn >= UnaryFn::sinh && fn <= UnaryFn::atanh)) return 8.0;
  return 0.5;
}

template <class T>
void unary(UnaryFn fn, UnaryParams params, const T* src, T* dst, size_t count, const Parallel& parallel) noexcept {
  // A multiple of every vector's length keeps the ends of ranges full.
  const size_t grain = (grain_for(unary_ns(fn)) + 63) & ~size_t{63};
  parallel.for_range(count, grain, [&](size_t begin, size_t end, size_t) {
    run_range(fn, params, src + begin, dst + begin, end - begin);
  });
}

#define LINNET_INSTANTIATE(T) \
  template void unary<T>(UnaryFn, UnaryParams, const T*, T*, size_t, const Parallel&) noexcept;
LINNET_FOR_EACH_NUMBER_TYPE(LINNET_INSTANTIATE)
#undef LINNET_INSTANTIATE

}  // namespace linnet
