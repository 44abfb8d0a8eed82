// Linear quantisation: per tensor, per axis and in blocks.
// https://onnx.ai/onnx/operators/onnx__QuantizeLinear.html, ...DequantizeLinear, ...DynamicQuantizeLinear;
// com.microsoft's forms are the same with more types.
#include <cmath>

#include "kernels/elementwise/half_convert.h"
#include "kernels/quant/quantize.h"
#include "ops/float_scratch.h"
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

  // Calls f(first, last, scale, step) for ranges within elements [begin, end): element first + i has the scale
  // `scale` + i step, where step is 0 or 1.
  template <class F>
  void for_runs(int64_t begin, int64_t end, F&& f) const {
    if (axis_stride == 0) return f(begin, end, int64_t{0}, int64_t{0});
    const bool along_inner = inner_stride != 0 && inner > 1;
    const bool each = along_inner || block * inner == 1;
    while (begin < end) {
      const int64_t row = begin / inner, o = row / axis, a = row % axis, i = begin % inner;
      // A run ends with its block and with the axis.
      const int64_t within = (a % block) * inner + i;
      const int64_t rest = (axis - a) * inner - i;
      const int64_t left = along_inner ? inner - i : each ? rest : std::min(block * inner - within, rest);
      const int64_t last = std::min(end, begin + left);
      f(begin, last, o * outer_stride + a / block * axis_stride + i * inner_stride, int64_t{each});
      begin = last;
    }
  }
};

// `count` scales from `at` on as floats: where they lie, or in `buffer`.
const float* float_scales(const Tensor& scales, int64_t at, int64_t count, float* buffer) {
  if (scales.dtype == DType::f32) return scales.ptr<float>() + at;
  for (int64_t i = 0; i < count; ++i) buffer[i] = static_cast<float>(number_at(scales, at + i));
  return buffer;
}

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

// Calls f(begin, end) for blocks of elements, shared by threads.
template <class F>
void for_each_block(const Tensor& x, const Parallel& parallel, F&& f) {
  const size_t count = static_cast<size_t>(x.count());
  parallel.for_range(ceil_div(count, kBlock), 16, [&](size_t first, size_t last, size_t) {
    for (size_t block = first; block < last; ++block)
      f(static_cast<int64_t>(block * kBlock), static_cast<int64_t>(std::min(count, (block + 1) * kBlock)));
  });
}

