// Planes of elements of 1, 2 and 4 bytes in registers; of other widths, element by element.
#include <cstdint>
#include <utility>

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
  const auto row = [=](size_t j)
                       HWY_ATTR { return hn::LoadU(d, reinterpret_cast<const uint32_t*>(src + j * src_stride)); };
  // Rows j and j + 4 share a vector after the last step; within halves of 128 bits, 4x4 squares are transposed.
  const auto r0 = row(0), r1 = row(1), r2 = row(2), r3 = row(3), r4 = row(4), r5 = row(5), r6 = row(6), r7 = row(7);
  const auto a0 = low(r0, r1), a1 = high(r0, r1), a2 = low(r2, r3), a3 = high(r2, r3);
  const auto b0 = low(r4, r5), b1 = high(r4, r5), b2 = low(r6, r7), b3 = high(r6, r7);
  const auto c0 = hn::InterleaveLower(d64, a0, a2), c1 = hn::InterleaveUpper(d64, a0, a2);
  const auto c2 = hn::InterleaveLower(d64, a1, a3), c3 = hn::InterleaveUpper(d64, a1, a3);
  const auto e0 = hn::InterleaveLower(d64, b0, b2), e1 = hn::InterleaveUpper(d64, b0, b2);
  const auto e2 = hn::InterleaveLower(d64, b1, b3), e3 = hn::InterleaveUpper(d64, b1, b3);
  const auto put = [=](size_t i, auto v) HWY_ATTR {
    hn::StoreU(hn::BitCast(d, v), d, reinterpret_cast<uint32_t*>(dst + i * dst_stride));
  };
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
  const auto row = [=](size_t j)
                       HWY_ATTR { return hn::LoadU(d, reinterpret_cast<const uint32_t*>(src + j * src_stride)); };
  const auto r0 = row(0), r1 = row(1), r2 = row(2), r3 = row(3);
  const auto a0 = hn::BitCast(d64, hn::InterleaveLower(d, r0, r1)),
             a1 = hn::BitCast(d64, hn::InterleaveUpper(d, r0, r1));
  const auto a2 = hn::BitCast(d64, hn::InterleaveLower(d, r2, r3)),
             a3 = hn::BitCast(d64, hn::InterleaveUpper(d, r2, r3));
  const auto put = [=](size_t i, auto v) HWY_ATTR {
    hn::StoreU(hn::BitCast(d, v), d, reinterpret_cast<uint32_t*>(dst + i * dst_stride));
  };
  put(0, hn::InterleaveLower(d64, a0, a2));
  put(1, hn::InterleaveUpper(d64, a0, a2));
  put(2, hn::InterleaveLower(d64, a1, a3));
  put(3, hn::InterleaveUpper(d64, a1, a3));
}
#endif

// The ends of a plane that fill no square: lines [first, rows) of the columns [0, edge), and all lines of those behind.
template <class E>
HWY_INLINE void transpose_rest(const E* src, size_t src_stride, E* dst, size_t dst_stride, size_t rows, size_t columns,
                               size_t first, size_t edge) {
  for (size_t i = first; i < rows; ++i)
    for (size_t j = 0; j < edge; ++j) dst[i * dst_stride + j] = src[j * src_stride + i];
  for (size_t i = 0; i < rows; ++i)
    for (size_t j = edge; j < columns; ++j) dst[i * dst_stride + j] = src[j * src_stride + i];
}

