// Elementwise operators, softmax, concatenation and pooling of com.microsoft on 8-bit numbers with a scale and a zero
// point. Functions of one element are tables of 256.
// https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md#com.microsoft.QLinearAdd
#include <cmath>
#include <cstring>

#include "kernels/pool/pool.h"
#include "kernels/quant/code_math.h"
#include "kernels/quant/int_block.h"
#include "kernels/quant/quantize.h"
#include "kernels/spatial_layout.h"
#include "ops/broadcast_plan.h"
#include "ops/float_scratch.h"
#include "ops/infer_shapes.h"
#include "ops/sliding_window.h"

namespace linnet {
namespace {

constexpr size_t kChunk = 512;    // elements that go through float together
constexpr size_t kTableRow = 64;  // elements of a row from which on a table of its results is faster

bool is_int8(DType t) noexcept { return t == DType::u8 || t == DType::i8; }

// How codes of one tensor stand for numbers.
struct Quantized {
  float scale = 1.0f;
  int32_t zero = 0;
  bool is_signed = false;

  int32_t code(uint8_t bits) const noexcept { return is_signed ? static_cast<int8_t>(bits) : bits; }
  float number(uint8_t bits) const noexcept { return static_cast<float>(code(bits) - zero) * scale; }
  uint8_t nearest(float x) const noexcept {
    uint8_t bits = 0;
    from_floats(&x, &bits, 1);
    return bits;
  }
  void to_floats(const uint8_t* src, float* dst, size_t n) const noexcept {
    if (is_signed) {
      dequantize(reinterpret_cast<const int8_t*>(src), dst, n, scale, zero);
    } else {
      dequantize(src, dst, n, scale, zero);
    }
  }
  void from_floats(const float* src, uint8_t* dst, size_t n) const noexcept {
    if (is_signed) {
      quantize(src, reinterpret_cast<int8_t*>(dst), n, scale, zero);
    } else {
      quantize(src, dst, n, scale, zero);
    }
  }
};

Quantized quantized(const RunContext& context, DType type, size_t scale, size_t zero) {
  Quantized q;
  q.is_signed = type == DType::i8;
  q.scale = static_cast<float>(number_at(context.in(scale), 0));
  if (const Tensor* z = context.maybe(zero)) q.zero = static_cast<int32_t>(integer_at(*z, 0));
  return q;
}

// Each of `scales` is the number of a scale's input; its zero point of `type` is the input behind it.
Status check_scalars(const InferContext& context, std::initializer_list<size_t> scales, DType type) {
  LINNET_REQUIRE(is_int8(type), unsupported("numbers of type ", dtype_name(type)));
  for (const size_t scale : scales) {
    LINNET_REQUIRE(context.has(scale) && is_float(context.dtype(scale)),
                   invalid_model("the scale (input ", scale, ") is not a float"));
    LINNET_REQUIRE(!context.has(scale + 1) || context.dtype(scale + 1) == type,
                   invalid_model("the zero point (input ", scale + 1, ") is of another type"));
    for (const size_t i : {scale, scale + 1})
      LINNET_REQUIRE(
          !context.has(i) || !context.ranked(i) || !context.shape(i).known() || context.shape(i).values().count() == 1,
          invalid_argument("input ", i, " must be one number"));
  }
  return {};
}

struct Table {
  uint8_t codes[256];
  uint8_t operator[](size_t i) const noexcept { return codes[i]; }
};

template <class F>
Table table_of(const Quantized& x, const Quantized& y, F&& f) {
  Table table;
  for (size_t i = 0; i < 256; ++i) table.codes[i] = y.nearest(f(x.number(static_cast<uint8_t>(i))));
  return table;
}

void map_bytes(const Table& table, const uint8_t* src, uint8_t* dst, size_t n, const Parallel& parallel) {
  parallel.for_range(n, 1 << 15, [&](size_t begin, size_t end, size_t) {
    map_codes(table.codes, src + begin, dst + begin, end - begin);
  });
}

Status set_broadcast(InferContext& context, std::initializer_list<size_t> inputs, DType type) {
  SymShape shape;
  for (const size_t i : inputs) {
    if (!context.ranked(i)) {
      context.set_unranked(0, type);
      return {};
    }
    LINNET_ASSIGN(shape, broadcast_shapes(shape, context.shape(i), context.symbols()));
  }
  context.set(0, type, std::move(shape));
  return {};
}

// QLinearAdd and QLinearMul: A, its scale and zero point, B with its, the output's.
class Binary final : public Op {
 public:
  Status parse(NodeReader& reader) {
    multiplies_ = reader.op_type() == "QLinearMul";
    LINNET_REQUIRE(reader.has_input(3), invalid_model("the second operand is missing"));
    return {};
  }
  Status infer(InferContext& context) const override {
    LINNET_REQUIRE(context.dtype(0) == context.dtype(3), invalid_model("the operands are of different types"));
    LINNET_TRY(check_scalars(context, {1, 4, 6}, context.dtype(0)));
    return set_broadcast(context, {0, 3}, context.dtype(0));
  }
  Status run(RunContext& context) const override {
    const Tensor& a = context.in(0);
    const Tensor& b = context.in(3);
    Tensor& c = context.out(0);
    const Quantized qa = quantized(context, a.dtype, 1, 2), qb = quantized(context, a.dtype, 4, 5),
                    qc = quantized(context, a.dtype, 6, 7);
    LINNET_ASSIGN(const BroadcastPlan plan, broadcast_plan(c.shape, a.shape, b.shape));
    CodePair pair;
    pair.is_signed = qa.is_signed;
    pair.multiplies = multiplies_;
    pair.a_factor = multiplies_ ? qa.scale * qb.scale / qc.scale : qa.scale / qc.scale;
    pair.b_factor = qb.scale / qc.scale;
    pair.a_zero = qa.zero, pair.b_zero = qb.zero, pair.c_zero = qc.zero;
    CodePair swapped = pair;
    std::swap(swapped.a_zero, swapped.b_zero);
    if (!multiplies_) std::swap(swapped.a_factor, swapped.b_factor);
    for_each_block(plan, 0.3, context.parallel, [&](const BroadcastBlock& block) {
      for (size_t r = 0; r < block.rows; ++r) {
        const uint8_t* x = a.ptr<uint8_t>() + block.src[0] + r * block.row_stride[0];
        const uint8_t* y = b.ptr<uint8_t>() + block.src[1] + r * block.row_stride[1];
        uint8_t* to = c.ptr<uint8_t>() + block.dst + r * block.columns;
        if (block.stride[0] == 1 && block.stride[1] <= 1) {
          combine_codes(pair, x, y, block.stride[1], to, block.columns);
        } else if (block.stride[1] == 1 && block.stride[0] == 0) {
          combine_codes(swapped, y, x, 0, to, block.columns);
        } else {
          for (size_t i = 0; i < block.columns; ++i)
            combine_codes(pair, x + i * block.stride[0], y + i * block.stride[1], 1, to + i, 1);
        }
      }
    });
    return {};
  }

