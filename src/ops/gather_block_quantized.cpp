// Rows of a table whose numbers share a scale in blocks, dequantised.
// https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md#com.microsoft.GatherBlockQuantized
#include <algorithm>
#include <bit>

#include "kernels/quant/gather_block.h"
#include "ops/infer_shapes.h"
#include "ops/op.h"

namespace linnet {
namespace {

class GatherBlockQuantized final : public Op {
 public:
  Status parse(NodeReader& reader) {
    gather_axis_ = reader.integer("gather_axis", 0);
    quantize_axis_ = reader.integer("quantize_axis", 1);
    block_ = reader.integer("block_size", 128);
    bits_ = reader.integer("bits", 4);
    LINNET_REQUIRE(block_ == 0 || (block_ >= 16 && std::has_single_bit(static_cast<uint64_t>(block_))),
                   invalid_model("block_size is ", block_, "; it must be a power of two from 16 on"));
    LINNET_REQUIRE(bits_ == 2 || bits_ == 4 || bits_ == 8, invalid_model("bits is ", bits_, "; it must be 2, 4 or 8"));
    return {};
  }

  Status infer(InferContext& context) const override {
    const DType data = context.dtype(0), type = context.dtype(2);
    LINNET_REQUIRE(data == DType::u8 || data == DType::u4 || data == DType::i4 || is_small_float(data),
                   unsupported("data of type ", dtype_name(data)));
    LINNET_REQUIRE(context.dtype(1) == DType::i32 || context.dtype(1) == DType::i64,
                   invalid_model("indices of type ", dtype_name(context.dtype(1))));
    LINNET_REQUIRE(type == DType::f32 || type == DType::f16 || type == DType::bf16,
                   unsupported("scales of type ", dtype_name(type)));
    LINNET_REQUIRE(!context.has(3) || (context.dtype(3) == data && !is_small_float(data)),
                   invalid_model("the zero points' type is not that of the data"));
    LINNET_REQUIRE(block_ > 0 || is_small_float(data), invalid_model("block_size is 0"));
    if (!context.ranked(0) || !context.ranked(1)) {
      context.set_unranked(0, type);
      return {};
    }
    const SymShape& table = context.shape(0);
    LINNET_ASSIGN(const size_t axis, checked_axis(gather_axis_, table.size()));
    LINNET_ASSIGN(const size_t quantized, checked_axis(quantize_axis_, table.size()));
    const int64_t per_byte = codes_per_byte(data);
    LINNET_REQUIRE(data != DType::u8 || (axis == 0 && (per_byte == 1 || quantized != axis)),
                   invalid_model("uint8 data is gathered on axis 0 and quantised on another"));
    SymShape shape(table.begin(), table.begin() + axis);
    for (const Dim& d : context.shape(1)) shape.push_back(d);
    for (size_t a = axis + 1; a < table.size(); ++a)
      shape.push_back(a + 1 == table.size() ? context.symbols().mul(table[a], per_byte) : table[a]);
    if (table.known() && context.ranked(2) && context.shape(2).known()) {
      Shape codes = table.values();
      const Shape scales = context.shape(2).values();
      codes.back() *= per_byte;
      LINNET_REQUIRE(scales.rank() == codes.rank(), invalid_argument("the scales' rank is not that of the data"));
      for (size_t a = 0; a < codes.rank(); ++a) {
        const int64_t wanted = a != quantized ? codes[a]
                               : block_ == 0  ? 1
                                              : codes[a] / block_ + (codes[a] % block_ != 0);
        LINNET_REQUIRE(scales[a] == wanted || (scales[a] == 1 && a != quantized && is_small_float(data)),
                       invalid_argument("the scales' shape ", scales, " does not fit data of shape ", codes));
      }
      if (context.has(3) && context.ranked(3) && context.shape(3).known()) {
        const Shape zeros = context.shape(3).values();
        for (size_t a = 0; a < codes.rank(); ++a) {
          const bool packed = a + 1 == codes.rank() && per_byte > 1;
          LINNET_REQUIRE(
              zeros.rank() == codes.rank() && zeros[a] == (packed ? (scales[a] + per_byte - 1) / per_byte : scales[a]),
              invalid_argument("the zero points' shape ", zeros, " does not fit scales of shape ", scales));
        }
      }
    }
    context.set(0, type, std::move(shape));
    return {};
  }

