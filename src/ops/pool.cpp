// https://onnx.ai/onnx/operators/onnx__MaxPool.html, ...AveragePool, ...LpPool, ...GlobalMaxPool, ...GlobalAveragePool,
// ...GlobalLpPool, ...MaxUnpool. Passes may set channels_last, as in conv_base.h.
#include "kernels/pool/pool.h"

#include <algorithm>

#include "kernels/many_axes.h"
#include "kernels/spatial_layout.h"
#include "ops/element_types.h"
#include "ops/float_scratch.h"
#include "ops/infer_shapes.h"
#include "ops/sliding_window.h"

namespace linnet {
namespace {

// With fewer channels a vector over them is too empty to be worth a change of layout.
constexpr size_t kLeastChannels = 4;

// From one element type, and on to a function that takes one of it.
template <class F>
Status with_pool_type(DType type, F&& f) {
  switch (type) {
    case DType::f32: return f(float());
    case DType::f64: return f(double());
    case DType::f16: return f(f16());
    case DType::bf16: return f(bf16());
    case DType::i8: return f(int8_t());
    case DType::u8: return f(uint8_t());
    default: return unsupported("no pooling of ", dtype_name(type));
  }
}

class PoolBase : public Op {
 public:
  Status bind(BindContext& context) const override {
    if (has_many_axes(context.shape(0).rank())) {
      if (context.dtype(0) != DType::f64) request_float_scratch(context);
      return {};
    }
    State& s = context.state<State>();
    PoolGeometry& g = s.geometry;
    g = geometry(context.shape(0), context.out_shape(0));
    const DType type = context.dtype(0);
    const bool simd = is_float_or_half(type) && g.kind != PoolKind::lp && !context.wants(1);
    s.planes = simd && !channels_last_ && pool_planes_fits(g);
    s.last = simd && !s.planes && (channels_last_ || g.channels >= kLeastChannels);
    s.transposes = s.last && !channels_last_;
    if (!s.planes && !s.last) return {};
    size_t at = round_up((s.planes ? pool_planes_scratch_size(g) : pool_scratch_size(g)) * context.threads(), 64);
    if (s.transposes) {
      s.src = at;
      s.dst = s.src + round_up(scratch_size(context.shape(0).count(), sizeof(float)), 64);
      at = s.dst + round_up(scratch_size(context.out_shape(0).count(), sizeof(float)), 64);
    }
    s.floats = at;
    at += FloatScratch::bytes(type, context.shape(0)) + FloatScratch::bytes(type, context.out_shape(0));
    context.request_scratch(at);
    return {};
  }

  Status run(RunContext& context) const override {
    const Tensor& x = context.in(0);
    Tensor& y = context.out(0);
    if (y.count() == 0) return {};
    if (has_many_axes(x.shape.rank())) return run_many_axes(context);
    const State& s = context.state<State>();
    const PoolGeometry& g = s.geometry;
    if (s.planes || s.last) {
      FloatScratch floats(context, s.floats);
      const float* src = floats.in(x);
      float* const result = floats.out(y);
      float* dst = result;
      if (s.planes) {
        pool_planes(g, src, dst, context.scratch(), context.parallel);
        floats.finish(y, result);
        return {};
      }
      if (s.transposes) {
        float* last = reinterpret_cast<float*>(context.scratch() + s.src);
        to_channels_last(sizeof(float), src, last, g.batch, g.channels, positions_of(g.src), context.parallel);
        src = last;
        dst = reinterpret_cast<float*>(context.scratch() + s.dst);
      }
      pool_channels_last(g, src, dst, context.scratch(), context.parallel);
      if (s.transposes)
        to_channels_first(sizeof(float), dst, result, g.batch, g.channels, positions_of(g.dst), context.parallel);
      floats.finish(y, result);
      return {};
    }
    const bool codes = x.dtype == DType::u8 || x.dtype == DType::i8;
    if (codes && channels_last_ && g.kind == PoolKind::max && !context.wants(1)) {
      max_pool_codes(g, x.dtype == DType::i8, x.ptr<uint8_t>(), y.ptr<uint8_t>(), context.parallel);
      return {};
    }
    const auto strides = [&](const SpatialSizes& sizes) {
      return channels_last_ ? channels_last_strides(g.channels, sizes) : channels_first_strides(g.channels, sizes);
    };
    const PoolIndices indices{context.wants(1) ? context.out(1).ptr<int64_t>() : nullptr, column_major_};
    return with_pool_type(x.dtype, [&](auto type) -> Status {
      using T = decltype(type);
      pool_plain(g, x.ptr<T>(), strides(g.src), y.ptr<T>(), strides(g.dst), indices, context.parallel);
      return {};
    });
  }

