// Pooling of regions: https://onnx.ai/onnx/operators/onnx__RoiAlign.html, ...MaxRoiPool
#include <algorithm>
#include <cmath>

#include "ops/float_scratch.h"
#include "ops/op.h"

namespace linnet {
namespace {

// Samples along one axis of a bin; more would be a mistake in the region or an attack.
constexpr float kMostSamples = 4096.0f;

// Some channels of an image, at most kMostPlanes.
struct Planes {
  const float* data;
  size_t count;
  int64_t height, width;
  size_t size() const noexcept { return static_cast<size_t>(height * width); }
};
constexpr size_t kMostPlanes = 32;

class RoiPooling : public Op {
 public:
  Status bind(BindContext& context) const override {
    request_float_scratch(context);
    return {};
  }

 protected:
  Status infer_regions(InferContext& context, int64_t columns, int64_t height, int64_t width) const {
    LINNET_REQUIRE(is_float(context.dtype(0)), unsupported("no pooling of ", dtype_name(context.dtype(0))));
    LINNET_REQUIRE(is_float(context.dtype(1)), invalid_model("the regions are of type ", dtype_name(context.dtype(1))));
    SymShape shape(4);
    if (context.ranked(0)) {
      LINNET_REQUIRE(context.shape(0).size() == 4, invalid_argument("the input has rank ", context.shape(0).size()));
      shape[1] = context.shape(0)[1];
    }
    if (context.ranked(1)) {
      const SymShape& rois = context.shape(1);
      LINNET_REQUIRE(rois.size() == 2 && (!rois[1].known() || rois[1].is(columns)),
                     invalid_argument("the regions do not have ", columns, " numbers each"));
      shape[0] = rois[0];
    }
    shape[2] = height;
    shape[3] = width;
    context.set(0, context.dtype(0), shape);
    return {};
  }

  // Calls pool(planes, region, dst) for each region and some of its channels at a time.
  template <class Batch, class Pool>
  Status for_each_region(RunContext& context, size_t columns, Batch batch_of, Pool pool) const {
    const Tensor& x = context.in(0);
    const Tensor& rois = context.in(1);
    Tensor& y = context.out(0);
    if (y.count() == 0) return {};
    FloatScratch scratch(context);
    const float* src = scratch.in(x);
    const float* regions = scratch.in(rois);
    float* dst = scratch.out(y);
    const size_t channels = static_cast<size_t>(x.shape[1]);
    const size_t out_plane = static_cast<size_t>(y.shape[2] * y.shape[3]);
    const size_t plane = static_cast<size_t>(x.shape[2] * x.shape[3]);
    const size_t count = static_cast<size_t>(rois.shape[0]);
    LINNET_REQUIRE(plane > 0, invalid_argument("the input is empty"));
    for (size_t r = 0; r < count; ++r) {
      const int64_t batch = batch_of(regions + r * columns, r);
      LINNET_REQUIRE(batch >= 0 && batch < x.shape[0],
                     invalid_argument("region ", r, " is of image ", batch, " of ", x.shape[0]));
      for (size_t i = 0; i < columns; ++i)
        LINNET_REQUIRE(std::fabs(regions[r * columns + i]) < 1e6f,
                       invalid_argument("region ", r, " has a coordinate of ", regions[r * columns + i]));
    }
    const size_t parts = ceil_div(channels, kMostPlanes);
    const double part_ns = static_cast<double>(out_plane * kMostPlanes) * 10.0;
    context.parallel.for_range(count * parts, grain_for(part_ns), [&](size_t begin, size_t end, size_t) {
      for (size_t item = begin; item < end; ++item) {
        const size_t r = item / parts, first = item % parts * kMostPlanes;
        const float* region = regions + r * columns;
        const size_t image = static_cast<size_t>(batch_of(region, r)) * channels + first;
        pool(Planes{src + image * plane, std::min(kMostPlanes, channels - first), x.shape[2], x.shape[3]}, region,
             dst + (r * channels + first) * out_plane);
      }
    });
    scratch.finish(y, dst);
    return {};
  }
};

class RoiAlign final : public RoiPooling {
 public:
  Status parse(NodeReader& reader) {
    const std::string transform = reader.text("coordinate_transformation_mode", "half_pixel");
    const std::string mode = reader.text("mode", "avg");
    LINNET_REQUIRE(transform == "half_pixel" || transform == "output_half_pixel",
                   invalid_model("coordinate_transformation_mode is '", transform, "'"));
    LINNET_REQUIRE(mode == "avg" || mode == "max", invalid_model("mode is '", mode, "'"));
    half_pixel_ = transform == "half_pixel";
    max_ = mode == "max";
    height_ = reader.integer("output_height", 1);
    width_ = reader.integer("output_width", 1);
    sampling_ratio_ = reader.integer("sampling_ratio", 0);
    scale_ = reader.number("spatial_scale", 1.0f);
    LINNET_REQUIRE(height_ >= 1 && width_ >= 1, invalid_model("the output is ", height_, " by ", width_));
    LINNET_REQUIRE(sampling_ratio_ >= 0 && sampling_ratio_ <= 4096,
                   invalid_model("sampling_ratio is ", sampling_ratio_));
    return {};
  }