// Two to four numbers that stand side by side, such as the colours of a pixel, to as many lines, and back.
template <class T, size_t kCount>
HWY_INLINE void split_columns(const T* src, T* dst, size_t dst_stride, size_t columns) {
  const hn::ScalableTag<T> d;
  size_t j = 0;
  for (; j + hn::Lanes(d) <= columns; j += hn::Lanes(d)) {
    hn::Vec<decltype(d)> v0, v1, v2, v3;
    const T* from = src + j * kCount;
    if constexpr (kCount == 2) hn::LoadInterleaved2(d, from, v0, v1);
    if constexpr (kCount == 3) hn::LoadInterleaved3(d, from, v0, v1, v2);
    if constexpr (kCount == 4) hn::LoadInterleaved4(d, from, v0, v1, v2, v3);
    hn::StoreU(v0, d, dst + j);
    hn::StoreU(v1, d, dst + dst_stride + j);
    if constexpr (kCount > 2) hn::StoreU(v2, d, dst + 2 * dst_stride + j);
    if constexpr (kCount > 3) hn::StoreU(v3, d, dst + 3 * dst_stride + j);
  }
  for (; j < columns; ++j)
    for (size_t i = 0; i < kCount; ++i) dst[i * dst_stride + j] = src[j * kCount + i];
}

template <class T, size_t kCount>
HWY_INLINE void join_rows(const T* src, size_t src_stride, T* dst, size_t rows) {
  const hn::ScalableTag<T> d;
  size_t i = 0;
  for (; i + hn::Lanes(d) <= rows; i += hn::Lanes(d)) {
    const T* from = src + i;
    T* to = dst + i * kCount;
    const auto v0 = hn::LoadU(d, from), v1 = hn::LoadU(d, from + src_stride);
    if constexpr (kCount == 2) hn::StoreInterleaved2(v0, v1, d, to);
    if constexpr (kCount == 3) hn::StoreInterleaved3(v0, v1, hn::LoadU(d, from + 2 * src_stride), d, to);
    if constexpr (kCount == 4)
      hn::StoreInterleaved4(v0, v1, hn::LoadU(d, from + 2 * src_stride), hn::LoadU(d, from + 3 * src_stride), d, to);
  }
  for (; i < rows; ++i)
    for (size_t j = 0; j < kCount; ++j) dst[i * kCount + j] = src[j * src_stride + i];
}

// True when the plane was of that kind.
template <class T>
bool transpose_tuples(const T* src, size_t src_stride, T* dst, size_t dst_stride, size_t rows, size_t columns) {
  if (reinterpret_cast<uintptr_t>(src) % sizeof(T) != 0 || reinterpret_cast<uintptr_t>(dst) % sizeof(T) != 0)
    return false;
  if (src_stride == rows && rows >= 2 && rows <= 4) {
    if (rows == 2) split_columns<T, 2>(src, dst, dst_stride, columns);
    if (rows == 3) split_columns<T, 3>(src, dst, dst_stride, columns);
    if (rows == 4) split_columns<T, 4>(src, dst, dst_stride, columns);
    return true;
  }
  if (dst_stride == columns && columns >= 2 && columns <= 4) {
    if (columns == 2) join_rows<T, 2>(src, src_stride, dst, rows);
    if (columns == 3) join_rows<T, 3>(src, src_stride, dst, rows);
    if (columns == 4) join_rows<T, 4>(src, src_stride, dst, rows);
    return true;
  }
  return false;
}

void transpose_plane4_simd(const Element* src, size_t src_stride, Element* dst, size_t dst_stride, size_t rows,
                           size_t columns) {
  if (transpose_tuples(reinterpret_cast<const uint32_t*>(src), src_stride, reinterpret_cast<uint32_t*>(dst), dst_stride,
                       rows, columns))
    return;
  const size_t whole_rows = rows - rows % kSide, whole_columns = columns - columns % kSide;
  for (size_t j = 0; j < whole_columns; j += kSide)
    for (size_t i = 0; i < whole_rows; i += kSide)
      transpose_square(src + j * src_stride + i, src_stride, dst + i * dst_stride + j, dst_stride);
  transpose_rest(src, src_stride, dst, dst_stride, rows, columns, whole_rows, whole_columns);
}

