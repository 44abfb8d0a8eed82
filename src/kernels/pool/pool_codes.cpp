#include <algorithm>
#include <cstring>

#include "kernels/pool/pool_window.h"
#include "kernels/quant/code_math.h"

namespace linnet {

void max_pool_codes(const PoolGeometry& g, bool is_signed, const uint8_t* src, uint8_t* dst,
                    const Parallel& parallel) noexcept {
  const size_t positions = positions_of(g.dst);
  const double item_ns = static_cast<double>(positions_of(g.kernel)) * (10.0 + static_cast<double>(g.channels) * 0.05);
  parallel.for_range(g.batch * positions, grain_for(item_ns), [&](size_t begin, size_t end, size_t) {
    for (size_t item = begin; item < end; ++item) {
      if (item % 1024 == 0 && parallel.stopped()) return;
      const size_t p = item % positions;
      const PoolSpan spans[kSpatialAxes] = {pool_span(g, 0, p / g.dst[2] / g.dst[1]),
                                            pool_span(g, 1, p / g.dst[2] % g.dst[1]), pool_span(g, 2, p % g.dst[2])};
      const uint8_t* image = src + item / positions * positions_of(g.src) * g.channels;
      uint8_t* to = dst + item * g.channels;
      const auto at = [&](size_t axis, size_t tap) {
        return static_cast<size_t>(spans[axis].start + static_cast<ptrdiff_t>(tap * g.dilation[axis]));
      };
      bool first = true;
      for (size_t a = spans[0].first; a < spans[0].last; ++a)
        for (size_t b = spans[1].first; b < spans[1].last; ++b)
          for (size_t c = spans[2].first; c < spans[2].last; ++c) {
            const uint8_t* from = image + ((at(0, a) * g.src[1] + at(1, b)) * g.src[2] + at(2, c)) * g.channels;
            if (first) {
              std::memcpy(to, from, g.channels);
            } else {
              max_codes(is_signed, from, to, g.channels);
            }
            first = false;
          }
      if (first) std::memset(to, is_signed ? -128 : 0, g.channels);
    }
  });
}

}  // namespace linnet