// Of a type of whole bytes.
std::byte* element(const Tensor& x, int64_t i) noexcept {
  return static_cast<std::byte*>(x.data) + static_cast<size_t>(i) * element_size(x.dtype);
}

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
  static Status from(RunContext& context, const Granularity& g, const Load& load) {
    const Tensor& x = context.in(0);
    const Tensor& scales = context.in(1);
    const Tensor* zeros = context.maybe(2);
    Tensor& y = context.out(0);
    for_each_block(x, context.parallel, [&](int64_t begin, int64_t end) {
      float piece[kBlock];
      float* const to = y.dtype == DType::f32 ? y.ptr<float>() + begin : piece;
      float buffer[kBlock];
      g.for_runs(begin, end, [&](int64_t first, int64_t last, int64_t at, int64_t step) {
        const float* scale = float_scales(scales, at, step == 0 ? 1 : last - first, buffer);
        const auto zero = [&](int64_t i) { return zeros ? load(zeros->data, at + i) : decltype(load(x.data, 0)){}; };
        if constexpr (kByVectors<Load>) {
          using Code = typename Load::Code;
          const Code* from = x.ptr<Code>() + first;
          float* const run_to = to + (first - begin);
          const size_t n = static_cast<size_t>(last - first);
          if (step == 0) return dequantize(from, run_to, n, *scale, static_cast<int32_t>(zero(0)));
          if constexpr (sizeof(Code) == 1)
            return dequantize_each(from, run_to, n, scale, zeros ? zeros->ptr<Code>() + at : nullptr);
        }
        for (int64_t i = first; i < last; ++i) {
          const int64_t j = (i - first) * step;
          to[i - begin] = static_cast<float>(load(x.data, i) - zero(j)) * scale[j];
        }
      });
      if (y.dtype != DType::f32)
        cast(NumberType::f32, piece, number_type(y.dtype), element(y, begin), static_cast<size_t>(end - begin), {},
             Parallel());
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

// Quotients as QuantizeLinear has them in half precision.
template <class Half>
void divide(const float* x, float* quotients, size_t n, float scale) noexcept {
  for (size_t i = 0; i < n; ++i) quotients[i] = x[i] / scale;
  std::is_same_v<Half, f16> ? round_to_f16(quotients, quotients, n) : round_to_bf16(quotients, quotients, n);
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
    const Tensor& x = context.in(0);
    const Tensor& scales = context.in(1);
    const Tensor* zeros = context.maybe(2);
    Tensor& y = context.out(0);
    LINNET_ASSIGN(const Granularity g, granularity(x.shape, scales.shape, axis_, block_size_));
    const bool with_zeros = zeros && !is_float8(y.dtype) && y.dtype != DType::f4e2m1;
    for_each_block(x, context.parallel, [&](int64_t begin, int64_t end) {
      if (is_packed(y.dtype)) {
        const int per_byte = 8 / dtype_bits(y.dtype);
        std::memset(y.ptr<uint8_t>() + begin / per_byte, 0,
                    static_cast<size_t>((end - begin + per_byte - 1) / per_byte));
      }
      float piece[kBlock];
      const float* from = x.ptr<float>() + begin;
      if (x.dtype != DType::f32) {
        cast(number_type(x.dtype), element(x, begin), NumberType::f32, piece, static_cast<size_t>(end - begin), {},
             Parallel());
        from = piece;
      }
      const DType precision = precision_ == DType::undefined ? scales.dtype : precision_;
      const bool divides_floats = precision != DType::f16 && precision != DType::bf16;
      float buffer[kBlock];
      g.for_runs(begin, end, [&](int64_t first, int64_t last, int64_t at, int64_t step) {
        const float* scale = float_scales(scales, at, step == 0 ? 1 : last - first, buffer);
        const float* x_run = from + (first - begin);
        if (step != 0 && divides_floats) {
          const size_t n = static_cast<size_t>(last - first);
          const auto each = [&]<class T>(T) {
            quantize_each(x_run, y.ptr<T>() + first, n, scale, zeros ? zeros->ptr<T>() + at : nullptr);
          };
          if (y.dtype == DType::u8) return each(uint8_t{});
          if (y.dtype == DType::i8) return each(int8_t{});
        }
        for (int64_t i = first; i < last; i = step == 0 ? last : i + 1) {
          const int64_t j = i - first;
          quantize_run(x_run + j, y, i, step == 0 ? last : i + 1, scale[j],
                       with_zeros ? static_cast<int32_t>(integer_at(*zeros, at + j)) : 0, precision);
        }
      });
    });
    return {};
  }

 private:
  // Elements [begin, end) of y, at most kBlock, from those at x.
  void quantize_run(const float* x, Tensor& y, int64_t begin, int64_t end, float scale, int32_t zero,
                    DType precision) const {
    const size_t n = static_cast<size_t>(end - begin);
    float quotients[kBlock];
    if (precision == DType::f16 || precision == DType::bf16) {
      precision == DType::f16 ? divide<f16>(x, quotients, n, scale) : divide<bf16>(x, quotients, n, scale);
      x = quotients;
      scale = 1.0f;
    }
    switch (y.dtype) {
      case DType::u8: return quantize(x, y.ptr<uint8_t>() + begin, n, scale, zero);
      case DType::i8: return quantize(x, y.ptr<int8_t>() + begin, n, scale, zero);
      case DType::u16: return quantize(x, y.ptr<uint16_t>() + begin, n, scale, zero);
      case DType::i16: return quantize(x, y.ptr<int16_t>() + begin, n, scale, zero);
      default: break;
    }
    if (is_float8(y.dtype)) {
      const auto kind = static_cast<Float8Kind>(static_cast<int>(y.dtype) - static_cast<int>(DType::f8e4m3fn));
      for (size_t i = 0; i < n; ++i)
        y.ptr<uint8_t>()[begin + static_cast<int64_t>(i)] = float_to_float8(x[i] / scale, kind, saturate_);
      return;
    }
    const int bits = dtype_bits(y.dtype), per_byte = 8 / bits;
    const IntegerRange range = y.dtype == DType::f4e2m1 ? IntegerRange{} : integer_range(y.dtype);
    for (int64_t i = begin; i < end; ++i) {
      const float scaled = x[i - begin] / scale;
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