// A square of 16 bytes a side. Each of log2(n) passes interleaves lines k and k + n / 2 to lines 2 k and 2 k + 1.
// Written over index sequences, because compilers keep an array in registers only where no loop indexes it.
template <class T, size_t... kLine, size_t... kHalf>
HWY_INLINE void transpose_lines(const TransposeBytes<sizeof(T)>* src, size_t src_stride, TransposeBytes<sizeof(T)>* dst,
                                size_t dst_stride, std::index_sequence<kLine...>, std::index_sequence<kHalf...>) {
  constexpr size_t kLines = sizeof...(kLine);
  const hn::FixedTag<T, kLines> d;
  using Line = hn::Vec<decltype(d)>;
  Line lines[] = {hn::LoadU(d, reinterpret_cast<const T*>(src + kLine * src_stride))...};
  for (size_t pass = 1; pass < kLines; pass *= 2) {
    const Line low[] = {hn::InterleaveLower(d, lines[kHalf], lines[kHalf + kLines / 2])...};
    const Line high[] = {hn::InterleaveUpper(d, lines[kHalf], lines[kHalf + kLines / 2])...};
    ((lines[2 * kHalf] = low[kHalf], lines[2 * kHalf + 1] = high[kHalf]), ...);
  }
  (hn::StoreU(lines[kLine], d, reinterpret_cast<T*>(dst + kLine * dst_stride)), ...);
}

template <class T>
void transpose_narrow(const TransposeBytes<sizeof(T)>* src, size_t src_stride, TransposeBytes<sizeof(T)>* dst,
                      size_t dst_stride, size_t rows, size_t columns) {
  if (transpose_tuples(reinterpret_cast<const T*>(src), src_stride, reinterpret_cast<T*>(dst), dst_stride, rows,
                       columns))
    return;
  constexpr size_t kLines = 16 / sizeof(T);
  const size_t whole_rows = rows - rows % kLines, whole_columns = columns - columns % kLines;
  for (size_t j = 0; j < whole_columns; j += kLines) {
    for (size_t i = 0; i < whole_rows; i += kLines) {
      transpose_lines<T>(src + j * src_stride + i, src_stride, dst + i * dst_stride + j, dst_stride,
                         std::make_index_sequence<kLines>(), std::make_index_sequence<kLines / 2>());
    }
  }
  transpose_rest(src, src_stride, dst, dst_stride, rows, columns, whole_rows, whole_columns);
}

void transpose_plane2_simd(const TransposeBytes<2>* src, size_t src_stride, TransposeBytes<2>* dst, size_t dst_stride,
                           size_t rows, size_t columns) {
  transpose_narrow<uint16_t>(src, src_stride, dst, dst_stride, rows, columns);
}
void transpose_plane1_simd(const TransposeBytes<1>* src, size_t src_stride, TransposeBytes<1>* dst, size_t dst_stride,
                           size_t rows, size_t columns) {
  transpose_narrow<uint8_t>(src, src_stride, dst, dst_stride, rows, columns);
}

}  // namespace
}  // namespace linnet::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
#include "kernels/dispatch.h"

namespace linnet {
namespace {

template <class T>
void transpose_plane_reference(const T* src, size_t src_stride, T* dst, size_t dst_stride, size_t rows,
                               size_t columns) {
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
  const auto simd = [&]<size_t kWidth>(const TransposeBytes<kWidth>* from, auto function) {
    function(from, src_stride, static_cast<TransposeBytes<kWidth>*>(dst), dst_stride, rows, columns);
  };
  switch (width) {
    case 1:
      return simd(static_cast<const TransposeBytes<1>*>(src),
                  LINNET_DISPATCH(transpose_plane1_simd, transpose_plane_reference<TransposeBytes<1>>));
    case 2:
      return simd(static_cast<const TransposeBytes<2>*>(src),
                  LINNET_DISPATCH(transpose_plane2_simd, transpose_plane_reference<TransposeBytes<2>>));
    case 4:
      return simd(static_cast<const TransposeBytes<4>*>(src),
                  LINNET_DISPATCH(transpose_plane4_simd, transpose_plane_reference<TransposeBytes<4>>));
    case 8: return plain(static_cast<TransposeBytes<8>*>(nullptr));
    default: return plain(static_cast<TransposeBytes<16>*>(nullptr));
  }
}

}  // namespace linnet
#endif
