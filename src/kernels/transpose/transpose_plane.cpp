// Planes of 4-byte elements in registers; of other widths, element by element.
#include <cstring>

#include "kernels/transpose/transpose.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/transpose/transpose_plane.cpp"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"

#ifndef LINNET_KERNELS_TRANSPOSE_BYTES_
#define LINNET_KERNELS_TRANSPOSE_BYTES_
namespace linnet {
// An element of no particular alignment.
template <size_t kWidth>
struct TransposeBytes {
  unsigned char bytes[kWidth];
};
}  // namespace linnet
#endif

HWY_BEFORE_NAMESPACE();
namespace linnet::HWY_NAMESPACE {
namespace {
namespace hn = hwy::HWY_NAMESPACE;

using Element = TransposeBytes<4>;

#if HWY_TARGET <= HWY_AVX2
constexpr size_t kSide = 8;
using D = hn::FixedTag<uint32_t, 8>;

HWY_INLINE void transpose_square(const Element* src, size_t src_stride, Element* dst, size_t dst_stride) {
  const D d;
  const hn::Repartition<uint64_t, D> d64;
  const auto low = [=](auto a, auto b) HWY_ATTR { return hn::BitCast(d64, hn::InterleaveLower(d, a, b)); };
  const auto high = [=](auto a, auto b) HWY_ATTR { return hn::BitCast(d64, hn::InterleaveUpper(d, a, b)); };
  const auto row = [=](size_t j) HWY_ATTR { return hn::LoadU(d, reinterpret_cast<const uint32_t*>(src + j * src_stride)); };
  // Rows j and j + 4 share a vector after the last step; within halves of 128 bits, 4x4 squares are transposed.
  const auto r0 = row(0), r1 = row(1), r2 = row(2), r3 = row(3), r4 = row(4), r5 = row(5), r6 = row(6), r7 = row(7);
  const auto a0 = low(r0, r1), a1 = high(r0, r1), a2 = low(r2, r3), a3 = high(r2, r3);
  const auto b0 = low(r4, r5), b1 = high(r4, r5), b2 = low(r6, r7), b3 = high(r6, r7);
  const auto c0 = hn::InterleaveLower(d64, a0, a2), c1 = hn::InterleaveUpper(d64, a0, a2);
  const auto c2 = hn::InterleaveLower(d64, a1, a3), c3 = hn::InterleaveUpper(d64, a1, a3);
  const auto e0 = hn::InterleaveLower(d64, b0, b2), e1 = hn::InterleaveUpper(d64, b0, b2);
  const auto e2 = hn::InterleaveLower(d64, b1, b3), e3 = hn::InterleaveUpper(d64, b1, b3);
  const auto put = [=](size_t i, auto v) HWY_ATTR { hn::StoreU(hn::BitCast(d, v), d, reinterpret_cast<uint32_t*>(dst + i * dst_stride)); };
  put(0, hn::ConcatLowerLower(d64, e0, c0));
  put(1, hn::ConcatLowerLower(d64, e1, c1));
  put(2, hn::ConcatLowerLower(d64, e2, c2));
  put(3, hn::ConcatLowerLower(d64, e3, c3));
  put(4, hn::ConcatUpperUpper(d64, e0, c0));
  put(5, hn::ConcatUpperUpper(d64, e1, c1));
  put(6, hn::ConcatUpperUpper(d64, e2, c2));
  put(7, hn::ConcatUpperUpper(d64, e3, c3));
}
#else
constexpr size_t kSide = 4;
using D = hn::FixedTag<uint32_t, 4>;

HWY_INLINE void transpose_square(const Element* src, size_t src_stride, Element* dst, size_t dst_stride) {
  const D d;
  const hn::Repartition<uint64_t, D> d64;
  const auto row = [=](size_t j) HWY_ATTR { return hn::LoadU(d, reinterpret_cast<const uint32_t*>(src + j * src_stride)); };
  const auto r0 = row(0), r1 = row(1), r2 = row(2), r3 = row(3);
  const auto a0 = hn::BitCast(d64, hn::InterleaveLower(d, r0, r1)), a1 = hn::BitCast(d64, hn::InterleaveUpper(d, r0, r1));
  const auto a2 = hn::BitCast(d64, hn::InterleaveLower(d, r2, r3)), a3 = hn::BitCast(d64, hn::InterleaveUpper(d, r2, r3));
  const auto put = [=](size_t i, auto v) HWY_ATTR { hn::StoreU(hn::BitCast(d, v), d, reinterpret_cast<uint32_t*>(dst + i * dst_stride)); };
  put(0, hn::InterleaveLower(d64, a0, a2));
  put(1, hn::InterleaveUpper(d64, a0, a2));
  put(2, hn::InterleaveLower(d64, a1, a3));
  put(3, hn::InterleaveUpper(d64, a1, a3));
}
#endif

void transpose_plane4_simd(const Element* src, size_t src_stride, Element* dst, size_t dst_stride, size_t rows, size_t columns) {
  size_t j = 0;
  for (; j + kSide <= columns; j += kSide) {
    size_t i = 0;
    for (; i + kSide <= rows; i += kSide) transpose_square(src + j * src_stride + i, src_stride, dst + i * dst_stride + j, dst_stride);
    for (; i < rows; ++i)
      for (size_t k = j; k < j + kSide; ++k) dst[i * dst_stride + k] = src[k * src_stride + i];
  }
  for (size_t i = 0; i < rows; ++i)
    for (size_t k = j; k < columns; ++k) dst[i * dst_stride + k] = src[k * src_stride + i];
}

}  // namespace
}  // namespace linnet::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
#include "kernels/dispatch.h"

namespace linnet {
namespace {

template <class T>
void transpose_plane_reference(const T* src, size_t src_stride, T* dst, size_t dst_stride, size_t rows, size_t columns) {
  // Four lines of the result at once use each cache line of the source four times.
  size_t i = 0;
  for (; i + 4 <= rows; i += 4) {
    T* to = dst + i * dst_stride;
    for (size_t j = 0; j < columns; ++j) {
      const T* from = src + j * src_stride + i;
      to[j] = from[0];
      to[dst_stride + j] = from[1];
      to[2 * dst_stride + j] = from[2];
      to[3 * dst_stride + j] = from[3];
    }
  }
  for (; i < rows; ++i)
    for (size_t j = 0; j < columns; ++j) dst[i * dst_stride + j] = src[j * src_stride + i];
}

}  // namespace

void transpose_plane(size_t width, const void* src, size_t src_stride, void* dst, size_t dst_stride, size_t rows,
                     size_t columns) noexcept {
  const auto plain = [&]<class T>(T*) {
    transpose_plane_reference(static_cast<const T*>(src), src_stride, static_cast<T*>(dst), dst_stride, rows, columns);
  };
  using Word = TransposeBytes<4>;
  switch (width) {
    case 1: return plain(static_cast<TransposeBytes<1>*>(nullptr));
    case 2: return plain(static_cast<TransposeBytes<2>*>(nullptr));
    case 4:
      return LINNET_DISPATCH(transpose_plane4_simd, transpose_plane_reference<Word>)(
          static_cast<const Word*>(src), src_stride, static_cast<Word*>(dst), dst_stride, rows, columns);
    case 8: return plain(static_cast<TransposeBytes<8>*>(nullptr));
    default: return plain(static_cast<TransposeBytes<16>*>(nullptr));
  }
}

}  // namespace linnet
#endif
