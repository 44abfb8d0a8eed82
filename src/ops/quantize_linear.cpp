// Linear quantisation: per tensor, per axis and in blocks.
// https://onnx.ai/onnx/operators/onnx__QuantizeLinear.html, ...DequantizeLinear, ...DynamicQuantizeLinear;
// com.microsoft's forms are the same with more types.
#include <cmath>

#include "kernels/elementwise/half_convert.h"
#include "kernels/quant/quantize.h"
#include "ops/infer_shapes.h"
#include "ops/op.h"

namespace linnet {
namespace {

constexpr size_t kBlock = 1024;  // elements of an item of parallel work: whole bytes of packed types

// Which scale belongs to an element: x is [outer][axis][inner], and element (o, a, i) has the scale
// o outer_stride + a / block axis_stride + i inner_stride.
struct Granularity {
  int64_t axis = 1, inner = 1;
  int64_t block = 1;
  int64_t outer_stride = 0, axis_stride = 0, inner_stride = 0;

  // Calls f(first, last, scale) for the ranges of equal scale within elements [begin, end).
  template <class F>
  void for_runs(int64_t begin, int64_t end, F&& f) const {
    if (axis_stride == 0) return f(begin, end, int64_t{0});
    const int64_t run = inner_stride != 0 && inner > 1 ? 1 : block * inner;
    while (begin < end) {
      const int64_t row = begin / inner, o = row / axis, a = row % axis, i = begin % inner;
      // A run ends with its block and with the axis.
      const int64_t within = (a % block) * inner + i;
      const int64_t left = run == 1 ? 1 : std::min(run - within, (axis - a) * inner - i);
      const int64_t last = std::min(end, begin + left);
      f(begin, last, o * outer_stride + a / block * axis_stride + i * inner_stride);
      begin = last;
    }
  }
};

Result<Granularity> granularity(const Shape& x, const Shape& scale, int64_t axis_attribute, int64_t block_size) {
  Granularity g;
  if (block_size == 0 && scale.rank() <= 1 && scale.count() == 1) return g;
  LINNET_ASSIGN(const size_t axis, checked_axis(axis_attribute, x.rank()));
  g.axis = x[axis];
  g.inner = x.count(axis + 1, x.rank());
  if (block_size == 0) {
    LINNET_REQUIRE(scale.rank() == 1 && scale[0] == x[axis],
                   invalid_argument("the scale's shape ", scale, " does not fit axis ", axis, " of ", x));
    g.axis_stride = 1;
    return g;
  }
  LINNET_REQUIRE(scale.rank() == x.rank(),
                 invalid_argument("a scale for blocks must have the input's rank ", x.rank()));
  for (size_t i = 0; i < x.rank(); ++i)
    LINNET_REQUIRE(scale[i] == (i == axis ? x[i] / block_size + (x[i] % block_size != 0) : x[i]),
                   invalid_argument("the scale's shape ", scale, " does not fit blocks of ", block_size, " on axis ",
                                    axis, " of ", x));
  g.block = std::clamp<int64_t>(x[axis], 1, block_size);
  g.outer_stride = scale[axis] * g.inner;
  g.axis_stride = g.inner;
  g.inner_stride = 1;
  return g;
}

bool is_quantized(DType t) noexcept {
  return t == DType::u8 || t == DType::i8 || t == DType::u16 || t == DType::i16 || is_packed(t) || is_float8(t);
}

class Quantization : public Op {
 public:
  Status parse_common(NodeReader& reader) {
    axis_ = reader.integer("axis", 1);
    block_size_ = reader.integer("block_size", 0);
    output_ = reader.dtype("output_dtype", DType::undefined);
    LINNET_REQUIRE(block_size_ >= 0, invalid_model("block_size is ", block_size_, "; it must not be negative"));
    return {};
  }

 protected:
  Status infer_shape(InferContext& context, DType output) const {
    if (!context.ranked(0)) {
      context.set_unranked(0, output);
      return {};
    }
    if (context.shape(0).known() && context.ranked(1) && context.shape(1).known()) {
      const Shape scale = context.shape(1).values();
      LINNET_TRY(granularity(context.shape(0).values(), scale, axis_, block_size_).status());
      if (context.has(2) && context.ranked(2) && context.shape(2).known())
        LINNET_REQUIRE(
            context.shape(2).values().count() == scale.count(),
            invalid_argument("the zero point's shape ", context.shape(2).values(), " is not the scale's, ", scale));
    }
    context.set(0, output, context.shape(0));
    return {};
  }

  int64_t axis_ = 1, block_size_ = 0;
  DType output_ = DType::undefined;
};

// The 256 values that a byte-sized or smaller code can have.
struct CodeTable {
  float values[256];
  int bits;

