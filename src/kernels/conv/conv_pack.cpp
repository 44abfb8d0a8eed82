#include <algorithm>
#include <cstring>

#include "base/checked.h"
#include "kernels/conv/conv_phase.h"
#include "kernels/gemm/gemm_kernels.h"

namespace linnet {
namespace {

float load(const float* from) noexcept {
  float value;
  std::memcpy(&value, from, sizeof value);
  return value;
}

// The panel of filters [first, first + lanes) of an ordinary convolution, whose weights are rows of [channel][tap].
void pack_rows(const ConvGeometry& g, const float* rows, size_t lanes, const GemmKernels& kernels,
               float* dst) noexcept {
  constexpr size_t kStrip = 64;
  alignas(64) float strip[kStrip * kConvPanel] = {};
  const size_t channels = g.channels / g.groups, taps = positions_of(g.kernel), depth = channels * taps;
  const size_t tap_step = g.src_planes ? kConvPanel : channels * kConvPanel;
  const size_t channel_step = g.src_planes ? taps * kConvPanel : kConvPanel;
  size_t channel = 0, tap = 0;
  for (size_t at = 0; at < depth; at += kStrip) {
    const size_t count = std::min(kStrip, depth - at);
    kernels.transpose(rows + at, depth, count, lanes, strip, kConvPanel);
    for (size_t i = 0; i < count; ++i) {
      std::memcpy(dst + tap * tap_step + channel * channel_step, strip + i * kConvPanel, kConvPanel * sizeof(float));
      if (++tap == taps) {
        tap = 0;
        ++channel;
      }
    }
  }
}

// Packs the taps of one phase of a transposed convolution for filters [first, first + lanes) of a group into one panel.
void pack_phase(const ConvGeometry& g, const ConvPhase& phase, size_t group, size_t first, size_t lanes,
                const float* weights, float* dst) noexcept {
  const size_t channels = g.channels / g.groups;
  const size_t filters = g.filters / g.groups;
  const size_t kernel = positions_of(g.kernel);
  const float* base = weights + (group * channels * filters + first) * kernel;
  const auto& [d, h, w] = phase.axis;
  for (size_t lane = 0; lane < kConvPanel; ++lane) {
    float* tap = dst + lane;
    for (size_t i = 0; i < d.taps; ++i)
      for (size_t j = 0; j < h.taps; ++j)
        for (size_t k = 0; k < w.taps; ++k, tap += channels * kConvPanel) {
          const size_t at =
              ((d.tap + i * d.tap_step) * g.kernel[1] + h.tap + j * h.tap_step) * g.kernel[2] + w.tap + k * w.tap_step;
          const float* from = base + lane * kernel + at;
          for (size_t c = 0; c < channels; ++c)
            tap[c * kConvPanel] = lane < lanes ? load(from + c * filters * kernel) : 0.0f;
        }
  }
}

void pack_depthwise(const ConvGeometry& g, const ConvPhase& phase, const float* weights, float* dst) noexcept {
  const size_t kernel = positions_of(g.kernel);
  const size_t padded = round_up(g.filters, kConvPanel);
  const size_t width = g.channels / g.groups;
  const auto& [d, h, w] = phase.axis;
  for (size_t i = 0; i < d.taps; ++i)
    for (size_t j = 0; j < h.taps; ++j)
      for (size_t k = 0; k < w.taps; ++k, dst += width * padded) {
        const size_t at =
            ((d.tap + i * d.tap_step) * g.kernel[1] + h.tap + j * h.tap_step) * g.kernel[2] + w.tap + k * w.tap_step;
        for (size_t c = 0; c < width; ++c) {
          float* to = dst + c * padded;
          for (size_t f = 0; f < g.filters; ++f) {
            const size_t row = g.transposed ? f / width * width + c : f;
            to[f] = load(weights + (row * width + (g.transposed ? f % width : c)) * kernel + at);
          }
          std::fill(to + g.filters, to + padded, 0.0f);
        }
      }
}

void pack_narrow(const ConvGeometry& g, const ConvPhase& phase, const float* weights, float* dst) noexcept {
  const size_t kernel = positions_of(g.kernel);
  const size_t padded = round_up(g.channels, kConvPanel);
  const auto& [d, h, w] = phase.axis;
  for (size_t f = 0; f < g.filters; ++f)
    for (size_t i = 0; i < d.taps; ++i)
      for (size_t j = 0; j < h.taps; ++j)
        for (size_t k = 0; k < w.taps; ++k, dst += padded) {
          const size_t at =
              ((d.tap + i * d.tap_step) * g.kernel[1] + h.tap + j * h.tap_step) * g.kernel[2] + w.tap + k * w.tap_step;
          for (size_t c = 0; c < g.channels; ++c)
            dst[c] = load(weights + (g.transposed ? c * g.filters + f : f * g.channels + c) * kernel + at);
          std::fill(dst + g.channels, dst + padded, 0.0f);
        }
}

}  // namespace

void conv_pack(const ConvGeometry& g, const float* weights, float* packed, const Parallel& parallel) noexcept {
  const size_t filters = g.filters / g.groups;
  const size_t panels = ceil_div(filters, kConvPanel);
  const size_t phases = conv_phase_count(g);
  const GemmKernels kernels = gemm_kernels();
  for (size_t p = 0; p < phases; ++p) {
    const ConvPhase phase = conv_phase(g, p);
    if (conv_is_depthwise(g)) {
      pack_depthwise(g, phase, weights, packed);
    } else if (conv_is_narrow(g)) {
      pack_narrow(g, phase, weights, packed);
    } else {
      const size_t panel_size = phase.taps() * (g.channels / g.groups) * kConvPanel;
      parallel.for_range(
          g.groups * panels, grain_for(static_cast<double>(panel_size)), [&](size_t begin, size_t end, size_t) {
            for (size_t i = begin; i < end; ++i) {
              const size_t first = i % panels * kConvPanel, lanes = std::min(kConvPanel, filters - first);
              if (g.transposed) {
                pack_phase(g, phase, i / panels, first, lanes, weights, packed + i * panel_size);
              } else {
                const float* rows = weights + (i / panels * filters + first) * (panel_size / kConvPanel);
                pack_rows(g, rows, lanes, kernels, packed + i * panel_size);
              }
            }
          });
    }
    packed += conv_phase_packed_size(g, phase);
  }
}

}  // namespace linnet
