#include "ops/fused_attention.h"

#include <cmath>

namespace linnet {
namespace {

bool is_masked(const Tensor& mask, const int32_t* m, const AttentionArgs& a, size_t b, size_t r, size_t t) noexcept {
  if (mask.shape.rank() == 2) return m[b * a.columns + t] <= 0;
  if (mask.shape.rank() == 3) return m[(b * a.rows + r) * a.columns + t] <= 0;
  const auto column = static_cast<int64_t>(t);
  return column >= m[b] ||
         (static_cast<size_t>(mask.shape[0]) == 2 * a.batch && a.batch > 0 && column < m[a.batch + b]);
}

}  // namespace

Status FusedAttention::parse_common(NodeReader& reader, const Slots& slots) {
  slots_ = slots;
  heads_ = reader.integer("num_heads", 0);
  scale_ = reader.number("scale", 0.0f);
  filter_ = reader.number("mask_filter_value", -10000.0f);
  causal_ = reader.flag("unidirectional", false);
  LINNET_REQUIRE(heads_ > 0 && heads_ < (1 << 20),
                 invalid_model("num_heads is ", heads_, "; it must be positive and below a million"));
  LINNET_REQUIRE(!reader.flag("past_present_share_buffer", false),
                 unsupported("a past that shares its buffer with present is not supported"));
  LINNET_REQUIRE(!reader.flag("do_rotary", false),
                 unsupported("rotary embedding inside of attention is not supported"));
  reader.ignore("rotary_embedding_dim");
  return {};
}

Result<size_t> FusedAttention::bind_common(BindContext& context, State& s, DType type) const {
  AttentionArgs& a = s.args;
  a.heads = a.kv_heads = size_of(heads_);
  a.columns = s.past + s.fresh;
  a.out_strides = rows_first(a.rows, a.heads * a.v_head_size, a.v_head_size);
  a.k_strides = s.cached ? heads_first(a.heads, a.columns, a.head_size) : s.k_fresh;
  a.v_strides = s.cached ? heads_first(a.heads, a.columns, a.v_head_size) : s.v_fresh;
  a.scale = scale_ != 0.0f ? scale_ : 1.0f / std::sqrt(static_cast<float>(a.head_size));
  a.causal = causal_;
  a.offset = static_cast<int64_t>(s.past);
  size_t bytes = 0;
  if (s.cached) {  // float copies of present
    bytes += round_up(a.batch * a.heads * a.columns * a.head_size * sizeof(float), 64);
    bytes += round_up(a.batch * a.heads * a.columns * a.v_head_size * sizeof(float), 64);
  }
  const bool mask = has(context, slots_.mask), bias = has(context, slots_.attention_bias);
  if (mask) {
    const Shape& shape = context.shape(slots_.mask);
    const auto batch = static_cast<int64_t>(a.batch), rows = static_cast<int64_t>(a.rows),
               columns = static_cast<int64_t>(a.columns);
    const bool fits = (shape.rank() == 1 && (shape[0] == batch || shape[0] == 2 * batch)) ||
                      (shape.rank() == 2 && shape[0] == batch && shape[1] == columns) ||
                      (shape.rank() == 3 && shape[0] == batch && shape[1] == rows && shape[2] == columns);
    LINNET_REQUIRE(
        fits, unsupported("a mask of shape ", shape, " for ", batch, " x ", rows, " queries and ", columns, " keys"));
    LINNET_REQUIRE(context.dtype(slots_.mask) == DType::i32,
                   unsupported("the mask is of type ", dtype_name(context.dtype(slots_.mask))));
  }
  if (bias) {
    const Shape& shape = context.shape(slots_.attention_bias);
    LINNET_REQUIRE(shape.rank() == 4 && (shape[0] == 1 || size_of(shape[0]) == a.batch) &&
                       (shape[1] == 1 || size_of(shape[1]) == a.heads) && size_of(shape[2]) == a.rows &&
                       size_of(shape[3]) == a.columns,
                   invalid_argument("attention_bias of shape ", shape, " does not fit ", a.rows, " queries and ",
                                    a.columns, " keys"));
    bytes += FloatScratch::bytes(type, shape.count());
  }
  if (mask) bytes += round_up(a.batch * (bias ? a.heads * a.rows : a.rows) * a.columns * sizeof(float), 64);
  s.kernel = round_up(attention_scratch_size(a, context.threads()), 64);
  return bytes;
}

void FusedAttention::apply_mask(RunContext& context, AttentionArgs& a, FloatScratch& floats) const {
  const Tensor* mask = slots_.mask == kNone ? nullptr : context.maybe(slots_.mask);
  const Tensor* extra = slots_.attention_bias == kNone ? nullptr : context.maybe(slots_.attention_bias);
  HeadStrides strides;
  if (extra) {
    a.bias = floats.in(*extra);
    strides.row = a.columns;
    strides.head = extra->shape[1] == 1 ? 0 : a.rows * a.columns;
    strides.batch = extra->shape[0] == 1 ? 0 : size_of(extra->shape[1]) * a.rows * a.columns;
  }
  if (mask) {
    const size_t heads = extra ? a.heads : 1, rows = extra || mask->shape.rank() == 3 ? a.rows : 1;
    auto* bias = reinterpret_cast<float*>(floats.raw(a.batch * heads * rows * a.columns * sizeof(float)));
    const int32_t* m = mask->ptr<int32_t>();
    for (size_t b = 0; b < a.batch; ++b)
      for (size_t h = 0; h < heads; ++h)
        for (size_t r = 0; r < rows; ++r) {
          float* to = bias + ((b * heads + h) * rows + r) * a.columns;
          const float* from = extra ? a.bias + b * strides.batch + h * strides.head + r * strides.row : nullptr;
          for (size_t t = 0; t < a.columns; ++t)
            to[t] = (from ? from[t] : 0.0f) + (is_masked(*mask, m, a, b, r, t) ? filter_ : 0.0f);
        }
    a.bias = bias;
    strides = {heads * rows * a.columns, heads == 1 ? 0 : rows * a.columns, rows == 1 && a.rows != 1 ? 0 : a.columns};
  }
  a.bias_strides = strides;
  a.bias_columns = a.columns;
}

const float* FusedAttention::extend(RunContext& context, const State& s, const Tensor* past, size_t part, void* present,
                                    DType type, const float* fresh, const HeadStrides& strides, size_t size,
                                    FloatScratch& floats) const {
  const AttentionArgs& a = s.args;
  const size_t count = a.batch * a.heads * a.columns * size, past_count = a.batch * a.heads * s.past * size;
  auto* whole = reinterpret_cast<float*>(floats.raw(count * sizeof(float)));
  CacheAppend append;
  append.batch = a.batch, append.heads = a.heads, append.size = size, append.width = sizeof(float);
  append.past_capacity = append.past_rows = s.past, append.capacity = a.columns;
  append.fresh = fresh, append.fresh_strides = strides, append.fresh_rows = s.fresh;
  const std::byte* past_data =
      past ? static_cast<const std::byte*>(past->data) + part * past_count * element_size(type) : nullptr;
  if (type == DType::f32) {
    append.past = past_data;
    append.present = present ? present : whole;
    append_to_cache(append, context.parallel);
    return static_cast<const float*>(append.present);
  }
  // Halves: the past is widened row by row into its place, then everything is rounded into present.
  append.present = whole;
  append_to_cache(append, context.parallel);
  const NumberType number = number_type(type);
  for (size_t i = 0; past && i < a.batch * a.heads && s.past; ++i)
    cast(number, past_data + i * s.past * size * element_size(type), NumberType::f32, whole + i * a.columns * size,
         s.past * size, {}, Parallel());
  if (present) cast(NumberType::f32, whole, number, present, count, {}, context.parallel);
  return whole;
}

}  // namespace linnet
