#include "ops/conv_base.h"

#include "kernels/elementwise/half_convert.h"
#include "kernels/many_axes.h"
#include "kernels/spatial_layout.h"
#include "ops/float_scratch.h"
#include "ops/packing.h"

namespace linnet {
namespace {

// With this few channels the kernel reads channels-first images directly.
constexpr size_t kMostPlanes = 4;

// Parts of one allocation, each aligned to 64 bytes.
struct Parts {
  size_t total = 0;
  size_t take(size_t bytes) noexcept {
    const size_t at = total;
    total += round_up(bytes, 64);
    return at;
  }
};

void to_floats(const Tensor& tensor, float* dst, const Parallel& parallel) noexcept {
  parallel.for_range(static_cast<size_t>(tensor.count()), 1 << 16, [&](size_t begin, size_t end, size_t) {
    if (tensor.dtype == DType::f16) {
      to_float(tensor.ptr<f16>() + begin, dst + begin, end - begin);
    } else {
      to_float(tensor.ptr<bf16>() + begin, dst + begin, end - begin);
    }
  });
}

void from_floats(const float* src, Tensor& tensor, const Parallel& parallel) noexcept {
  parallel.for_range(static_cast<size_t>(tensor.count()), 1 << 16, [&](size_t begin, size_t end, size_t) {
    if (tensor.dtype == DType::f16) {
      from_float(src + begin, tensor.ptr<f16>() + begin, end - begin);
    } else {
      from_float(src + begin, tensor.ptr<bf16>() + begin, end - begin);
    }
  });
}

}  // namespace

struct ConvBase::State {
  ConvGeometry geometry;
  bool transposes_x = false, transposes_y = false;
  // Where the parts of scratch begin: floats of half-precision tensors, tensors in the other layout, the kernel's own.
  size_t x = 0, weights = 0, bias = 0, residual = 0, y = 0;
  size_t x_last = 0, residual_last = 0, y_last = 0;
  size_t packed = 0, kernel = 0;
};

Status ConvBase::parse(NodeReader& reader) {
  LINNET_TRY(window_.parse(reader));
  groups_ = reader.integer("group", 1);
  LINNET_REQUIRE(groups_ >= 1 && groups_ <= (int64_t{1} << 30), invalid_model("group is ", groups_));
  channels_last_ = reader.flag("channels_last", false);
  src_channels_first_ = reader.flag("src_channels_first", false);
  LINNET_ASSIGN(activation_, parse_fused_activation(reader));
  return {};
}

Result<std::optional<SpatialLayout>> ConvBase::infer_common(InferContext& context) const {
  const DType type = context.dtype(0);
  LINNET_REQUIRE(is_float(type), unsupported("no convolution of ", dtype_name(type)));
  for (size_t i = 1; i < context.inputs(); ++i)
    LINNET_REQUIRE(
        !context.has(i) || context.dtype(i) == type,
        invalid_model("input ", i, " is of type ", dtype_name(context.dtype(i)), ", not ", dtype_name(type)));
  const size_t known_from = context.ranked(0) ? 0 : 1;
  if (!context.ranked(known_from)) {
    context.set_unranked(0, type);
    return std::optional<SpatialLayout>();
  }
  LINNET_ASSIGN(const SpatialLayout layout, spatial_layout(context.shape(known_from).size(), channels_last_, true));
  LINNET_TRY(window_.check(layout.axes()));
  if (context.ranked(1)) {
    const SymShape& w = context.shape(1);
    LINNET_REQUIRE(w.size() == layout.rank,
                   invalid_argument("the weights have rank ", w.size(), ", the input ", layout.rank));
    const std::vector<int64_t>& kernel = window_.kernel_shape();
    for (size_t a = 0; a < kernel.size(); ++a)
      LINNET_REQUIRE(!w[a + 2].known() || w[a + 2].is(kernel[a]),
                     invalid_argument("kernel_shape says ", kernel[a], " where the weights have ", w[a + 2].value()));
    const size_t x_channels = channels_last_ && !src_channels_first_ ? layout.rank - 1 : 1;
    const Dim channels = context.ranked(0) ? context.shape(0)[x_channels] : Dim();
    const Dim wanted = transposed_ ? w[0] : w[1];
    if (channels.known() && wanted.known())
      LINNET_REQUIRE(channels.value() == (transposed_ ? 1 : groups_) * wanted.value(),
                     invalid_argument("the input has ", channels.value(), " channels, the weights are for ",
                                      wanted.value(), transposed_ ? "" : concat(" in each of ", groups_, " groups")));
    if (w[0].known())
      LINNET_REQUIRE(w[0].value() % groups_ == 0,
                     invalid_argument(w[0].value(), " filters do not divide into ", groups_, " groups"));
    if (context.ranked(2) && w[transposed_ ? 1 : 0].known()) {
      const int64_t filters = w[transposed_ ? 1 : 0].value() * (transposed_ ? groups_ : 1);
      const SymShape& bias = context.shape(2);
      LINNET_REQUIRE(bias.size() == 1 && (!bias[0].known() || bias[0].is(filters)),
                     invalid_argument("the bias does not have one entry for each of ", filters, " filters"));
    }
  }
  return std::optional<SpatialLayout>(layout);
}

Dim ConvBase::kernel_size(const InferContext& context, size_t a) const {
  if (!window_.kernel_shape().empty()) return window_.kernel_shape()[a];
  return context.ranked(1) ? context.shape(1)[a + 2] : Dim();
}

void ConvBase::set_output(InferContext& context, const SpatialLayout& layout, std::span<const Dim> sizes) const {
  SymShape shape(layout.rank);
  SymbolTable& symbols = context.symbols();
  shape[0] = context.ranked(0) ? context.shape(0)[0] : symbols.fresh();
  const Dim filters = !context.ranked(1) ? symbols.fresh()
                      : transposed_      ? symbols.mul(context.shape(1)[1], groups_)
                                         : context.shape(1)[0];
  shape[layout.channel_axis()] = filters;
  for (size_t a = 0; a < layout.axes(); ++a) shape[layout.spatial_axis(a)] = sizes[a];
  context.set(0, context.dtype(0), std::move(shape));
}

ConvGeometry ConvBase::weight_geometry(const Shape& weights) const {
  ConvGeometry g;
  g.transposed = transposed_;
  g.groups = static_cast<size_t>(groups_);
  g.channels = static_cast<size_t>(weights[transposed_ ? 0 : 1]) * (transposed_ ? 1 : g.groups);
  g.filters = static_cast<size_t>(weights[transposed_ ? 1 : 0]) * (transposed_ ? g.groups : 1);
  g.src_planes =
      !transposed_ && groups_ == 1 && (src_channels_first_ || (!channels_last_ && g.channels <= kMostPlanes));
  const size_t axes = weights.rank() - 2;
  for (size_t a = 0; a < axes; ++a) {
    const WindowAxis axis = window_.axis(a, weights[a + 2]);
    const size_t to = kSpatialAxes - axes + a;
    g.kernel[to] = static_cast<size_t>(axis.kernel);
    g.stride[to] = static_cast<size_t>(axis.stride);
    g.dilation[to] = static_cast<size_t>(axis.dilation);
  }
  return g;
}

ConvGeometry ConvBase::geometry(const Shape& x, const Shape& weights, const Shape& y) const {
  ConvGeometry g = weight_geometry(weights);
  g.batch = static_cast<size_t>(x[0]);
  const SpatialLayout src{x.rank(), channels_last_ && !src_channels_first_}, dst{x.rank(), channels_last_};
  g.src = src.sizes(x);
  g.dst = dst.sizes(y);
  for (size_t a = 0; a < src.axes(); ++a) {
    WindowAxis axis = window_.axis(a, weights[a + 2]);
    resolve_pads(axis, a, x[src.spatial_axis(a)], y[dst.spatial_axis(a)]);
    g.pad[kSpatialAxes - src.axes() + a] = static_cast<ptrdiff_t>(axis.pad_begin);
  }
  return g;
}

Status ConvBase::prepare(PrepareContext& context) {
  const Tensor* weights = packing(context).stored(1);
  if (weights && weights->data && is_half(weights->dtype)) weights = context.constant(1);
  if (!weights || weights->dtype == DType::f64 || has_many_axes(weights->shape.rank())) return {};
  const ConvGeometry g = weight_geometry(weights->shape);
  Tensor floats = *weights;
  if (is_half(weights->dtype) && weights->data) {
    LINNET_ASSIGN(floats, make_tensor_uninitialized(DType::f32, weights->shape));
    to_floats(*weights, floats.ptr<float>(), context.parallel());
  }
  std::string form = concat("conv g", groups_, g.src_planes ? " planes" : "");
  // Strides and dilations decide the phases of a transposed convolution.
  for (size_t a = 0; a < kSpatialAxes && transposed_; ++a)
    form += concat(a ? "," : " transposed ", g.stride[a], "/", g.dilation[a]);
  LINNET_ASSIGN(const std::byte* packed,
                context.packed(1, form, conv_packed_size(g) * sizeof(float), [&](std::byte* dst) {
                  conv_pack(g, floats.ptr<float>(), reinterpret_cast<float*>(dst), context.parallel());
                }));
  packed_ = reinterpret_cast<const float*>(packed);
  context.release(1);
  return {};
}

Status ConvBase::bind(BindContext& context) const {
  const Shape& y = context.out_shape(0);
  if (context.has(3))
    LINNET_REQUIRE(context.shape(3) == y,
                   invalid_argument("the residual's shape ", context.shape(3), " is not the output's, ", y));
  if (has_many_axes(y.rank())) {
    if (context.dtype(0) != DType::f64) request_float_scratch(context);
    return {};
  }
  State& s = context.state<State>();
  s.geometry = geometry(context.shape(0), context.shape(1), y);
  const ConvGeometry& g = s.geometry;
  if (context.dtype(0) == DType::f64) return {};

  const size_t x_count = static_cast<size_t>(context.shape(0).count());
  const size_t y_count = static_cast<size_t>(y.count());
  const size_t weight_count = static_cast<size_t>(context.shape(1).count());
  s.transposes_x = !channels_last_ && !g.src_planes && g.channels > 1 && positions_of(g.src) > 1;
  s.transposes_y = !channels_last_ && g.filters > 1 && positions_of(g.dst) > 1;
  const bool half = is_half(context.dtype(0));
  Parts parts;
  const auto floats = [&](bool wanted, size_t count) { return wanted ? parts.take(count * sizeof(float)) : 0; };
  s.x = floats(half, x_count);
  s.weights = floats(half && !packed_, weight_count);
  s.bias = floats(half && context.has(2), g.filters);
  s.residual = floats(half && context.has(3), y_count);
  s.y = floats(half, y_count);
  s.x_last = floats(s.transposes_x, x_count);
  s.residual_last = floats(s.transposes_y && context.has(3), y_count);
  s.y_last = floats(s.transposes_y, y_count);
  s.packed = floats(!packed_, conv_packed_size(g));
  s.kernel = parts.take(conv_scratch_size(g, context.threads()));
  context.request_scratch(parts.total);
  return {};
}

Status ConvBase::run(RunContext& context) const {
  Tensor& y = context.out(0);
  if (y.count() == 0) return {};
  if (has_many_axes(y.shape.rank())) return run_many_axes(context);
  const State& s = context.state<State>();
  const ConvGeometry& g = s.geometry;
  if (y.dtype == DType::f64) return run_double(context, s);

  const Parallel& parallel = context.parallel;
  const auto part = [&](size_t at) { return reinterpret_cast<float*>(context.scratch() + at); };
  const auto as_floats = [&](size_t i, size_t at) -> const float* {
    const Tensor* tensor = context.maybe(i);
    if (!tensor || tensor->dtype == DType::f32) return tensor ? tensor->ptr<float>() : nullptr;
    to_floats(*tensor, part(at), parallel);
    return part(at);
  };
  const float* x = as_floats(0, s.x);
  const float* packed = packed_;
  if (!packed) {
    conv_pack(g, as_floats(1, s.weights), part(s.packed), parallel);
    packed = part(s.packed);
  }
  ConvEpilogue epilogue{as_floats(2, s.bias), as_floats(3, s.residual), activation_};
  if (s.transposes_x) {
    to_channels_last(sizeof(float), x, part(s.x_last), g.batch, g.channels, positions_of(g.src), parallel);
    x = part(s.x_last);
  }
  float* y_floats = y.dtype == DType::f32 ? y.ptr<float>() : part(s.y);
  float* to = s.transposes_y ? part(s.y_last) : y_floats;
  if (s.transposes_y && epilogue.residual) {
    to_channels_last(sizeof(float), epilogue.residual, part(s.residual_last), g.batch, g.filters, positions_of(g.dst),
                     parallel);
    epilogue.residual = part(s.residual_last);
  }
  conv(g, x, packed, epilogue, to, context.scratch() + s.kernel, parallel);
  if (s.transposes_y) to_channels_first(sizeof(float), to, y_floats, g.batch, g.filters, positions_of(g.dst), parallel);
  if (y.dtype != DType::f32) from_floats(y_floats, y, parallel);
  return {};
}

Status ConvBase::run_many_axes(RunContext& context) const {
  const Tensor &x = context.in(0), &weights = context.in(1);
  Tensor& y = context.out(0);
  const Tensor &wide = transposed_ ? y : x, &narrow = transposed_ ? x : y;
  InlineVector<WindowedAxis, 8> axes(x.shape.rank() - 2);
  for (size_t a = 0; a < axes.size(); ++a) {
    WindowAxis axis = window_.axis(a, weights.shape[a + 2]);
    resolve_pads(axis, a, x.shape[a + 2], y.shape[a + 2]);
    axes[a] = {wide.shape[a + 2], narrow.shape[a + 2], axis.kernel, axis.stride, axis.dilation, axis.pad_begin, 0};
  }
  LINNET_REQUIRE(window_steps({axes.data(), axes.size()}) <= kMostWindowSteps,
                 unsupported("windows that take too many steps"));
  ConvManyAxes c{Windows({axes.data(), axes.size()}), transposed_};
  c.batch = static_cast<size_t>(x.shape[0]), c.groups = static_cast<size_t>(groups_);
  c.channels = static_cast<size_t>(x.shape[1]) / c.groups, c.filters = static_cast<size_t>(y.shape[1]) / c.groups;
  const auto finish = [&](auto* out, const auto* residual) {
    for (int64_t i = 0; i < y.count(); ++i) {
      if (residual) out[i] += residual[i];
      if (activation_.kind != Activation::none) out[i] = activate_reference(activation_, static_cast<float>(out[i]));
    }
  };
  if (y.dtype == DType::f64) {
    conv_many_axes(c, x.ptr<double>(), weights.ptr<double>(), context.has(2) ? context.in(2).ptr<double>() : nullptr,
                   y.ptr<double>(), context.parallel);
    finish(y.ptr<double>(), context.has(3) ? context.in(3).ptr<double>() : nullptr);
    return {};
  }
  FloatScratch floats(context);
  const float *src = floats.in(x), *matrix = floats.in(weights), *bias = floats.in(context.maybe(2));
  float* out = floats.out(y);
  conv_many_axes(c, src, matrix, bias, out, context.parallel);
  finish(out, floats.in(context.maybe(3)));
  floats.finish(y, out);
  return {};
}

Status ConvBase::run_double(RunContext& context, const State& state) const {
  ConvGeometry g = state.geometry;
  const bool src_first = !channels_last_ || src_channels_first_;
  Tensor& y = context.out(0);
  conv_reference(g, context.in(0).ptr<double>(),
                 src_first ? channels_first_strides(g.channels, g.src) : channels_last_strides(g.channels, g.src),
                 context.in(1).ptr<double>(), context.has(2) ? context.in(2).ptr<double>() : nullptr, y.ptr<double>(),
                 channels_last_ ? channels_last_strides(g.filters, g.dst) : channels_first_strides(g.filters, g.dst),
                 context.parallel);
  if (!context.has(3) && activation_.kind == Activation::none) return {};
  const double* residual = context.has(3) ? context.in(3).ptr<double>() : nullptr;
  const std::span<double> out = y.as<double>();
  for (size_t i = 0; i < out.size(); ++i) {
    if (residual) out[i] += residual[i];
    // Fused activations are computed in single precision.
    if (activation_.kind != Activation::none)
      out[i] = static_cast<double>(activate_reference(activation_, static_cast<float>(out[i])));
  }
  return {};
}

}  // namespace linnet