  Status infer(InferContext& context) const override {
    LINNET_REQUIRE(context.dtype(2) == DType::i64,
                   invalid_model("batch_indices are of type ", dtype_name(context.dtype(2))));
    if (context.ranked(1) && context.ranked(2) && context.shape(1).known() && context.shape(2).known() &&
        context.shape(1).size() == 2)
      LINNET_REQUIRE(context.shape(2).size() == 1 && context.shape(2)[0] == context.shape(1)[0],
                     invalid_argument("batch_indices do not have one entry for each region"));
    return infer_regions(context, 4, height_, width_);
  }

  Status run(RunContext& context) const override {
    const int64_t* batches = context.in(2).ptr<int64_t>();
    return for_each_region(
        context, 4, [&](const float*, size_t r) { return batches[r]; },
        [&](const Planes& planes, const float* region, float* dst) { align(planes, region, dst, context.parallel); });
  }

 private:
  struct Sample {
    size_t at[4];
    float weight[4];
  };

  // The four elements around a point; false when it lies outside.
  static bool sample(const Planes& plane, float y, float x, Sample& s) noexcept {
    const float height = static_cast<float>(plane.height), width = static_cast<float>(plane.width);
    if (!(y >= -1.0f && y <= height && x >= -1.0f && x <= width)) return false;
    y = std::clamp(y, 0.0f, height - 1.0f);
    x = std::clamp(x, 0.0f, width - 1.0f);
    const size_t y0 = static_cast<size_t>(y), x0 = static_cast<size_t>(x);
    const size_t y1 = std::min(y0 + 1, static_cast<size_t>(plane.height) - 1),
                 x1 = std::min(x0 + 1, static_cast<size_t>(plane.width) - 1);
    const float ly = y - static_cast<float>(y0), lx = x - static_cast<float>(x0);
    const size_t w = static_cast<size_t>(plane.width);
    s = {{y0 * w + x0, y0 * w + x1, y1 * w + x0, y1 * w + x1},
         {(1 - ly) * (1 - lx), (1 - ly) * lx, ly * (1 - lx), ly * lx}};
    return true;
  }

  float samples(float size, int64_t bins) const noexcept {
    if (sampling_ratio_ > 0) return static_cast<float>(sampling_ratio_);
    return std::clamp(std::ceil(size / static_cast<float>(bins)), 0.0f, kMostSamples);
  }

  void align(const Planes& planes, const float* region, float* dst, const Parallel& parallel) const noexcept {
    const float offset = half_pixel_ ? 0.5f : 0.0f;
    const float x0 = region[0] * scale_ - offset, y0 = region[1] * scale_ - offset;
    float width = region[2] * scale_ - offset - x0, height = region[3] * scale_ - offset - y0;
    if (!half_pixel_) {
      width = std::max(width, 1.0f);
      height = std::max(height, 1.0f);
    }
    const float bin_height = height / static_cast<float>(height_), bin_width = width / static_cast<float>(width_);
    const float rows = samples(height, height_), columns = samples(width, width_);
    for (int64_t ph = 0; ph < height_; ++ph)
      for (int64_t pw = 0; pw < width_; ++pw) {
        if ((pw % 256 == 0 || rows * columns > 256.0f) && parallel.stopped()) return;
        float sums[kMostPlanes] = {};
        bool first = true;
        for (float iy = 0.0f; iy < rows; ++iy)
          for (float ix = 0.0f; ix < columns; ++ix) {
            Sample s{};
            const bool found =
                sample(planes, y0 + static_cast<float>(ph) * bin_height + (iy + 0.5f) * bin_height / rows,
                       x0 + static_cast<float>(pw) * bin_width + (ix + 0.5f) * bin_width / columns, s);
            if (found) {
              add(s, planes, first, sums);
            } else if (max_) {
              for (float& sum : sums) sum = first ? 0.0f : std::max(sum, 0.0f);
            }
            first = false;
          }
        const float samples_taken = max_ ? 1.0f : std::max(rows * columns, 1.0f);
        float* to = dst + ph * width_ + pw;
        for (size_t c = 0; c < planes.count; ++c)
          to[c * static_cast<size_t>(height_ * width_)] = sums[c] / samples_taken;
      }
  }

