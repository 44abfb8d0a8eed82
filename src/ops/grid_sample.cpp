// https://onnx.ai/onnx/operators/onnx__GridSample.html, ...AffineGrid
#include <algorithm>
#include <cmath>

#include "kernels/spatial.h"
#include "ops/element_types.h"
#include "ops/float_scratch.h"

namespace linnet {
namespace {

class GridSample final : public Op {
 public:
  Status parse(NodeReader& reader) {
    const std::string mode = reader.text("mode", "linear");
    const std::string padding = reader.text("padding_mode", "zeros");
    // Before operator set 20 the modes were those of two axes by name.
    if (mode == "nearest") {
      taps_ = 1;
    } else if (mode == "linear" || mode == "bilinear") {
      taps_ = 2;
    } else {
      LINNET_REQUIRE(mode == "cubic" || mode == "bicubic", invalid_model("mode is '", mode, "'"));
      taps_ = 4;
    }
    if (padding == "border") {
      padding_ = Padding::border;
    } else if (padding == "reflection") {
      padding_ = Padding::reflection;
    } else {
      LINNET_REQUIRE(padding == "zeros", invalid_model("padding_mode is '", padding, "'"));
    }
    align_corners_ = reader.flag("align_corners", false);
    return {};
  }

  Status infer(InferContext& context) const override {
    // Numbers are interpolated in float; the nearest element is taken as it is, of any type.
    LINNET_TRY(expect_type(context, 0, taps_ == 1 ? kWholeTypes : kNumberTypes));
    LINNET_TRY(expect_type(context, 1, kFloatTypes));
    if (!context.ranked(0) || !context.ranked(1)) {
      context.set_unranked(0, context.dtype(0));
      return {};
    }
    const SymShape& x = context.shape(0);
    const SymShape& grid = context.shape(1);
    LINNET_REQUIRE(x.size() >= 3 && x.size() - 2 <= kSpatialAxes, unsupported("an input of rank ", x.size()));
    LINNET_REQUIRE(grid.size() == x.size(),
                   invalid_argument("the grid has rank ", grid.size(), ", the input ", x.size()));
    const int64_t axes = static_cast<int64_t>(x.size()) - 2;
    LINNET_REQUIRE(!grid[grid.size() - 1].known() || grid[grid.size() - 1].is(axes),
                   invalid_argument("the grid does not hold ", axes, " coordinates"));
    LINNET_REQUIRE(!x[0].known() || !grid[0].known() || x[0] == grid[0],
                   invalid_argument("input and grid are of different batch sizes"));
    SymShape shape = grid;
    for (size_t a = grid.size() - 1; a >= 2; --a) shape[a] = grid[a - 1];
    shape[0] = x[0];
    shape[1] = x[1];
    context.set(0, context.dtype(0), shape);
    return {};
  }

  Status bind(BindContext& context) const override {
    if (as_it_is(context.dtype(0)))
      context.request_scratch(FloatScratch::bytes(context.dtype(1), context.shape(1)));
    else
      request_float_scratch(context);
    return {};
  }

  Status run(RunContext& context) const override {
    const Tensor& x = context.in(0);
    Tensor& y = context.out(0);
    if (y.count() == 0) return {};
    LINNET_REQUIRE(x.count() > 0, invalid_argument("there is nothing to sample from"));
    FloatScratch scratch(context);
    const float* grid = scratch.in(context.in(1));
    if (as_it_is(x.dtype)) {
      visit_width(x.dtype, [&]<class T>(TypeTag<T>) {
        sample(context, grid, x.ptr<T>(), y.ptr<T>(),
               [](const Taps& taps, const T* plane) { return taps.count ? plane[taps.at[0]] : T(); });
      });
      return {};
    }
    const float* src = scratch.in(x);
    float* dst = scratch.out(y);
    sample(context, grid, src, dst, [](const Taps& taps, const float* plane) {
      const auto term = [&](size_t t) { return taps.weight[t] * plane[taps.at[t]]; };
      if (taps.count == 4) return term(0) + term(1) + term(2) + term(3);
      float sum = 0.0f;
      for (size_t t = 0; t < taps.count; ++t) sum += term(t);
      return sum;
    });
    scratch.finish(y, dst);
    return {};
  }

