// Causal attention of a decoder where each block of queries sees only some blocks of keys.
// https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md#com.microsoft.SparseAttention
#include <cmath>

#include "kernels/attention/rotary.h"
#include "kernels/gemm/gemm.h"
#include "ops/attention_cache.h"
#include "ops/infer_shapes.h"

namespace linnet {
namespace {

enum Input : size_t { kQuery, kKey, kValue, kPastKey, kPastValue, kRows, kColumns, kTotal, kLengths, kCos, kSin };

class SparseAttention final : public Op {
 public:
  Status parse(NodeReader& reader) {
    heads_ = reader.integer("num_heads", 0);
    kv_heads_ = reader.integer("kv_num_heads", 0);
    block_ = reader.integer("sparse_block_size", 0);
    scale_ = reader.number("scale", 0.0f);
    rotary_ = reader.flag("do_rotary", false);
    interleaved_ = reader.flag("rotary_interleaved", false);
    LINNET_REQUIRE(heads_ > 0 && kv_heads_ > 0 && heads_ % kv_heads_ == 0 && heads_ < (1 << 20),
                   invalid_model(heads_, " heads of queries cannot share ", kv_heads_, " heads of keys"));
    LINNET_REQUIRE(block_ > 0 && block_ <= (1 << 20), invalid_model("sparse_block_size is ", block_));
    LINNET_REQUIRE(reader.has_input(kKey) == reader.has_input(kValue), invalid_model("keys and values come together"));
    LINNET_REQUIRE(!rotary_ || (reader.has_input(kCos) && reader.has_input(kSin)),
                   invalid_model("do_rotary needs cos_cache and sin_cache"));
    for (const size_t i : {kPastKey, kPastValue, kRows, kColumns, kTotal, kLengths})
      LINNET_REQUIRE(reader.has_input(i), invalid_model("input ", i, " is missing"));
    return {};
  }

  Status infer(InferContext& context) const override {
    const DType type = context.dtype(kQuery);
    LINNET_REQUIRE(is_float_or_half(type), unsupported("attention of type ", dtype_name(type)));
    for (const size_t i : {kKey, kValue, kPastKey, kPastValue, kCos, kSin})
      LINNET_REQUIRE(!context.has(i) || context.dtype(i) == type,
                     invalid_model("input ", i, " is not of the queries' type"));
    for (const size_t i : {kRows, kColumns, kTotal, kLengths})
      LINNET_REQUIRE(context.dtype(i) == DType::i32, invalid_model("input ", i, " is not int32"));
    if (context.ranked(kQuery)) {
      const SymShape& q = context.shape(kQuery);
      LINNET_REQUIRE(q.size() == 3, invalid_argument("queries have ", q.size(), " axes; they must have 3"));
      SymbolTable& symbols = context.symbols();
      const int64_t width = context.has(kKey) ? heads_ : heads_ + 2 * kv_heads_;
      context.set(0, type, {q[0], q[1], symbols.mul(symbols.div(q[2], width), heads_)});
    } else {
      context.set_unranked(0, type);
    }
    context.set_info(1, context.info(kPastKey));
    context.set_info(2, context.info(kPastValue));
    return {};
  }

