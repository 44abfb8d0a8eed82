#include "ops/nbits_weights.h"

#include <array>
#include <bit>

#include "base/checked.h"
#include "ops/float_scratch.h"
#include "ops/packing.h"

namespace linnet {

Status check_block_size(int64_t block) {
  LINNET_REQUIRE(block >= 16 && block <= (1 << 20) && std::has_single_bit(static_cast<uint64_t>(block)),
                 invalid_model("block_size is ", block, "; it must be a power of two from 16 on"));
  return {};
}

Status check_sizes(int64_t n, int64_t k) {
  constexpr int64_t kMost = int64_t{1} << 31, kSpare = int64_t{1} << 20;  // a block may reach beyond k
  const bool positive = n > 0 && k > 0 && n < kMost && k < kMost;
  const std::optional<int64_t> cells = positive ? checked_mul(n + 16, k + kSpare) : std::nullopt;
  LINNET_REQUIRE(cells && *cells <= INT64_MAX / 8 && narrow<ptrdiff_t>(*cells * 4),
                 invalid_model("N is ", n, " and K is ", k, "; they must be positive and fit into memory"));
  return {};
}

Result<NBitsFormat> parse_nbits_format(NodeReader& reader, int64_t n) {
  const int64_t k = reader.integer("K", 0), block = reader.integer("block_size", 0), bits = reader.integer("bits", 4);
  LINNET_TRY(check_block_size(block));
  LINNET_TRY(check_sizes(n, k));
  LINNET_REQUIRE(bits == 2 || bits == 4 || bits == 8, unsupported("weights of ", bits, " bits are not supported"));
  return NBitsFormat{static_cast<size_t>(n), static_cast<size_t>(k), static_cast<size_t>(block), static_cast<int>(bits),
                     false};
}

Status check_nbits_inputs(const InferContext& context, const NBitsFormat& format, const NBitsSlots& slots) {
  const auto count_is = [&](size_t input, size_t expected) -> Status {
    if (!context.ranked(input) || !context.shape(input).known()) return {};
    const std::optional<int64_t> count = context.shape(input).values().checked_count();
    LINNET_REQUIRE(count && *count == static_cast<int64_t>(expected),
                   invalid_model("input ", input, " of shape ", context.shape(input).values(), " does not have the ",
                                 expected, " elements that N, K and block_size ask for"));
    return {};
  };
  const size_t blocks = format.blocks(), bits = static_cast<size_t>(format.bits);
  LINNET_REQUIRE(context.dtype(slots.codes) == DType::u8,
                 invalid_model("B is of type ", dtype_name(context.dtype(slots.codes))));
  for (const size_t i : {slots.scales, slots.zeros, slots.bias})
    LINNET_REQUIRE(
        !context.has(i) || is_float_or_half(context.dtype(i)) || (i == slots.zeros && context.dtype(i) == DType::u8),
        invalid_model("input ", i, " is of type ", dtype_name(context.dtype(i))));
  if (context.has(slots.bias)) LINNET_TRY(count_is(slots.bias, format.n));
  const size_t codes = slots.codes, zeros = slots.zeros;
  if (context.ranked(codes) && context.shape(codes).known() && context.shape(codes).values().count() == 0) return {};
  LINNET_TRY(count_is(codes, format.n * blocks * (format.block * bits / 8)));
  LINNET_TRY(count_is(slots.scales, format.n * blocks));
  if (context.has(zeros))
    LINNET_TRY(count_is(
        zeros, context.dtype(zeros) == DType::u8 ? format.n * ceil_div<size_t>(blocks * bits, 8) : format.n * blocks));
  return {};
}

const Tensor* constant_to_pack(PrepareContext& context, size_t input) {
  const Tensor* stored = packing(context).stored(input);
  return stored && stored->data ? context.constant(input) : stored;
}

std::vector<float> as_floats(const Tensor& t) {
  std::vector<float> out(static_cast<size_t>(t.count()));
  if (t.dtype == DType::f32) {
    std::copy_n(t.ptr<float>(), out.size(), out.begin());
  } else {
    for (size_t i = 0; i < out.size(); ++i) out[i] = static_cast<float>(number_at(t, static_cast<int64_t>(i)));
  }
  return out;
}

Result<const std::byte*> packed_nbits(PrepareContext& context, const NBitsFormat& format, const NBitsSlots& slots) {
  const Tensor *codes = packing(context).stored(slots.codes), *scales = constant_to_pack(context, slots.scales),
               *zeros = constant_to_pack(context, slots.zeros);
  const size_t blocks = format.blocks(), bits = static_cast<size_t>(format.bits);
  const std::array scaling = {slots.scales, slots.zeros};
  LINNET_ASSIGN(
      const std::byte* packed,
      packing(context).packed_with(
          scaling, slots.codes, concat("blocks of codes, ", format.block, " by ", format.bits),
          nbits_packed_size(format), [&](std::byte* to) {
            const std::vector<float> scale_values = as_floats(*scales);
            std::vector<float> zero_values;
            if (zeros && zeros->dtype == DType::u8) {
              const size_t row = ceil_div<size_t>(blocks * bits, 8), per_byte = 8 / bits;
              for (size_t n = 0; n < format.n; ++n)
                for (size_t b = 0; b < blocks; ++b)
                  zero_values.push_back(static_cast<float>(
                      (zeros->ptr<uint8_t>()[n * row + b / per_byte] >> (b % per_byte * bits)) & ((1u << bits) - 1u)));
            } else if (zeros) {
              zero_values = as_floats(*zeros);
            }
            nbits_pack(format, codes->ptr<uint8_t>(), scale_values.data(), zeros ? zero_values.data() : nullptr, to,
                       context.parallel());
          }));
  context.release(slots.codes);
  context.release(slots.scales);
  if (zeros) context.release(slots.zeros);
  return packed;
}

}  // namespace linnet