 private:
  bool multiplies_ = false;
};

// QLinearSigmoid and QLinearLeakyRelu.
class Unary final : public Op {
 public:
  Status parse(NodeReader& reader) {
    sigmoid_ = reader.op_type() == "QLinearSigmoid";
    if (!sigmoid_) alpha_ = reader.number("alpha", 0.01f);
    return {};
  }
  Status infer(InferContext& context) const override {
    LINNET_TRY(check_scalars(context, {1, 3}, context.dtype(0)));
    return infer_same_as_input(context);
  }
  Status run(RunContext& context) const override {
    const Tensor& x = context.in(0);
    const Quantized qx = quantized(context, x.dtype, 1, 2), qy = quantized(context, x.dtype, 3, 4);
    const Table table = table_of(qx, qy, [&](float v) {
      return sigmoid_ ? 1.0f / (1.0f + std::exp(-v)) : v < 0 ? alpha_ * v : v;
    });
    map_bytes(table, x.ptr<uint8_t>(), context.out(0).ptr<uint8_t>(), static_cast<size_t>(x.count()), context.parallel);
    return {};
  }
  bool can_overwrite(size_t input, size_t) const override { return input == 0; }

 private:
  bool sigmoid_ = false;
  float alpha_ = 0.01f;
};

// linnet.MapCodes: codes of 8 bits, and what stands for each of the 256 bytes.
class MapCodes final : public Op {
 public:
  Status parse(NodeReader&) { return {}; }
  Status infer(InferContext& context) const override {
    LINNET_REQUIRE(is_int8(context.dtype(0)) && is_int8(context.dtype(1)),
                   invalid_model("codes or their table are not of 8 bits"));
    LINNET_REQUIRE(!context.ranked(1) || !context.shape(1).known() || context.shape(1).values().count() == 256,
                   invalid_argument("the table does not have 256 elements"));
    if (context.ranked(0)) {
      context.set(0, context.dtype(1), context.shape(0));
    } else {
      context.set_unranked(0, context.dtype(1));
    }
    return {};
  }
  Status run(RunContext& context) const override {
    Table table;
    std::memcpy(table.codes, context.in(1).data, sizeof table.codes);
    const Tensor& x = context.in(0);
    map_bytes(table, static_cast<const uint8_t*>(x.data), static_cast<uint8_t*>(context.out(0).data),
              static_cast<size_t>(x.count()), context.parallel);
    return {};
  }
  bool can_overwrite(size_t input, size_t) const override { return input == 0; }
};

// Condition, X, its scale and zero point, Y with its, the output's.
class Where final : public Op {
 public:
  Status parse(NodeReader&) { return {}; }
  Status infer(InferContext& context) const override {
    LINNET_REQUIRE(context.dtype(0) == DType::boolean, invalid_model("the condition is not boolean"));
    LINNET_REQUIRE(context.dtype(1) == context.dtype(4), invalid_model("the operands are of different types"));
    LINNET_TRY(check_scalars(context, {2, 5, 7}, context.dtype(1)));
    return set_broadcast(context, {0, 1, 4}, context.dtype(1));
  }
  Status run(RunContext& context) const override {
    const Tensor& condition = context.in(0);
    const Tensor& x = context.in(1);
    const Tensor& y = context.in(4);
    Tensor& z = context.out(0);
    const Quantized qz = quantized(context, x.dtype, 7, 8);
    const auto same = [](float v) { return v; };
    const Table from_x = table_of(quantized(context, x.dtype, 2, 3), qz, same),
                from_y = table_of(quantized(context, x.dtype, 5, 6), qz, same);
    LINNET_ASSIGN(const BroadcastPlan plan, broadcast_plan(z.shape, condition.shape, x.shape, y.shape));
    for_each_block(plan, 1.0, context.parallel, [&](const BroadcastBlock& block) {
      for (size_t r = 0; r < block.rows; ++r)
        for (size_t i = 0; i < block.columns; ++i) {
          const auto at = [&](size_t operand) {
            return block.src[operand] + r * block.row_stride[operand] + i * block.stride[operand];
          };
          z.ptr<uint8_t>()[block.dst + r * block.columns + i] =
              condition.ptr<uint8_t>()[at(0)] ? from_x[x.ptr<uint8_t>()[at(1)]] : from_y[y.ptr<uint8_t>()[at(2)]];
        }
    });
    return {};
  }
};

// The output's scale and zero point, then each input with its own.
class Concat final : public Op {
 public:
  Status parse(NodeReader& reader) {
    axis_ = reader.integer("axis", 0);
    LINNET_REQUIRE(reader.inputs() >= 5 && reader.inputs() % 3 == 2,
                   invalid_model("every input needs a scale and a zero point"));
    for (size_t i = 0; i < reader.inputs(); ++i)
      LINNET_REQUIRE(reader.has_input(i), invalid_model("input ", i, " is left out"));
    return {};
  }
  Status infer(InferContext& context) const override {
    const DType type = context.dtype(1);
    LINNET_TRY(check_scalars(context, {0}, type));
    bool ranked = true;
    for (size_t i = 2; i < context.inputs(); i += 3) {
      LINNET_REQUIRE(context.dtype(i) == type, invalid_model("input ", i, " is not of type ", dtype_name(type)));
      LINNET_TRY(check_scalars(context, {i + 1}, type));
      ranked = ranked && context.ranked(i);
    }
    if (!ranked) {
      context.set_unranked(0, type);
      return {};
    }
    SymShape shape = context.shape(2);
    LINNET_ASSIGN(const size_t axis, checked_axis(axis_, shape.size()));
    for (size_t i = 5; i < context.inputs(); i += 3) {
      const SymShape& other = context.shape(i);
      LINNET_REQUIRE(other.size() == shape.size(), invalid_argument("the inputs have different ranks"));
      for (size_t a = 0; a < shape.size(); ++a)
        LINNET_REQUIRE(a == axis || !other[a].known() || !shape[a].known() || other[a] == shape[a],
                       invalid_argument("the inputs differ on axis ", a));
      shape[axis] = context.symbols().add(shape[axis], other[axis]);
    }
    context.set(0, type, std::move(shape));
    return {};
  }
  Status run(RunContext& context) const override {
    Tensor& y = context.out(0);
    const Quantized qy = quantized(context, y.dtype, 0, 1);
    LINNET_ASSIGN(const size_t axis, checked_axis(axis_, y.shape.rank()));
    const auto outer = static_cast<size_t>(y.shape.count(0, axis)),
               row = static_cast<size_t>(y.shape.count(axis, y.shape.rank()));
    size_t at = 0;
    for (size_t i = 2; i < context.inputs(); i += 3) {
      const Tensor& x = context.in(i);
      const Quantized qx = quantized(context, x.dtype, i + 1, i + 2);
      const bool same = qx.scale == qy.scale && qx.zero == qy.zero;
      const Table table = same ? Table() : table_of(qx, qy, [](float v) { return v; });
      const auto part = static_cast<size_t>(x.shape.count(axis, x.shape.rank()));
      for (size_t o = 0; o < outer; ++o) {
        const uint8_t* from = x.ptr<uint8_t>() + o * part;
        uint8_t* to = y.ptr<uint8_t>() + o * row + at;
        if (same) {
          std::copy_n(from, part, to);
        } else {
          map_bytes(table, from, to, part, context.parallel);
        }
      }
      at += part;
    }
    return {};
  }

