// What the tiles of convolutions share. Included by Highway files inside foreach_target.h.
#if defined(LINNET_KERNELS_CONV_TILE_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef LINNET_KERNELS_CONV_TILE_INL_H_
#undef LINNET_KERNELS_CONV_TILE_INL_H_
#else
#define LINNET_KERNELS_CONV_TILE_INL_H_
#endif

#include <algorithm>
#include <limits>

#include "hwy/highway.h"
#include "kernels/activation-inl.h"
#include "kernels/conv/conv.h"
#include "kernels/partial-inl.h"
#include "kernels/registers-inl.h"

HWY_BEFORE_NAMESPACE();
namespace linnet::HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;

using Floats = hn::CappedTag<float, 16>;
using Vector = hn::Vec<Floats>;
constexpr size_t kLanes = hn::MaxLanes(Floats());
constexpr size_t kVectors = kConvPanel / kLanes;

// Sums that a tile keeps in registers, of which there are 16, or 32 with AVX-512: enough to hide an addition's latency.
constexpr size_t kSums = kLanes == 16 ? 24 : 12;
constexpr size_t kMostRows = 6;  // of pointers to the source
constexpr size_t most_rows(size_t width) { return std::min(kMostRows, kSums / width); }
// So many products are summed on their own before their sum joins the others': rounding errors grow with the length of
// a chain of additions.
constexpr size_t kChain = 128;

// Calls run<kRows>(first) for groups that cover `count` positions, of as many rows as kWidth vectors leave sums for.
// Spread evenly: 7 positions are 4 + 3, not 6 + 1.
template <size_t kWidth, class Run>
HWY_INLINE void for_each_rows(size_t count, const Run& run) {
  constexpr size_t kMost = most_rows(kWidth);
  const size_t groups = (count + kMost - 1) / kMost;
  size_t first = 0;
  for (size_t g = 0; g < groups; ++g) {
    const size_t rows = count * (g + 1) / groups - first;
    switch (rows) {
      case 1: run.template operator()<1>(first); break;
      case 2:
        if constexpr (kMost >= 2) run.template operator()<2>(first);
        break;
      case 3:
        if constexpr (kMost >= 3) run.template operator()<3>(first);
        break;
      case 4:
        if constexpr (kMost >= 4) run.template operator()<4>(first);
        break;
      case 5:
        if constexpr (kMost >= 5) run.template operator()<5>(first);
        break;
      default:
        if constexpr (kMost >= 6) run.template operator()<6>(first);
        break;
    }
    first += rows;
  }
}

// Weights that kRows rows use.
template <size_t kRows>
HWY_INLINE Vector load_weights(const float* weights) {
  const Vector w = hn::LoadU(Floats(), weights);
  return kRows > 1 ? in_register(w) : w;
}

// Activations of a few instructions happen in registers, the others over the finished tile.
HWY_INLINE bool is_short(const ActivationSpec& spec) {
  return spec.kind == Activation::relu || spec.kind == Activation::clip || spec.kind == Activation::hard_swish;
}

template <size_t kRows, size_t kWidth>
HWY_INLINE void activate_short(const ActivationSpec& spec, Vector (&x)[kRows][kWidth]) {
  const Floats d;
  if (spec.kind == Activation::hard_swish) {
    const Vector none = hn::Zero(d);
    HWY_UNROLL(8)
    for (size_t r = 0; r < kRows; ++r) {
      HWY_UNROLL(8)
      for (size_t v = 0; v < kWidth; ++v) x[r][v] = activate<Activation::hard_swish>(d, x[r][v], none, none);
    }
    return;
  }
  const bool relu = spec.kind == Activation::relu;
  const Vector low = hn::Set(d, relu ? 0.0f : spec.a);
  const Vector high = hn::Set(d, relu ? std::numeric_limits<float>::infinity() : spec.b);
  HWY_UNROLL(8)
  for (size_t r = 0; r < kRows; ++r) {
    HWY_UNROLL(8)
    for (size_t v = 0; v < kWidth; ++v) x[r][v] = activate<Activation::clip>(d, x[r][v], low, high);
  }
}

HWY_INLINE Vector load_some(const float* src, size_t count) {
  const Floats d;
  return count >= kLanes ? hn::LoadU(d, src) : load_partial(d, src, count);
}
HWY_INLINE void store_some(Vector x, float* dst, size_t count) {
  const Floats d;
  if (count >= kLanes) return hn::StoreU(x, d, dst);
  store_partial(x, d, dst, count);
}

}  // namespace
}  // namespace linnet::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // LINNET_KERNELS_CONV_TILE_INL_H_
