// https://onnx.ai/onnx/operators/onnx__Cast.html, ...CastLike, ...BitCast
#include <charconv>
#include <cmath>
#include <cstdio>
#include <cstdlib>

#include "kernels/elementwise/cast.h"
#include "ops/float_scratch.h"
#include "ops/infer_shapes.h"
#include "ops/op.h"
#include "ops/type_switch.h"

namespace linnet {
namespace {

// As numpy writes numbers: the fewest digits that read back as the same one.
template <class T>
std::string number_text(T value) {
  if (std::isnan(value)) return "NaN";
  if (std::isinf(value)) return value < 0 ? "-INF" : "INF";
  char text[64];
  const T magnitude = std::fabs(value);
  const bool plain = magnitude == 0 || (magnitude >= T(1e-4) && magnitude < T(1e16));
  const std::chars_format format = plain ? std::chars_format::fixed : std::chars_format::scientific;
  return {text, std::to_chars(text, text + sizeof(text), value, format).ptr};
}

void to_strings(const Tensor& src, Tensor& dst) {
  std::string* out = dst.ptr<std::string>();
  const int64_t count = src.count();
  for (int64_t i = 0; i < count; ++i) {
    if (src.dtype == DType::f64) {
      out[i] = number_text(src.ptr<double>()[i]);
    } else if (is_float(src.dtype) || is_float8(src.dtype) || src.dtype == DType::f4e2m1) {
      out[i] = number_text(static_cast<float>(number_at(src, i)));
    } else if (src.dtype == DType::u64) {
      out[i] = std::to_string(src.ptr<uint64_t>()[i]);
    } else {
      out[i] = std::to_string(static_cast<int64_t>(is_integer(src.dtype) || src.dtype == DType::boolean
                                                       ? integer_at(src, i)
                                                       : static_cast<int64_t>(number_at(src, i))));
    }
  }
}

// A decimal number with optional exponent, infinity or NaN, without surrounding blanks.
Result<double> parse_number(const std::string& text) {
  char* end = nullptr;
  const double value = std::strtod(text.c_str(), &end);
  if (text.empty() || end != text.c_str() + text.size())
    return invalid_argument("cannot read '", text.substr(0, 40), "' as a number");
  return value;
}

Status from_strings(const Tensor& src, Tensor& dst, CastOptions options) {
  const std::string* in = src.ptr<std::string>();
  const bool integers = is_integer(dst.dtype);
  for (int64_t i = 0; i < src.count(); ++i) {
    const bool whole = integers && in[i].find_first_not_of("+-0123456789") == std::string::npos;
    void* to = static_cast<std::byte*>(dst.data) + static_cast<size_t>(i) * element_size(dst.dtype);
    if (whole) {
      int64_t value = 0;
      const char* first = in[i].c_str() + (in[i].starts_with('+') ? 1 : 0);
      const char* last = in[i].c_str() + in[i].size();
      const std::from_chars_result result = std::from_chars(first, last, value);
      if (result.ec != std::errc() || result.ptr != last)
        return invalid_argument("cannot read '", in[i].substr(0, 40), "' as an integer");
      cast(NumberType::i64, &value, number_type(dst.dtype), to, 1, options, Parallel());
    } else {
      LINNET_ASSIGN(const double value, parse_number(in[i]));
      cast(NumberType::f64, &value, number_type(dst.dtype), to, 1, options, Parallel());
    }
  }
  return {};
}

bool castable(DType type) noexcept { return type != DType::undefined && type != DType::c64 && type != DType::c128; }

class Cast final : public Op {
 public:
  Status parse(NodeReader& reader) {
    like_ = reader.op_type() == "CastLike";
    if (!like_) {
      to_ = reader.dtype("to", DType::undefined);
      LINNET_REQUIRE(castable(to_), invalid_model("'to' names no type that elements can be cast to"));
    }
    options_.saturate = reader.flag("saturate", true);
    const std::string mode = reader.text("round_mode", "up");
    LINNET_REQUIRE(mode == "up" || mode == "down" || mode == "nearest", invalid_model("round_mode is '", mode, "'"));
    options_.round_mode = mode[0];
    return {};
  }
  Status infer(InferContext& context) const override {
    const DType from = context.dtype(0);
    const DType to = like_ ? context.dtype(1) : to_;
    LINNET_REQUIRE(castable(from) && castable(to),
                   unsupported("cannot cast ", dtype_name(from), " to ", dtype_name(to)));
    LINNET_REQUIRE(from != DType::string || !is_packed(to), unsupported("cannot cast string to ", dtype_name(to)));
    DimVector elements;
    const bool wide = to == DType::i64 || to == DType::i32;
    if (wide && context.ints(0, elements)) context.set_ints(0, elements);
    if (context.ranked(0)) {
      context.set(0, to, context.shape(0));
    } else {
      context.set_unranked(0, to);
    }
    return {};
  }
  Status prepare(PrepareContext& context) override {
    same_width_ =
        dtype_bits(context.dtype(0)) == dtype_bits(like_ ? context.dtype(1) : to_) && context.dtype(0) != DType::string;
    return {};
  }
  Status bind(BindContext& context) const override {
    if (context.dtype(0) == context.out_dtype(0)) context.alias(0, 0, 0);
    return {};
  }
  Status run(RunContext& context) const override {
    const Tensor& src = context.in(0);
    Tensor& dst = context.out(0);
    if (src.dtype == dst.dtype) {
      copy_elements(src, dst);
    } else if (dst.dtype == DType::string) {
      to_strings(src, dst);
    } else if (src.dtype == DType::string) {
      return from_strings(src, dst, options_);
    } else {
      cast(number_type(src.dtype), src.data, number_type(dst.dtype), dst.data, static_cast<size_t>(src.count()),
           options_, context.parallel);
    }
    return {};
  }
  bool can_overwrite(size_t input, size_t) const override { return input == 0 && same_width_; }

 private:
  bool like_ = false;
  bool same_width_ = false;
  DType to_ = DType::undefined;
  CastOptions options_;
};

// The same bits under another type of the same width.
class BitCast final : public Op {
 public:
  Status parse(NodeReader& reader) {
    to_ = reader.dtype("to", DType::undefined);
    LINNET_REQUIRE(dtype_bits(to_) != 0, invalid_model("'to' names no numeric type"));
    return {};
  }
  Status infer(InferContext& context) const override {
    LINNET_REQUIRE(
        dtype_bits(context.dtype(0)) == dtype_bits(to_),
        invalid_model("elements of type ", dtype_name(context.dtype(0)), " are not as wide as ", dtype_name(to_)));
    if (context.ranked(0)) {
      context.set(0, to_, context.shape(0));
    } else {
      context.set_unranked(0, to_);
    }
    return {};
  }
  Status bind(BindContext& context) const override {
    context.alias(0, 0, 0);
    return {};
  }
  Status run(RunContext& context) const override {
    if (context.out(0).data != context.in(0).data)
      std::memcpy(context.out(0).data, context.in(0).data, context.in(0).bytes());
    return {};
  }
  bool can_overwrite(size_t, size_t) const override { return true; }

 private:
  DType to_ = DType::undefined;
};

constexpr OpDef kDefs[] = {
    {"", "Cast", 1, 1, 1, 1, 1, create<Cast>},
    {"", "CastLike", 15, 2, 2, 1, 1, create<Cast>},
    {"", "BitCast", 26, 1, 1, 1, 1, create<BitCast>},
};

}  // namespace

extern const std::span<const OpDef> kCastOps = kDefs;

}  // namespace linnet