 private:
  int64_t axis_ = 0;
};

// The greatest of n codes.
uint8_t greatest_byte(bool is_signed, const uint8_t* src, size_t n) {
  constexpr size_t kBlock = 64;
  uint8_t most[kBlock];
  size_t count = std::min(n, kBlock);
  std::copy_n(src, count, most);
  for (size_t i = count; i < n; i += kBlock) max_codes(is_signed, src + i, most, std::min(kBlock, n - i));
  for (; count > 1; count = (count + 1) / 2) max_codes(is_signed, most + (count + 1) / 2, most, count / 2);
  return most[0];
}

class Softmax final : public Op {
 public:
  Status parse(NodeReader& reader) {
    axis_ = reader.integer("axis", -1);
    flattens_ = reader.integer("opset", 13) < 13;
    return {};
  }
  Status infer(InferContext& context) const override {
    LINNET_TRY(check_scalars(context, {1, 3}, context.dtype(0)));
    if (context.ranked(0)) LINNET_TRY(checked_axis(axis_, context.shape(0).size()).status());
    return infer_same_as_input(context);
  }
  Status run(RunContext& context) const override {
    const Tensor& x = context.in(0);
    const Quantized qx = quantized(context, x.dtype, 1, 2), qy = quantized(context, x.dtype, 3, 4);
    LINNET_ASSIGN(const size_t axis, checked_axis(axis_, x.shape.rank()));
    const size_t rank = x.shape.rank();
    const auto inner = static_cast<size_t>(flattens_ ? 1 : x.shape.count(axis + 1, rank));
    const auto n = static_cast<size_t>(flattens_ ? x.shape.count(axis, rank) : x.shape[axis]);
    const auto rows = static_cast<size_t>(x.shape.count(0, axis)) * inner;
    // e^(scale (code - greatest)) for each distance of codes, and from the greatest distance on.
    float powers[256], rising[256];
    for (int i = 0; i < 256; ++i) rising[255 - i] = powers[i] = std::exp(static_cast<float>(-i) * qx.scale);
    const uint8_t flip = qx.is_signed ? 128 : 0;  // makes bytes that are in the codes' order
    context.parallel.for_range(rows, grain_for(static_cast<double>(n) * 1.5), [&](size_t first, size_t last, size_t) {
      for (size_t r = first; r < last; ++r) {
        const size_t start = r / inner * n * inner + r % inner;
        const uint8_t* src = x.ptr<uint8_t>() + start;
        uint8_t* dst = context.out(0).ptr<uint8_t>() + start;
        const auto byte_at = [&](size_t i) { return static_cast<uint8_t>(src[i * inner] ^ flip); };
        const size_t top = inner == 1 ? greatest_byte(qx.is_signed, src, n) ^ flip : [&] {
          uint8_t most = 0;
          for (size_t i = 0; i < n; ++i) most = std::max(most, byte_at(i));
          return most;
        }();
        float sums[4] = {};  // each addition waits for the one before it
        size_t i = 0;
        for (; i + 4 <= n; i += 4) {
          sums[0] += powers[top - byte_at(i)];
          sums[1] += powers[top - byte_at(i + 1)];
          sums[2] += powers[top - byte_at(i + 2)];
          sums[3] += powers[top - byte_at(i + 3)];
        }
        for (; i < n; ++i) sums[0] += powers[top - byte_at(i)];
        Quantized shares = qy;  // of the sum
        shares.scale *= (sums[0] + sums[1]) + (sums[2] + sums[3]);
        if (inner == 1 && n >= kTableRow) {
          uint8_t codes[256] = {};
          Table table;
          shares.from_floats(rising + 255 - top, codes, top + 1);
          std::memcpy(table.codes + flip, codes, 128);
          std::memcpy(table.codes + (flip ^ 128), codes + 128, 128);
          map_codes(table.codes, src, dst, n);
          continue;
        }
        float numbers[kChunk];
        uint8_t codes[kChunk];
        for (size_t begin = 0; begin < n; begin += kChunk) {
          const size_t count = std::min(kChunk, n - begin);
          for (size_t k = 0; k < count; ++k) numbers[k] = powers[top - byte_at(begin + k)];
          shares.from_floats(numbers, codes, count);
          for (size_t k = 0; k < count; ++k) dst[(begin + k) * inner] = codes[k];
        }
      }
    });
    return {};
  }