 private:
  enum class Padding : uint8_t { zeros, border, reflection };

  // Elements of a plane and their weights: at most four along each of three axes.
  struct Taps {
    size_t count = 0;
    size_t at[64];
    float weight[64];
  };

  static constexpr size_t kPlaces = 16;

  bool as_it_is(DType type) const noexcept { return taps_ == 1 && type != DType::f32; }

  // dst = value(taps, plane) for every place of the grid and every channel.
  template <class T, class F>
  void sample(RunContext& context, const float* grid, const T* src, T* dst, F value) const {
    const Tensor& x = context.in(0);
    const Tensor& y = context.out(0);
    const size_t axes = x.shape.rank() - 2;
    const size_t channels = static_cast<size_t>(x.shape[1]);
    const size_t image = static_cast<size_t>(x.shape.count(2, x.shape.rank()));
    const size_t positions = static_cast<size_t>(y.shape.count(2, y.shape.rank()));
    const size_t batch = static_cast<size_t>(x.shape[0]);
    const double item_ns = 30.0 + static_cast<double>(channels) * static_cast<double>(taps_ * taps_) * 0.5;
    // Neighbouring places at once: planes are read, and written, nearby.
    context.parallel.for_range(batch * positions, grain_for(item_ns), [&](size_t begin, size_t end, size_t) {
      Taps taps[kPlaces];
      for (size_t item = begin, count; item < end; item += count) {
        const size_t n = item / positions, at = item % positions;
        count = std::min({kPlaces, end - item, positions - at});
        for (size_t i = 0; i < count; ++i) find(x.shape, grid + (item + i) * axes, taps[i]);
        for (size_t c = n * channels; c < (n + 1) * channels; ++c) {
          const T* plane = src + c * image;
          T* to = dst + c * positions + at;
          for (size_t i = 0; i < count; ++i) to[i] = value(taps[i], plane);
        }
      }
    });
  }

  static float reflected(float x, float low, float high) noexcept {
    const float range = high - low;
    if (range <= 0.0f) return low;
    const float distance = x < low ? low - x : x > high ? x - high : -1.0f;
    if (distance < 0.0f) return x;
    const float turns = std::floor(distance / range);
    const float rest = distance - turns * range;
    const bool even = std::fmod(turns, 2.0f) == 0.0f;
    return (x < low) == even ? low + rest : high - rest;
  }

  // The index inside [0, size) that index i reads, or -1 for zero.
  int64_t inside(int64_t i, int64_t size, float low, float high) const noexcept {
    if (i >= 0 && i < size) return i;
    if (padding_ == Padding::zeros) return -1;
    const int64_t at =
        padding_ == Padding::border ? i : static_cast<int64_t>(reflected(static_cast<float>(i), low, high));
    return std::clamp<int64_t>(at, 0, size - 1);
  }

  void weights(float x, float (&w)[4]) const noexcept {
    if (taps_ == 1) {
      w[0] = 1.0f;
    } else if (taps_ == 2) {
      w[0] = 1.0f - x;
      w[1] = x;
    } else {  // Keys, a = -0.75
      constexpr float a = -0.75f;
      const auto near = [](float d) { return ((a + 2.0f) * d - (a + 3.0f)) * d * d + 1.0f; };
      const auto far = [](float d) { return ((a * d - 5.0f * a) * d + 8.0f * a) * d - 4.0f * a; };
      w[0] = far(x + 1.0f);
      w[1] = near(x);
      w[2] = near(1.0f - x);
      w[3] = far(2.0f - x);
    }
  }

