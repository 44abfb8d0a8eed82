// Convolutions of 8-bit integers.
// https://onnx.ai/onnx/operators/onnx__ConvInteger.html, ...QLinearConv; com.microsoft's QLinearConv may be
// channels-last. linnet.ConvIntegerToFloat is what a pass makes of ConvInteger and what follows it, with the inputs of
// MatMulIntegerToFloat; passes may set channels_last there, too.
#include <vector>

#include "kernels/conv/conv.h"
#include "kernels/quant/packed_check.h"
#include "kernels/quant/quantize.h"
#include "kernels/spatial_layout.h"
#include "ops/packing.h"
#include "ops/sliding_window.h"

namespace linnet {
namespace {

// Where each operator has which input; -1 for what it does not have.
struct Slots {
  int x, x_scale, x_zero, w, w_scale, w_zero, y_scale, y_zero, bias;
};
constexpr Slots kConvInteger{0, -1, 2, 1, -1, 3, -1, -1, -1};
constexpr Slots kQLinearConv{0, 1, 2, 3, 4, 5, 6, 7, 8};
constexpr Slots kConvIntegerToFloat{0, 2, 4, 1, 3, 5, -1, -1, 6};

bool is_int8(DType t) noexcept { return t == DType::u8 || t == DType::i8; }
size_t at(int slot) noexcept { return static_cast<size_t>(slot); }

// Sums of so many products of 9-bit numbers are exact in float.
constexpr size_t kExactDepth = 256;

class IntegerConv final : public Op {
 public:
  Status parse(NodeReader& reader) {
    to_float_ = reader.op_type() == "ConvIntegerToFloat";
    slots_ = to_float_ ? kConvIntegerToFloat : reader.op_type() == "ConvInteger" ? kConvInteger : kQLinearConv;
    LINNET_TRY(window_.parse(reader));
    groups_ = reader.integer("group", 1);
    channels_last_ = reader.flag("channels_last", false);
    LINNET_REQUIRE(groups_ >= 1 && groups_ <= (int64_t{1} << 30), invalid_model("group is ", groups_));
    return {};
  }

  Status infer(InferContext& context) const override {
    const auto has = [&](int slot) { return slot >= 0 && context.has(at(slot)); };
    for (const int slot : {slots_.x, slots_.w})
      LINNET_REQUIRE(is_int8(context.dtype(at(slot))),
                     unsupported("input ", slot, " is of type ", dtype_name(context.dtype(at(slot)))));
    for (const int slot : {slots_.x_scale, slots_.w_scale, slots_.y_scale})
      LINNET_REQUIRE(!has(slot) || is_float(context.dtype(at(slot))),
                     invalid_model("the scale (input ", slot, ") is not a float"));
    LINNET_REQUIRE(!has(slots_.x_zero) || context.dtype(at(slots_.x_zero)) == context.dtype(at(slots_.x)),
                   invalid_model("the input's zero point is of another type"));
    LINNET_REQUIRE(!has(slots_.w_zero) || context.dtype(at(slots_.w_zero)) == context.dtype(at(slots_.w)),
                   invalid_model("the weights' zero point is of another type"));
    const DType sums = to_float_ ? DType::f32 : DType::i32;
    LINNET_REQUIRE(!has(slots_.bias) || context.dtype(at(slots_.bias)) == sums,
                   invalid_model("the bias is not ", dtype_name(sums)));
    const DType type = slots_.y_zero < 0 ? sums : context.dtype(at(slots_.y_zero));
    LINNET_REQUIRE(type == sums || is_int8(type), unsupported("the output is of type ", dtype_name(type)));
    if (context.ranked(at(slots_.w))) LINNET_TRY(check_weights(context));
    if (!context.ranked(at(slots_.x)) || !context.ranked(at(slots_.w))) {
      context.set_unranked(0, type);
      return {};
    }
    const SymShape& x = context.shape(at(slots_.x));
    const SymShape& w = context.shape(at(slots_.w));
    LINNET_ASSIGN(const SpatialLayout layout, spatial_layout(x.size(), channels_last_));
    LINNET_REQUIRE(w.size() == x.size(),
                   invalid_argument("the weights have rank ", w.size(), ", the input ", x.size()));
    const Dim channels = x[layout.channel_axis()];
    LINNET_REQUIRE(!channels.known() || !w[1].known() || channels.value() == groups_ * w[1].value(),
                   invalid_argument("the input has ", channels.value(), " channels, the weights are for ", w[1].value(),
                                    " in each of ", groups_, " groups"));
    SymShape shape = x;
    shape[layout.channel_axis()] = w[0];
    for (size_t a = 0; a < layout.axes(); ++a) {
      const Dim kernel = w[a + 2];
      Dim& size = shape[layout.spatial_axis(a)];
      if (kernel.known()) {
        LINNET_ASSIGN(size, window_.output_size(window_.axis(a, kernel.value()), size, false, context.symbols()));
      } else {
        size = Dim();
      }
    }
    context.set(0, type, std::move(shape));
    return {};
  }

