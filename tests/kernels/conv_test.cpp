#include "kernels/conv/conv.h"

#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <limits>
#include <vector>

#include "kernels/conv/winograd.h"
#include "kernels/isa.h"
#include "noise.h"

namespace linnet {
namespace {

// Cuts every range into as many pieces as it can, each with the next worker's scratch.
class Shredder : public Parallel {
 public:
  Shredder() { set_threads(3); }

 private:
  void dispatch(size_t count, size_t, Body body) const override {
    for (size_t i = 0; i < count; ++i) body(i, i + 1, i % 3);
  }
};

struct Case {
  ConvGeometry g;
  ActivationSpec activation;
  bool bias = true, residual = false;
};

// dst from src, kernel and pads that are equal on both sides, but one less at the end of the last axis if `odd`.
void set_dst(ConvGeometry& g, bool odd) {
  for (size_t a = 0; a < kSpatialAxes; ++a) {
    const ptrdiff_t extent = static_cast<ptrdiff_t>((g.kernel[a] - 1) * g.dilation[a]);
    const ptrdiff_t pads = 2 * g.pad[a] - (odd && a == 2 && g.pad[a] > 0 ? 1 : 0);
    const ptrdiff_t src = static_cast<ptrdiff_t>(g.src[a]);
    const ptrdiff_t stride = static_cast<ptrdiff_t>(g.stride[a]);
    const ptrdiff_t dst =
        g.transposed ? (src - 1) * stride + extent + 1 - pads : (src + pads - extent - 1) / stride + 1;
    g.dst[a] = static_cast<size_t>(std::max<ptrdiff_t>(dst, 0));
  }
}

std::vector<float> run(const Case& c, const std::vector<float>& src, const std::vector<float>& weights,
                       const std::vector<float>& bias, const std::vector<float>& residual, const Parallel& parallel) {
  std::vector<float> packed(conv_packed_size(c.g), std::nanf(""));
  ConvGeometry weight_geometry = c.g;  // packed before any shape or padding is known
  weight_geometry.batch = 0;
  weight_geometry.src = weight_geometry.dst = {0, 0, 0};
  weight_geometry.pad = {};
  conv_pack(weight_geometry, weights.data(), packed.data(), parallel);
  std::vector<std::byte> scratch(conv_scratch_size(c.g, parallel.threads()) + 64, std::byte{0xff});
  std::byte* aligned = scratch.data() + (64 - reinterpret_cast<uintptr_t>(scratch.data()) % 64) % 64;
  std::vector<float> dst(c.g.batch * c.g.filters * positions_of(c.g.dst), std::nanf(""));
  ConvEpilogue epilogue{c.bias ? bias.data() : nullptr, c.residual ? residual.data() : nullptr, c.activation};
  conv(c.g, src.data(), packed.data(), epilogue, dst.data(), aligned, parallel);
  return dst;
}

void check(const Case& c) {
  const ConvGeometry& g = c.g;
  SCOPED_TRACE(testing::Message() << "batch " << g.batch << " channels " << g.channels << " filters " << g.filters
                                  << " groups " << g.groups << " src " << g.src[0] << 'x' << g.src[1] << 'x' << g.src[2]
                                  << " kernel " << g.kernel[0] << 'x' << g.kernel[1] << 'x' << g.kernel[2] << " stride "
                                  << g.stride[2] << " dilation " << g.dilation[2] << " pad " << g.pad[2]
                                  << (g.transposed ? " transposed" : "") << (g.src_planes ? " planes" : ""));
  const size_t dst_count = g.batch * g.filters * positions_of(g.dst);
  const std::vector<float> src = noise(g.batch * g.channels * positions_of(g.src), 1);
  const std::vector<float> weights = noise(g.channels / g.groups * g.filters * positions_of(g.kernel), 2);
  const std::vector<float> bias = noise(g.filters, 3);
  const std::vector<float> residual = noise(dst_count, 4);

  std::vector<double> want(dst_count);
  const std::vector<double> src64(src.begin(), src.end()), weights64(weights.begin(), weights.end());
  const std::vector<double> bias64(bias.begin(), bias.end());
  conv_reference(g, src64.data(),
                 g.src_planes ? channels_first_strides(g.channels, g.src) : channels_last_strides(g.channels, g.src),
                 weights64.data(), c.bias ? bias64.data() : nullptr, want.data(),
                 channels_last_strides(g.filters, g.dst), Parallel());
  const double tolerance =
      1e-6 * std::sqrt(static_cast<double>(g.channels / g.groups * positions_of(g.kernel)) + 1.0) * 4;
  for (size_t i = 0; i < dst_count; ++i)
    want[i] = activate_reference(c.activation, static_cast<float>(want[i] + (c.residual ? residual[i] : 0.0f)));

  for (int level = 0; level <= static_cast<int>(best_isa()); ++level) {
    set_isa(static_cast<Isa>(level));
    SCOPED_TRACE(isa_name(current_isa()));
    const std::vector<float> got = run(c, src, weights, bias, residual, Parallel());
    for (size_t i = 0; i < dst_count; ++i) ASSERT_NEAR(got[i], want[i], tolerance) << "element " << i;
    ASSERT_EQ(run(c, src, weights, bias, residual, Shredder()), got);
  }
  set_isa(best_isa());
}

ConvGeometry plane(size_t channels, size_t filters, size_t h, size_t w, size_t kernel, size_t stride, ptrdiff_t pad,
                   size_t groups = 1, size_t dilation = 1) {
  ConvGeometry g;
  g.channels = channels;
  g.filters = filters;
  g.groups = groups;
  g.src = {1, h, w};
  g.kernel = {1, kernel, kernel};
  g.stride = {1, stride, stride};
  g.dilation = {1, dilation, dilation};
  g.pad = {0, pad, pad};
  set_dst(g, false);
  return g;
}

TEST(Conv, ChannelCounts) {
  for (const size_t channels : {1u, 3u, 5u, 17u, 64u})
    for (const size_t filters : {1u, 2u, 3u, 4u, 5u, 8u, 16u, 17u, 24u, 31u, 40u, 48u, 65u, 100u})
      for (const size_t kernel : {1u, 3u}) check({plane(channels, filters, 5, 7, kernel, 1, kernel / 2), {}});
}

TEST(Conv, Positions) {
  for (size_t w = 1; w <= 14; ++w) check({plane(8, 40, 1, w, 1, 1, 0), {}});
  for (const size_t w : {59u, 60u, 61u, 130u}) check({plane(6, 20, 2, w, 3, 1, 1), {}});
}

// More than 32-bit machines can multiply by the number of blocks they are cut into.
TEST(Conv, HalfAMillionPositions) { check({plane(1, 1, 512, 1024, 1, 1, 0), {}}); }

TEST(Conv, KernelsStridesDilationsPads) {
  for (const size_t kernel : {1u, 2u, 3u, 5u, 7u})
    for (const size_t stride : {1u, 2u, 3u, 5u})
      for (const size_t dilation : {1u, 2u})
        for (const ptrdiff_t pad : {ptrdiff_t{0}, ptrdiff_t{1}, ptrdiff_t{4}, ptrdiff_t{8}}) {
          check({plane(4, 18, 9, 11, kernel, stride, pad, 1, dilation), {}});
          check({plane(20, 20, 9, 11, kernel, stride, pad, 20, dilation), {}});
        }
}

TEST(Conv, NegativePadsCrop) {
  check({plane(4, 18, 9, 11, 3, 1, -2), {}});
  // As large as the input, but shifted.
  for (const size_t kernel : {1u, 3u})
    for (const size_t channels : {4u, 20u}) {
      ConvGeometry g = plane(channels, 18, 9, 11, kernel, 1, kernel / 2);
      g.pad = {0, g.pad[1] + 1, g.pad[2] - 1};
      check({g, {}});
      g.src_planes = true;
      check({g, {}});
    }
}

TEST(Conv, AsymmetricPads) {
  ConvGeometry g = plane(3, 8, 6, 6, 3, 2, 1);
  set_dst(g, true);
  check({g, {}});
  g.pad = {0, 0, 1};
  g.dst = {1, 3, 4};
  check({g, {}});
}

TEST(Conv, Groups) {
  for (const size_t groups : {2u, 3u, 8u}) check({plane(24, 48, 6, 5, 3, 1, 1, groups), {}});
  check({plane(6, 12, 6, 5, 3, 1, 1, 6), {}});
  check({plane(6, 12, 6, 5, 3, 2, 1, 6), {}});
  for (const size_t width : {2u, 4u, 8u})
    for (const size_t groups : {2u, 3u, 5u, 8u})
      for (const size_t stride : {1u, 2u})
        for (const size_t w : {9u, 16u})
          for (const bool residual : {false, true})
            check({plane(width * groups, width * groups, 6, w, 3, stride, 1, groups),
                   {Activation::relu},
                   true,
                   residual});
}

TEST(Conv, DepthwiseMultiplier) {
  for (const size_t multiplier : {2u, 3u, 4u, 8u, 16u, 32u})
    for (const size_t channels : {2u, 5u, 17u})
      for (const size_t stride : {1u, 2u})
        for (const bool residual : {false, true})
          check({plane(channels, channels * multiplier, 5, 9, stride == 1 ? 3 : 7, stride, 1, channels),
                 {Activation::relu},
                 true,
                 residual});
}

TEST(Conv, DepthwiseChannelsAndColumns) {
  for (const size_t channels : {2u, 3u, 5u, 16u, 17u, 33u})
    for (const size_t w : {1u, 4u, 5u, 7u, 8u, 9u, 17u})
      for (const size_t stride : {1u, 2u, 3u}) {
        Case c{plane(channels, channels, 4, w, 3, stride, 1, channels), {}};
        check(c);
        c.activation = {Activation::relu};
        c.bias = c.residual = true;
        check(c);
      }
}

TEST(Conv, DepthwiseLongKernels) {
  for (const size_t kernel : {2u, 4u, 6u, 7u, 8u, 9u, 13u, 31u}) {
    ConvGeometry g;
    g.channels = g.filters = g.groups = 19;
    g.batch = 2;
    g.src = {1, 1, 40};
    g.kernel = {1, 1, kernel};
    g.pad = {0, 0, static_cast<ptrdiff_t>(kernel / 2)};
    set_dst(g, false);
    check({g, {}});
  }
}

TEST(Conv, StemFromPlanes) {
  for (const size_t channels : {1u, 3u, 4u})
    for (const size_t kernel : {1u, 3u, 7u})
      for (const size_t dilation : {1u, 2u}) {
        ConvGeometry g = plane(channels, 20, 15, 17, kernel, 2, static_cast<ptrdiff_t>(kernel / 2), 1, dilation);
        g.batch = 2;
        g.src_planes = true;
        check({g, {}});
      }
}

TEST(Conv, PointsOfFewChannels) {
  for (const size_t channels : {1u, 5u, 16u, 33u, 64u, 65u})
    for (const size_t filters : {5u, 10u, 24u, 40u, 96u})
      for (const bool residual : {false, true}) {
        Case c{plane(channels, filters, 13, 11, 1, 1, 0), {Activation::hard_swish}, true, residual};
        c.g.batch = 2;
        check(c);
      }
}

TEST(Conv, PlanesFiltersAndEpilogues) {
  for (const size_t filters : {1u, 5u, 8u, 12u, 16u, 17u, 24u, 30u, 50u, 70u})
    for (const size_t w : {1u, 2u, 6u, 7u, 13u}) {
      Case c{plane(3, filters, 5, w, 3, 1, 1), {}};
      c.g.src_planes = true;
      check(c);
      c.bias = c.residual = true;
      check(c);
      c.activation = {Activation::relu};
      check(c);
      c.activation = {Activation::silu, 1.0f};
      check(c);
    }
}

// More than a window's rows and columns, and steps past what a position reads.
TEST(Conv, PlanesOfWavesPatchesAndVolumes) {
  const auto planes = [](ConvGeometry g) {
    g.src_planes = true;
    set_dst(g, false);
    check({g, {}});
  };
  ConvGeometry wave;
  wave.filters = 9;
  for (const size_t length : {300u, 50'000u})  // a window for all threads, and several
    for (const size_t stride : {1u, 5u, 12u})
      for (const size_t dilation : {1u, 3u}) {
        wave.src = {1, 1, length};
        wave.kernel = {1, 1, 10};
        wave.stride = {1, 1, stride};
        wave.dilation = {1, 1, dilation};
        wave.pad = {0, 0, 4};
        planes(wave);
      }
  planes(plane(3, 40, 64, 48, 16, 16, 0));
  for (const size_t w : {7u, 8u, 9u}) planes(plane(1, 150, 9, w, 7, 1, 0));  // one to three columns
  planes(plane(2, 8, 300, 200, 5, 3, 2));
  ConvGeometry volume = plane(2, 8, 12, 10, 3, 1, 1);
  volume.src = {8, 12, 10};
  volume.kernel = {3, 3, 3};
  volume.pad = {1, 1, 1};
  planes(volume);
  volume.stride = {2, 1, 3};
  volume.dilation = {2, 3, 2};
  volume.pad = {3, 0, 2};
  planes(volume);
}

TEST(Conv, ThreeAxes) {
  for (const size_t groups : {1u, 2u, 6u}) {
    ConvGeometry g;
    g.channels = 6;
    g.filters = 6;
    g.groups = groups;
    g.batch = 2;
    g.src = {5, 4, 6};
    g.kernel = {3, 2, 3};
    g.stride = {2, 1, 1};
    g.dilation = {1, 1, 2};
    g.pad = {1, 0, 2};
    set_dst(g, false);
    check({g, {}});
    g.transposed = true;
    set_dst(g, false);
    check({g, {}});
  }
}

TEST(Conv, Transposed) {
  for (const size_t kernel : {1u, 2u, 3u, 4u, 5u})
    for (const size_t stride : {1u, 2u, 3u, 4u})
      for (const size_t dilation : {1u, 2u, 3u})
        for (const ptrdiff_t pad : {ptrdiff_t{0}, ptrdiff_t{1}})
          for (const size_t groups : {1u, 2u, 4u}) {
            ConvGeometry g = plane(4, groups == 2 && stride == 2 ? 4 : 8, 4, 5, kernel, stride, pad, groups, dilation);
            if (groups == 4) g.filters = 4;
            g.transposed = true;
            set_dst(g, false);
            if (positions_of(g.dst) == 0) continue;
            check({g, {}});
            g.dst[2] += stride - 1;  // output_padding
            check({g, {}});
          }
}

TEST(Conv, TransposedToFewFilters) {
  for (const size_t filters : {1u, 2u, 3u, 4u})
    for (const size_t channels : {16u, 21u}) {
      ConvGeometry g = plane(channels, filters, 5, 6, 3, 2, 1);
      g.transposed = true;
      set_dst(g, false);
      check({g, {Activation::sigmoid}, true, true});
    }
}

TEST(Conv, TransposedWithManyTaps) {
  ConvGeometry g = plane(3, 5, 12, 13, 17, 2, 3);
  g.transposed = true;
  set_dst(g, false);
  check({g, {}});
}

TEST(Conv, Epilogue) {
  for (const size_t groups : {1u, 5u, 20u})
    for (const bool bias : {false, true})
      for (const bool residual : {false, true})
        for (const Activation kind : {Activation::none, Activation::relu, Activation::clip, Activation::hard_swish,
                                      Activation::silu, Activation::leaky_relu}) {
          ActivationSpec activation;
          activation.kind = kind;
          activation.a = kind == Activation::clip ? -0.25f : kind == Activation::silu ? 1.0f : 0.1f;
          activation.b = 0.5f;
          check({plane(20, 20, 5, 9, 3, 1, 1, groups), activation, bias, residual});
        }
}

// Equal terms, whose rounding errors have one sign once the sum is large beside them.
TEST(Conv, LongSumsLoseLittle) {
  for (const auto& [channels, kernel, stride] : {std::array<size_t, 3>{4096, 1, 1}, {450, 3, 2}, {1024, 3, 1}}) {
    Case c{plane(channels, 20, 13, 13, kernel, stride, 0), {}, false};
    const size_t terms = channels * kernel * kernel;
    const std::vector<float> src(channels * 169, 0.1f), weights(20 * terms, 1.0f);
    const double want = static_cast<double>(terms) * static_cast<double>(0.1f);
    for (int level = static_cast<int>(Isa::sse4); level <= static_cast<int>(best_isa()); ++level) {
      set_isa(static_cast<Isa>(level));
      SCOPED_TRACE(isa_name(current_isa()));
      for (const float y : run(c, src, weights, {}, {}, Parallel())) ASSERT_NEAR(y, want, want * 4e-6);
    }
    set_isa(best_isa());
  }
}

TEST(Conv, EmptyBatchAndNoPositions) {
  Case c{plane(3, 4, 5, 5, 3, 1, 1), {}};
  c.g.batch = 0;
  check(c);
  c.g = plane(3, 3, 5, 5, 3, 1, 1, 3);
  c.g.batch = 0;
  check(c);
  c.g = plane(3, 4, 2, 2, 3, 1, 0);
  check(c);
}

// A non-finite input reaches the outputs that read it and no others; other groups and channels stay clean.
TEST(Conv, NonFiniteStaysInItsWindow) {
  for (const float value : {std::numeric_limits<float>::infinity(), std::numeric_limits<float>::quiet_NaN()})
    for (const size_t groups : {1u, 2u, 8u}) {
      Case c{plane(8, 8, 5, 9, 3, 1, 1, groups), {}, false};
      const std::vector<float> weights(8 / groups * 8 * 9, 1.0f);
      std::vector<float> src(8 * 45, 1.0f);
      src[(2 * 9 + 4) * 8 + 1] = value;
      for (int level = 0; level <= static_cast<int>(best_isa()); ++level) {
        set_isa(static_cast<Isa>(level));
        const std::vector<float> got = run(c, src, weights, {}, {}, Parallel());
        for (size_t y = 0; y < 5; ++y)
          for (size_t x = 0; x < 9; ++x)
            for (size_t f = 0; f < 8; ++f) {
              const bool reached = y >= 1 && y <= 3 && x >= 3 && x <= 5 && f / (8 / groups) == 1 / (8 / groups);
              EXPECT_EQ(std::isfinite(got[(y * 9 + x) * 8 + f]), !reached) << y << ' ' << x << ' ' << f;
            }
      }
      set_isa(best_isa());
    }
}

TEST(Conv, Winograd) {
  // Odd sizes, pads and crops; filters that end within a panel, and more than a chunk of them.
  for (const size_t channels : {32u, 45u, 64u})
    for (const size_t filters : {24u, 30u, 100u})
      for (const ptrdiff_t pad : {ptrdiff_t{-1}, ptrdiff_t{0}, ptrdiff_t{1}, ptrdiff_t{2}}) {
        Case c{plane(channels, filters, 23, 30, 3, 1, pad), {}};
        ASSERT_TRUE(conv_is_winograd(c.g));
        check(c);
      }
  // Several images, along the batch and along an axis that the kernel leaves alone.
  Case c{plane(32, 32, 9, 13, 3, 1, 1), {}, false, true};
  c.g.batch = 2;
  c.g.src[0] = c.g.dst[0] = 3;
  ASSERT_TRUE(conv_is_winograd(c.g));
  for (const Activation kind : {Activation::none, Activation::relu, Activation::silu}) {
    c.activation = {kind, 1.0f};
    check(c);
  }
  // More weights than are transformed at a time.
  c = {plane(600, 150, 12, 12, 3, 1, 1), {}};
  ASSERT_TRUE(conv_is_winograd(c.g));
  check(c);
}

// What is too large for the transforms' sums, or not finite, gives what the plain sum gives; all else stays as it is.
TEST(Conv, WinogradOfNumbersThatAreNotFinite) {
  const float inf = std::numeric_limits<float>::infinity();
  for (const float value : {inf, -inf, std::nanf(""), 3e38f}) {
    Case c{plane(36, 40, 16, 16, 3, 1, 1), {Activation::relu}, true, true};
    ASSERT_TRUE(conv_is_winograd(c.g));
    std::vector<float> src = noise(36 * 256, 1), weights = noise(40 * 36 * 9, 2), residual = noise(40 * 256, 4);
    const std::vector<float> bias = noise(40, 3);
    src[(5 * 16 + 6) * 36 + 3] = value;
    for (float& weight : weights) weight *= 0.5f;
    std::vector<double> want(40 * 256);
    const std::vector<double> src64(src.begin(), src.end()), weights64(weights.begin(), weights.end());
    const std::vector<double> bias64(bias.begin(), bias.end());
    conv_reference(c.g, src64.data(), channels_last_strides(36, c.g.src), weights64.data(), bias64.data(), want.data(),
                   channels_last_strides(40, c.g.dst), Parallel());
    for (int level = 0; level <= static_cast<int>(best_isa()); ++level) {
      set_isa(static_cast<Isa>(level));
      SCOPED_TRACE(isa_name(current_isa()));
      const std::vector<float> got = run(c, src, weights, bias, residual, Parallel());
      for (size_t i = 0; i < got.size(); ++i) {
        const float x = activate_reference(c.activation, static_cast<float>(want[i] + residual[i]));
        if (std::isfinite(x)) {
          const size_t row = i / 40 / 16, column = i / 40 % 16;
          const bool reached = row >= 4 && row <= 6 && column >= 5 && column <= 7;
          ASSERT_NEAR(got[i], x, reached ? 1e-6 * std::abs(value) : 1e-4) << "element " << i;
        } else if (std::isnan(x)) {
          ASSERT_TRUE(std::isnan(got[i])) << "element " << i;
        } else {
          ASSERT_EQ(got[i], x) << "element " << i;
        }
      }
    }
    set_isa(best_isa());
  }
}

}  // namespace
}  // namespace linnet