 protected:
  explicit PoolBase(PoolKind kind) noexcept { settings_.kind = kind; }

  // Checks the type; sets the outputs and returns nothing when the rank is not known.
  Result<std::optional<SpatialLayout>> infer_common(InferContext& context) const {
    LINNET_TRY(with_pool_type(context.dtype(0), [](auto) { return Status(); }));
    const bool integer = context.dtype(0) == DType::i8 || context.dtype(0) == DType::u8;
    LINNET_REQUIRE(!integer || settings_.kind == PoolKind::max,
                   unsupported("no average of ", dtype_name(context.dtype(0))));
    if (context.ranked(0)) {
      LINNET_ASSIGN(const SpatialLayout layout, spatial_layout(context.shape(0).size(), channels_last_, true));
      return std::optional<SpatialLayout>(layout);
    }
    context.set_unranked(0, context.dtype(0));
    context.set_unranked(1, DType::i64);
    return std::optional<SpatialLayout>();
  }
  void set_outputs(InferContext& context, const SymShape& shape) const {
    context.set(0, context.dtype(0), shape);
    context.set(1, DType::i64, shape);
  }
  // Of axis a, for sizes that infer has accepted.
  virtual WindowAxis window(size_t a, int64_t in, int64_t out) const = 0;

  bool channels_last_ = false, column_major_ = false;
  PoolGeometry settings_;  // kind, count_include_pad, p

 private:
  struct State {
    PoolGeometry geometry;
    bool planes = false, last = false, transposes = false;
    // In scratch: the tensors in the other layout, and as floats.
    size_t src = 0, dst = 0, floats = 0;
  };

  PoolGeometry geometry(const Shape& x, const Shape& y) const {
    const SpatialLayout layout{x.rank(), channels_last_};
    PoolGeometry g = settings_;
    g.batch = static_cast<size_t>(x[0]);
    g.channels = static_cast<size_t>(x[layout.channel_axis()]);
    g.src = layout.sizes(x);
    g.dst = layout.sizes(y);
    for (size_t a = 0; a < layout.axes(); ++a) {
      const WindowAxis axis = window(a, x[layout.spatial_axis(a)], y[layout.spatial_axis(a)]);
      const size_t to = kSpatialAxes - layout.axes() + a;
      g.kernel[to] = static_cast<size_t>(axis.kernel);
      g.stride[to] = static_cast<size_t>(axis.stride);
      g.dilation[to] = static_cast<size_t>(axis.dilation);
      g.pad_begin[to] = static_cast<ptrdiff_t>(axis.pad_begin);
      g.pad_end[to] = static_cast<ptrdiff_t>(axis.pad_end);
    }
    return g;
  }

  Status run_many_axes(RunContext& context) const {
    const Tensor& x = context.in(0);
    Tensor& y = context.out(0);
    InlineVector<WindowedAxis, 8> axes(x.shape.rank() - 2);
    for (size_t a = 0; a < axes.size(); ++a) {
      const int64_t in = x.shape[a + 2], out = y.shape[a + 2];
      const WindowAxis axis = window(a, in, out);
      axes[a] = {in, out, axis.kernel, axis.stride, axis.dilation, axis.pad_begin, axis.pad_end};
    }
    LINNET_REQUIRE(window_steps({axes.data(), axes.size()}) <= kMostWindowSteps,
                   unsupported("windows that take too many steps"));
    const Windows windows({axes.data(), axes.size()});
    const size_t planes = static_cast<size_t>(x.shape[0] * x.shape[1]);
    const PoolIndices indices{context.wants(1) ? context.out(1).ptr<int64_t>() : nullptr, column_major_};
    if (x.dtype == DType::f64) {
      pool_many_axes(windows, settings_, planes, x.ptr<double>(), y.ptr<double>(), indices, context.parallel);
      return {};
    }
    FloatScratch floats(context);
    const float* src = floats.in(x);
    float* dst = floats.out(y);
    pool_many_axes(windows, settings_, planes, src, dst, indices, context.parallel);
    floats.finish(y, dst);
    return {};
  }
};

class WindowPool : public PoolBase {
 public:
  Status infer(InferContext& context) const override {
    LINNET_ASSIGN(const std::optional<SpatialLayout> layout, infer_common(context));
    if (!layout) return {};
    LINNET_TRY(window_.check(layout->axes()));
    LINNET_REQUIRE(window_.kernel_shape().size() == layout->axes(), invalid_model("kernel_shape is missing"));
    SymShape shape = context.shape(0);
    for (size_t a = 0; a < layout->axes(); ++a) {
      Dim& size = shape[layout->spatial_axis(a)];
      LINNET_ASSIGN(size, window_.output_size(window_.axis(a, 1), size, ceil_mode_, context.symbols()));
    }
    set_outputs(context, shape);
    return {};
  }