  explicit CodeTable(DType type) : bits(dtype_bits(type)) {
    for (int code = 0; code < 1 << bits; ++code) {
      uint8_t byte = static_cast<uint8_t>(code);
      values[code] = static_cast<float>(number_at(Tensor{type, Shape{1}, &byte, nullptr}, 0));
    }
  }
  float operator()(const void* data, int64_t i) const noexcept {
    const auto* bytes = static_cast<const uint8_t*>(data);
    if (bits == 8) return values[bytes[i]];
    const int per_byte = 8 / bits;
    return values[(bytes[i / per_byte] >> (static_cast<int>(i % per_byte) * bits)) & ((1 << bits) - 1)];
  }
};

template <class T>
struct IntegerLoad {
  using Code = T;
  int64_t operator()(const void* data, int64_t i) const noexcept { return static_cast<const T*>(data)[i]; }
};

template <class Load>
constexpr bool kByVectors = false;
template <class T>
constexpr bool kByVectors<IntegerLoad<T>> = sizeof(T) <= 2;

template <class Code, class T>
void dequantize_run(const Code* x, T* y, size_t n, float scale, int32_t zero) noexcept {
  if constexpr (std::is_same_v<T, float>) {
    dequantize(x, y, n, scale, zero);
  } else {
    float piece[kHalfChunk];
    for (size_t i = 0; i < n; i += kHalfChunk) {
      const size_t count = std::min(n - i, kHalfChunk);
      dequantize(x + i, piece, count, scale, zero);
      from_float(piece, y + i, count);
    }
  }
}

class DequantizeLinear final : public Quantization {
 public:
  Status parse(NodeReader& reader) { return parse_common(reader); }

  Status infer(InferContext& context) const override {
    const DType x = context.dtype(0), scale = context.dtype(1);
    LINNET_REQUIRE(is_quantized(x) || x == DType::i32, unsupported("cannot dequantize ", dtype_name(x)));
    LINNET_REQUIRE(is_float(scale) || scale == DType::f8e8m0,
                   invalid_model("the scale is of type ", dtype_name(scale)));
    LINNET_REQUIRE(!context.has(2) || context.dtype(2) == x,
                   invalid_model("the zero point's type is not that of the input"));
    const DType output = output_ == DType::undefined ? scale : output_;
    LINNET_REQUIRE(is_float(output), unsupported("cannot dequantize to ", dtype_name(output)));
    return infer_shape(context, output);
  }

  Status run(RunContext& context) const override {
    const Tensor& x = context.in(0);
    LINNET_ASSIGN(const Granularity g, granularity(x.shape, context.in(1).shape, axis_, block_size_));
    switch (x.dtype) {
      case DType::u8: return from(context, g, IntegerLoad<uint8_t>());
      case DType::i8: return from(context, g, IntegerLoad<int8_t>());
      case DType::u16: return from(context, g, IntegerLoad<uint16_t>());
      case DType::i16: return from(context, g, IntegerLoad<int16_t>());
      case DType::i32: return from(context, g, IntegerLoad<int32_t>());
      default: return from(context, g, CodeTable(x.dtype));
    }
  }

 private:
  template <class Load>
  Status from(RunContext& context, const Granularity& g, const Load& load) const {
    switch (context.out(0).dtype) {
      case DType::f32: return to<float>(context, g, load);
      case DType::f16: return to<f16>(context, g, load);
      case DType::bf16: return to<bf16>(context, g, load);
      default: return to<double>(context, g, load);
    }
  }

