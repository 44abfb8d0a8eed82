#include "kernels/quant/gather_block.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/quant/gather_block.cpp"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"

#ifndef LINNET_GATHER_BLOCK_ONCE
#define LINNET_GATHER_BLOCK_ONCE
namespace linnet {
namespace {

// Signed codes as unsigned ones, zero points likewise: their differences are the same.
inline uint8_t flip_of(const BlockRow& row) noexcept { return row.is_signed ? 0x88 : 0; }

inline int packed_at(const BlockRow& row, const uint8_t* bytes, size_t i) noexcept {
  if (row.bits == 8) return bytes[i];
  return ((bytes[i / 2] ^ flip_of(row)) >> (i % 2 * 4)) & 15;
}

inline float zero_at(const BlockRow& row, size_t block) noexcept {
  return static_cast<float>(row.zeros ? packed_at(row, row.zeros, block) : row.zero + (row.is_signed ? 8 : 0));
}

}  // namespace
}  // namespace linnet
#endif

HWY_BEFORE_NAMESPACE();
namespace linnet::HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;

using Floats = hn::ScalableTag<float>;
using Codes = hn::Rebind<uint8_t, Floats>;
using Bytes = hn::Full128<uint8_t>;
constexpr size_t kUnpacked = 32;  // codes of 4 bits in 16 bytes

// As many codes as fill vectors; returns how many those are.
HWY_INLINE size_t decode_codes(const uint8_t* codes, size_t count, float zero, float scale, float* dst) {
  const Floats d;
  const size_t lanes = hn::Lanes(d), whole = count - count % lanes;
  for (size_t i = 0; i < whole; i += lanes) {
    const auto code = hn::ConvertTo(d, hn::PromoteTo(hn::Rebind<int32_t, Floats>(), hn::LoadU(Codes(), codes + i)));
    hn::StoreU(hn::Mul(hn::Sub(code, hn::Set(d, zero)), hn::Set(d, scale)), d, dst + i);
  }
  return whole;
}

void decode_block_row_simd(const BlockRow& row, size_t begin, size_t end, float* dst) {
  const Bytes d;
  const auto low = hn::Set(d, uint8_t{15}), flip = hn::Set(d, flip_of(row));
  for (; begin < end; begin += row.block) {
    const size_t count = HWY_MIN(row.block, end - begin);
    const float zero = zero_at(row, begin / row.block), scale = row.scales[begin / row.block];
    size_t i = 0;
    if (row.bits == 8) i = decode_codes(row.codes + begin, count, zero, scale, dst);
    for (; row.bits == 4 && i + kUnpacked <= count; i += kUnpacked) {
      HWY_ALIGN uint8_t unpacked[kUnpacked];
      const auto both = hn::Xor(hn::LoadU(d, row.codes + (begin + i) / 2), flip);
      const auto first = hn::And(both, low);
      const auto second = hn::And(hn::BitCast(d, hn::ShiftRight<4>(hn::BitCast(hn::Full128<uint16_t>(), both))), low);
      hn::Store(hn::InterleaveLower(d, first, second), d, unpacked);
      hn::Store(hn::InterleaveUpper(d, first, second), d, unpacked + 16);
      decode_codes(unpacked, kUnpacked, zero, scale, dst + i);
    }
    for (; i < count; ++i) dst[i] = (static_cast<float>(packed_at(row, row.codes, begin + i)) - zero) * scale;
    dst += count;
  }
}

}  // namespace
}  // namespace linnet::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
#include "kernels/dispatch.h"

namespace linnet {
namespace {

void decode_block_row_reference(const BlockRow& row, size_t begin, size_t end, float* dst) noexcept {
  for (size_t i = begin; i < end; ++i)
    *dst++ =
        (static_cast<float>(packed_at(row, row.codes, i)) - zero_at(row, i / row.block)) * row.scales[i / row.block];
}

}  // namespace

void decode_block_row(const BlockRow& row, size_t begin, size_t end, float* dst) noexcept {
  LINNET_DISPATCH(decode_block_row_simd, decode_block_row_reference)(row, begin, end, dst);
}

}  // namespace linnet
#endif