  Status run(RunContext& context) const override {
    const Tensor& data = context.in(0);
    const Tensor& indices = context.in(1);
    const Tensor& scales = context.in(2);
    const Tensor* zeros = context.maybe(3);
    Tensor& y = context.out(0);
    LINNET_ASSIGN(const size_t axis, checked_axis(gather_axis_, data.shape.rank()));
    LINNET_ASSIGN(const size_t quantized, checked_axis(quantize_axis_, data.shape.rank()));
    const int64_t per_byte = codes_per_byte(data.dtype);
    Shape codes = data.shape;
    codes.back() *= per_byte;
    const int64_t picks = indices.count(), inner = codes.count(axis + 1, codes.rank()), size = codes[axis];
    const Shape code_strides = strides_of(codes);
    Shape scale_strides = strides_of(scales.shape);
    for (size_t a = 0; a < codes.rank(); ++a)
      if (scales.shape[a] == 1 && a != quantized) scale_strides[a] = 0;
    const int64_t zero_columns = zeros ? zeros->shape.back() * per_byte : 1,
                  scale_columns = std::max<int64_t>(1, scales.shape.back());
    const int64_t block = block_ == 0 ? std::max<int64_t>(1, codes[quantized]) : block_;
    const float default_zero = data.dtype == DType::u8 ? static_cast<float>(1 << (bits_ - 1)) : 0.0f;
    if (by_rows(data, scales, zeros, axis, quantized)) return rows(context, codes, axis);

    const auto row = [&](int64_t item) {
      const int64_t o = item / std::max<int64_t>(1, picks), pick = item % std::max<int64_t>(1, picks);
      int64_t index = integer_at(indices, pick);
      const bool inside = index >= -size && index < size;
      if (index < 0) index += size;
      for (int64_t i = 0; i < inner; ++i) {
        float value = 0.0f;
        if (inside) {
          const int64_t at = (o * size + index) * inner + i;
          int64_t scale_at = 0;
          for (size_t a = 0; a < codes.rank(); ++a) {
            const int64_t position = at / code_strides[a] % codes[a];
            scale_at += (a == quantized ? position / block : position) * scale_strides[a];
          }
          float zero = default_zero;
          // Zero points are packed like the data: whole bytes for each row of scales.
          if (zeros) zero = code_at(*zeros, scale_at / scale_columns * zero_columns + scale_at % scale_columns);
          value = (code_at(data, at) - zero) * static_cast<float>(number_at(scales, scale_at));
        }
        store(y, item * inner + i, value);
      }
    };
    context.parallel.for_range(static_cast<size_t>(codes.count(0, axis) * picks),
                               grain_for(static_cast<double>(inner) * 10.0), [&](size_t first, size_t last, size_t) {
                                 for (size_t i = first; i < last; ++i) row(static_cast<int64_t>(i));
                               });
    return {};
  }

 private:
  // Whether the kernel takes it: rows of codes of 4 or 8 bits, each with its scales and zero points in whole bytes.
  bool by_rows(const Tensor& data, const Tensor& scales, const Tensor* zeros, size_t axis, size_t quantized) const {
    if (quantized + 1 != data.shape.rank() || axis == quantized || scales.dtype != DType::f32) return false;
    if (data.dtype == DType::u8) return bits_ != 2;
    return (data.dtype == DType::u4 || data.dtype == DType::i4) && data.shape.back() % 2 == 0 &&
           (!zeros || zeros->shape.back() % 2 == 0);
  }

  Status rows(RunContext& context, const Shape& codes, size_t axis) const {
    const Tensor& data = context.in(0);
    const Tensor& indices = context.in(1);
    const Tensor& scales = context.in(2);
    const Tensor* zeros = context.maybe(3);
    const bool bytes = data.dtype == DType::u8;
    BlockRow row;
    row.bits = bytes ? static_cast<int>(bits_) : 4;
    row.is_signed = data.dtype == DType::i4;
    row.block = static_cast<size_t>(block_);
    row.zero = bytes ? 1 << (bits_ - 1) : 0;
    const int64_t per_byte = 8 / row.bits, width = codes.back(), blocks = scales.shape.back();
    const int64_t row_bytes = width / per_byte, zero_bytes = (blocks + per_byte - 1) / per_byte;
    // Rows that an index picks together.
    const int64_t together = codes.count(axis + 1, codes.rank() - 1), picks = indices.count(), size = codes[axis];
    float* y = context.out(0).ptr<float>();
    const auto pick = [&](int64_t item, BlockRow r) {
      int64_t index = integer_at(indices, item % picks);
      float* to = y + item * together * width;
      if (index < -size || index >= size) {
        std::fill_n(to, together * width, 0.0f);
        return;
      }
      const int64_t first = (item / picks * size + (index < 0 ? index + size : index)) * together;
      for (int64_t at = first; at < first + together; ++at, to += width) {
        r.codes = data.ptr<uint8_t>() + at * row_bytes;
        r.scales = scales.ptr<float>() + at * blocks;
        if (zeros) r.zeros = zeros->ptr<uint8_t>() + at * zero_bytes;
        decode_block_row(r, 0, static_cast<size_t>(width), to);
      }
    };
    context.parallel.for_range(static_cast<size_t>(codes.count(0, axis) * picks),
                               grain_for(static_cast<double>(together * width) * 0.3),
                               [&](size_t begin, size_t end, size_t) {
                                 for (size_t i = begin; i < end; ++i) pick(static_cast<int64_t>(i), row);
                               });
    return {};
  }

  static bool is_small_float(DType t) noexcept { return (is_float8(t) && t != DType::f8e8m0) || t == DType::f4e2m1; }
  int64_t codes_per_byte(DType data) const noexcept { return data == DType::u8 ? 8 / bits_ : 1; }

  // Code i of the data or of zero points, counting the codes within uint8 one by one.
  float code_at(const Tensor& t, int64_t i) const noexcept {
    if (t.dtype != DType::u8) return static_cast<float>(number_at(t, i));
    const int64_t per_byte = 8 / bits_;
    return static_cast<float>((t.ptr<uint8_t>()[i / per_byte] >> (i % per_byte * bits_)) & ((1 << bits_) - 1));
  }

  static void store(Tensor& y, int64_t i, float value) noexcept {
    if (y.dtype == DType::f32) {
      y.ptr<float>()[i] = value;
    } else if (y.dtype == DType::f16) {
      y.ptr<f16>()[i] = f16(value);
    } else {
      y.ptr<bf16>()[i] = bf16(value);
    }
  }

  int64_t gather_axis_ = 0, quantize_axis_ = 1, block_ = 128, bits_ = 4;
};

constexpr OpDef kDefs[] = {
    {"com.microsoft", "GatherBlockQuantized", 1, 3, 4, 1, 1, create<GatherBlockQuantized>},
};

}  // namespace

extern const std::span<const OpDef> kGatherBlockQuantizedOps = kDefs;

}  // namespace linnet