  template <class T, class Load>
  Status to(RunContext& context, const Granularity& g, const Load& load) const {
    const Tensor& x = context.in(0);
    const Tensor& scales = context.in(1);
    const Tensor* zeros = context.maybe(2);
    T* y = context.out(0).ptr<T>();
    const size_t count = static_cast<size_t>(x.count());
    context.parallel.for_range(ceil_div(count, kBlock), 16, [&](size_t first, size_t last, size_t) {
      g.for_runs(static_cast<int64_t>(first * kBlock), static_cast<int64_t>(std::min(count, last * kBlock)),
                 [&](int64_t begin, int64_t end, int64_t at) {
                   const float scale = static_cast<float>(number_at(scales, at));
                   const auto zero = zeros ? load(zeros->data, at) : decltype(load(x.data, 0)){};
                   if constexpr (kByVectors<Load> && !std::is_same_v<T, double>) {
                     dequantize_run(x.ptr<typename Load::Code>() + begin, y + begin, static_cast<size_t>(end - begin),
                                    scale, static_cast<int32_t>(zero));
                   } else {
                     for (int64_t i = begin; i < end; ++i) y[i] = T(static_cast<float>(load(x.data, i) - zero) * scale);
                   }
                 });
    });
    return {};
  }
};

struct IntegerRange {
  float low = 0, high = 0;
};

// Of a packed integer type.
IntegerRange integer_range(DType type) noexcept {
  const int bits = dtype_bits(type);
  const bool is_signed = type == DType::i4 || type == DType::i2;
  const auto span = static_cast<float>(1 << bits);
  return is_signed ? IntegerRange{-span / 2, span / 2 - 1} : IntegerRange{0, span - 1};
}

// Rounds to half precision in place.
template <class Half>
void round_to(float* x, size_t n) noexcept {
  Half halves[kHalfChunk];
  from_float(x, halves, n);
  to_float(halves, x, n);
}

// The quotient is rounded to `precision` where that is a half type.
template <class T, class Code>
void quantize_codes(const T* x, Code* y, size_t n, float scale, int32_t zero, DType precision) noexcept {
  const bool in_half = precision == DType::f16 || precision == DType::bf16;
  if constexpr (std::is_same_v<T, float>)
    if (!in_half) return quantize(x, y, n, scale, zero);
  float piece[kHalfChunk];
  for (size_t i = 0; i < n; i += kHalfChunk) {
    const size_t count = std::min(n - i, kHalfChunk);
    if constexpr (std::is_same_v<T, f16> || std::is_same_v<T, bf16>)
      to_float(x + i, piece, count);
    else
      for (size_t j = 0; j < count; ++j) piece[j] = static_cast<float>(x[i + j]);
    if (in_half) {
      for (size_t j = 0; j < count; ++j) piece[j] /= scale;
      precision == DType::f16 ? round_to<f16>(piece, count) : round_to<bf16>(piece, count);
    }
    quantize(piece, y + i, count, in_half ? 1.0f : scale, zero);
  }
}

class QuantizeLinear final : public Quantization {
 public:
  Status parse(NodeReader& reader) {
    saturate_ = reader.flag("saturate", true);
    precision_ = reader.dtype("precision", DType::undefined);
    return parse_common(reader);
  }

  Status infer(InferContext& context) const override {
    const DType x = context.dtype(0);
    LINNET_REQUIRE(is_float(x) || x == DType::i32, unsupported("cannot quantize ", dtype_name(x)));
    LINNET_REQUIRE(is_float(context.dtype(1)) || context.dtype(1) == DType::i32 || context.dtype(1) == DType::f8e8m0,
                   invalid_model("the scale is of type ", dtype_name(context.dtype(1))));
    const DType zero = context.has(2) ? context.dtype(2) : output_ == DType::undefined ? DType::u8 : output_;
    LINNET_REQUIRE(output_ == DType::undefined || output_ == zero,
                   invalid_model("output_dtype is not the zero point's type"));
    LINNET_REQUIRE(is_quantized(zero) && zero != DType::f8e8m0, unsupported("cannot quantize to ", dtype_name(zero)));
    return infer_shape(context, zero);
  }

  Status run(RunContext& context) const override {
    switch (context.in(0).dtype) {
      case DType::f32: return from<float>(context);
      case DType::f16: return from<f16>(context);
      case DType::bf16: return from<bf16>(context);
      case DType::f64: return from<double>(context);
      default: return from<int32_t>(context);
    }
  }

 private:
  template <class T>
  Status from(RunContext& context) const {
    const Tensor& x = context.in(0);
    const Tensor& scales = context.in(1);
    const Tensor* zeros = context.maybe(2);
    Tensor& y = context.out(0);
    LINNET_ASSIGN(const Granularity g, granularity(x.shape, scales.shape, axis_, block_size_));
    const T* source = x.ptr<T>();
    const size_t count = static_cast<size_t>(x.count());
    context.parallel.for_range(ceil_div(count, kBlock), 16, [&](size_t first, size_t last, size_t) {
      const auto begin_all = static_cast<int64_t>(first * kBlock),
                 end_all = static_cast<int64_t>(std::min(count, last * kBlock));
      if (is_packed(y.dtype)) {
        const int per_byte = 8 / dtype_bits(y.dtype);
        std::memset(y.ptr<uint8_t>() + begin_all / per_byte, 0,
                    static_cast<size_t>((end_all - begin_all + per_byte - 1) / per_byte));
      }
      g.for_runs(begin_all, end_all, [&](int64_t begin, int64_t end, int64_t at) {
        const float scale = static_cast<float>(number_at(scales, at));
        const int32_t zero =
            zeros && !is_float8(y.dtype) && y.dtype != DType::f4e2m1 ? static_cast<int32_t>(integer_at(*zeros, at)) : 0;
        quantize_run(source, y, begin, end, scale, zero, precision_ == DType::undefined ? scales.dtype : precision_);
      });
    });
    return {};
  }

