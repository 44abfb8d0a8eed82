#include "kernels/conv/conv.h"

namespace linnet {

namespace {

// The input index that output index `o` reads through tap `k`, or -1 when it reads padding or a hole.
ptrdiff_t source(const ConvGeometry& g, size_t axis, size_t o, size_t k) noexcept {
  const ptrdiff_t stride = static_cast<ptrdiff_t>(g.stride[axis]);
  const ptrdiff_t tap = static_cast<ptrdiff_t>(k * g.dilation[axis]);
  ptrdiff_t i = static_cast<ptrdiff_t>(o);
  if (g.transposed) {
    i += g.pad[axis] - tap;
    if (i < 0 || i % stride != 0) return -1;
    i /= stride;
  } else {
    i = i * stride + tap - g.pad[axis];
  }
  return i >= 0 && i < static_cast<ptrdiff_t>(g.src[axis]) ? i : -1;
}

}  // namespace

template <class T>
void conv_reference(const ConvGeometry& g, const T* src, SpatialStrides src_strides, const T* weights, const T* bias,
                    T* dst, SpatialStrides dst_strides, const Parallel& parallel) noexcept {
  const size_t channels = g.channels / g.groups;
  const size_t filters = g.filters / g.groups;
  const size_t kernel = positions_of(g.kernel);
  const size_t positions = positions_of(g.dst);
  const size_t filter_step = g.transposed ? kernel : channels * kernel;
  const size_t channel_step = g.transposed ? filters * kernel : kernel;
  if (positions == 0) return;
  const double item_ns = static_cast<double>(positions * channels * kernel);
  parallel.for_range(g.batch * g.filters, grain_for(item_ns), [&](size_t begin, size_t end, size_t) {
    for (size_t item = begin; item < end; ++item) {
      if (parallel.stopped()) return;
      const size_t n = item / g.filters;
      const size_t f = item % g.filters;
      const size_t group = f / filters;
      const T* w = weights + group * filters * channels * kernel + f % filters * filter_step;
      const T* image = src + n * src_strides.batch + group * channels * src_strides.channel;
      T* out = dst + n * dst_strides.batch + f * dst_strides.channel;
      for (size_t p = 0; p < positions; ++p) {
        const size_t o2 = p % g.dst[2];
        const size_t o1 = p / g.dst[2] % g.dst[1];
        const size_t o0 = p / g.dst[2] / g.dst[1];
        T sum = T(0);
        for (size_t k = 0; k < kernel; ++k) {
          const ptrdiff_t i2 = source(g, 2, o2, k % g.kernel[2]);
          const ptrdiff_t i1 = source(g, 1, o1, k / g.kernel[2] % g.kernel[1]);
          const ptrdiff_t i0 = source(g, 0, o0, k / g.kernel[2] / g.kernel[1]);
          if (i0 < 0 || i1 < 0 || i2 < 0) continue;
          const size_t at =
              (static_cast<size_t>(i0) * g.src[1] + static_cast<size_t>(i1)) * g.src[2] + static_cast<size_t>(i2);
          const T* x = image + at * src_strides.position;
          for (size_t c = 0; c < channels; ++c) sum += x[c * src_strides.channel] * w[c * channel_step + k];
        }
        out[p * dst_strides.position] = bias ? sum + bias[f] : sum;
      }
    }
  });
}

template void conv_reference(const ConvGeometry&, const float*, SpatialStrides, const float*, const float*, float*,
                             SpatialStrides, const Parallel&) noexcept;
template void conv_reference(const ConvGeometry&, const double*, SpatialStrides, const double*, const double*, double*,
                             SpatialStrides, const Parallel&) noexcept;

}  // namespace linnet
