// https://onnx.ai/onnx/operators/onnx__DeformConv.html
// Samples the input at the shifted taps into a matrix of [position][channel x tap], then convolves that with 1 x 1.
#include <algorithm>
#include <cmath>

#include "kernels/conv/conv.h"
#include "kernels/spatial_layout.h"
#include "ops/float_scratch.h"
#include "ops/sliding_window.h"

namespace linnet {
namespace {

class DeformConv final : public Op {
 public:
  Status parse(NodeReader& reader) {
    LINNET_TRY(window_.parse(reader));
    groups_ = reader.integer("group", 1);
    offset_groups_ = reader.integer("offset_group", 1);
    LINNET_REQUIRE(groups_ >= 1 && offset_groups_ >= 1,
                   invalid_model("group is ", groups_, ", offset_group ", offset_groups_));
    return {};
  }

  Status infer(InferContext& context) const override {
    const DType type = context.dtype(0);
    LINNET_REQUIRE(is_float(type), unsupported("no convolution of ", dtype_name(type)));
    for (size_t i = 1; i < context.inputs(); ++i)
      LINNET_REQUIRE(!context.has(i) || context.dtype(i) == type,
                     invalid_model("input ", i, " is of type ", dtype_name(context.dtype(i))));
    if (!context.ranked(0) || !context.ranked(1) || !context.ranked(2)) {
      context.set_unranked(0, type);
      return {};
    }
    const SymShape& x = context.shape(0);
    const SymShape& w = context.shape(1);
    const SymShape& offset = context.shape(2);
    LINNET_REQUIRE(x.size() == 4 && w.size() == 4 && offset.size() == 4,
                   unsupported("deformable convolution of other than two axes"));
    LINNET_TRY(window_.check(2));
    SymShape shape = x;
    shape[1] = w[0];
    for (size_t a = 0; a < 2; ++a) {
      shape[a + 2] = offset[a + 2];
      if (!w[a + 2].known()) continue;
      LINNET_REQUIRE(window_.kernel_shape().empty() || w[a + 2].is(window_.kernel_shape()[a]),
                     invalid_argument("kernel_shape is not that of the weights"));
      LINNET_ASSIGN(shape[a + 2],
                    window_.output_size(window_.axis(a, w[a + 2].value()), x[a + 2], false, context.symbols()));
    }
    if (x.known() && w.known() && offset.known()) {
      const int64_t taps = w[2].value() * w[3].value();
      LINNET_REQUIRE(
          x[1].value() == w[1].value() * groups_ && w[0].value() % groups_ == 0 && x[1].value() % offset_groups_ == 0,
          invalid_argument("channels and groups do not fit"));
      LINNET_TRY(check_side(context, 2, 2 * offset_groups_ * taps, shape));
      if (context.ranked(4) && context.shape(4).known())
        LINNET_TRY(check_side(context, 4, offset_groups_ * taps, shape));
      if (context.ranked(3) && context.shape(3).known())
        LINNET_REQUIRE(context.shape(3).size() == 1 && context.shape(3)[0] == w[0],
                       invalid_argument("the bias does not have one entry for each filter"));
    }
    context.set(0, type, shape);
    return {};
  }

  Status bind(BindContext& context) const override {
    State& s = context.state<State>();
    const Shape& x = context.shape(0);
    const Shape& w = context.shape(1);
    const Shape& y = context.out_shape(0);
    ConvGeometry& g = s.geometry;
    const size_t taps = static_cast<size_t>(w[2] * w[3]);
    g.channels = static_cast<size_t>(x[1]) * taps;
    g.filters = static_cast<size_t>(w[0]);
    g.groups = static_cast<size_t>(groups_);
    g.src = g.dst = {1, static_cast<size_t>(y[2]), static_cast<size_t>(y[3])};
    for (size_t a = 0; a < 2; ++a) {
      s.axis[a] = window_.axis(a, w[a + 2]);
      window_.resolve_pads(s.axis[a], x[a + 2], y[a + 2]);
    }
    size_t at = 0;
    const auto take = [&](size_t bytes) {
      const size_t here = at;
      at += round_up(bytes, 64);
      return here;
    };
    const auto positions = positions_of(g.dst);
    s.packed = take(conv_packed_size(g) * sizeof(float));
    s.columns = take(positions * g.channels * sizeof(float));
    s.last = take(positions * g.filters * sizeof(float));
    s.kernel = take(conv_scratch_size(g, context.threads()));
    s.floats = at;
    for (size_t i = 0; i < context.inputs(); ++i)
      if (context.has(i)) at += FloatScratch::bytes(context.dtype(i), context.shape(i));
    at += FloatScratch::bytes(context.out_dtype(0), y);
    context.request_scratch(at);
    return {};
  }

  Status run(RunContext& context) const override {
    const State& s = context.state<State>();
    const ConvGeometry& g = s.geometry;
    const Tensor& x = context.in(0);
    Tensor& y = context.out(0);
    if (y.count() == 0) return {};
    const auto part = [&](size_t at) { return reinterpret_cast<float*>(context.scratch() + at); };
    FloatScratch scratch(context, s.floats);
    const float* src = scratch.in(x);
    conv_pack(g, scratch.in(context.in(1)), part(s.packed), context.parallel);
    const float* offset = scratch.in(context.in(2));
    const float* bias = scratch.in(context.maybe(3));
    const float* mask = scratch.in(context.maybe(4));
    float* dst = scratch.out(y);
    const size_t positions = positions_of(g.dst);
    const size_t taps = static_cast<size_t>(s.axis[0].kernel * s.axis[1].kernel);
    for (size_t n = 0; n < static_cast<size_t>(x.shape[0]); ++n) {
      if (context.parallel.stopped()) return {};
      const size_t side = n * static_cast<size_t>(offset_groups_) * taps * positions;
      sample(s, x.shape, src + n * static_cast<size_t>(x.shape.count(1, 4)), offset + 2 * side,
             mask ? mask + side : nullptr, part(s.columns), context.parallel);
      conv(g, part(s.columns), part(s.packed), {bias, nullptr, {}}, part(s.last), context.scratch() + s.kernel,
           context.parallel);
      to_channels_first(sizeof(float), part(s.last), dst + n * positions * g.filters, 1, g.filters, positions,
                        context.parallel);
    }
    scratch.finish(y, dst);
    return {};
  }