  Status prepare(PrepareContext& context) override {
    const Tensor* w = packing(context).stored(at(slots_.w));
    const bool has_zero = slots_.w_zero >= 0 && context.has(at(slots_.w_zero));
    const Tensor* zero = has_zero ? context.constant(at(slots_.w_zero)) : nullptr;
    if (!w || w->shape.rank() < 3) return {};
    const IntConv c = weight_sizes(w->shape);
    const bool known_zero = zero || !has_zero;
    const size_t decides[] = {has_zero ? at(slots_.w_zero) : at(slots_.w)};
    if (c.is_depthwise() && known_zero) {
      const auto pack = [&](std::byte* to) {
        std::vector<int32_t> zeros;
        for (int64_t i = 0; zero && i < zero->count(); ++i) zeros.push_back(static_cast<int32_t>(integer_at(*zero, i)));
        int_depthwise_pack(c, w->data, w->dtype == DType::i8, zero ? zeros.data() : nullptr, zeros.size() > 1, to);
      };
      LINNET_ASSIGN(depthwise_, packing(context).packed_with(decides, at(slots_.w), "depthwise pairs of a row's taps",
                                                             int_depthwise_packed_size(c), pack));
      context.release(at(slots_.w));
      return {};
    }
    if (groups_ > 1 && c.depth() <= kExactDepth && known_zero) {
      const ConvGeometry g = float_geometry(c);
      const auto pack = [&](std::byte* to) {
        std::vector<float> weights(static_cast<size_t>(w->count()));
        const size_t row = weights.size() / std::max<size_t>(1, c.filters);
        for (size_t i = 0; i < weights.size(); ++i) {
          const int64_t z = !zero ? 0 : integer_at(*zero, zero->count() > 1 ? static_cast<int64_t>(i / row) : 0);
          weights[i] = static_cast<float>(integer_at(*w, static_cast<int64_t>(i)) - z);
        }
        conv_pack(g, weights.data(), reinterpret_cast<float*>(to), context.parallel());
      };
      LINNET_ASSIGN(const std::byte* packed,
                    packing(context).packed_with(decides, at(slots_.w), concat("whole numbers as floats, g", groups_),
                                                 conv_packed_size(g) * sizeof(float), pack));
      float_packed_ = reinterpret_cast<const float*>(packed);
      return {};
    }
    const std::string form = concat("int8 quads of runs, g", groups_, " d", c.dilation[2]);
    const std::span<const std::byte> supplied = packing(context).supplied(at(slots_.w), form);
    LINNET_REQUIRE(supplied.empty() || int_conv_valid(supplied, c),
                   invalid_model("the compiled model's packed weights are damaged"));
    LINNET_REQUIRE(!supplied.empty() || w->data, invalid_model("the compiled model lacks packed weights"));
    const auto pack = [&](std::byte* to) {
      std::vector<uint8_t> arranged(is_arranged(c) ? 0 : c.filters * c.filter_bytes());
      const bool is_signed = w->dtype == DType::i8;
      if (!is_arranged(c)) int_conv_arrange(c, w->data, is_signed, arranged.data(), context.parallel());
      int_conv_pack(c, is_arranged(c) ? w->data : arranged.data(), is_signed, to, context.parallel());
    };
    LINNET_ASSIGN(packed_, context.packed(at(slots_.w), form, int_conv_packed_size(c), pack));
    context.release(at(slots_.w));
    return {};
  }

