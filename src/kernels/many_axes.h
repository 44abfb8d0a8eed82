// Convolution and pooling over any number of spatial axes, as they are defined: for what lies beyond the three that the
// kernels in conv/ and pool/ are written for. Channels first.
#pragma once

#include <cmath>
#include <limits>
#include <span>

#include "base/parallel.h"
#include "kernels/pool/pool.h"

namespace linnet {

// Windows stand at `places` of an axis of `size` elements.
struct WindowedAxis {
  int64_t size = 1, places = 1, kernel = 1, stride = 1, dilation = 1, pad_begin = 0, pad_end = 0;
};

// Steps of a convolution or pooling of one plane, which may be more than any integer holds.
inline double window_steps(std::span<const WindowedAxis> axes) noexcept {
  double steps = 1;
  for (const WindowedAxis& a : axes) steps *= static_cast<double>(a.places) * static_cast<double>(a.kernel);
  return steps;
}
inline constexpr double kMostWindowSteps = 1e13;

// Of at most kMostWindowSteps.
class Windows {
 public:
  explicit Windows(std::span<const WindowedAxis> axes) noexcept : axes_(axes) {
    for (const WindowedAxis& a : axes) {
      size_ *= static_cast<size_t>(a.size);
      places_ *= static_cast<size_t>(a.places);
      kernel_ *= static_cast<size_t>(a.kernel);
    }
  }
  size_t size() const noexcept { return size_; }
  size_t places() const noexcept { return places_; }
  size_t kernel() const noexcept { return kernel_; }

  // Calls visit(element, tap, column_major_element) for each tap of the window at `place` that meets an element.
  // Returns how many taps lie within the padded axes.
  template <class F>
  size_t taps(size_t place, F visit) const noexcept {
    size_t counted = 0;
    for (size_t tap = 0; tap < kernel_; ++tap) {
      size_t place_rest = place, tap_rest = tap, at = 0, step = 1, column = 0;
      bool inside = true, padded = true;
      for (size_t a = axes_.size(); a-- > 0;) {
        const WindowedAxis& axis = axes_[a];
        const int64_t p = static_cast<int64_t>(place_rest % static_cast<size_t>(axis.places));
        const int64_t t = static_cast<int64_t>(tap_rest % static_cast<size_t>(axis.kernel));
        place_rest /= static_cast<size_t>(axis.places);
        tap_rest /= static_cast<size_t>(axis.kernel);
        const int64_t i = p * axis.stride - axis.pad_begin + t * axis.dilation;
        inside = inside && i >= 0 && i < axis.size;
        padded = padded && i < axis.size + axis.pad_end;
        if (!inside) continue;
        at += static_cast<size_t>(i) * step;
        step *= static_cast<size_t>(axis.size);
        column = column * static_cast<size_t>(axis.size) + static_cast<size_t>(i);
      }
      counted += padded;
      if (inside) visit(at, tap, column);
    }
    return counted;
  }

 private:
  std::span<const WindowedAxis> axes_;
  size_t size_ = 1, places_ = 1, kernel_ = 1;
};

struct ConvManyAxes {
  Windows windows;  // over x, or over y for a transposed convolution
  bool transposed = false;
  size_t batch = 1, groups = 1;
  size_t channels = 1, filters = 1;  // of a group
};

// Weights as the standard has them: [groups * filters][channels][taps], transposed [groups * channels][filters][taps].
template <class T>
void conv_many_axes(const ConvManyAxes& c, const T* x, const T* weights, const T* bias, T* y,
                    const Parallel& parallel) noexcept {
  const Windows& w = c.windows;
  const size_t x_plane = c.transposed ? w.places() : w.size(), y_plane = c.transposed ? w.size() : w.places();
  parallel.for_range(c.batch * c.groups * c.filters, 1, [&](size_t begin, size_t end, size_t) {
    for (size_t item = begin; item < end && !parallel.stopped(); ++item) {
      const size_t filter = item % c.filters, group = item / c.filters % c.groups, image = item / c.filters / c.groups;
      T* to = y + item * y_plane;
      for (size_t i = 0; i < y_plane; ++i) to[i] = bias ? bias[group * c.filters + filter] : T(0);
      for (size_t channel = 0; channel < c.channels; ++channel) {
        const T* from = x + ((image * c.groups + group) * c.channels + channel) * x_plane;
        const size_t matrix = c.transposed ? (group * c.channels + channel) * c.filters + filter
                                           : (group * c.filters + filter) * c.channels + channel;
        const T* taps = weights + matrix * w.kernel();
        for (size_t place = 0; place < w.places() && !parallel.stopped(); ++place)
          w.taps(place, [&](size_t at, size_t tap, size_t) {
            if (c.transposed) {
              to[at] += from[place] * taps[tap];
            } else {
              to[place] += from[at] * taps[tap];
            }
          });
      }
    }
  });
}

// As pool_plain, over `planes` images and channels.
template <class T>
void pool_many_axes(const Windows& w, const PoolGeometry& settings, size_t planes, const T* x, T* y,
                    PoolIndices indices, const Parallel& parallel) noexcept {
  parallel.for_range(planes, 1, [&](size_t begin, size_t end, size_t) {
    for (size_t plane = begin; plane < end && !parallel.stopped(); ++plane) {
      const T* from = x + plane * w.size();
      for (size_t place = 0; place < w.places() && !parallel.stopped(); ++place) {
        T best = -std::numeric_limits<T>::infinity(), sum = 0;
        size_t met = 0;
        int64_t index = -1;
        const T p = static_cast<T>(settings.p);
        const size_t counted = w.taps(place, [&](size_t at, size_t, size_t column) {
          const T value = from[at];
          ++met;
          sum += settings.kind == PoolKind::lp ? std::pow(std::abs(value), p) : value;
          if (!(value > best) && index >= 0) return;
          if (value > best) best = value;
          index = static_cast<int64_t>(plane * w.size() + (indices.column_major ? column : at));
        });
        T& to = y[plane * w.places() + place];
        switch (settings.kind) {
          case PoolKind::max: to = best; break;
          case PoolKind::average: to = sum / static_cast<T>(settings.count_include_pad ? counted : met); break;
          case PoolKind::lp: to = std::pow(sum, T(1) / p); break;
        }
        if (indices.dst) indices.dst[plane * w.places() + place] = index;
      }
    }
  });
}

}  // namespace linnet
