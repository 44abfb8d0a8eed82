#include "ops/fused_attention.h"

#include <algorithm>
#include <cmath>

#include "ops/element_types.h"

namespace linnet {
namespace {

// One column for all keys says the same of each, which changes no softmax.
bool says_nothing(const Shape& mask, int64_t batch, size_t total) noexcept {
  return mask.rank() == 2 && mask[1] == 1 && (mask[0] == batch ? total != 1 : mask[0] == 1);
}

bool is_masked(const Tensor& mask, const AttentionArgs& a, size_t total, size_t b, size_t r, size_t t) noexcept {
  const auto* m = mask.ptr<int32_t>();
  if (mask.shape.rank() == 2) return m[b * total + t] <= 0;
  if (mask.shape.rank() == 3) return m[(b * a.rows + r) * total + t] <= 0;
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
  const bool has_length = slots.past_length != kNone && reader.has_input(slots.past_length);
  // MultiHeadAttention has no attribute for it.
  shared_ = reader.flag("past_present_share_buffer", has_length && reader.op_type() == "MultiHeadAttention");
  LINNET_REQUIRE(!shared_ || has_length || !reader.has_input(slots.past_key),
                 invalid_model("a past that shares its buffer with present needs past_sequence_length"));
  shared_ = shared_ && reader.has_input(slots.past_key);
  // Without a cache in place there is nothing to look up; MultiHeadAttention reads the beams off the table.
  if (!shared_ && slots_.beam_width == kNone) slots_.indirection = kNone;
  LINNET_REQUIRE(slots_.indirection == kNone || !reader.has_input(slots_.indirection) ||
                     (shared_ && (slots_.beam_width == kNone || reader.has_input(slots_.beam_width))),
                 invalid_model("cache_indirection needs beam_width and a past that shares its buffer"));
  LINNET_REQUIRE(!reader.flag("do_rotary", false),
                 unsupported("do_rotary is not supported, as it is not by ONNX Runtime on a CPU: export "
                             "MultiHeadAttention with RotaryEmbedding"));
  reader.ignore("rotary_embedding_dim");
  return {};
}

Status FusedAttention::check_types(const InferContext& context, DType type) const {
  for (const size_t slot : {slots_.bias, slots_.attention_bias, slots_.past_key, slots_.past_value})
    if (slot != kNone) LINNET_TRY(expect_type(context, slot, {type}));
  for (const size_t slot : {slots_.mask, slots_.past_length, slots_.beam_width, slots_.indirection})
    if (slot != kNone) LINNET_TRY(expect_type(context, slot, {DType::i32}));
  return {};
}

Result<size_t> FusedAttention::bind_common(BindContext& context, State& s, DType type) const {
  AttentionArgs& a = s.args;
  a.heads = a.kv_heads = size_of(heads_);
  if (shared_) {
    s.past_capacity = s.past;
    s.past = 0;
    LINNET_REQUIRE(s.fresh <= s.past_capacity,
                   invalid_argument(s.fresh, " new rows do not fit into a cache of ", s.past_capacity));
    a.columns = s.past_capacity;
  } else {
    s.past_capacity = s.past;
    a.columns = s.past + s.fresh;
  }
  a.out_strides = rows_first(a.rows, a.heads * a.v_head_size, a.v_head_size);
  a.k_strides = s.cached ? heads_first(a.heads, a.columns, a.head_size) : s.k_fresh;
  a.v_strides = s.cached ? heads_first(a.heads, a.columns, a.v_head_size) : s.v_fresh;
  a.scale = scale_ != 0.0f ? scale_ : 1.0f / std::sqrt(static_cast<float>(a.head_size));
  a.causal = causal_;
  const bool beams = has(context, slots_.indirection);
  size_t bytes = round_up(a.batch * sizeof(int64_t), 64);
  if (s.cached) {  // float copies of present, and of what the beams make of it
    const size_t copies = beams ? 2 : 1;
    bytes += copies * round_up(a.batch * a.heads * a.columns * a.head_size * sizeof(float), 64);
    bytes += copies * round_up(a.batch * a.heads * a.columns * a.v_head_size * sizeof(float), 64);
  }
  const bool mask = has(context, slots_.mask), bias = has(context, slots_.attention_bias);
  if (bias) bytes += FloatScratch::bytes(type, context.shape(slots_.attention_bias).count());
  for (const size_t slot : {slots_.past_length, slots_.beam_width})
    LINNET_REQUIRE(!has(context, slot) || context.shape(slot).count() == 1,
                   invalid_argument("input ", slot, " must be one number"));
  if (beams)
    LINNET_REQUIRE(context.shape(slots_.indirection).rank() == 3,
                   invalid_argument("cache_indirection of shape ", context.shape(slots_.indirection),
                                    " is not [batch, beams, rows]"));
  if (!shared_)
    LINNET_TRY(check_masks(a, a.columns, mask ? &context.shape(slots_.mask) : nullptr,
                           bias ? &context.shape(slots_.attention_bias) : nullptr));
  if (mask) bytes += round_up(a.batch * (bias ? a.heads * a.rows : a.rows) * a.columns * sizeof(float), 64);
  s.kernel = round_up(attention_scratch_size(a, context.threads()), 64);
  return bytes;
}

Status FusedAttention::check_masks(const AttentionArgs& a, size_t total, const Shape* mask, const Shape* bias) const {
  const auto batch = static_cast<int64_t>(a.batch), rows = static_cast<int64_t>(a.rows),
             columns = static_cast<int64_t>(total);
  if (mask) {
    const Shape& shape = *mask;
    const bool fits = (shape.rank() == 1 && (shape[0] == batch || shape[0] == 2 * batch)) ||
                      (shape.rank() == 2 && shape[0] == batch && shape[1] == columns) ||
                      says_nothing(shape, batch, total) ||
                      (shape.rank() == 3 && shape[0] == batch && shape[1] == rows && shape[2] == columns);
    LINNET_REQUIRE(
        fits, unsupported("a mask of shape ", shape, " for ", batch, " x ", rows, " queries and ", columns, " keys"));
  }
  if (bias) {
    const Shape& shape = *bias;
    LINNET_REQUIRE(
        shape.rank() == 4 && (shape[0] == 1 || shape[0] == batch) && (shape[1] == 1 || size_of(shape[1]) == a.heads) &&
            shape[2] == rows && shape[3] == columns,
        invalid_argument("attention_bias of shape ", shape, " does not fit ", rows, " queries and ", columns, " keys"));
  }
  return {};
}

Result<size_t> FusedAttention::read_past(RunContext& context, const State& s, AttentionArgs& a,
                                         FloatScratch& floats) const {
  // The last query goes with the last key, so that keys of the past count as such wherever a model appends them.
  const auto more_keys = static_cast<int64_t>(s.fresh > a.rows ? s.fresh - a.rows : 0);
  a.offset = static_cast<int64_t>(s.past) + more_keys;
  if (!shared_) return s.past;
  const int64_t past = *context.in(slots_.past_length).ptr<int32_t>();
  LINNET_REQUIRE(past >= 0 && past <= static_cast<int64_t>(s.past_capacity - s.fresh),
                 invalid_argument("past_sequence_length is ", past, " for ", s.fresh, " new rows and a cache of ",
                                  s.past_capacity));
  const size_t total = size_of(past) + s.fresh;
  const Tensor* mask = slots_.mask == kNone ? nullptr : context.maybe(slots_.mask);
  const Tensor* bias = slots_.attention_bias == kNone ? nullptr : context.maybe(slots_.attention_bias);
  LINNET_TRY(check_masks(a, total, mask ? &mask->shape : nullptr, bias ? &bias->shape : nullptr));
  if (has(context, slots_.indirection)) {
    const Tensor& from = context.in(slots_.indirection);
    const int64_t beams = slots_.beam_width == kNone ? from.shape[1] : *context.in(slots_.beam_width).ptr<int32_t>();
    LINNET_REQUIRE(beams >= 1 && from.shape[1] == beams && from.shape[2] >= past &&
                       from.shape[0] == static_cast<int64_t>(a.batch) / beams && a.batch % size_of(beams) == 0,
                   invalid_argument("cache_indirection of shape ", from.shape, " does not fit ", a.batch,
                                    " sequences in ", beams, " beams with ", past, " rows"));
    for (int64_t row = 0; row < from.shape[0] * beams; ++row)
      for (int64_t t = 0; t < past; ++t) {
        const int32_t beam = from.ptr<int32_t>()[row * from.shape[2] + t];
        LINNET_REQUIRE(beam >= 0 && beam < beams,
                       invalid_argument("cache_indirection names beam ", beam, " of ", beams));
      }
  }
  a.offset = past + more_keys;
  auto* lengths = reinterpret_cast<int64_t*>(floats.raw(a.batch * sizeof(int64_t)));
  std::fill_n(lengths, a.batch, static_cast<int64_t>(total));
  a.lengths = lengths;
  return size_of(past);
}

void FusedAttention::apply_mask(RunContext& context, AttentionArgs& a, size_t total, FloatScratch& floats) const {
  const Tensor* mask = slots_.mask == kNone ? nullptr : context.maybe(slots_.mask);
  if (mask && says_nothing(mask->shape, static_cast<int64_t>(a.batch), total)) mask = nullptr;
  const Tensor* extra = slots_.attention_bias == kNone ? nullptr : context.maybe(slots_.attention_bias);
  HeadStrides strides;
  if (extra) {
    a.bias = floats.in(*extra);
    strides.row = total;
    strides.head = extra->shape[1] == 1 ? 0 : a.rows * total;
    strides.batch = extra->shape[0] == 1 ? 0 : size_of(extra->shape[1]) * a.rows * total;
  }
  if (mask) {
    const size_t heads = extra ? a.heads : 1, rows = extra || mask->shape.rank() == 3 ? a.rows : 1;
    auto* bias = reinterpret_cast<float*>(floats.raw(a.batch * heads * rows * total * sizeof(float)));
    for (size_t b = 0; b < a.batch; ++b)
      for (size_t h = 0; h < heads; ++h)
        for (size_t r = 0; r < rows; ++r) {
          float* to = bias + ((b * heads + h) * rows + r) * total;
          const float* from = extra ? a.bias + b * strides.batch + h * strides.head + r * strides.row : nullptr;
          for (size_t t = 0; t < total; ++t)
            to[t] = (from ? from[t] : 0.0f) + (is_masked(*mask, a, total, b, r, t) ? filter_ : 0.0f);
        }
    a.bias = bias;
    strides = {heads * rows * total, heads == 1 ? 0 : rows * total, rows == 1 && a.rows != 1 ? 0 : total};
  }
  a.bias_strides = strides;
  a.bias_columns = total;
}

const float* FusedAttention::extend(RunContext& context, const State& s, size_t past, const Tensor* cache, size_t part,
                                    void* present, DType type, const float* fresh, const HeadStrides& strides,
                                    size_t size, FloatScratch& floats) const {
  const AttentionArgs& a = s.args;
  const size_t count = a.batch * a.heads * a.columns * size, past_row = s.past_capacity * size;
  auto* whole = reinterpret_cast<float*>(floats.raw(count * sizeof(float)));
  CacheAppend append;
  append.batch = a.batch, append.heads = a.heads, append.size = size, append.width = sizeof(float);
  append.past_capacity = s.past_capacity, append.past_rows = past, append.capacity = a.columns;
  append.fresh = fresh, append.fresh_strides = strides, append.fresh_rows = s.fresh;
  const std::byte* past_data =
      cache ? static_cast<const std::byte*>(cache->data) + part * a.batch * a.heads * past_row * element_size(type)
            : nullptr;
  if (type == DType::f32) {
    append.past = past_data;
    append.present = present ? present : whole;
    append_to_cache(append, context.parallel);
    whole = static_cast<float*>(append.present);
  } else {  // the past is widened row by row into its place, then everything is rounded into present
    append.present = whole;
    append_to_cache(append, context.parallel);
    const NumberType number = number_type(type);
    for (size_t i = 0; cache && i < a.batch * a.heads && past; ++i)
      cast(number, past_data + i * past_row * element_size(type), NumberType::f32, whole + i * a.columns * size,
           past * size, {}, Parallel());
    if (present) cast(NumberType::f32, whole, number, present, count, {}, context.parallel);
  }
  if (!has(context, slots_.indirection)) return whole;
  const Tensor& from = context.in(slots_.indirection);
  const auto beams = size_of(from.shape[1]), most = size_of(from.shape[2]);
  auto* gathered = reinterpret_cast<float*>(floats.raw(count * sizeof(float)));
  for (size_t b = 0; b < a.batch; ++b)
    for (size_t h = 0; h < a.heads; ++h)
      for (size_t t = 0; t < past + s.fresh; ++t) {
        const size_t source = t < past ? b / beams * beams + static_cast<size_t>(from.ptr<int32_t>()[b * most + t]) : b;
        std::copy_n(whole + ((source * a.heads + h) * a.columns + t) * size, size,
                    gathered + ((b * a.heads + h) * a.columns + t) * size);
      }
  return gathered;
}

}  // namespace linnet