  Status bind(BindContext& context) const override {
    State& s = context.state<State>();
    const Shape& x = context.shape(at(slots_.x));
    const Shape& y = context.out_shape(0);
    s.conv = weight_sizes(context.shape(at(slots_.w)));
    const SpatialLayout layout{x.rank(), channels_last_};
    s.conv.batch = static_cast<size_t>(x[0]);
    s.conv.src = layout.sizes(x);
    s.conv.dst = layout.sizes(y);
    for (size_t a = 0; a < layout.axes(); ++a) {
      WindowAxis axis = window_.axis(a, context.shape(at(slots_.w))[a + 2]);
      window_.resolve_pads(axis, x[layout.spatial_axis(a)], y[layout.spatial_axis(a)]);
      s.conv.pad[kSpatialAxes - layout.axes() + a] = static_cast<ptrdiff_t>(axis.pad_begin);
    }
    const IntConv& c = s.conv;
    size_t bytes = 0;
    const auto take = [&](size_t size) {
      const size_t start = bytes;
      bytes += round_up(size, 64);
      return start;
    };
    const auto x_count = static_cast<size_t>(x.count()), y_count = static_cast<size_t>(y.count());
    s.x_last = channels_last_ ? 0 : take(x_count);
    s.y_last = channels_last_ ? 0 : take(y_count * element_size(context.out_dtype(0)));
    s.numbers = take(c.filters * (sizeof(float) + sizeof(int32_t)) + 128);
    LINNET_REQUIRE(int_conv_image_bytes(c) < 4294967296.0, unsupported("an image of 4 GiB or more"));
    if (depthwise_) {
      s.kernel = take(int_depthwise_scratch_size(c, context.threads()));
    } else if (float_packed_) {
      s.x_float = take(x_count * sizeof(float));
      s.y_float = take(y_count * sizeof(float));
      s.kernel = take(conv_scratch_size(float_geometry(c), context.threads()));
    } else {
      if (!packed_) {
        s.weights = take(c.filters * c.filter_bytes());
        s.packed = take(int_conv_packed_size(c));
      }
      s.kernel = take(int_conv_scratch_size(c, context.dtype(at(slots_.x)) == DType::i8, context.threads()));
    }
    context.request_scratch(bytes);
    return {};
  }