  Status bind(BindContext& context) const override {
    State& s = context.state<State>();
    const Shape& q = context.shape(kQuery);
    const Shape& past = context.shape(kPastKey);
    const bool packed = !context.has(kKey);
    const int64_t width = packed ? heads_ + 2 * kv_heads_ : heads_, size = q[2] / width;
    LINNET_REQUIRE(q[2] % width == 0 && size > 0,
                   invalid_argument("the queries' ", q[2], " features do not split into ", width, " heads"));
    if (!packed)
      LINNET_REQUIRE(
          context.shape(kKey) == Shape({q[0], q[1], size * kv_heads_}) && context.shape(kValue) == context.shape(kKey),
          invalid_argument("keys ", context.shape(kKey), " and values ", context.shape(kValue), " do not fit queries ",
                           q));
    LINNET_REQUIRE(past.rank() == 4 && past[0] == q[0] && past[1] == kv_heads_ && past[3] == size &&
                       context.shape(kPastValue) == past,
                   invalid_argument("past_key ", past, " and past_value ", context.shape(kPastValue), " do not fit ",
                                    kv_heads_, " heads of ", size));
    const Shape& rows = context.shape(kRows);
    const Shape& columns = context.shape(kColumns);
    LINNET_REQUIRE(rows.rank() == 2 && columns.rank() == 2 && rows[0] == columns[0] && rows[0] > 0 &&
                       heads_ % rows[0] == 0 && rows[1] > 0,
                   invalid_argument("block_row_indices ", rows, " and block_col_indices ", columns, " do not fit ",
                                    heads_, " heads"));
    LINNET_REQUIRE(context.shape(kTotal).count() == 1 && context.shape(kLengths).count() == q[0],
                   invalid_argument("total_sequence_length must be one number, key_total_sequence_lengths one for each "
                                    "batch item"));
    const auto n = [](int64_t x) { return static_cast<size_t>(x); };
    s.batch = n(q[0]), s.rows = n(q[1]), s.size = n(size), s.capacity = n(past[2]);
    s.layouts = n(rows[0]), s.blocks = n(rows[1] - 1), s.listed = n(columns[1]);
    s.q_strides = rows_first(s.rows, n(q[2]), s.size);
    s.kv_strides = packed ? s.q_strides : rows_first(s.rows, n(kv_heads_) * s.size, s.size);
    LINNET_REQUIRE(static_cast<int64_t>(s.blocks) * block_ >= past[2] || past[2] % block_ == 0,
                   invalid_argument("the cache of ", past[2], " rows does not divide into blocks of ", block_));
    if (rotary_) {
      const Shape& cos = context.shape(kCos);
      LINNET_REQUIRE(
          cos.rank() == 2 && context.shape(kSin) == cos && 2 * cos[1] <= size,
          invalid_argument("caches of shapes ", cos, " and ", context.shape(kSin), " do not fit heads of ", size));
      s.half = n(cos[1]), s.positions = n(cos[0]);
    }
    const DType type = context.dtype(kQuery);
    size_t bytes = 0;
    const auto take = [&](size_t count) {
      const size_t at = bytes;
      bytes += round_up(count, 64);
      return at;
    };
    const size_t q_count = s.batch * s.rows * n(heads_) * s.size, k_count = s.batch * s.rows * n(kv_heads_) * s.size;
    s.numbers = take(2 * s.batch * sizeof(int64_t));
    s.q_turned = take(rotary_ ? q_count * sizeof(float) : 0);
    s.k_turned = take(rotary_ ? k_count * sizeof(float) : 0);
    s.k_rounded = take(rotary_ && type != DType::f32 ? k_count * element_size(type) : 0);
    // Of each worker: which blocks are seen, their keys and values, and the kernel's own.
    const size_t block = std::min(n(block_), std::max<size_t>(s.rows, 1));
    s.gathered = round_up(s.capacity * s.size * sizeof(float), 64);
    s.seen = round_up(s.blocks + 1, 64);
    s.kernel = 0;  // the most that any number of columns asks for: it grows within each panel of them
    for (size_t columns_seen = 0; columns_seen < s.capacity + kPanelWidth; columns_seen += kPanelWidth)
      s.kernel = std::max(s.kernel, round_up(attention_scratch_size(block_args(s, block, columns_seen), 1), 64));
    s.worker = s.seen + 2 * s.gathered + s.kernel;
    s.workers = take(s.worker * context.threads());
    for (const size_t part : {size_t{0}, size_t{1}})
      s.present[part] = take(context.wants(part + 1) ? 0 : n(past.count()) * element_size(type));
    s.views = bytes;
    for (const size_t i : {kQuery, kKey, kValue, kCos, kSin, kPastKey, kPastValue})
      if (context.has(i)) bytes += FloatScratch::bytes(type, context.shape(i).count());
    bytes += FloatScratch::bytes(type, context.out_shape(0).count());
    context.request_scratch(bytes);
    return {};
  }

