// The SIMD forms of BinaryFn and CompareFn for float.
#include "kernels/elementwise/binary.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/elementwise/binary.cpp"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "kernels/elementwise/power-inl.h"
#include "kernels/partial-inl.h"

HWY_BEFORE_NAMESPACE();
namespace linnet::HWY_NAMESPACE {
namespace {
namespace hn = hwy::HWY_NAMESPACE;

using D = hn::ScalableTag<float>;
using V = hn::Vec<D>;

// Calls visit(i, a, b) for the vectors of a row, and for the rest visit(i, a, b, count).
template <bool RepeatA, bool RepeatB, class Visit>
HWY_INLINE void visit_row(const float* a, const float* b, size_t n, Visit visit) {
  const D d;
  const size_t lanes = hn::Lanes(d);
  const V first_a = hn::Set(d, *a);
  const V first_b = hn::Set(d, *b);
  size_t i = 0;
  for (; i + lanes <= n; i += lanes) {
    visit(i, RepeatA ? first_a : hn::LoadU(d, a + i), RepeatB ? first_b : hn::LoadU(d, b + i), lanes);
  }
  if (i < n) {
    const size_t rest = n - i;
    visit(i, RepeatA ? first_a : load_partial(d, a + i, rest), RepeatB ? first_b : load_partial(d, b + i, rest), rest);
  }
}

template <class Visit, class Dst>
HWY_INLINE void visit_block(const BroadcastBlock& block, const float* a, const float* b, Dst* dst, Visit visit) {
  for (size_t r = 0; r < block.rows; ++r) {
    const float* x = a + block.src[0] + r * block.row_stride[0];
    const float* y = b + block.src[1] + r * block.row_stride[1];
    visit.dst = dst + block.dst + r * block.columns;
    if (block.stride[0] == 0) {
      visit_row<true, false>(x, y, block.columns, visit);
    } else if (block.stride[1] == 0) {
      visit_row<false, true>(x, y, block.columns, visit);
    } else {
      visit_row<false, false>(x, y, block.columns, visit);
    }
  }
}

template <class F>
struct StoreNumbers {
  float* dst = nullptr;
  HWY_INLINE void operator()(size_t i, V a, V b, size_t count) const {
    const D d;
    const V v = F{}(a, b);
    if (count == hn::Lanes(d)) {
      hn::StoreU(v, d, dst + i);
    } else {
      store_partial(v, d, dst + i, count);
    }
  }
};

template <class F>
struct StoreBools {
  uint8_t* dst = nullptr;
  HWY_INLINE void operator()(size_t i, V a, V b, size_t count) const {
    const D d;
    const hn::RebindToSigned<D> di;
    const hn::Rebind<uint8_t, D> d8;
    const auto ones = hn::BitCast(di, hn::VecFromMask(d, F{}(a, b)));
    const auto bytes = hn::DemoteTo(d8, hn::And(ones, hn::Set(di, 1)));
    if (count == hn::Lanes(d)) {
      hn::StoreU(bytes, d8, dst + i);
    } else {
      HWY_ALIGN uint8_t all[hn::MaxLanes(D())];
      hn::Store(bytes, d8, all);
      for (size_t k = 0; k < count; ++k) dst[i + k] = all[k];
    }
  }
};

#define LINNET_VECTOR_FN(name, expression)                            \
  struct name {                                                       \
    HWY_INLINE auto operator()(V a, V b) const { return expression; } \
  };
LINNET_VECTOR_FN(Add, hn::Add(a, b))
LINNET_VECTOR_FN(Sub, hn::Sub(a, b))
LINNET_VECTOR_FN(Mul, hn::Mul(a, b))
LINNET_VECTOR_FN(Div, hn::Div(a, b))
// The instructions return b when either is NaN.
LINNET_VECTOR_FN(Min, hn::IfThenElse(hn::IsNaN(a), a, hn::Min(a, b)))
LINNET_VECTOR_FN(Max, hn::IfThenElse(hn::IsNaN(a), a, hn::Max(a, b)))
LINNET_VECTOR_FN(Prelu, hn::IfThenElse(hn::Lt(a, hn::Zero(D())), hn::Mul(a, b), a))
LINNET_VECTOR_FN(Equal, hn::Eq(a, b))
LINNET_VECTOR_FN(Less, hn::Lt(a, b))
LINNET_VECTOR_FN(LessOrEqual, hn::Le(a, b))
LINNET_VECTOR_FN(Greater, hn::Gt(a, b))
LINNET_VECTOR_FN(GreaterOrEqual, hn::Ge(a, b))
#undef LINNET_VECTOR_FN

#if HWY_TARGET <= HWY_AVX2
// One loop for all strides: a power is long code, and takes longer than to choose where its operands come from.
void pow_block(const BroadcastBlock& block, const float* a, const float* b, float* dst) {
  const D d;
  const auto load = [&](const float* src, size_t stride, size_t i, size_t count) HWY_ATTR {
    if (stride == 0) return hn::Set(d, *src);
    return count == hn::Lanes(d) ? hn::LoadU(d, src + i) : load_partial(d, src + i, count);
  };
  for (size_t r = 0; r < block.rows; ++r)
    for (size_t i = 0, count; i < block.columns; i += count) {
      count = HWY_MIN(hn::Lanes(d), block.columns - i);
      const V power = vec_pow(d, load(a + block.src[0] + r * block.row_stride[0], block.stride[0], i, count),
                              load(b + block.src[1] + r * block.row_stride[1], block.stride[1], i, count));
      float* to = dst + block.dst + r * block.columns + i;
      count == hn::Lanes(d) ? hn::StoreU(power, d, to) : store_partial(power, d, to, count);
    }
}
#endif

void binary_block_simd(BinaryFn fn, const BroadcastBlock& block, const float* a, const float* b, float* dst) {
  switch (fn) {
    case BinaryFn::add: return visit_block(block, a, b, dst, StoreNumbers<Add>{});
    case BinaryFn::sub: return visit_block(block, a, b, dst, StoreNumbers<Sub>{});
    case BinaryFn::mul: return visit_block(block, a, b, dst, StoreNumbers<Mul>{});
    case BinaryFn::div: return visit_block(block, a, b, dst, StoreNumbers<Div>{});
    case BinaryFn::min: return visit_block(block, a, b, dst, StoreNumbers<Min>{});
    case BinaryFn::max: return visit_block(block, a, b, dst, StoreNumbers<Max>{});
    case BinaryFn::prelu: return visit_block(block, a, b, dst, StoreNumbers<Prelu>{});
#if HWY_TARGET <= HWY_AVX2
    case BinaryFn::pow: return pow_block(block, a, b, dst);
#endif
    default: return;
  }
}

void compare_block_simd(CompareFn fn, const BroadcastBlock& block, const float* a, const float* b, bool* dst) {
  uint8_t* bytes = reinterpret_cast<uint8_t*>(dst);
  switch (fn) {
    case CompareFn::equal: return visit_block(block, a, b, bytes, StoreBools<Equal>{});
    case CompareFn::less: return visit_block(block, a, b, bytes, StoreBools<Less>{});
    case CompareFn::less_or_equal: return visit_block(block, a, b, bytes, StoreBools<LessOrEqual>{});
    case CompareFn::greater: return visit_block(block, a, b, bytes, StoreBools<Greater>{});
    case CompareFn::greater_or_equal: return visit_block(block, a, b, bytes, StoreBools<GreaterOrEqual>{});
  }
}

}  // namespace
}  // namespace linnet::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
#include "kernels/dispatch.h"
#include "kernels/elementwise/binary_reference.h"

namespace linnet {

void binary_block(BinaryFn fn, const BroadcastBlock& block, const float* a, const float* b, float* dst) noexcept {
  // Among the operators that have a SIMD form, equal strides of 0 cannot be: an axis repeats in one operand at most.
  // Vectors of two doubles, without multiply-add, take a power no faster than the C library.
  const bool by_vectors = fn <= BinaryFn::prelu || (fn == BinaryFn::pow && current_isa() > Isa::sse4);
  if (!by_vectors || (block.stride[0] == 0 && block.stride[1] == 0))
    return binary_block_reference(fn, block, a, b, dst);
  LINNET_DISPATCH(binary_block_simd, binary_block_reference<float>)(fn, block, a, b, dst);
}

void compare_block(CompareFn fn, const BroadcastBlock& block, const float* a, const float* b, bool* dst) noexcept {
  LINNET_DISPATCH(compare_block_simd, compare_block_reference<float>)(fn, block, a, b, dst);
}

}  // namespace linnet
#endif
