// Each type goes through one of five (float, double, int32_t, int64_t, uint64_t) that holds all its numbers, in pieces
// that stay in the L1 cache: 23 ways in and 5 x 23 ways out instead of 23 x 23 loops.
#include "kernels/elementwise/cast.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <type_traits>

#include "base/float8.h"
#include "kernels/elementwise/half_convert.h"
#include "kernels/elementwise/truncate_bytes.h"

namespace linnet {
namespace {

constexpr size_t kChunk = kHalfChunk;  // a whole number of bytes in every packed type

// Rounded toward zero with the lowest bit set when inexact: a second rounding to fewer bits then is as if from `value`.
float round_to_odd(double value) noexcept {
  float rounded = static_cast<float>(value);
  if (static_cast<double>(rounded) == value || std::isnan(value)) return rounded;
  uint32_t bits = std::bit_cast<uint32_t>(rounded);
  if (std::fabs(static_cast<double>(rounded)) > std::fabs(value)) --bits;
  return std::bit_cast<float>(bits | 1u);
}

template <class Hub>
float to_float_once(Hub value) noexcept {
  if constexpr (std::is_same_v<Hub, float>)
    return value;
  else
    return round_to_odd(static_cast<double>(value));
}

// An integer of more than 53 bits is rounded when it becomes double; only float and wider types see the difference.
template <class To, class Hub>
To to_float_type(Hub value) noexcept {
  if constexpr (std::is_same_v<To, float> || std::is_same_v<To, double>)
    return static_cast<To>(value);
  else
    return To(to_float_once(value));
}

template <class To, class Hub>
To to_integer(Hub value) noexcept {
  if constexpr (std::is_integral_v<Hub>) {
    return static_cast<To>(value);
  } else {
    constexpr bool kNarrow = sizeof(To) < 4 || std::is_same_v<To, int32_t>;
    using Wide = std::conditional_t<kNarrow, int32_t, int64_t>;
    constexpr Hub kBound = kNarrow ? Hub(0x1p31) : Hub(0x1p63);
    if (value >= -kBound && value < kBound) [[likely]]
      return static_cast<To>(static_cast<Wide>(value));
    if constexpr (std::is_same_v<To, uint64_t>) {
      if (value >= kBound && value < Hub(0x1p64)) return static_cast<uint64_t>(value);
    }
    return static_cast<To>(std::numeric_limits<Wide>::min());
  }
}

template <class From, class Hub>
const Hub* widen(const void* src, size_t first, size_t n, Hub* hub) noexcept {
  const From* from = static_cast<const From*>(src) + first;
  if constexpr (std::is_same_v<From, Hub>) return from;
  for (size_t i = 0; i < n; ++i) hub[i] = static_cast<Hub>(from[i]);
  return hub;
}

// Element i of a packed type of kBits.
template <unsigned kBits>
uint8_t packed_at(const void* src, size_t i) noexcept {
  constexpr unsigned kPerByte = 8 / kBits;
  const uint8_t byte = static_cast<const uint8_t*>(src)[i / kPerByte];
  return static_cast<uint8_t>((byte >> (i % kPerByte * kBits)) & ((1u << kBits) - 1u));
}

template <unsigned kBits, class Hub, class Encode>
void store_packed(const Hub* hub, void* dst, size_t first, size_t n, Encode encode) noexcept {
  constexpr unsigned kPerByte = 8 / kBits;
  uint8_t* to = static_cast<uint8_t*>(dst) + first / kPerByte;
  for (size_t i = 0; i < n; i += kPerByte) {
    unsigned byte = 0;
    for (unsigned k = 0; k < kPerByte && i + k < n; ++k)
      byte |= (encode(hub[i + k]) & ((1u << kBits) - 1u)) << (k * kBits);
    to[i / kPerByte] = static_cast<uint8_t>(byte);
  }
}

template <class Hub>
void narrow_to(NumberType to, const Hub* hub, void* dst, size_t first, size_t n, CastOptions options) noexcept {
  const auto each = [&]<class To>(To*, auto convert) {
    To* out = static_cast<To*>(dst) + first;
    for (size_t i = 0; i < n; ++i) out[i] = convert(hub[i]);
  };
  // Where all fit into 32 bits, the conversion is one instruction that has a vector form.
  const auto all_small = [&] {
    if constexpr (std::is_same_v<Hub, float>) {
      constexpr uint32_t kBound = std::bit_cast<uint32_t>(0x1p31f), kTop = 0x80000000u;  // NaN lies above, too
      uint32_t beyond = 0;
      for (size_t i = 0; i < n; ++i) beyond |= (std::bit_cast<uint32_t>(hub[i]) & ~kTop) + (kTop - kBound);
      return beyond < kTop;
    } else if constexpr (std::is_same_v<Hub, double>) {
      bool all = true;
      for (size_t i = 0; i < n; ++i) all &= std::fabs(hub[i]) < Hub(0x1p31);
      return all;
    } else {
      uint64_t beyond = 0;
      for (size_t i = 0; i < n; ++i) beyond |= static_cast<uint64_t>(hub[i]) + 0x80000000u;
      return beyond >> 32 == 0;
    }
  };
  const auto integer = [&]<class To>(To* type) {
    if (std::is_floating_point_v<Hub> && all_small())
      return each(type, [](Hub v) { return static_cast<To>(static_cast<int32_t>(v)); });
    each(type, [](Hub v) { return to_integer<To>(v); });
  };
  const auto real = [&]<class To>(To* type) {
    if (std::is_same_v<Hub, int64_t> && all_small())
      return each(type, [](Hub v) { return to_float_type<To>(static_cast<int32_t>(v)); });
    each(type, [](Hub v) { return to_float_type<To>(v); });
  };
  const auto float8 = [&](Float8Kind kind) {
    each(static_cast<uint8_t*>(nullptr),
         [&](Hub v) { return float_to_float8(to_float_once(v), kind, options.saturate); });
  };
  const auto low_bits = [](Hub v) { return static_cast<unsigned>(to_integer<int64_t>(v)); };
  switch (to) {
    case NumberType::f32: return real(static_cast<float*>(nullptr));
    case NumberType::f64: return real(static_cast<double*>(nullptr));
    case NumberType::f16:
      if constexpr (std::is_same_v<Hub, float>)
        return from_float(hub, static_cast<f16*>(dst) + first, n);
      else
        return real(static_cast<f16*>(nullptr));
    case NumberType::bf16:
      if constexpr (std::is_same_v<Hub, float>)
        return from_float(hub, static_cast<bf16*>(dst) + first, n);
      else
        return real(static_cast<bf16*>(nullptr));
    case NumberType::u8:
    case NumberType::i8:
      if constexpr (std::is_same_v<Hub, float>)
        return truncate_to_bytes(hub, static_cast<uint8_t*>(dst) + first, n);
      else
        return to == NumberType::u8 ? integer(static_cast<uint8_t*>(nullptr)) : integer(static_cast<int8_t*>(nullptr));
    case NumberType::u16: return integer(static_cast<uint16_t*>(nullptr));
    case NumberType::i16: return integer(static_cast<int16_t*>(nullptr));
    case NumberType::u32: return integer(static_cast<uint32_t*>(nullptr));
    case NumberType::i32: return integer(static_cast<int32_t*>(nullptr));
    case NumberType::u64: return integer(static_cast<uint64_t*>(nullptr));
    case NumberType::i64: return integer(static_cast<int64_t*>(nullptr));
    case NumberType::boolean: return each(static_cast<bool*>(nullptr), [](Hub v) { return v != 0; });
    case NumberType::f8e4m3fn: return float8(Float8Kind::e4m3fn);
    case NumberType::f8e4m3fnuz: return float8(Float8Kind::e4m3fnuz);
    case NumberType::f8e5m2: return float8(Float8Kind::e5m2);
    case NumberType::f8e5m2fnuz: return float8(Float8Kind::e5m2fnuz);
    case NumberType::f8e8m0:
      return each(static_cast<uint8_t*>(nullptr),
                  [&](Hub v) { return float_to_e8m0(to_float_once(v), options.saturate, options.round_mode); });
    case NumberType::f4e2m1:
      return store_packed<4>(hub, dst, first, n, [](Hub v) { return unsigned{float_to_float4(to_float_once(v))}; });
    case NumberType::u4:
    case NumberType::i4: return store_packed<4>(hub, dst, first, n, low_bits);
    case NumberType::u2:
    case NumberType::i2: return store_packed<2>(hub, dst, first, n, low_bits);
  }
}

struct CastJob {
  NumberType from;
  const void* src;
  NumberType to;
  void* dst;
  CastOptions options;
};

template <class From, class Hub>
void run_chunk(const CastJob& job, size_t first, size_t n) noexcept {
  if constexpr (std::is_integral_v<From> && !std::is_same_v<From, Hub>) {
    if (job.to == NumberType::f32) {
      widen<From, float>(job.src, first, n, static_cast<float*>(job.dst) + first);
      return;
    }
  }
  Hub hub[kChunk];
  narrow_to<Hub>(job.to, widen<From, Hub>(job.src, first, n, hub), job.dst, first, n, job.options);
}

template <class Hub, class Decode>
void run_decoded(const CastJob& job, size_t first, size_t n, Decode decode) noexcept {
  Hub hub[kChunk];
  for (size_t i = 0; i < n; ++i) hub[i] = decode(first + i);
  narrow_to<Hub>(job.to, hub, job.dst, first, n, job.options);
}

template <class Half>
void run_half(const CastJob& job, size_t first, size_t n) noexcept {
  const Half* src = static_cast<const Half*>(job.src) + first;
  if (job.to == NumberType::f32) return to_float(src, static_cast<float*>(job.dst) + first, n);
  float hub[kChunk];
  to_float(src, hub, n);
  narrow_to<float>(job.to, hub, job.dst, first, n, job.options);
}

void run_chunk(const CastJob& job, size_t first, size_t n) noexcept {
  const auto float8 = [&](Float8Kind kind) {
    run_decoded<float>(job, first, n,
                       [&](size_t i) { return float8_to_float(static_cast<const uint8_t*>(job.src)[i], kind); });
  };
  switch (job.from) {
    case NumberType::f32: return run_chunk<float, float>(job, first, n);
    case NumberType::f64: return run_chunk<double, double>(job, first, n);
    case NumberType::f16: return run_half<f16>(job, first, n);
    case NumberType::bf16: return run_half<bf16>(job, first, n);
    case NumberType::u8: return run_chunk<uint8_t, int32_t>(job, first, n);
    case NumberType::i8: return run_chunk<int8_t, int32_t>(job, first, n);
    case NumberType::u16: return run_chunk<uint16_t, int32_t>(job, first, n);
    case NumberType::i16: return run_chunk<int16_t, int32_t>(job, first, n);
    case NumberType::u32: return run_chunk<uint32_t, int64_t>(job, first, n);
    case NumberType::i32: return run_chunk<int32_t, int32_t>(job, first, n);
    case NumberType::u64: return run_chunk<uint64_t, uint64_t>(job, first, n);
    case NumberType::i64: return run_chunk<int64_t, int64_t>(job, first, n);
    case NumberType::boolean: return run_chunk<uint8_t, int32_t>(job, first, n);
    case NumberType::f8e4m3fn: return float8(Float8Kind::e4m3fn);
    case NumberType::f8e4m3fnuz: return float8(Float8Kind::e4m3fnuz);
    case NumberType::f8e5m2: return float8(Float8Kind::e5m2);
    case NumberType::f8e5m2fnuz: return float8(Float8Kind::e5m2fnuz);
    case NumberType::f8e8m0: return float8(Float8Kind::e8m0);
    case NumberType::f4e2m1:
      return run_decoded<float>(job, first, n, [&](size_t i) { return float4_to_float(packed_at<4>(job.src, i)); });
    case NumberType::u4:
      return run_decoded<int64_t>(job, first, n, [&](size_t i) { return int64_t{packed_at<4>(job.src, i)}; });
    case NumberType::i4:
      return run_decoded<int64_t>(job, first, n, [&](size_t i) { return (int64_t{packed_at<4>(job.src, i)} ^ 8) - 8; });
    case NumberType::u2:
      return run_decoded<int64_t>(job, first, n, [&](size_t i) { return int64_t{packed_at<2>(job.src, i)}; });
    case NumberType::i2:
      return run_decoded<int64_t>(job, first, n, [&](size_t i) { return (int64_t{packed_at<2>(job.src, i)} ^ 2) - 2; });
  }
}

}  // namespace

void cast(NumberType from, const void* src, NumberType to, void* dst, size_t count, CastOptions options,
          const Parallel& parallel) noexcept {
  const CastJob job{from, src, to, dst, options};
  const size_t chunks = (count + kChunk - 1) / kChunk;
  parallel.for_range(chunks, grain_for(static_cast<double>(kChunk)), [&](size_t begin, size_t end, size_t) {
    for (size_t c = begin; c < end; ++c) run_chunk(job, c * kChunk, std::min(kChunk, count - c * kChunk));
  });
}

}  // namespace linnet
