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
  if constexpr (HWY_TARGET < HWY_AVX2 && hn::MaxLanes(d) == 16) {
    const hn::Half<D> dh;
    if (count == hn::MaxLanes(dh)) return hn::ZeroExtendVector(d, hn::LoadU(dh, src));
  }
  return hn::MaskedLoad(hn::FirstN(d, count), d, src);
#else
  HWY_ALIGN hn::TFromD<D> lanes[hn::MaxLanes(D())] = {};
  for (size_t i = 0; i < count; ++i) lanes[i] = src[i];
  return hn::Load(d, lanes);
#endif
}

// In halves of halves: what was stored through a mask has to reach the cache before a load of it, or of what follows
// it, goes on, and a masked store of AVX2 costs some machines ten cycles.
template <class D>
HWY_INLINE void store_by_halves(hwy::HWY_NAMESPACE::Vec<D> v, D d, hwy::HWY_NAMESPACE::TFromD<D>* dst, size_t count) {
  namespace hn = hwy::HWY_NAMESPACE;
  static_assert(sizeof(hn::TFromD<D>) >= 4);
  if constexpr (hn::MaxLanes(d) > 2) {
    const hn::Half<D> dh;
    if (count >= hn::MaxLanes(dh)) {
      hn::StoreU(hn::LowerHalf(dh, v), dh, dst);
      if (count > hn::MaxLanes(dh))
        store_by_halves(hn::UpperHalf(dh, v), dh, dst + hn::MaxLanes(dh), count - hn::MaxLanes(dh));
    } else {
      store_by_halves(hn::LowerHalf(dh, v), dh, dst, count);
    }
  } else if (count != 0) {
    *dst = hn::GetLane(v);
  }
}

template <class D>
HWY_INLINE void store_partial(hwy::HWY_NAMESPACE::Vec<D> v, D d, hwy::HWY_NAMESPACE::TFromD<D>* dst, size_t count) {
  namespace hn = hwy::HWY_NAMESPACE;
  if constexpr (HWY_TARGET < HWY_AVX2) {
    const hn::Half<D> dh;  // which rows often end with
    if (hn::MaxLanes(d) == 16 && count == hn::MaxLanes(dh)) return hn::StoreU(hn::LowerHalf(dh, v), dh, dst);
    hn::BlendedStore(v, hn::FirstN(d, count), d, dst);
  } else {
    store_by_halves(v, d, dst, count);
  }
}

// The first `count` lanes, for loops that load them again and again: the mask is made once.
template <class D>
struct Part {
  using Number = hwy::HWY_NAMESPACE::TFromD<D>;
  size_t count;
#if HWY_TARGET <= HWY_AVX2
  hwy::HWY_NAMESPACE::Mask<D> mask = hwy::HWY_NAMESPACE::FirstN(D(), count);
  HWY_INLINE hwy::HWY_NAMESPACE::Vec<D> load(const Number* src) const {
    return hwy::HWY_NAMESPACE::MaskedLoad(mask, D(), src);
  }
#else
  HWY_INLINE hwy::HWY_NAMESPACE::Vec<D> load(const Number* src) const { return load_partial(D(), src, count); }
#endif
  HWY_INLINE void store(hwy::HWY_NAMESPACE::Vec<D> v, Number* dst) const { store_partial(v, D(), dst, count); }
};

}  // namespace linnet::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