  Status run(RunContext& context) const override {
    const State& s = context.state<State>();
    if (s.batch == 0 || s.rows == 0) return {};
    LINNET_TRY(check_layouts(context, s));
    std::byte* const scratch = context.scratch();
    FloatScratch floats(context, s.views);
    auto* offsets = reinterpret_cast<int64_t*>(scratch + s.numbers);
    int64_t* fresh = offsets + s.batch;
    const auto rows = static_cast<int64_t>(s.rows), capacity = static_cast<int64_t>(s.capacity);
    const bool prompt = integer_at(context.in(kTotal), 0) == rows;
    for (size_t b = 0; b < s.batch; ++b) {
      const int64_t length = context.in(kLengths).ptr<int32_t>()[b];
      LINNET_REQUIRE(length >= 1 && length <= capacity && (prompt ? length <= rows : length >= rows),
                     invalid_argument("key_total_sequence_lengths has ", length, " for ", rows,
                                      " queries and a cache of ", capacity));
      fresh[b] = std::min(length, rows);
      offsets[b] = length - fresh[b];
      LINNET_REQUIRE(
          !rotary_ || length <= static_cast<int64_t>(s.positions),
          invalid_argument("position ", length - 1, " is outside of the ", s.positions, " that the caches have"));
    }

    const Tensor& query = context.in(kQuery);
    const bool packed = !context.has(kKey);
    const auto heads = static_cast<size_t>(heads_), kv_heads = static_cast<size_t>(kv_heads_);
    const size_t width = element_size(query.dtype), k_at = heads * s.size, v_at = k_at + kv_heads * s.size;
    const auto fresh_data = [&](size_t input, size_t at) -> const void* {
      return packed ? static_cast<const std::byte*>(query.data) + at * width : context.in(input).data;
    };
    const float* q = floats.in(query);
    HeadStrides q_strides = s.q_strides, k_strides = s.kv_strides;
    const void* k_fresh = fresh_data(kKey, k_at);
    if (rotary_) {
      const float* k = packed ? q + k_at : floats.in(context.in(kKey));
      const float *cos = floats.in(context.in(kCos)), *sin = floats.in(context.in(kSin));
      auto* q_turned = reinterpret_cast<float*>(scratch + s.q_turned);
      auto* k_turned = reinterpret_cast<float*>(scratch + s.k_turned);
      turn(context, s, q, q_strides, heads, offsets, cos, sin, q_turned);
      turn(context, s, k, k_strides, kv_heads, offsets, cos, sin, k_turned);
      q = q_turned;
      q_strides = rows_first(s.rows, heads * s.size, s.size);
      k_fresh = k_turned;
      k_strides = rows_first(s.rows, kv_heads * s.size, s.size);
      if (query.dtype != DType::f32) {
        Tensor rounded{query.dtype, Shape{static_cast<int64_t>(s.batch * s.rows * kv_heads * s.size)},
                       scratch + s.k_rounded, nullptr};
        floats.finish(rounded, k_turned);
        k_fresh = rounded.data;
      }
    }
    const float* k = extend(context, s, 0, k_fresh, k_strides, floats);
    const float* v = extend(context, s, 1, fresh_data(kValue, v_at), s.kv_strides, floats);
    float* out = floats.out(context.out(0));
    std::fill_n(out, s.batch * s.rows * heads * s.size, 0.0f);

    // An item is a block of queries of one head.
    const auto block = static_cast<size_t>(block_);
    const size_t blocks = ceil_div(s.rows, block) + 1, group = heads / kv_heads;
    const double item_ns = static_cast<double>(std::min(block, s.rows) * s.capacity * s.size) * 0.1 + 500.0;
    context.parallel.for_range(
        s.batch * heads * blocks, grain_for(item_ns), [&](size_t first, size_t last, size_t worker) {
          std::byte* const mine = scratch + s.workers + worker * s.worker;
          for (size_t item = first; item < last; ++item) {
            const size_t b = item / (heads * blocks), h = item / blocks % heads;
            const auto offset = static_cast<size_t>(offsets[b]), end = offset + static_cast<size_t>(fresh[b]);
            const size_t query_block = offset / block + item % blocks;
            const size_t from = std::max(offset, query_block * block), to = std::min(end, (query_block + 1) * block);
            if (from >= to) continue;
            attend(context, s, h % s.layouts, query_block, from, to,
                   {q + b * q_strides.batch + h * q_strides.head + (from - offset) * q_strides.row, q_strides.row,
                    k + (b * kv_heads + h / group) * s.capacity * s.size,
                    v + (b * kv_heads + h / group) * s.capacity * s.size,
                    out + ((b * s.rows + from - offset) * heads + h) * s.size},
                   mine);
          }
        });
    floats.finish(context.out(0), out);
    return {};
  }

  bool can_overwrite(size_t input, size_t output) const override {
    return (input == kPastKey && output == 1) || (input == kPastValue && output == 2);
  }

 private:
  struct State {
    size_t batch, rows, size, capacity, layouts, blocks, listed, half, positions;
    HeadStrides q_strides, kv_strides;
    // in scratch
    size_t numbers, q_turned, k_turned, k_rounded, workers, present[2], views;
    size_t worker, seen, gathered, kernel;  // bytes of a worker and of its parts
  };
  struct BlockData {
    const float* q;
    size_t q_row;
    const float* k;
    const float* v;
    float* out;
  };

  AttentionArgs block_args(const State& s, size_t rows, size_t columns) const {
    AttentionArgs a;
    a.batch = a.heads = a.kv_heads = 1;
    a.rows = rows, a.columns = columns, a.head_size = a.v_head_size = s.size;
    a.scale = scale_ != 0.0f ? scale_ : 1.0f / std::sqrt(static_cast<float>(s.size));
    a.k_strides = a.v_strides = {0, 0, s.size};
    a.out_strides.row = static_cast<size_t>(heads_) * s.size;
    return a;
  }