 private:
  int64_t axis_ = -1;
  bool flattens_ = false;
};

// QLinearAveragePool and QLinearGlobalAveragePool.
class AveragePool final : public Op {
 public:
  Status parse(NodeReader& reader) {
    global_ = reader.op_type() == "QLinearGlobalAveragePool";
    channels_last_ = reader.flag("channels_last", false);
    if (global_) return {};
    ceil_mode_ = reader.flag("ceil_mode", false);
    count_include_pad_ = reader.flag("count_include_pad", false);
    return window_.parse(reader);
  }
  Status infer(InferContext& context) const override {
    const DType type = context.dtype(0);
    LINNET_TRY(check_scalars(context, {1, 3}, type));
    if (!context.ranked(0)) {
      context.set_unranked(0, type);
      return {};
    }
    SymShape shape = context.shape(0);
    LINNET_ASSIGN(const SpatialLayout layout, spatial_layout(shape.size(), channels_last_));
    if (!global_) {
      LINNET_TRY(window_.check(layout.axes()));
      LINNET_REQUIRE(window_.kernel_shape().size() == layout.axes(), invalid_model("kernel_shape is missing"));
    }
    for (size_t a = 0; a < layout.axes(); ++a) {
      Dim& size = shape[layout.spatial_axis(a)];
      if (global_) {
        size = 1;
      } else {
        LINNET_ASSIGN(size, window_.output_size(window_.axis(a, 1), size, ceil_mode_, context.symbols()));
      }
    }
    context.set(0, type, std::move(shape));
    return {};
  }
  Status bind(BindContext& context) const override {
    if (global_) {
      const SpatialLayout layout{context.shape(0).rank(), channels_last_};
      LINNET_REQUIRE(positions_of(layout.sizes(context.shape(0))) < (size_t{1} << 23),
                     unsupported("an average of 2^23 numbers or more"));
      context.request_scratch(static_cast<size_t>(context.shape(0)[layout.channel_axis()]) * sizeof(int32_t));
      return {};
    }
    State& s = context.state<State>();
    s.geometry = geometry(context.shape(0), context.out_shape(0));
    const auto floats = [](const Shape& shape) { return round_up(scratch_size(shape.count(), sizeof(float)), 64); };
    const auto codes = [](const Shape& shape) { return round_up(static_cast<size_t>(shape.count()), 64); };
    s.src = round_up(pool_scratch_size(s.geometry) * context.threads(), 64);
    s.dst = s.src + floats(context.shape(0));
    s.codes = s.dst + floats(context.out_shape(0));
    context.request_scratch(s.codes + std::max(codes(context.shape(0)), codes(context.out_shape(0))));
    return {};
  }
  Status run(RunContext& context) const override {
    const Tensor& x = context.in(0);
    Tensor& y = context.out(0);
    const Quantized qx = quantized(context, x.dtype, 1, 2), qy = quantized(context, x.dtype, 3, 4);
    if (global_) {
      const SpatialLayout layout{x.shape.rank(), channels_last_};
      PoolGeometry g;
      g.batch = static_cast<size_t>(x.shape[0]);
      g.channels = static_cast<size_t>(x.shape[layout.channel_axis()]);
      g.src = layout.sizes(x.shape);
      global_average(x.ptr<uint8_t>(), qx, g, y.ptr<uint8_t>(), qy, reinterpret_cast<int32_t*>(context.scratch()),
                     context.parallel);
      return {};
    }
    if (y.count() == 0) return {};
    const State& s = context.state<State>();
    const PoolGeometry& g = s.geometry;
    auto* src = reinterpret_cast<float*>(context.scratch() + s.src);
    auto* dst = reinterpret_cast<float*>(context.scratch() + s.dst);
    auto* last = reinterpret_cast<uint8_t*>(context.scratch() + s.codes);
    const uint8_t* from = x.ptr<uint8_t>();
    if (!channels_last_) {
      to_channels_last(1, from, last, g.batch, g.channels, positions_of(g.src), context.parallel);
      from = last;
    }
    context.parallel.for_range(static_cast<size_t>(x.count()), 1 << 15, [&](size_t begin, size_t end, size_t) {
      qx.to_floats(from + begin, src + begin, end - begin);
    });
    pool_channels_last(g, src, dst, context.scratch(), context.parallel);
    uint8_t* to = channels_last_ ? y.ptr<uint8_t>() : last;
    qy.from_floats(dst, to, static_cast<size_t>(y.count()));
    if (!channels_last_) to_channels_first(1, to, y.data, g.batch, g.channels, positions_of(g.dst), context.parallel);
    return {};
  }