  Status run(RunContext& context) const override {
    const State& s = context.state<State>();
    const IntConv& c = s.conv;
    const Tensor& x = context.in(at(slots_.x));
    const Tensor& w = context.in(at(slots_.w));
    Tensor& y = context.out(0);
    std::byte* scratch = context.scratch();
    if (y.count() == 0) return {};
    const auto input = [&](int slot) { return slot < 0 ? nullptr : context.maybe(at(slot)); };

    IntGemm g;
    auto* scales = reinterpret_cast<float*>(scratch + s.numbers);
    auto* zeros = reinterpret_cast<int32_t*>(scales + c.filters + 1);
    g.a_signed = x.dtype == DType::i8;
    g.b_signed = w.dtype == DType::i8;
    if (const Tensor* zero = input(slots_.x_zero)) g.a_zero = static_cast<int32_t>(integer_at(*zero, 0));
    const Tensor* w_zero = input(slots_.w_zero);
    const Tensor* w_scale = input(slots_.w_scale);
    const size_t zero_step = w_zero && w_zero->count() > 1, scale_step = w_scale && w_scale->count() > 1;
    const auto one = [&](int slot) { return input(slot) ? static_cast<float>(number_at(*input(slot), 0)) : 1.0f; };
    const float x_scale = one(slots_.x_scale), y_scale = one(slots_.y_scale);
    for (size_t f = 0; f < c.filters; ++f) {
      zeros[f] = !w_zero                      ? 0
                 : w_zero->dtype == DType::i8 ? w_zero->ptr<int8_t>()[f * zero_step]
                                              : w_zero->ptr<uint8_t>()[f * zero_step];
      const float scale = !w_scale ? 1.0f
                          : w_scale->dtype == DType::f32
                              ? w_scale->ptr<float>()[f * scale_step]
                              : static_cast<float>(number_at(*w_scale, static_cast<int64_t>(f * scale_step)));
      scales[f] = x_scale * scale / y_scale;
    }
    g.b_zero = zeros;
    g.scale = scales;
    g.b_zero_by_column = g.scale_by_column = true;
    if (const Tensor* bias = input(slots_.bias)) {
      if (to_float_) {
        g.float_bias = bias->ptr<float>();
      } else {
        g.bias = bias->ptr<int32_t>();
      }
    }
    if (const Tensor* zero = input(slots_.y_zero)) g.c_zero = static_cast<int32_t>(integer_at(*zero, 0));
    g.output = y.dtype == DType::i32   ? IntOutput::i32
               : y.dtype == DType::f32 ? IntOutput::f32
               : y.dtype == DType::u8  ? IntOutput::u8
                                       : IntOutput::s8;

    const void* src = x.data;
    if (!channels_last_) {
      to_channels_last(1, x.data, scratch + s.x_last, c.batch, c.channels, positions_of(c.src), context.parallel);
      src = scratch + s.x_last;
    }
    void* dst = channels_last_ ? y.data : scratch + s.y_last;
    g.c = dst;
    if (depthwise_) {
      int_depthwise(c, src, depthwise_, g, scratch + s.kernel, context.parallel);
    } else if (float_packed_) {
      run_as_floats(context, s, src, g);
    } else {
      const std::byte* packed = packed_;
      if (!packed) {
        auto* weights = reinterpret_cast<uint8_t*>(scratch + s.weights);
        int_conv_arrange(c, w.data, g.b_signed, weights, context.parallel);
        int_conv_pack(c, weights, g.b_signed, scratch + s.packed, context.parallel);
        packed = scratch + s.packed;
      }
      int_conv(c, src, packed, g, scratch + s.kernel, context.parallel);
    }
    if (!channels_last_)
      to_channels_first(element_size(y.dtype), dst, y.data, c.batch, c.filters, positions_of(c.dst), context.parallel);
    return {};
  }

 private:
  // What preparing the weights relies on, whatever is known of the input.
  Status check_weights(InferContext& context) const {
    const SymShape& w = context.shape(at(slots_.w));
    LINNET_ASSIGN(const SpatialLayout layout, spatial_layout(w.size(), false));
    LINNET_TRY(window_.check(layout.axes()));
    const std::vector<int64_t>& wanted = window_.kernel_shape();
    for (size_t a = 0; a < wanted.size(); ++a)
      LINNET_REQUIRE(!w[a + 2].known() || w[a + 2].is(wanted[a]),
                     invalid_argument("kernel_shape says ", wanted[a], " where the weights have ", w[a + 2].value()));
    LINNET_REQUIRE(!w[0].known() || w[0].value() % groups_ == 0,
                   invalid_argument(w[0].value(), " filters do not divide into ", groups_, " groups"));
    for (const int slot :
         {slots_.x_scale, slots_.x_zero, slots_.y_scale, slots_.y_zero, slots_.w_scale, slots_.w_zero, slots_.bias}) {
      if (slot < 0 || !context.has(at(slot)) || !context.ranked(at(slot)) || !context.shape(at(slot)).known() ||
          !w[0].known())
        continue;
      const int64_t count = context.shape(at(slot)).values().count();
      const bool by_filter = slot == slots_.w_scale || slot == slots_.w_zero || slot == slots_.bias;
      LINNET_REQUIRE((count == 1 && slot != slots_.bias) || (by_filter && count == w[0].value()),
                     invalid_argument("input ", slot, " has ", count, " elements for ", w[0].value(), " filters"));
    }
    return {};
  }