  // The taps along one axis: the index of the first, and their weights.
  struct Line {
    int64_t size, first;
    float low, high;
    float weight[4];
  };
  Line locate(int64_t size, float normal) const noexcept {
    const float length = static_cast<float>(size);
    Line line{size, 0, align_corners_ ? 0.0f : -0.5f, align_corners_ ? length - 1.0f : length - 0.5f, {}};
    float at = align_corners_ ? (normal + 1.0f) / 2.0f * (length - 1.0f) : ((normal + 1.0f) * length - 1.0f) / 2.0f;
    if (!(std::fabs(at) < 1e9f)) at = std::isnan(at) ? -1e9f : std::copysign(1e9f, at);  // stays an integer
    if (taps_ == 1) at = std::nearbyint(at);
    if (at < line.low || at > line.high) {
      // Cubic weights are those of the place itself: torch and others pad the image only.
      if (padding_ == Padding::border && taps_ != 4) at = std::clamp(at, 0.0f, length - 1.0f);
      if (padding_ == Padding::reflection) at = reflected(at, line.low, line.high);
    }
    line.first = static_cast<int64_t>(at);
    if (static_cast<float>(line.first) > at) --line.first;  // a conversion truncates
    weights(at - static_cast<float>(line.first), line.weight);
    if (taps_ == 4) --line.first;
    return line;
  }

  // Most places of most grids: four neighbours that all count.
  bool find_square(const Line& y, const Line& x, Taps& taps) const noexcept {
    const auto within = [](const Line& l) {
      return l.first >= 0 && l.first + 1 < l.size && l.weight[0] != 0.0f && l.weight[1] != 0.0f;
    };
    if (taps_ != 2 || !within(y) || !within(x)) return false;
    const size_t at = static_cast<size_t>(y.first * x.size + x.first), next = at + static_cast<size_t>(x.size);
    taps.count = 4;
    taps.at[0] = at;
    taps.at[1] = at + 1;
    taps.at[2] = next;
    taps.at[3] = next + 1;
    for (size_t k = 0; k < 4; ++k) taps.weight[k] = y.weight[k / 2] * x.weight[k % 2];
    return true;
  }

  // A grid's coordinates name the axes from the last to the first.
  void find(const Shape& x, const float* coordinates, Taps& taps) const noexcept {
    const size_t axes = x.rank() - 2;
    Line lines[kSpatialAxes];
    for (size_t a = 0; a < axes; ++a) lines[a] = locate(x[a + 2], coordinates[axes - 1 - a]);
    if (axes == 2 && find_square(lines[0], lines[1], taps)) return;
    taps.count = 1;
    taps.at[0] = 0;
    taps.weight[0] = 1.0f;
    for (size_t a = 0; a < axes; ++a) {
      const Line& line = lines[a];
      // Each tap so far times each of this axis, from the back so that none is overwritten before it is read.
      const size_t before = taps.count;
      for (size_t t = before; t-- > 0;) {
        const size_t base = taps.at[t] * static_cast<size_t>(line.size);
        const float weight = taps.weight[t];
        for (size_t k = taps_; k-- > 0;) {
          const int64_t index = inside(line.first + static_cast<int64_t>(k), line.size, line.low, line.high);
          taps.at[t * taps_ + k] = base + static_cast<size_t>(std::max<int64_t>(index, 0));
          taps.weight[t * taps_ + k] = index < 0 ? 0.0f : weight * line.weight[k];
        }
      }
      taps.count = before * taps_;
    }
    // A weight of zero must not spread a NaN from an element that does not count.
    size_t kept = 0;
    for (size_t t = 0; t < taps.count; ++t) {
      if (taps.weight[t] == 0.0f) continue;
      taps.at[kept] = taps.at[t];
      taps.weight[kept++] = taps.weight[t];
    }
    taps.count = kept;
  }

  size_t taps_ = 2;  // along each axis
  Padding padding_ = Padding::zeros;
  bool align_corners_ = false;
};

class AffineGrid final : public Op {
 public:
  Status parse(NodeReader& reader) {
    align_corners_ = reader.flag("align_corners", false);
    return {};
  }

