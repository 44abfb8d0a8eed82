// rotate_head at every instruction set, against complex multiplication.
#include "kernels/attention/rotary.h"

#include <gtest/gtest.h>

#include <cmath>
#include <complex>
#include <vector>

#include "../each_isa.h"

namespace linnet {
namespace {

TEST(Rotary, TurnsPairsAndCopiesTheRest) {
  for_each_isa([] {
    for (const bool interleaved : {false, true})
      for (const size_t half : {0u, 1u, 3u, 4u, 8u, 13u, 32u}) {
        SCOPED_TRACE(testing::Message() << half << (interleaved ? " interleaved" : ""));
        const size_t size = 2 * half + 3;
        std::vector<float> src(size), cos(half), sin(half);
        for (size_t i = 0; i < size; ++i) src[i] = static_cast<float>(i % 7) - 2.5f;
        for (size_t i = 0; i < half; ++i) {
          cos[i] = std::cos(0.3f * static_cast<float>(i));
          sin[i] = std::sin(0.3f * static_cast<float>(i));
        }
        std::vector<float> dst(size + 1, 99.0f), in_place = src;
        rotate_head(src.data(), dst.data(), cos.data(), sin.data(), half, size, interleaved);
        rotate_head(in_place.data(), in_place.data(), cos.data(), sin.data(), half, size, interleaved);
        for (size_t i = 0; i < half; ++i) {
          const size_t x = interleaved ? 2 * i : i, y = interleaved ? 2 * i + 1 : half + i;
          const std::complex<double> turned =
              std::complex<double>(src[x], src[y]) * std::complex<double>(cos[i], sin[i]);
          EXPECT_NEAR(dst[x], turned.real(), 1e-6);
          EXPECT_NEAR(dst[y], turned.imag(), 1e-6);
        }
        for (size_t i = 2 * half; i < size; ++i) EXPECT_EQ(dst[i], src[i]);
        EXPECT_EQ(dst[size], 99.0f);
        dst.resize(size);
        EXPECT_EQ(in_place, dst);
      }
  });
}

}  // namespace
}  // namespace linnet
