// Convolution and transposed convolution of fp32, channels-last:
//   src [batch][src 0][src 1][src 2][channels] -> dst [batch][dst 0][dst 1][dst 2][filters].
// Fewer than three spatial axes are written with leading ones. https://onnx.ai/onnx/operators/onnx__Conv.html
//
// Weights are packed once: for each group, panels of 16 filters, [panel][tap][channel][16], zeros behind the last
// filter; a depthwise convolution packs [tap][channel of the group][filter], filters rounded up to 16; one of
// very few filters packs [filter][tap][channel], channels rounded up to 16. A transposed convolution is a set of
// ordinary ones, one for each residue of the output position modulo the stride, packed one after the other.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/parallel.h"
#include "kernels/activation.h"
#include "kernels/spatial.h"

namespace linnet {

inline constexpr size_t kConvPanel = 16;  // filters of a panel of weights

struct ConvGeometry {
  size_t batch = 1;
  size_t channels = 1;  // of src, all groups together
  size_t filters = 1;   // channels of dst, all groups together
  size_t groups = 1;    // divides both
  SpatialSizes src{1, 1, 1};
  SpatialSizes dst{1, 1, 1};
  SpatialSizes kernel{1, 1, 1};
  SpatialSizes stride{1, 1, 1};
  SpatialSizes dilation{1, 1, 1};
  std::array<ptrdiff_t, kSpatialAxes> pad{};  // before the first element; what follows the last one shows in dst
  bool transposed = false;
  // src is [batch][channels][src...] instead: for a first layer of few channels. One group, not transposed.
  bool src_planes = false;
};

struct ConvEpilogue {
  const float* bias = nullptr;      // [filters] or none
  const float* residual = nullptr;  // of dst's shape, added before the activation; may be dst itself
  ActivationSpec activation;
};

// Floats of the packed weights.
size_t conv_packed_size(const ConvGeometry& geometry) noexcept;
// `weights` as ONNX has them: [filters][channels / groups][kernel...], of a transposed convolution
// [channels][filters / groups][kernel...], at any address. Only channels, filters, groups, kernel, stride, dilation and
// the two flags are read.
void conv_pack(const ConvGeometry& geometry, const float* weights, float* packed, const Parallel& parallel) noexcept;

// Bytes of scratch for so many threads.
size_t conv_scratch_size(const ConvGeometry& geometry, size_t threads) noexcept;
// `scratch` is aligned to 64 bytes, and large enough for parallel.threads(). Sums of integers are exact as far as
// floats hold them when there is more than one group; a single one may go through fractions (winograd.h).
void conv(const ConvGeometry& geometry, const float* src, const float* packed, const ConvEpilogue& epilogue, float* dst,
          std::byte* scratch, const Parallel& parallel) noexcept;

// Depthwise, also with 2, 4, 8 or 16 filters to a channel, or groups of 2, 4 or 8 channels that give as many: runs as a
// vector over filters, without panels.
inline bool conv_is_depthwise(const ConvGeometry& g) noexcept {
  if (g.groups == 1 || g.src_planes) return false;
  const auto is_narrow = [](size_t width) { return width == 1 || width == 2 || width == 4 || width == 8; };
  const size_t width = g.channels / g.groups, multiplier = g.filters / g.groups;
  if (g.channels == g.filters) return is_narrow(width);
  return width == 1 && (is_narrow(multiplier) || multiplier == 16) && !g.transposed;
}

// So few filters that a panel would be nearly empty: sums over vectors of channels.
inline constexpr size_t kNarrowFilters = 4;
inline bool conv_is_narrow(const ConvGeometry& g) noexcept {
  return g.groups == 1 && g.filters <= kNarrowFilters && g.channels >= 16 && !g.src_planes;
}

// The plain form, for any floating-point type and layout: the oracle of the tests, and what f64 runs on.
// Sums in T.
template <class T>
void conv_reference(const ConvGeometry& geometry, const T* src, SpatialStrides src_strides, const T* weights,
                    const T* bias, T* dst, SpatialStrides dst_strides, const Parallel& parallel) noexcept;

}  // namespace linnet