 protected:
  using PoolBase::PoolBase;

  Status parse_window(NodeReader& reader) {
    ceil_mode_ = reader.flag("ceil_mode", false);
    channels_last_ = reader.flag("channels_last", false);
    return window_.parse(reader);
  }
  WindowAxis window(size_t a, int64_t in, int64_t out) const override {
    WindowAxis axis = window_.axis(a, 1);
    window_.resolve_pads(axis, in, out);
    return axis;
  }

 private:
  bool ceil_mode_ = false;
  Window window_;
};

class MaxPool final : public WindowPool {
 public:
  MaxPool() : WindowPool(PoolKind::max) {}
  Status parse(NodeReader& reader) {
    column_major_ = reader.flag("storage_order", false);
    return parse_window(reader);
  }
};

class AveragePool final : public WindowPool {
 public:
  AveragePool() : WindowPool(PoolKind::average) {}
  Status parse(NodeReader& reader) {
    settings_.count_include_pad = reader.flag("count_include_pad", false);
    return parse_window(reader);
  }
};

class LpPool final : public WindowPool {
 public:
  LpPool() : WindowPool(PoolKind::lp) {}
  Status parse(NodeReader& reader) {
    settings_.p = reader.integer("p", 2);
    LINNET_REQUIRE(settings_.p >= 1, invalid_model("p is ", settings_.p));
    return parse_window(reader);
  }
};

// One window over all of the spatial axes.
template <PoolKind kKind>
class GlobalPool final : public PoolBase {
 public:
  GlobalPool() : PoolBase(kKind) {}
  Status parse(NodeReader& reader) {
    channels_last_ = reader.flag("channels_last", false);
    if (kKind == PoolKind::lp) settings_.p = reader.integer("p", 2);
    LINNET_REQUIRE(settings_.p >= 1, invalid_model("p is ", settings_.p));
    return {};
  }
  Status infer(InferContext& context) const override {
    LINNET_ASSIGN(const std::optional<SpatialLayout> layout, infer_common(context));
    if (!layout) return {};
    SymShape shape = context.shape(0);
    for (size_t a = 0; a < layout->axes(); ++a) shape[layout->spatial_axis(a)] = 1;
    set_outputs(context, shape);
    return {};
  }

 protected:
  WindowAxis window(size_t, int64_t in, int64_t) const override {
    WindowAxis axis;
    axis.kernel = in;
    return axis;
  }
};

// Writes each element of X to where MaxPool's indices say it came from.
class MaxUnpool final : public Op {
 public:
  Status parse(NodeReader& reader) { return window_.parse(reader); }

