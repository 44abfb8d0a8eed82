#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "quantize/calibration/range.h"

namespace linnet {
namespace {

// What a bin that a distribution does not have gets of those it has, so that the logarithm is finite.
constexpr double kSmoothing = 1e-4;

struct Smoothed {
  double zero, taken;  // the count of an empty bin; what the others give for that
};
Smoothed smoothing(size_t empty, size_t filled) {
  return {kSmoothing, kSmoothing * static_cast<double>(empty) / static_cast<double>(filled)};
}

}  // namespace

std::pair<size_t, size_t> least_divergence(std::span<const uint64_t> counts, size_t levels) {
  const size_t size = counts.size(), zero = size / 2;
  std::vector<uint64_t> before(size + 1, 0);
  for (size_t i = 0; i < size; ++i) before[i + 1] = before[i] + counts[i];
  double least = std::numeric_limits<double>::infinity();
  std::pair<size_t, size_t> best{0, size};
  std::vector<double> p, q;
  for (size_t reach = levels / 2; reach <= zero; ++reach) {
    const size_t begin = zero - reach, end = std::min(zero + reach + 1, size), n = end - begin;
    // p: what is cut off counts at the ends.
    p.assign(counts.begin() + static_cast<ptrdiff_t>(begin), counts.begin() + static_cast<ptrdiff_t>(end));
    p.front() += static_cast<double>(before[begin]);
    p.back() += static_cast<double>(before[size] - before[end]);
    // q: each level's count spread over those of its bins that p has.
    q.assign(n, 0);
    const size_t merged = n / levels;
    for (size_t level = 0; level < levels; ++level) {
      const size_t first = level * merged, last = first + merged;
      const size_t stop = level + 1 == levels ? n : last;
      const auto filled = std::count_if(p.begin() + static_cast<ptrdiff_t>(first),
                                        p.begin() + static_cast<ptrdiff_t>(last), [](double c) { return c != 0; });
      if (filled == 0) continue;
      const double mean =
          std::floor(static_cast<double>(before[begin + stop] - before[begin + first]) / static_cast<double>(filled));
      std::fill(q.begin() + static_cast<ptrdiff_t>(first), q.begin() + static_cast<ptrdiff_t>(last), mean);
    }
    const auto empty_p = static_cast<size_t>(std::count(p.begin(), p.end(), 0.0));
    const auto empty_q = static_cast<size_t>(std::count(q.begin(), q.end(), 0.0));
    if (empty_p == n || empty_q == n) continue;
    const Smoothed of_p = smoothing(empty_p, n - empty_p), of_q = smoothing(empty_q, n - empty_q);
    double sum_p = 0, sum_q = 0;
    for (size_t i = 0; i < n; ++i) {
      p[i] = p[i] == 0 ? of_p.zero : p[i] - of_p.taken;
      q[i] = q[i] == 0 ? of_q.zero : q[i] - of_q.taken;
      sum_p += p[i];
      sum_q += q[i];
    }
    double divergence = 0;
    for (size_t i = 0; i < n; ++i) divergence += p[i] / sum_p * std::log(p[i] / sum_p / (q[i] / sum_q));
    if (divergence < least) {
      least = divergence;
      best = {begin, end};
    }
  }
  return best;
}

ValueRange entropy_range(const Observer& observer, size_t num_bins, size_t num_quantized_bins) {
  const Histogram& histogram = observer.histogram();
  const std::span<const uint64_t> bins = histogram.bins();
  const double magnitude = std::max(std::fabs(observer.least()), std::fabs(observer.greatest()));
  // As bins over what is in use.
  std::vector<uint64_t> counts(num_bins, 0);
  const double per_bin = static_cast<double>(num_bins) / (2 * magnitude);
  const auto bin_of = [&](double x) {
    const double bin = std::floor((x + magnitude) * per_bin);
    return static_cast<size_t>(std::clamp(bin, 0.0, static_cast<double>(num_bins - 1)));
  };
  for (size_t i = 0; i < bins.size(); ++i)
    if (bins[i] != 0) counts[bin_of(histogram.edge(i) + histogram.width() / 2)] += bins[i];
  counts[bin_of(0)] += histogram.zeros();
  const auto [begin, end] = least_divergence(counts, num_quantized_bins);
  const auto edge = [&](size_t bin) { return static_cast<float>(static_cast<double>(bin) / per_bin - magnitude); };
  return {edge(begin), edge(end)};
}

}  // namespace linnet