 private:
  struct State {
    PoolGeometry geometry;
    size_t src, dst, codes;  // where they lie in the scratch memory
  };

  PoolGeometry geometry(const Shape& x, const Shape& y) const {
    const SpatialLayout layout{x.rank(), channels_last_};
    PoolGeometry g;
    g.kind = PoolKind::average;
    g.count_include_pad = count_include_pad_;
    g.batch = static_cast<size_t>(x[0]);
    g.channels = static_cast<size_t>(x[layout.channel_axis()]);
    g.src = layout.sizes(x);
    g.dst = layout.sizes(y);
    for (size_t a = 0; a < layout.axes(); ++a) {
      WindowAxis axis = window_.axis(a, 1);
      window_.resolve_pads(axis, x[layout.spatial_axis(a)], y[layout.spatial_axis(a)]);
      const size_t to = kSpatialAxes - layout.axes() + a;
      g.kernel[to] = static_cast<size_t>(axis.kernel);
      g.stride[to] = static_cast<size_t>(axis.stride);
      g.dilation[to] = static_cast<size_t>(axis.dilation);
      g.pad_begin[to] = static_cast<ptrdiff_t>(axis.pad_begin);
      g.pad_end[to] = static_cast<ptrdiff_t>(axis.pad_end);
    }
    return g;
  }