  struct State {
    IntConv conv;
    size_t x_last, y_last, numbers, x_float, y_float, weights, packed, kernel;
  };

  IntConv weight_sizes(const Shape& w) const {
    IntConv c;
    c.groups = static_cast<size_t>(groups_);
    c.filters = static_cast<size_t>(w[0]);
    c.channels = static_cast<size_t>(w[1]) * c.groups;
    for (size_t a = 0; a + 2 < w.rank(); ++a) {
      const WindowAxis axis = window_.axis(a, w[a + 2]);
      const size_t to = kSpatialAxes - (w.rank() - 2) + a;
      c.kernel[to] = static_cast<size_t>(axis.kernel);
      c.stride[to] = static_cast<size_t>(axis.stride);
      c.dilation[to] = static_cast<size_t>(axis.dilation);
    }
    return c;
  }

  static ConvGeometry float_geometry(const IntConv& c) {
    ConvGeometry g;
    g.batch = c.batch, g.channels = c.channels, g.filters = c.filters, g.groups = c.groups;
    g.src = c.src, g.dst = c.dst, g.kernel = c.kernel, g.stride = c.stride, g.dilation = c.dilation, g.pad = c.pad;
    return g;
  }

  // ONNX's order of weights is already that of packing.
  static bool is_arranged(const IntConv& c) noexcept { return c.taps() == 1 && c.filter_bytes() == c.depth(); }

  // Few products a sum in groups: the float convolution is exact, and faster than panels that are nearly empty.
  void run_as_floats(RunContext& context, const State& s, const void* src, IntGemm& g) const {
    const IntConv& c = s.conv;
    auto* x = reinterpret_cast<float*>(context.scratch() + s.x_float);
    auto* y = reinterpret_cast<float*>(context.scratch() + s.y_float);
    const size_t count = c.batch * positions_of(c.src) * c.channels;
    context.parallel.for_range(count, 1 << 15, [&](size_t begin, size_t end, size_t) {
      if (g.a_signed) {
        dequantize(static_cast<const int8_t*>(src) + begin, x + begin, end - begin, 1.0f, g.a_zero);
      } else {
        dequantize(static_cast<const uint8_t*>(src) + begin, x + begin, end - begin, 1.0f, g.a_zero);
      }
    });
    conv(float_geometry(c), x, float_packed_, {}, y, context.scratch() + s.kernel, context.parallel);
    g.m = c.batch * positions_of(c.dst);
    g.n = g.ldc = c.filters;
    int_gemm_finish(g, y, context.parallel);
  }

  Slots slots_ = kQLinearConv;
  Window window_;
  int64_t groups_ = 1;
  bool channels_last_ = false, to_float_ = false;
  const std::byte* packed_ = nullptr;
  const std::byte* depthwise_ = nullptr;
  const float* float_packed_ = nullptr;
};

constexpr OpDef kDefs[] = {
    {"", "ConvInteger", 10, 2, 4, 1, 1, create<IntegerConv>},
    {"", "QLinearConv", 10, 8, 9, 1, 1, create<IntegerConv>},
    {"com.microsoft", "QLinearConv", 1, 8, 9, 1, 1, create<IntegerConv>},
    {"linnet", "ConvIntegerToFloat", 1, 4, 7, 1, 1, create<IntegerConv>},
};

}  // namespace

extern const std::span<const OpDef> kIntegerConvOps = kDefs;

}  // namespace linnet