  static Status check_layouts(const RunContext& context, const State& s) {
    for (size_t l = 0; l < s.layouts; ++l) {
      const int32_t* rows = context.in(kRows).ptr<int32_t>() + l * (s.blocks + 1);
      for (size_t r = 0; r <= s.blocks; ++r)
        LINNET_REQUIRE(rows[r] >= (r == 0 ? 0 : rows[r - 1]) && static_cast<size_t>(rows[r]) <= s.listed,
                       invalid_argument("block_row_indices has ", rows[r], " for ", s.listed, " listed blocks"));
    }
    return {};
  }

  // Rows [from, to) of one block of queries: the keys of the blocks that they see are brought together, their own last,
  // of which a row sees only what is before it.
  void attend(const RunContext& context, const State& s, size_t layout, size_t query_block, size_t from, size_t to,
              const BlockData& data, std::byte* mine) const {
    auto* seen = reinterpret_cast<uint8_t*>(mine);
    auto* keys = reinterpret_cast<float*>(mine + s.seen);
    auto* values = reinterpret_cast<float*>(mine + s.seen + s.gathered);
    std::fill_n(seen, s.blocks + 1, uint8_t{0});
    if (query_block < s.blocks) {
      const int32_t* rows = context.in(kRows).ptr<int32_t>() + layout * (s.blocks + 1) + query_block;
      const int32_t* columns = context.in(kColumns).ptr<int32_t>() + layout * s.listed;
      for (int32_t i = rows[0]; i < rows[1]; ++i)
        if (columns[i] >= 0 && static_cast<size_t>(columns[i]) <= query_block) seen[columns[i]] = 1;
    }
    const auto block = static_cast<size_t>(block_);
    size_t count = 0, before = 0;
    for (size_t c = 0; c <= query_block && c < s.blocks; ++c) {
      if (!seen[c]) continue;
      const size_t rows = std::min(to, (c + 1) * block) - c * block;
      std::copy_n(data.k + c * block * s.size, rows * s.size, keys + count * s.size);
      std::copy_n(data.v + c * block * s.size, rows * s.size, values + count * s.size);
      before = count;
      count += rows;
    }
    if (count == 0) return;
    AttentionArgs a = block_args(s, to - from, count);
    a.q = data.q, a.q_strides.row = data.q_row;
    a.k = keys, a.v = values, a.out = data.out;
    a.causal = query_block < s.blocks && seen[query_block];
    a.offset = static_cast<int64_t>(before + from - query_block * block);
    attention(a, mine + s.seen + 2 * s.gathered, Parallel());
  }

  void turn(const RunContext& context, const State& s, const float* src, const HeadStrides& strides, size_t heads,
            const int64_t* offsets, const float* cos, const float* sin, float* dst) const {
    const int64_t* fresh = offsets + s.batch;
    context.parallel.for_range(
        s.batch * s.rows, grain_for(static_cast<double>(heads * s.size)), [&](size_t first, size_t last, size_t) {
          for (size_t i = first; i < last; ++i) {
            const size_t b = i / s.rows, r = i % s.rows;
            const bool padding = static_cast<int64_t>(r) >= fresh[b];
            const size_t at = padding ? 0 : (static_cast<size_t>(offsets[b]) + r) * s.half;
            for (size_t h = 0; h < heads; ++h)
              rotate_head(src + b * strides.batch + h * strides.head + r * strides.row, dst + (i * heads + h) * s.size,
                          cos + at, sin + at, s.half, s.size, interleaved_);
          }
        });
  }

  const float* extend(RunContext& context, const State& s, size_t part, const void* fresh, const HeadStrides& strides,
                      FloatScratch& floats) const {
    const Tensor& past = context.in(kPastKey + part);
    Tensor whole{past.dtype, past.shape, nullptr, nullptr};
    whole.data = context.wants(part + 1) ? context.out(part + 1).data : context.scratch() + s.present[part];
    const auto* offsets = reinterpret_cast<const int64_t*>(context.scratch() + s.numbers);
    CacheAppend append;
    append.batch = s.batch, append.heads = static_cast<size_t>(kv_heads_), append.size = s.size;
    append.width = element_size(past.dtype);
    append.past = past.data, append.past_capacity = append.capacity = s.capacity;
    append.past_rows_of = offsets, append.fresh_rows_of = offsets + s.batch;
    append.fresh = fresh, append.fresh_strides = strides, append.fresh_rows = s.rows;
    append.present = whole.data;
    append_to_cache(append, context.parallel);
    return floats.in(whole);
  }

  int64_t heads_ = 0, kv_heads_ = 0, block_ = 0;
  float scale_ = 0.0f;
  bool rotary_ = false, interleaved_ = false;
};

constexpr OpDef kDefs[] = {
    {"com.microsoft", "SparseAttention", 1, 1, 11, 1, 3, create<SparseAttention>},
};

}  // namespace

extern const std::span<const OpDef> kSparseAttentionOps = kDefs;

}  // namespace linnet