  // Sums of codes are exact; one factor makes codes of the output of them.
  void global_average(const uint8_t* x, const Quantized& qx, const PoolGeometry& g, uint8_t* y, const Quantized& qy,
                      int32_t* sums, const Parallel& parallel) const {
    const size_t positions = positions_of(g.src);
    const float factor = qx.scale / (static_cast<float>(positions) * qy.scale);
    const int64_t zeros = static_cast<int64_t>(positions) * qx.zero;
    for (size_t n = 0; n < g.batch; ++n, x += positions * g.channels, y += g.channels) {
      parallel.for_range(g.channels, grain_for(static_cast<double>(positions) * 0.2),
                         [&](size_t begin, size_t end, size_t) {
                           for (size_t c = begin; c < end && !channels_last_; ++c) {
                             const uint8_t* plane = x + c * positions;
                             sums[c] = 0;
                             if (qx.is_signed) {
                               for (size_t i = 0; i < positions; ++i) sums[c] += static_cast<int8_t>(plane[i]);
                             } else {
                               sums[c] = static_cast<int32_t>(sum_of_bytes(plane, positions));
                             }
                           }
                         });
      if (channels_last_) {
        std::fill_n(sums, g.channels, 0);
        add_rows_of_codes(qx.is_signed, x, positions, g.channels, sums);
      }
      float averages[kChunk];
      for (size_t begin = 0; begin < g.channels; begin += kChunk) {
        const size_t count = std::min(kChunk, g.channels - begin);
        for (size_t i = 0; i < count; ++i) averages[i] = static_cast<float>(sums[begin + i] - zeros) * factor;
        Quantized codes = qy;
        codes.scale = 1.0f;
        codes.from_floats(averages, y + begin, count);
      }
    }
  }