  Status infer(InferContext& context) const override {
    LINNET_REQUIRE(is_float(context.dtype(0)), unsupported("no grid of ", dtype_name(context.dtype(0))));
    DimVector size;
    if (!context.list(1, size)) {
      const bool sized = context.ranked(1) && context.shape(1).size() == 1 && context.shape(1)[0].known();
      if (!sized) {
        context.set_unranked(0, context.dtype(0));
        return {};
      }
      const int64_t rank = context.shape(1)[0].value();
      LINNET_REQUIRE(rank == 4 || rank == 5, invalid_argument("size has ", rank, " entries"));
      context.set(0, context.dtype(0), SymShape(static_cast<size_t>(rank)));
      return {};
    }
    LINNET_REQUIRE(size.size() == 4 || size.size() == 5, invalid_argument("size has ", size.size(), " entries"));
    const int64_t axes = static_cast<int64_t>(size.size()) - 2;
    for (const Dim& d : size)
      LINNET_REQUIRE(!d.known() || d.value() >= 0, invalid_argument("size has an entry of ", d.value()));
    if (context.ranked(0)) {
      const SymShape& theta = context.shape(0);
      LINNET_REQUIRE(theta.size() == 3, invalid_argument("theta has rank ", theta.size()));
      LINNET_REQUIRE(!theta[0].known() || !size[0].known() || theta[0] == size[0],
                     invalid_argument("theta and size are of different batch sizes"));
      LINNET_REQUIRE((!theta[1].known() || theta[1].is(axes)) && (!theta[2].known() || theta[2].is(axes + 1)),
                     invalid_argument("theta does not hold matrices of ", axes, " by ", axes + 1));
    }
    SymShape shape(size.size());
    shape[0] = size[0];
    for (size_t a = 2; a < size.size(); ++a) shape[a - 1] = size[a];
    shape[size.size() - 1] = axes;
    context.set(0, context.dtype(0), shape);
    return {};
  }

  Status bind(BindContext& context) const override {
    request_float_scratch(context);
    return {};
  }

  Status run(RunContext& context) const override {
    Tensor& y = context.out(0);
    if (y.count() == 0) return {};
    FloatScratch scratch(context);
    const float* theta = scratch.in(context.in(0));
    float* dst = scratch.out(y);
    const size_t axes = y.shape.rank() - 2;
    const size_t positions = static_cast<size_t>(y.shape.count(1, axes + 1));
    const size_t width = static_cast<size_t>(y.shape[axes]), lines = positions / width;
    const size_t count = static_cast<size_t>(y.shape[0]) * lines;
    context.parallel.for_range(count, grain_for(2.0 * static_cast<double>(width)),
                               [&](size_t begin, size_t end, size_t) {
                                 for (size_t line = begin; line < end; ++line) {
                                   const float* matrix = theta + line / lines * axes * (axes + 1);
                                   float along[kSpatialAxes], start[kSpatialAxes];  // a line is start + along x
                                   for (size_t row = 0; row < axes; ++row) {
                                     const float* m = matrix + row * (axes + 1);
                                     along[row] = m[0];
                                     start[row] = m[axes];
                                     for (size_t a = 1, rest = line % lines; a < axes; ++a) {
                                       const size_t size = static_cast<size_t>(y.shape[axes - a]);
                                       start[row] += m[a] * coordinate(rest % size, size);
                                       rest /= size;
                                     }
                                   }
                                   float* to = dst + line * width * axes;
                                   for (size_t i = 0; i < width; ++i, to += axes) {
                                     const float x = coordinate(i, width);
                                     for (size_t row = 0; row < axes; ++row) to[row] = start[row] + along[row] * x;
                                   }
                                 }
                               });
    scratch.finish(y, dst);
    return {};
  }

 private:
  // Of place i among `size`, from -1 to 1.
  float coordinate(size_t i, size_t size) const noexcept {
    const float twice = 2.0f * static_cast<float>(i), length = static_cast<float>(size);
    if (!align_corners_) return (twice + 1.0f) / length - 1.0f;
    return size > 1 ? twice / (length - 1.0f) - 1.0f : -1.0f;
  }

  bool align_corners_ = false;
};

constexpr OpDef kDefs[] = {
    {"", "GridSample", 16, 2, 2, 1, 1, create<GridSample>},
    {"", "AffineGrid", 20, 2, 2, 1, 1, create<AffineGrid>},
};

}  // namespace

extern const std::span<const OpDef> kGridSampleOps = kDefs;

}  // namespace linnet
