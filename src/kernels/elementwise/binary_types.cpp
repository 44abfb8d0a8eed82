// BinaryFn and CompareFn over whole tensors: every type, and the split over threads.
#include "kernels/elementwise/binary_reference.h"
#include "kernels/elementwise/half_convert.h"
#include "kernels/number_types.h"

namespace linnet {
namespace {

template <class T>
inline constexpr bool kHalf = std::is_same_v<T, f16> || std::is_same_v<T, bf16>;

double item_ns(BinaryFn fn) noexcept {
  return fn == BinaryFn::mod || fn == BinaryFn::fmod ? 10.0
         : fn == BinaryFn::pow                       ? 3.0
         : fn == BinaryFn::div                       ? 1.0
                                                     : 0.15;
}

// Calls work(part, a, b, offset in dst) for pieces of the block with both operands as float.
template <class T, class Work>
void for_each_piece(const BroadcastBlock& block, const T* a, const T* b, Work work) noexcept {
  float x[kHalfChunk];
  float y[kHalfChunk];
  for (size_t r = 0; r < block.rows; ++r) {
    for (size_t i = 0; i < block.columns; i += kHalfChunk) {
      const size_t n = std::min(kHalfChunk, block.columns - i);
      BroadcastBlock piece;
      piece.rows = 1;
      piece.columns = n;
      piece.stride[0] = block.stride[0];
      piece.stride[1] = block.stride[1];
      to_float(a + block.src[0] + r * block.row_stride[0] + i * block.stride[0], x, block.stride[0] == 0 ? 1 : n);
      to_float(b + block.src[1] + r * block.row_stride[1] + i * block.stride[1], y, block.stride[1] == 0 ? 1 : n);
      work(piece, x, y, block.dst + r * block.columns + i);
    }
  }
}

template <class T>
void run_block(BinaryFn fn, const BroadcastBlock& block, const T* a, const T* b, T* dst) noexcept {
  if constexpr (std::is_same_v<T, float>) {
    binary_block(fn, block, a, b, dst);
  } else if constexpr (kHalf<T>) {
    for_each_piece(block, a, b, [&](const BroadcastBlock& piece, const float* x, const float* y, size_t offset) {
      float z[kHalfChunk];
      binary_block(fn, piece, x, y, z);
      from_float(z, dst + offset, piece.columns);
    });
  } else {
    binary_block_reference(fn, block, a, b, dst);
  }
}

template <class T>
void run_block(CompareFn fn, const BroadcastBlock& block, const T* a, const T* b, bool* dst) noexcept {
  if constexpr (std::is_same_v<T, float>) {
    compare_block(fn, block, a, b, dst);
  } else if constexpr (kHalf<T>) {
    for_each_piece(block, a, b, [&](const BroadcastBlock& piece, const float* x, const float* y, size_t offset) {
      compare_block(fn, piece, x, y, dst + offset);
    });
  } else {
    compare_block_reference(fn, block, a, b, dst);
  }
}

template <class T>
T from_double(double value) noexcept {
  if constexpr (std::is_integral_v<T>) {
    if (std::isnan(value)) return 0;
    // The greatest T may round up to 2^63 as double: from there on, saturate.
    if (value >= static_cast<double>(std::numeric_limits<T>::max())) return std::numeric_limits<T>::max();
    if (value <= static_cast<double>(std::numeric_limits<T>::min())) return std::numeric_limits<T>::min();
    return static_cast<T>(value);
  } else {
    return T(static_cast<float>(value));
  }
}
template <>
double from_double<double>(double value) noexcept {
  return value;
}

}  // namespace

template <class T>
void binary(BinaryFn fn, const BroadcastPlan& plan, const T* a, const T* b, T* dst, const Parallel& parallel) noexcept {
  for_each_block(plan, item_ns(fn), parallel, [&](const BroadcastBlock& block) { run_block(fn, block, a, b, dst); });
}

template <class T>
void compare(CompareFn fn, const BroadcastPlan& plan, const T* a, const T* b, bool* dst,
             const Parallel& parallel) noexcept {
  for_each_block(plan, 0.15, parallel, [&](const BroadcastBlock& block) { run_block(fn, block, a, b, dst); });
}

template <class T>
void pow_mixed(const BroadcastPlan& plan, const T* a, const double* b, T* dst, const Parallel& parallel) noexcept {
  for_each_block(plan, 20.0, parallel, [&](const BroadcastBlock& block) {
    map_block<false>(block, a, b, dst, [](T x, double y) {
      if constexpr (kHalf<T>)
        return from_double<T>(std::pow(static_cast<double>(static_cast<float>(x)), y));
      else
        return from_double<T>(std::pow(static_cast<double>(x), y));
    });
  });
}

#define LINNET_INSTANTIATE(T)                                                                                     \
  template void binary<T>(BinaryFn, const BroadcastPlan&, const T*, const T*, T*, const Parallel&) noexcept;      \
  template void compare<T>(CompareFn, const BroadcastPlan&, const T*, const T*, bool*, const Parallel&) noexcept; \
  template void pow_mixed<T>(const BroadcastPlan&, const T*, const double*, T*, const Parallel&) noexcept;
LINNET_FOR_EACH_NUMBER_TYPE(LINNET_INSTANTIATE)
#undef LINNET_INSTANTIATE

}  // namespace linnet
