// Where, by the width of an element.
#include <cstdint>
#include <cstring>

#include "kernels/elementwise/binary.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/elementwise/select.cpp"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace linnet::HWY_NAMESPACE {
namespace {
namespace hn = hwy::HWY_NAMESPACE;

template <class D>
HWY_INLINE hn::VFromD<D> widen(D d, hn::VFromD<hn::Rebind<uint8_t, D>> bytes) {
  if constexpr (sizeof(hn::TFromD<D>) == 1)
    return bytes;
  else if constexpr (sizeof(hn::TFromD<D>) == 8)
    return hn::PromoteTo(d, hn::PromoteTo(hn::Rebind<uint32_t, D>(), bytes));
  else
    return hn::PromoteTo(d, bytes);
}

// A row of `n` elements, at least a vector; each operand has as many, or one where its stride is 0. Those of eight
// bytes may be two floats, aligned as those.
template <class T>
void select_row(const size_t* strides, const uint8_t* condition, const std::byte* x, const std::byte* y, std::byte* dst,
                size_t n) {
  const hn::ScalableTag<T> d;
  const hn::Rebind<uint8_t, decltype(d)> bytes;
  const size_t lanes = hn::Lanes(d);
  T one_x, one_y;
  std::memcpy(&one_x, x, sizeof(T));
  std::memcpy(&one_y, y, sizeof(T));
  for (size_t i = 0, next; i < n; i = next) {
    next = i + lanes;
    // The last ones with some of those before: where they have been overwritten, it is by themselves.
    if (next > n) i = n - lanes;
    const auto load = [&](const std::byte* from)
                          HWY_ATTR { return hn::LoadU(d, reinterpret_cast<const T*>(from + i * sizeof(T))); };
    const auto conditions = strides[0] == 0 ? hn::Set(bytes, *condition) : hn::LoadU(bytes, condition + i);
    const auto from_x = strides[1] == 0 ? hn::Set(d, one_x) : load(x),
               from_y = strides[2] == 0 ? hn::Set(d, one_y) : load(y);
    hn::StoreU(hn::IfThenElse(hn::Ne(widen(d, conditions), hn::Zero(d)), from_x, from_y), d,
               reinterpret_cast<T*>(dst + i * sizeof(T)));
  }
}

}  // namespace
}  // namespace linnet::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
#include "kernels/dispatch.h"

namespace linnet {
namespace {

template <size_t kWidth>
void select_row_reference(const size_t* strides, const uint8_t* condition, const std::byte* x, const std::byte* y,
                          std::byte* dst, size_t n) {
  for (size_t i = 0; i < n; ++i) {
    // Without a branch: masks are rarely predictable.
    const auto mask = static_cast<uintptr_t>(-static_cast<intptr_t>(condition[i * strides[0]] != 0));
    const auto from_x = reinterpret_cast<uintptr_t>(x + i * strides[1] * kWidth),
               from_y = reinterpret_cast<uintptr_t>(y + i * strides[2] * kWidth);
    std::memcpy(dst + i * kWidth, reinterpret_cast<const std::byte*>((from_x & mask) | (from_y & ~mask)), kWidth);
  }
}

}  // namespace

void select_block(size_t width, const BroadcastBlock& block, const bool* condition, const void* x, const void* y,
                  void* dst) noexcept {
  auto* row = width == 1   ? &select_row_reference<1>
              : width == 2 ? &select_row_reference<2>
              : width == 4 ? &select_row_reference<4>
              : width == 8 ? &select_row_reference<8>
                           : &select_row_reference<16>;
  constexpr size_t kLongestVector = 64;
  if (width <= 8 && block.columns * width >= kLongestVector)
    row = width == 1   ? LINNET_DISPATCH(select_row<uint8_t>, select_row_reference<1>)
          : width == 2 ? LINNET_DISPATCH(select_row<uint16_t>, select_row_reference<2>)
          : width == 4 ? LINNET_DISPATCH(select_row<uint32_t>, select_row_reference<4>)
                       : LINNET_DISPATCH(select_row<uint64_t>, select_row_reference<8>);
  const auto at = [&](const void* operand, size_t k, size_t r, size_t bytes) {
    return static_cast<const std::byte*>(operand) + (block.src[k] + r * block.row_stride[k]) * bytes;
  };
  for (size_t r = 0; r < block.rows; ++r)
    row(block.stride, reinterpret_cast<const uint8_t*>(at(condition, 0, r, 1)), at(x, 1, r, width), at(y, 2, r, width),
        static_cast<std::byte*>(dst) + (block.dst + r * block.columns) * width, block.columns);
}

void select(size_t width, const BroadcastPlan& plan, const bool* condition, const void* x, const void* y, void* dst,
            const Parallel& parallel) noexcept {
  for_each_block(plan, 0.2, parallel,
                 [&](const BroadcastBlock& block) { select_block(width, block, condition, x, y, dst); });
}

}  // namespace linnet
#endif
