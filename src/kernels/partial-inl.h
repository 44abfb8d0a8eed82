// Loads and stores of fewer lanes than a vector has, for the end of a row. Never touches memory behind the lanes.
// Included by Highway files inside foreach_target.h.
#if defined(LINNET_KERNELS_PARTIAL_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef LINNET_KERNELS_PARTIAL_INL_H_
#undef LINNET_KERNELS_PARTIAL_INL_H_
#else
#define LINNET_KERNELS_PARTIAL_INL_H_
#endif

#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace linnet::HWY_NAMESPACE {

// The first `count` (< Lanes(d)) lanes of 4- or 8-byte elements; the others are zero.
template <class D>
HWY_INLINE hwy::HWY_NAMESPACE::Vec<D> load_partial(D d, const hwy::HWY_NAMESPACE::TFromD<D>* src, size_t count) {
  namespace hn = hwy::HWY_NAMESPACE;
#if HWY_TARGET <= HWY_AVX2
  return hn::MaskedLoad(hn::FirstN(d, count), d, src);
#else
  HWY_ALIGN hn::TFromD<D> lanes[hn::MaxLanes(D())] = {};
  for (size_t i = 0; i < count; ++i) lanes[i] = src[i];
  return hn::Load(d, lanes);
#endif
}

template <class D>
HWY_INLINE void store_partial(hwy::HWY_NAMESPACE::Vec<D> v, D d, hwy::HWY_NAMESPACE::TFromD<D>* dst, size_t count) {
  namespace hn = hwy::HWY_NAMESPACE;
  static_assert(sizeof(hn::TFromD<D>) >= 4);
  if constexpr (HWY_TARGET < HWY_AVX2) {
    hn::BlendedStore(v, hn::FirstN(d, count), d, dst);
  } else if constexpr (hn::MaxLanes(d) > 2) {
    // By halves: a masked store of AVX2 costs some machines ten cycles and more.
    const hn::Half<D> dh;
    if (count >= hn::MaxLanes(dh)) {
      hn::StoreU(hn::LowerHalf(dh, v), dh, dst);
      if (count > hn::MaxLanes(dh))
        store_partial(hn::UpperHalf(dh, v), dh, dst + hn::MaxLanes(dh), count - hn::MaxLanes(dh));
    } else {
      store_partial(hn::LowerHalf(dh, v), dh, dst, count);
    }
  } else if (count != 0) {
    *dst = hn::GetLane(v);
  }
}

}  // namespace linnet::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
