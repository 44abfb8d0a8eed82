#include <algorithm>

#include "base/checked.h"
#include "kernels/conv/conv_phase.h"

namespace linnet {
namespace {

constexpr size_t kPanel = 16;

// Packs the taps of one phase for filters [first, first + lanes) of a group into one panel.
void pack_panel(const ConvGeometry& g, const ConvPhase& phase, size_t group, size_t first, size_t lanes,
                const float* weights, float* dst) noexcept {
  const size_t channels = g.channels / g.groups;
  const size_t filters = g.filters / g.groups;
  const size_t kernel = positions_of(g.kernel);
  const size_t filter_step = g.transposed ? kernel : channels * kernel;
  const size_t channel_step = g.transposed ? filters * kernel : kernel;
  const float* base = weights + group * filters * channels * kernel + first * filter_step;
  const auto& [d, h, w] = phase.axis;
  const size_t tap_step = g.src_planes ? kPanel : channels * kPanel;
  const size_t packed_channel_step = g.src_planes ? phase.taps() * kPanel : kPanel;
  for (size_t lane = 0; lane < kPanel; ++lane) {
    float* tap = dst + lane;
    for (size_t i = 0; i < d.taps; ++i)
      for (size_t j = 0; j < h.taps; ++j)
        for (size_t k = 0; k < w.taps; ++k, tap += tap_step) {
          const size_t at =
              ((d.tap + i * d.tap_step) * g.kernel[1] + h.tap + j * h.tap_step) * g.kernel[2] + w.tap + k * w.tap_step;
          const float* from = base + lane * filter_step + at;
          for (size_t c = 0; c < channels; ++c)
            tap[c * packed_channel_step] = lane < lanes ? from[c * channel_step] : 0.0f;
        }
  }
}

void pack_depthwise(const ConvGeometry& g, const ConvPhase& phase, const float* weights, float* dst) noexcept {
  const size_t kernel = positions_of(g.kernel);
  const size_t padded = round_up(g.filters, kPanel);
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
            to[f] = weights[(row * width + (g.transposed ? f % width : c)) * kernel + at];
          }
          std::fill(to + g.filters, to + padded, 0.0f);
        }
      }
}

void pack_narrow(const ConvGeometry& g, const ConvPhase& phase, const float* weights, float* dst) noexcept {
  const size_t kernel = positions_of(g.kernel);
  const size_t padded = round_up(g.channels, kPanel);
  const auto& [d, h, w] = phase.axis;
  for (size_t f = 0; f < g.filters; ++f)
    for (size_t i = 0; i < d.taps; ++i)
      for (size_t j = 0; j < h.taps; ++j)
        for (size_t k = 0; k < w.taps; ++k, dst += padded) {
          const size_t at =
              ((d.tap + i * d.tap_step) * g.kernel[1] + h.tap + j * h.tap_step) * g.kernel[2] + w.tap + k * w.tap_step;
          for (size_t c = 0; c < g.channels; ++c)
            dst[c] = weights[(g.transposed ? c * g.filters + f : f * g.channels + c) * kernel + at];
          std::fill(dst + g.channels, dst + padded, 0.0f);
        }
}

}  // namespace

void conv_pack(const ConvGeometry& g, const float* weights, float* packed, const Parallel& parallel) noexcept {
  const size_t filters = g.filters / g.groups;
  const size_t panels = ceil_div(filters, kPanel);
  const size_t phases = conv_phase_count(g);
  for (size_t p = 0; p < phases; ++p) {
    const ConvPhase phase = conv_phase(g, p);
    if (conv_is_depthwise(g)) {
      pack_depthwise(g, phase, weights, packed);
    } else if (conv_is_narrow(g)) {
      pack_narrow(g, phase, weights, packed);
    } else {
      const size_t panel_size = phase.taps() * (g.channels / g.groups) * kPanel;
      parallel.for_range(g.groups * panels, grain_for(static_cast<double>(panel_size)),
                         [&](size_t begin, size_t end, size_t) {
                           for (size_t i = begin; i < end; ++i) {
                             const size_t first = i % panels * kPanel;
                             pack_panel(g, phase, i / panels, first, std::min(kPanel, filters - first), weights,
                                        packed + i * panel_size);
                           }
                         });
    }
    packed += conv_phase_packed_size(g, phase);
  }
}

}  // namespace linnet