  bool global_ = false, channels_last_ = false, ceil_mode_ = false, count_include_pad_ = false;
  Window window_;
};

constexpr OpDef kDefs[] = {
    {"com.microsoft", "QLinearAdd", 1, 2, 8, 1, 1, create<Binary>},
    {"com.microsoft", "QLinearMul", 1, 2, 8, 1, 1, create<Binary>},
    {"com.microsoft", "QLinearSigmoid", 1, 2, 5, 1, 1, create<Unary>},
    {"com.microsoft", "QLinearLeakyRelu", 1, 2, 5, 1, 1, create<Unary>},
    {"com.microsoft", "QLinearWhere", 1, 9, 9, 1, 1, create<Where>},
    {"com.microsoft", "QLinearConcat", 1, 5, kAnyNumber, 1, 1, create<Concat>},
    {"com.microsoft", "QLinearSoftmax", 1, 2, 5, 1, 1, create<Softmax>},
    {"com.microsoft", "QLinearAveragePool", 1, 2, 5, 1, 1, create<AveragePool>},
    {"com.microsoft", "QLinearGlobalAveragePool", 1, 5, 5, 1, 1, create<AveragePool>},
    {"linnet", "MapCodes", 1, 2, 2, 1, 1, create<MapCodes>},
};

}  // namespace

extern const std::span<const OpDef> kQLinearOps = kDefs;

}  // namespace linnet