  template <class T>
  void quantize_run(const T* x, Tensor& y, int64_t begin, int64_t end, float scale, int32_t zero,
                    DType precision) const {
    const size_t n = static_cast<size_t>(end - begin);
    switch (y.dtype) {
      case DType::u8: return quantize_codes(x + begin, y.ptr<uint8_t>() + begin, n, scale, zero, precision);
      case DType::i8: return quantize_codes(x + begin, y.ptr<int8_t>() + begin, n, scale, zero, precision);
      case DType::u16: return quantize_codes(x + begin, y.ptr<uint16_t>() + begin, n, scale, zero, precision);
      case DType::i16: return quantize_codes(x + begin, y.ptr<int16_t>() + begin, n, scale, zero, precision);
      default: break;
    }
    const bool in_half = precision == DType::f16 || precision == DType::bf16;
    const auto quotient = [&](int64_t i) {
      const float q = static_cast<float>(x[i]) / scale;
      return !in_half ? q : precision == DType::f16 ? static_cast<float>(f16(q)) : static_cast<float>(bf16(q));
    };
    if (is_float8(y.dtype)) {
      const auto kind = static_cast<Float8Kind>(static_cast<int>(y.dtype) - static_cast<int>(DType::f8e4m3fn));
      for (int64_t i = begin; i < end; ++i) y.ptr<uint8_t>()[i] = float_to_float8(quotient(i), kind, saturate_);
      return;
    }
    const int bits = dtype_bits(y.dtype), per_byte = 8 / bits;
    const IntegerRange range = y.dtype == DType::f4e2m1 ? IntegerRange{} : integer_range(y.dtype);
    for (int64_t i = begin; i < end; ++i) {
      const float scaled = quotient(i);
      int code;
      if (y.dtype == DType::f4e2m1) {
        code = float_to_float4(scaled);
      } else {
        const float rounded = std::nearbyint(scaled) + static_cast<float>(zero);
        code = static_cast<int>(rounded > range.low ? std::min(rounded, range.high) : range.low);
      }
      const int shifted = (code & ((1 << bits) - 1)) << (static_cast<int>(i % per_byte) * bits);
      y.ptr<uint8_t>()[i / per_byte] = static_cast<uint8_t>(y.ptr<uint8_t>()[i / per_byte] | shifted);
    }
  }

  bool saturate_ = true;
  DType precision_ = DType::undefined;  // of the division; that of the scale where undefined
};

// Outputs: y as uint8, its scale and its zero point.
class DynamicQuantizeLinear final : public Op {
 public:
  Status parse(NodeReader&) { return {}; }
  Status infer(InferContext& context) const override {
    LINNET_REQUIRE(context.dtype(0) == DType::f32,
                   unsupported("cannot quantize ", dtype_name(context.dtype(0)), " dynamically"));
    if (context.ranked(0)) {
      context.set(0, DType::u8, context.shape(0));
    } else {
      context.set_unranked(0, DType::u8);
    }
    context.set(1, DType::f32, {});
    context.set(2, DType::u8, {});
    return {};
  }
  Status bind(BindContext& context) const override {
    context.request_scratch(context.threads() * sizeof(FloatRange));
    return {};
  }
  Status run(RunContext& context) const override {
    const Tensor& x = context.in(0);
    const QuantizationU8 q =
        dynamic_quantize(x.ptr<float>(), context.out(0).ptr<uint8_t>(), static_cast<size_t>(x.count()),
                         reinterpret_cast<FloatRange*>(context.scratch()), context.parallel);
    if (context.wants(1)) *context.out(1).ptr<float>() = q.scale;
    if (context.wants(2)) *context.out(2).ptr<uint8_t>() = q.zero_point;
    return {};
  }
};

constexpr OpDef kDefs[] = {
    {"", "QuantizeLinear", 10, 2, 3, 1, 1, create<QuantizeLinear>},
    {"", "DequantizeLinear", 10, 2, 3, 1, 1, create<DequantizeLinear>},
    {"", "DynamicQuantizeLinear", 11, 1, 1, 3, 3, create<DynamicQuantizeLinear>},
    {"com.microsoft", "QuantizeLinear", 1, 2, 3, 1, 1, create<QuantizeLinear>},
    {"com.microsoft", "DequantizeLinear", 1, 2, 3, 1, 1, create<DequantizeLinear>},
};

}  // namespace

extern const std::span<const OpDef> kQuantizeLinearOps = kDefs;

}  // namespace linnet