  Status infer(InferContext& context) const override {
    LINNET_REQUIRE(context.dtype(1) == DType::i64,
                   invalid_model("the indices are of type ", dtype_name(context.dtype(1))));
    LINNET_REQUIRE(dtype_bits(context.dtype(0)) >= 8, unsupported("no unpooling of ", dtype_name(context.dtype(0))));
    if (!context.ranked(0)) {
      context.set_unranked(0, context.dtype(0));
      return {};
    }
    LINNET_ASSIGN(const SymShape pooled, pooled_shape(context.shape(0), context.symbols()));
    SymShape shape = pooled;
    if (context.has(2)) {
      DimVector wanted;
      if (context.list(2, wanted)) {
        LINNET_REQUIRE(wanted.size() == pooled.size(), invalid_argument("output_shape has ", wanted.size(), " sizes"));
        for (size_t i = 0; i < wanted.size(); ++i)
          LINNET_REQUIRE(!wanted[i].known() || !pooled[i].known() || wanted[i].value() >= pooled[i].value(),
                         invalid_argument("output_shape is smaller than what was pooled"));
        shape = wanted;
      } else {
        shape = SymShape(pooled.size());
      }
    }
    if (context.ranked(1) && context.shape(1).known() && context.shape(0).known())
      LINNET_REQUIRE(context.shape(1) == context.shape(0), invalid_argument("the indices' shape is not the input's"));
    context.set(0, context.dtype(0), shape);
    return {};
  }

  Status run(RunContext& context) const override {
    const Tensor& x = context.in(0);
    Tensor& y = context.out(0);
    SymbolTable symbols;
    LINNET_ASSIGN(const SymShape symbolic, pooled_shape(x.shape, symbols));
    const Shape pooled = symbolic.values();
    LINNET_REQUIRE(pooled.checked_count(), invalid_argument("the unpooled tensor is too large"));
    const int64_t count = pooled.count();
    const std::span<const int64_t> indices = context.in(1).as<int64_t>();
    for (const int64_t index : indices)
      LINNET_REQUIRE(index >= 0 && index < count,
                     invalid_argument("index ", index, " lies outside the unpooled tensor ", pooled));
    std::memset(y.data, 0, y.bytes());
    visit_width(x.dtype, [&]<class T>(TypeTag<T>) {
      const T* src = x.ptr<T>();
      T* dst = y.ptr<T>();
      if (pooled == y.shape) {
        for (size_t i = 0; i < indices.size(); ++i) dst[indices[i]] = src[i];
      } else {
        for (size_t i = 0; i < indices.size(); ++i) dst[place_in(y.shape, pooled, indices[i])] = src[i];
      }
    });
    return {};
  }

 private:
  // Indices count within the pooled shape, which stands at the origin of a larger output.
  static int64_t place_in(const Shape& larger, const Shape& pooled, int64_t index) noexcept {
    int64_t at = 0, step = 1;
    for (size_t a = pooled.rank(); a-- > 0; step *= larger[a], index /= pooled[a]) at += index % pooled[a] * step;
    return at;
  }

  Result<SymShape> pooled_shape(const SymShape& x, SymbolTable& symbols) const {
    LINNET_REQUIRE(x.size() >= 3, invalid_argument("the input has rank ", x.size()));
    LINNET_TRY(window_.check(x.size() - 2));
    LINNET_REQUIRE(window_.kernel_shape().size() == x.size() - 2, invalid_model("kernel_shape is missing"));
    SymShape shape = x;
    for (size_t a = 0; a + 2 < x.size(); ++a) {
      const WindowAxis axis = window_.axis(a, 1);
      Dim& size = shape[a + 2];
      size = symbols.add(symbols.mul(symbols.sub(size, 1), axis.stride), axis.kernel - axis.pad_begin - axis.pad_end);
      LINNET_REQUIRE(!size.known() || size.value() >= 0, invalid_argument("the pads leave a size of ", size.value()));
    }
    return shape;
  }

  Window window_;
};

constexpr OpDef kDefs[] = {
    {"", "MaxPool", 12, 1, 1, 1, 2, create<MaxPool>},
    {"", "AveragePool", 19, 1, 1, 1, 1, create<AveragePool>},
    {"", "LpPool", 18, 1, 1, 1, 1, create<LpPool>},
    {"", "GlobalMaxPool", 1, 1, 1, 1, 1, create<GlobalPool<PoolKind::max>>},
    {"", "GlobalAveragePool", 1, 1, 1, 1, 1, create<GlobalPool<PoolKind::average>>},
    {"", "GlobalLpPool", 2, 1, 1, 1, 1, create<GlobalPool<PoolKind::lp>>},
    {"", "MaxUnpool", 11, 2, 3, 1, 1, create<MaxUnpool>},
};

}  // namespace

extern const std::span<const OpDef> kPoolOps = kDefs;

}  // namespace linnet