  // A sample of each plane, into its sum or greatest.
  void add(const Sample& s, const Planes& planes, bool first, float* sums) const noexcept {
    const float* data = planes.data;
    for (size_t c = 0; c < planes.count; ++c, data += planes.size()) {
      const float v[4] = {s.weight[0] * data[s.at[0]], s.weight[1] * data[s.at[1]], s.weight[2] * data[s.at[2]],
                          s.weight[3] * data[s.at[3]]};
      if (!max_) {
        sums[c] += v[0] + v[1] + v[2] + v[3];
      } else {
        const float value = std::max(std::max(v[0], v[1]), std::max(v[2], v[3]));
        sums[c] = first ? value : std::max(sums[c], value);
      }
    }
  }

  bool half_pixel_ = true, max_ = false;
  int64_t height_ = 1, width_ = 1, sampling_ratio_ = 0;
  float scale_ = 1.0f;
};

class MaxRoiPool final : public RoiPooling {
 public:
  Status parse(NodeReader& reader) {
    pooled_ = reader.integers("pooled_shape");
    scale_ = reader.number("spatial_scale", 1.0f);
    LINNET_REQUIRE(pooled_.size() == 2 && pooled_[0] >= 1 && pooled_[1] >= 1,
                   invalid_model("pooled_shape must be two positive sizes"));
    return {};
  }

  Status infer(InferContext& context) const override { return infer_regions(context, 5, pooled_[0], pooled_[1]); }

  Status run(RunContext& context) const override {
    return for_each_region(
        context, 5,
        [](const float* region, size_t) { return std::fabs(region[0]) < 1e9f ? static_cast<int64_t>(region[0]) : -1; },
        [&](Planes planes, const float* region, float* dst) {
          for (; planes.count > 0; --planes.count, planes.data += planes.size(), dst += pooled_[0] * pooled_[1])
            pool(planes, region, dst);
        });
  }

 private:
  // The first of the planes.
  void pool(const Planes& plane, const float* region, float* dst) const noexcept {
    const float x0 = std::round(region[1] * scale_), y0 = std::round(region[2] * scale_);
    const float width = std::max(std::round(region[3] * scale_) - x0 + 1.0f, 1.0f);
    const float height = std::max(std::round(region[4] * scale_) - y0 + 1.0f, 1.0f);
    const auto bound = [](float at, int64_t size) {  // NaN is 0, too
      return at > 0.0f ? at < static_cast<float>(size) ? static_cast<int64_t>(at) : size : 0;
    };
    for (int64_t ph = 0; ph < pooled_[0]; ++ph)
      for (int64_t pw = 0; pw < pooled_[1]; ++pw) {
        const float bin_height = height / static_cast<float>(pooled_[0]),
                    bin_width = width / static_cast<float>(pooled_[1]);
        const int64_t top = bound(std::floor(static_cast<float>(ph) * bin_height) + y0, plane.height);
        const int64_t bottom = bound(std::ceil(static_cast<float>(ph + 1) * bin_height) + y0, plane.height);
        const int64_t left = bound(std::floor(static_cast<float>(pw) * bin_width) + x0, plane.width);
        const int64_t right = bound(std::ceil(static_cast<float>(pw + 1) * bin_width) + x0, plane.width);
        float best = bottom > top && right > left ? plane.data[top * plane.width + left] : 0.0f;
        for (int64_t y = top; y < bottom; ++y)
          for (int64_t x = left; x < right; ++x) best = std::max(best, plane.data[y * plane.width + x]);
        *dst++ = best;
      }
  }

  std::vector<int64_t> pooled_;
  float scale_ = 1.0f;
};

constexpr OpDef kDefs[] = {
    {"", "RoiAlign", 16, 3, 3, 1, 1, create<RoiAlign>},
    {"", "MaxRoiPool", 1, 2, 2, 1, 1, create<MaxRoiPool>},
};

}  // namespace

extern const std::span<const OpDef> kRoiOps = kDefs;

}  // namespace linnet