 private:
  struct State {
    ConvGeometry geometry;  // of the 1 x 1 convolution
    WindowAxis axis[2];
    size_t packed = 0, columns = 0, last = 0, kernel = 0, floats = 0;  // in scratch
  };

  static Status check_side(const InferContext& context, size_t i, int64_t channels, const SymShape& y) {
    const SymShape& side = context.shape(i);
    LINNET_REQUIRE(side.size() == 4 && side[0] == y[0] && side[1].is(channels) && side[2] == y[2] && side[3] == y[3],
                   invalid_argument("input ", i, " is not of ", channels, " channels and the output's size"));
    return {};
  }

  // Four elements of a plane and their weights.
  struct Corners {
    size_t at[4] = {};
    float weight[4] = {};
    bool inside[4] = {};

    float of(const float* plane) const noexcept {
      const auto part = [&](int c) { return inside[c] ? weight[c] * plane[at[c]] : 0.0f; };
      return (part(0) + part(1)) + (part(2) + part(3));
    }
    float of_inner(const float* plane) const noexcept {  // all four are inside
      return (weight[0] * plane[at[0]] + weight[1] * plane[at[1]]) +
             (weight[2] * plane[at[2]] + weight[3] * plane[at[3]]);
    }
  };
  // Bilinear; what lies outside of the plane counts as zero.
  static Corners corners(int64_t height, int64_t width, float y, float x) noexcept {
    Corners c;
    if (!(y > -1.0f && y < static_cast<float>(height) && x > -1.0f && x < static_cast<float>(width))) return c;
    const int64_t y0 = static_cast<int64_t>(std::floor(y)), x0 = static_cast<int64_t>(std::floor(x));
    const float ly = y - static_cast<float>(y0), lx = x - static_cast<float>(x0);
    for (int corner = 0; corner < 4; ++corner) {
      const int64_t i = y0 + corner / 2, j = x0 + corner % 2;
      if (i < 0 || i >= height || j < 0 || j >= width) continue;
      c.inside[corner] = true;
      c.at[corner] = static_cast<size_t>(i * width + j);
      c.weight[corner] = (corner / 2 ? ly : 1.0f - ly) * (corner % 2 ? lx : 1.0f - lx);
    }
    return c;
  }

  void sample(const State& s, const Shape& x, const float* src, const float* offset, const float* mask, float* columns,
              const Parallel& parallel) const noexcept {
    const auto& [vertical, horizontal] = s.axis;
    const size_t positions = positions_of(s.geometry.dst), width = s.geometry.dst[2];
    const size_t taps = static_cast<size_t>(vertical.kernel * horizontal.kernel);
    const size_t channels = static_cast<size_t>(x[1]), plane = static_cast<size_t>(x[2] * x[3]);
    const size_t per_group = channels / static_cast<size_t>(offset_groups_);
    parallel.for_range(
        positions, grain_for(static_cast<double>(taps * channels) * 10.0), [&](size_t begin, size_t end, size_t) {
          for (size_t p = begin; p < end; ++p)
            for (size_t group = 0; group < static_cast<size_t>(offset_groups_); ++group)
              for (size_t t = 0; t < taps; ++t) {
                const size_t tap = group * taps + t;
                const int64_t i = static_cast<int64_t>(t) / horizontal.kernel,
                              j = static_cast<int64_t>(t) % horizontal.kernel;
                const int64_t top =
                    static_cast<int64_t>(p / width) * vertical.stride - vertical.pad_begin + i * vertical.dilation;
                const int64_t left = static_cast<int64_t>(p % width) * horizontal.stride - horizontal.pad_begin +
                                     j * horizontal.dilation;
                const float dy = static_cast<float>(top) + offset[2 * tap * positions + p];
                const float dx = static_cast<float>(left) + offset[(2 * tap + 1) * positions + p];
                const float weight = mask ? mask[tap * positions + p] : 1.0f;
                const Corners from = corners(x[2], x[3], dy, dx);
                const float* first = src + group * per_group * plane;
                float* to = columns + (p * channels + group * per_group) * taps + t;
                if (from.inside[0] && from.inside[1] && from.inside[2] && from.inside[3]) {
                  for (size_t c = 0; c < per_group; ++c) to[c * taps] = weight * from.of_inner(first + c * plane);
                } else {
                  for (size_t c = 0; c < per_group; ++c) to[c * taps] = weight * from.of(first + c * plane);
                }
              }
        });
  }

  Window window_;
  int64_t groups_ = 1, offset_groups_ = 1;
};

constexpr OpDef kDefs[] = {{"", "DeformConv", 19, 3, 5, 1, 1, create<DeformConv>}};

}  // namespace

extern const std::span<const OpDef> kDeformConvOps = kDefs;

}  // namespace linnet
