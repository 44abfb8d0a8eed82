#include "kernels/resize/resize.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <list>
#include <vector>

#include "each_isa.h"
#include "noise.h"
#include "split_parallel.h"

namespace linnet {
namespace {

// The axes of a tensor with their tables.
struct Axes {
  std::vector<ResizeAxis> axes;
  std::list<std::vector<std::byte>> tables;

  Axes& keep(size_t size) {
    axes.push_back({size, size, 0, nullptr, nullptr});
    return *this;
  }
  Axes& resize(const ResizeSpec& spec, size_t src, size_t dst, float scale = 0.0f, float start = 0.0f,
               float end = 1.0f) {
    if (scale == 0.0f) scale = static_cast<float>(dst) / static_cast<float>(src);
    tables.emplace_back(resize_table_size(spec, src, dst, scale));
    axes.push_back(resize_table(spec, src, dst, scale, start, end, tables.back().data()));
    return *this;
  }
  size_t src_count() const {
    size_t count = 1;
    for (const ResizeAxis& a : axes) count *= a.src;
    return count;
  }
  size_t dst_count() const {
    size_t count = 1;
    for (const ResizeAxis& a : axes) count *= a.dst;
    return count;
  }
};

// Expected values: onnx.reference.ops.op_resize._interpolate_nd; ONNX Runtime's where align_corners enlarges.
TEST(Resize, TablesFollowTheStandard) {
  const float values[4] = {1, 2, 3, 4};
  const auto row = [&](const ResizeSpec& spec, size_t dst, float scale, float start = 0.0f, float end = 1.0f) {
    Axes axes;
    axes.resize(spec, 4, dst, scale, start, end);
    std::vector<float> out(dst);
    if (spec.mode == ResizeMode::nearest) {
      const float outside = -9.0f;
      resize_nearest(axes.axes, 4, reinterpret_cast<const std::byte*>(values), reinterpret_cast<std::byte*>(out.data()),
                     reinterpret_cast<const std::byte*>(&outside), Parallel());
    } else {
      resize_plain(axes.axes, values, out.data(), -9.0f, false, Parallel());
    }
    return out;
  };
  const auto near = [](const std::vector<float>& got, const std::vector<float>& want) {
    ASSERT_EQ(got.size(), want.size());
    for (size_t i = 0; i < got.size(); ++i) EXPECT_NEAR(got[i], want[i], 2e-6) << i;
  };
  using enum ResizeTransform;
  const ResizeSpec linear{ResizeMode::linear, half_pixel};
  near(row(linear, 8, 2.0f), {1, 1.25, 1.75, 2.25, 2.75, 3.25, 3.75, 4});
  near(row({ResizeMode::linear, align_corners}, 7, 1.75f), {1, 1.5, 2, 2.5, 3, 3.5, 4});
  near(row({ResizeMode::linear, align_corners}, 7, 1.9f), {1, 1.5, 2, 2.5, 3, 3.5, 4});
  near(row({ResizeMode::cubic, align_corners}, 5, 1.4f), {1, 1.6679688f, 2.5f, 3.3320313f, 4});
  near(row({ResizeMode::linear, asymmetric}, 8, 2.0f), {1, 1.5, 2, 2.5, 3, 3.5, 4, 4});
  near(row({ResizeMode::linear, pytorch_half_pixel}, 1, 0.25f), {1});
  near(row({ResizeMode::linear, half_pixel_symmetric}, 3, 0.8f), {1.25, 2.5, 3.75});
  near(row({ResizeMode::linear, tf_crop_and_resize}, 4, 1.0f, -0.5f, 1.0f), {-9, 1, 2.5, 4});
  near(row({ResizeMode::nearest, tf_crop_and_resize}, 3, 1.0f, 0.5f, 1.5f), {2, 4, -9});
  ResizeSpec nearest{ResizeMode::nearest, asymmetric};
  nearest.nearest = ResizeNearest::floor;
  near(row(nearest, 8, 2.0f), {1, 1, 2, 2, 3, 3, 4, 4});
  near(row(nearest, 2, 0.6f), {1, 2});
  nearest.nearest = ResizeNearest::simple;
  near(row(nearest, 2, 0.6f), {1, 3});
  nearest.nearest = ResizeNearest::ceil;
  near(row(nearest, 8, 2.0f), {1, 2, 2, 3, 3, 4, 4, 4});
  nearest.transform = half_pixel;
  nearest.nearest = ResizeNearest::round_prefer_floor;
  near(row(nearest, 2, 0.5f), {1, 3});
  nearest.nearest = ResizeNearest::round_prefer_ceil;
  near(row(nearest, 2, 0.5f), {2, 4});
  const ResizeSpec cubic{ResizeMode::cubic, half_pixel};
  near(row(cubic, 8, 2.0f),
       {0.89453125, 1.19140625, 1.66796875, 2.296875, 2.703125, 3.33203125, 3.80859375, 4.10546875});
  ResizeSpec antialias = linear;
  antialias.antialias = true;
  near(row(antialias, 2, 0.5f), {1.625, 3.375});
  antialias.exclude_outside = true;
  near(row(antialias, 2, 0.5f), {1.7142857f, 3.2857143f});
  antialias.mode = ResizeMode::cubic;
  near(row(antialias, 2, 0.5f), {1.5673469f, 3.4326531f});
  near(row({ResizeMode::cubic, align_corners}, 3, 0.8f), {1, 2.3951916f, 3.7903832f});
}

TEST(Resize, WeightsSumToOneAndStayInside) {
  for (const ResizeMode mode : {ResizeMode::linear, ResizeMode::cubic})
    for (const bool antialias : {false, true})
      for (const bool exclude : {false, true})
        for (const size_t src : {1u, 2u, 3u, 7u, 64u})
          for (const size_t dst : {1u, 2u, 5u, 64u, 200u}) {
            ResizeSpec spec{mode};
            spec.antialias = antialias;
            spec.exclude_outside = exclude;
            Axes axes;
            axes.resize(spec, src, dst);
            const ResizeAxis& axis = axes.axes[0];
            for (size_t o = 0; o < dst; ++o) {
              double sum = 0.0;
              for (size_t t = 0; t < axis.taps; ++t) {
                sum += axis.weight[o * axis.taps + t];
                ASSERT_GE(axis.index[o * axis.taps + t], 0);
                ASSERT_LT(axis.index[o * axis.taps + t], static_cast<int32_t>(src));
              }
              ASSERT_NEAR(sum, 1.0, 1e-5);
            }
          }
}

void check_separable(const Axes& axes) {
  const std::vector<float> src = noise(axes.src_count(), 3);
  std::vector<float> want(axes.dst_count());
  resize_plain(axes.axes, src.data(), want.data(), 0.0f, false, Parallel());
  for_each_isa([&] {
    std::vector<float> got(want.size(), std::numeric_limits<float>::quiet_NaN());
    std::vector<std::byte> scratch(resize_scratch_size(axes.axes, 1) + 64);
    resize_separable(axes.axes, src.data(), got.data(), scratch.data(), Parallel());
    for (size_t i = 0; i < want.size(); ++i) ASSERT_NEAR(got[i], want[i], 1e-5) << i;
  });
}

TEST(Resize, SeparableMatchesPlain) {
  for (const ResizeMode mode : {ResizeMode::linear, ResizeMode::cubic})
    for (const bool antialias : {false, true}) {
      ResizeSpec spec{mode};
      spec.antialias = antialias;
      for (const size_t channels : {1u, 3u, 5u, 17u}) {
        check_separable(Axes().keep(2).keep(channels).resize(spec, 7, 13).resize(spec, 9, 4));
        check_separable(Axes().keep(2).resize(spec, 7, 13).resize(spec, 9, 4).keep(channels));
        check_separable(Axes().keep(2).resize(spec, 7, 13).keep(channels));
        check_separable(Axes().keep(channels).resize(spec, 7, 13));
      }
      check_separable(Axes().keep(2).resize(spec, 3, 5).resize(spec, 4, 2).resize(spec, 5, 9));
      check_separable(Axes().resize(spec, 3, 5).keep(3).resize(spec, 4, 2).keep(2).resize(spec, 5, 9));
      check_separable(Axes().keep(0).resize(spec, 3, 5));
      check_separable(Axes().keep(4).keep(3));
    }
}

TEST(Resize, NearestMovesElementsOfAnyWidth) {
  const ResizeSpec spec;
  Axes axes;
  axes.keep(2).resize(spec, 3, 7).keep(2).resize(spec, 4, 3).keep(3);
  for (const size_t width : {1u, 2u, 4u, 8u, 16u}) {
    std::vector<std::byte> src(axes.src_count() * width);
    for (size_t i = 0; i < src.size(); ++i) src[i] = static_cast<std::byte>(i * 37 + i / 256);
    std::vector<std::byte> dst(axes.dst_count() * width);
    resize_nearest(axes.axes, width, src.data(), dst.data(), nullptr, Parallel());
    for (size_t n = 0, o = 0; n < 2; ++n)
      for (size_t y = 0; y < 7; ++y)
        for (size_t k = 0; k < 2; ++k)
          for (size_t x = 0; x < 3; ++x)
            for (size_t c = 0; c < 3; ++c, ++o) {
              const size_t sy = static_cast<size_t>(axes.axes[1].index[y]),
                           sx = static_cast<size_t>(axes.axes[3].index[x]);
              const size_t from = (((n * 3 + sy) * 2 + k) * 4 + sx) * 3 + c;
              ASSERT_EQ(std::memcmp(&dst[o * width], &src[from * width], width), 0) << o;
            }
  }
}

TEST(Resize, NearestRepeatsRowsAndColumns) {
  ResizeSpec spec;
  spec.transform = ResizeTransform::asymmetric;
  spec.nearest = ResizeNearest::floor;
  for (const size_t times : {2u, 3u}) {
    Axes axes;
    axes.keep(3).resize(spec, 4, 4 * times).resize(spec, 5, 5 * times);
    std::vector<uint32_t> src(axes.src_count()), dst(axes.dst_count());
    for (size_t i = 0; i < src.size(); ++i) src[i] = static_cast<uint32_t>(1000 + i);
    resize_nearest(axes.axes, sizeof(uint32_t), reinterpret_cast<const std::byte*>(src.data()),
                   reinterpret_cast<std::byte*>(dst.data()), nullptr, SplitParallel(3));
    for (size_t c = 0, o = 0; c < 3; ++c)
      for (size_t y = 0; y < 4 * times; ++y)
        for (size_t x = 0; x < 5 * times; ++x, ++o) ASSERT_EQ(dst[o], 1000 + (c * 4 + y / times) * 5 + x / times) << o;
  }
}

TEST(Resize, IntegersTruncateOrRoundAndSaturate) {
  ResizeSpec spec{ResizeMode::cubic};
  Axes axes;
  axes.resize(spec, 4, 8);
  const uint8_t src[4] = {0, 255, 255, 0};
  uint8_t dst[8];
  resize_plain(axes.axes, src, dst, 0.0f, false, Parallel());
  // -26.89, 57.77, 197.22, 290.85 and their mirror image
  EXPECT_EQ(std::vector<uint8_t>(dst, dst + 8), (std::vector<uint8_t>{0, 57, 197, 255, 255, 197, 57, 0}));
  resize_plain(axes.axes, src, dst, 0.0f, true, Parallel());
  EXPECT_EQ(std::vector<uint8_t>(dst, dst + 8), (std::vector<uint8_t>{0, 58, 197, 255, 255, 197, 58, 0}));
}

// Channels in planes, and the same behind the pixels.
TEST(Resize, ChannelsBehindThePixelsAreThoseOfPlanes) {
  for (const size_t channels : {1u, 3u, 64u, 130u})
    for (const bool crops : {false, true}) {
      ResizeSpec spec{ResizeMode::linear};
      if (crops) spec.transform = ResizeTransform::tf_crop_and_resize;
      const float start = crops ? 0.3f : 0.0f, end = crops ? 1.4f : 1.0f;
      Axes planes, pixels;
      planes.keep(channels).resize(spec, 4, 7, 0, start, end).resize(spec, 5, 3, 0, start, end);
      pixels.resize(spec, 4, 7, 0, start, end).resize(spec, 5, 3, 0, start, end).keep(channels);
      std::vector<uint8_t> src(planes.src_count()), turned(src.size());
      for (size_t i = 0; i < src.size(); ++i) src[i] = static_cast<uint8_t>(i * 37 % 251);
      for (size_t c = 0; c < channels; ++c)
        for (size_t p = 0; p < 20; ++p) turned[p * channels + c] = src[c * 20 + p];
      std::vector<uint8_t> want(planes.dst_count()), got(want.size());
      resize_plain(planes.axes, src.data(), want.data(), 77.0f, false, Parallel());
      resize_plain(pixels.axes, turned.data(), got.data(), 77.0f, false, SplitParallel(3));
      for (size_t c = 0; c < channels; ++c)
        for (size_t p = 0; p < 21; ++p) ASSERT_EQ(got[p * channels + c], want[c * 21 + p]) << c << " " << p;
    }
}

}  // namespace
}  // namespace linnet
