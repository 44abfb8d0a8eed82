#include "quantize/gptq.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "base/checked.h"
#include "kernels/gemm/gemm.h"
#include "kernels/gemm/plain_product.h"

namespace linnet {
namespace {

constexpr size_t kNarrow = 64;   // columns of a step of the factorisation
constexpr size_t kStrip = 16;    // of them, which lie together while they are multiplied
constexpr size_t kBatch = 64;    // columns whose errors are carried on to later batches together
constexpr size_t kTile = 16;     // rows that are read together
constexpr size_t kChunk = 1024;  // rows at once, which bounds the memory

double ns(size_t operations, double each) { return static_cast<double>(operations) * each; }

// A square matrix of doubles of which the lower half counts.
class Lower {
 public:
  explicit Lower(size_t n) : n_(n), cells_(n * n) {}
  double* row(size_t i) noexcept { return cells_.data() + i * n_; }

  // Becomes L, where it was L transposed(L). False where it is not positive definite.
  bool factorise(const Parallel& parallel);
  // Becomes its inverse.
  void invert(const Parallel& parallel);

 private:
  // `rows` rows of a by a strip of `k`.
  void multiply(const double* a, size_t a_row, size_t rows, size_t k, const double* strip, double* c,
                size_t ldc) const noexcept {
    PlainProduct<double> p;
    p.n = kStrip;
    p.k = k;
    p.a = a;
    p.a_row = a_row;
    p.b = strip;
    p.b_row = kStrip;
    p.c = c;
    p.ldc = ldc;
    double_product(p, 0, rows);
  }

  size_t n_;
  std::vector<double> cells_;
};

bool Lower::factorise(const Parallel& parallel) {
  std::vector<double> less(n_ * kNarrow), strips(n_ * kNarrow);
  for (size_t from = 0; from < n_ && !parallel.stopped(); from += kNarrow) {
    const size_t columns = std::min(kNarrow, n_ - from), rows = n_ - from;
    // Columns [from, from + columns) lose the products of their rows with all rows below, as far as they are known.
    parallel.for_range(kNarrow / kStrip, grain_for(ns(from * kStrip, 1.0)), [&](size_t begin, size_t end, size_t) {
      for (size_t c = begin * kStrip; c < end * kStrip; ++c) {
        double* strip = strips.data() + c / kStrip * kStrip * n_ + c % kStrip;
        for (size_t x = 0; x < from; ++x) strip[x * kStrip] = c < columns ? row(from + c)[x] : 0.0;
      }
    });
    parallel.for_range(rows, grain_for(ns(from * columns, 0.1)), [&](size_t begin, size_t end, size_t) {
      for (size_t c = 0; c < columns; c += kStrip)
        multiply(row(from + begin), n_, end - begin, from, strips.data() + c * n_, less.data() + begin * kNarrow + c,
                 kNarrow);
      for (size_t r = begin; r < end; ++r)
        for (size_t c = 0; c < columns; ++c) row(from + r)[from + c] -= less[r * kNarrow + c];
    });
    const auto solve = [&](size_t i, size_t last) {
      double* x = row(i) + from;
      for (size_t j = 0; j < last; ++j) {
        const double* l = row(from + j) + from;
        double sum = x[j];
        for (size_t t = 0; t < j; ++t) sum -= x[t] * l[t];
        x[j] = sum / l[j];
      }
    };
    for (size_t j = 0; j < columns; ++j) {
      solve(from + j, j);
      double* x = row(from + j) + from;
      for (size_t t = 0; t < j; ++t) x[j] -= x[t] * x[t];
      if (!(x[j] > 0) || !std::isfinite(x[j])) return false;
      x[j] = std::sqrt(x[j]);
    }
    parallel.for_range(rows - columns, grain_for(ns(columns * columns, 0.5)), [&](size_t begin, size_t end, size_t) {
      for (size_t r = begin; r < end; ++r) solve(from + columns + r, columns);
    });
  }
  return true;
}

void Lower::invert(const Parallel& parallel) {
  std::vector<double> sums(kNarrow * n_), corner(kNarrow * kNarrow), strips(parallel.threads() * n_ * kStrip);
  for (size_t from = 0; from < n_ && !parallel.stopped(); from += kNarrow) {
    const size_t count = std::min(kNarrow, n_ - from);
    // The inverse of the corner on the diagonal, column by column.
    std::fill(corner.begin(), corner.end(), 0.0);
    for (size_t c = 0; c < count; ++c) {
      for (size_t r = c; r < count; ++r) {
        const double* l = row(from + r) + from;
        double sum = r == c ? 1.0 : 0.0;
        for (size_t t = c; t < r; ++t) sum -= l[t] * corner[t * kNarrow + c];
        corner[r * kNarrow + c] = sum / l[r];
      }
    }
    // Rows of the inverse left of the corner: -corner (rows of L) (what is inverted above).
    parallel.for_range(
        from / kStrip, grain_for(ns(from * kStrip * kNarrow, 0.05)), [&](size_t begin, size_t end, size_t worker) {
          double* strip = strips.data() + worker * n_ * kStrip;
          for (size_t column = begin * kStrip; column < end * kStrip; column += kStrip) {
            for (size_t x = column; x < from; ++x) std::copy_n(row(x) + column, kStrip, strip + (x - column) * kStrip);
            multiply(row(from) + column, n_, count, from - column, strip, sums.data() + column * kNarrow, kStrip);
          }
        });
    parallel.for_range(from / kStrip, grain_for(ns(kStrip * kNarrow * kNarrow, 0.1)),
                       [&](size_t begin, size_t end, size_t) {
                         for (size_t column = begin * kStrip; column < end * kStrip; column += kStrip) {
                           double* to = row(from) + column;
                           multiply(corner.data(), kNarrow, count, count, sums.data() + column * kNarrow, to, n_);
                           for (size_t r = 0; r < count; ++r)
                             for (size_t c = 0; c < kStrip; ++c) to[r * n_ + c] = -to[r * n_ + c];
                         }
                       });
    for (size_t r = 0; r < count; ++r)
      for (size_t c = 0; c < count; ++c) row(from + r)[from + c] = corner[r * kNarrow + c];
  }
}

// The part of the products of different channels that is not chance: the variance of correlations against their
// squares.
double trusted_part(const Gram& inputs) {
  double chance = 0, squares = 0;
  for (size_t i = 0; i < inputs.channels(); ++i) {
    for (size_t j = i + 1; j < inputs.channels(); ++j) {
      const double norms = static_cast<double>(inputs.at(i, i)) * static_cast<double>(inputs.at(j, j));
      const double product = static_cast<double>(inputs.at(i, j));
      if (norms == 0) continue;
      const double square = std::min(1.0, product * product / norms);
      chance += (1 - square) * (1 - square);
      squares += square;
    }
  }
  if (squares == 0) return 1;
  return std::clamp(1 - chance / squares / static_cast<double>(inputs.rows()), 0.0, 1.0);
}

// The upper factor U of the inverse, transposed(U) U, of the products in this order of the channels, damped. With the
// order reversed U is the inverse of the products' own lower factor.
std::vector<float> inverse_factor(const Gram& inputs, const std::vector<size_t>& order, double percdamp, double trusted,
                                  const Parallel& parallel) {
  const size_t n = order.size();
  double mean = 0;
  for (size_t i = 0; i < n; ++i) mean += static_cast<double>(inputs.at(i, i)) / static_cast<double>(n);
  Lower lower(n);
  // Products of few vectors, or of vectors alike, have no inverse without damping.
  for (bool done = false; !done; percdamp = std::max(percdamp * 10, 1e-8)) {
    for (size_t i = 0; i < n; ++i) {
      for (size_t j = 0; j <= i; ++j) {
        const auto [a, b] = std::minmax(order[n - 1 - i], order[n - 1 - j]);
        lower.row(i)[j] = static_cast<double>(inputs.at(a, b)) * (a == b ? 1.0 : trusted);
      }
      lower.row(i)[i] += percdamp * mean;
    }
    done = lower.factorise(parallel);
  }
  lower.invert(parallel);
  std::vector<float> upper(n * n);
  for (size_t i = 0; i < n; ++i)
    for (size_t j = i; j < n; ++j) upper[i * n + j] = static_cast<float>(lower.row(n - 1 - i)[n - 1 - j]);
  return upper;
}

// The block of the least sum of squared errors, each times its column's cost: of narrower ranges, too, and of those
// that reach further to the other side or lie a code aside.
Block fit_block(std::span<const float> x, std::span<const float> costs, const BlockScheme& scheme) {
  constexpr int kGrid = 40, kMostShrunk = 12;
  const int32_t most = scheme.most();
  const Block whole = choose_block(x, scheme);
  // Of the middle code, one side has a code less.
  const float mirrored = static_cast<float>(whole.zero) / static_cast<float>(most - whole.zero);
  Block best = whole;
  float least = std::numeric_limits<float>::infinity();
  const auto consider = [&](const Block& block) {
    float total = 0;
    for (size_t i = 0; i < x.size(); ++i) {
      const float e = x[i] - block.decoded(block.nearest(x[i], most));
      total += costs[i] * e * e;
    }
    if (!(total < least)) return;
    least = total;
    best = block;
  };
  for (int i = 0; i < kMostShrunk; ++i) {
    const float scale = whole.scale * (1.0f - static_cast<float>(i) / kGrid);
    consider({scale, whole.zero});
    if (scheme.symmetric) consider({-scale * mirrored, whole.zero});
    if (!scheme.symmetric && whole.zero > 0) consider({scale, whole.zero - 1});
    if (!scheme.symmetric && whole.zero < most) consider({scale, whole.zero + 1});
  }
  return best;
}

// Rows of the matrix, `depth` columns in the order in which they are rounded.
class Rounding {
 public:
  Rounding(const MatrixView& matrix, const BlockScheme& scheme, const GptqFactor& factor, BlockWriter& writer)
      : matrix_(matrix),
        scheme_(scheme),
        order_(factor.order),
        blocks_first_(factor.reordered),
        upper_(factor.upper),
        writer_(writer),
        depth_(factor.order.size()),
        block_(static_cast<size_t>(scheme.block)),
        batch_(std::max(kBatch, block_)),
        costs_(depth_) {
    scheme_.mse = false;
    for (size_t j = 0; j < depth_; ++j) {
      const float u = upper_[j * depth_ + j];
      costs_[order_[j]] = 1 / (u * u);
    }
    // Where one column alone counts, what it has to make up for needs the range of all.
    for (size_t k = 0; k < depth_; k += block_) {
      const std::span<float> costs = std::span(costs_).subspan(k, std::min(block_, depth_ - k));
      const float least = *std::max_element(costs.begin(), costs.end()) / 16;
      for (float& cost : costs) cost = std::max(cost, least);
    }
  }

  void round_rows(size_t first, size_t count, std::span<BlockWriter::Errors> errors, const Parallel& parallel) {
    weights_.resize(count * depth_);
    wanted_.resize(count * depth_);
    errors_.resize(count * batch_);
    blocks_.resize(count * static_cast<size_t>(writer_.blocks()));
    parallel.for_range(ceil_div(count, kTile), grain_for(ns(kTile * depth_, 1.0)),
                       [&](size_t begin, size_t end, size_t) {
                         for (size_t tile = begin; tile < end; ++tile)
                           take(first, tile * kTile, std::min((tile + 1) * kTile, count), errors);
                       });
    for (size_t from = 0; from < depth_ && !parallel.stopped(); from += batch_) {
      const size_t to = std::min(from + batch_, depth_);
      parallel.for_range(count, grain_for(ns((to - from) * (to - from), 1.0)), [&](size_t begin, size_t end, size_t) {
        for (size_t r = begin; r < end; ++r) round_batch(first + r, r, from, to, errors[r]);
      });
      if (to == depth_) break;
      GemmArgs g;
      g.m = count;
      g.n = depth_ - to;
      g.k = to - from;
      g.a = errors_.data();
      g.lda = batch_;
      g.b = upper_.data() + from * depth_ + to;
      g.b_form = BForm::rows;
      g.ldb = g.ldc = g.ld_addend = depth_;
      g.alpha = -1.0f;
      g.c = weights_.data() + to;
      g.addend = g.c;
      g.scratch = gemm_scratch(g, parallel, scratch_);
      gemm(g, parallel);
    }
  }

 private:
  void take(size_t first, size_t begin, size_t end, std::span<BlockWriter::Errors> errors) {
    const bool finite = matrix_.read(static_cast<int64_t>(first + begin), static_cast<int64_t>(end - begin),
                                     wanted_.data() + begin * depth_);
    for (size_t r = begin; r < end; ++r) {
      errors[r].finite = finite;
      if (!finite) continue;
      const std::span<const float> wanted(wanted_.data() + r * depth_, depth_);
      for (size_t j = 0; j < depth_; ++j) weights_[r * depth_ + j] = wanted[order_[j]];
      for (size_t k = 0; blocks_first_ && k < depth_; k += block_)
        choose(first + r, r, k / block_, wanted.subspan(k, std::min(block_, depth_ - k)));
    }
  }

  void choose(size_t row, size_t r, size_t block, std::span<const float> numbers) {
    Block& chosen = blocks_[r * static_cast<size_t>(writer_.blocks()) + block];
    chosen = fit_block(numbers, std::span<const float>(costs_).subspan(block * block_, numbers.size()), scheme_);
    writer_.set_block(static_cast<int64_t>(row), static_cast<int64_t>(block), chosen);
  }

  void round_batch(size_t row, size_t r, size_t from, size_t to, BlockWriter::Errors& errors) {
    if (!errors.finite) return;
    float* w = weights_.data() + r * depth_;
    float* error = errors_.data() + r * batch_;
    for (size_t j = from; j < to; ++j) {
      const size_t k = order_[j];
      if (!blocks_first_ && j % block_ == 0)
        choose(row, r, j / block_, std::span<const float>(w + j, std::min(block_, depth_ - j)));
      const Block& block = blocks_[r * static_cast<size_t>(writer_.blocks()) + k / block_];
      const int32_t code = block.nearest(w[j], scheme_.most());
      writer_.set_code(static_cast<int64_t>(row), static_cast<int64_t>(k), code);
      const float decoded = block.decoded(code);
      const double wanted = static_cast<double>(wanted_[r * depth_ + k]), off = wanted - static_cast<double>(decoded);
      errors.signal += wanted * wanted;
      errors.noise += off * off;
      const float* u = upper_.data() + j * depth_;
      const float e = (w[j] - decoded) / u[j];
      error[j - from] = e;
      for (size_t t = j + 1; t < to; ++t) w[t] -= e * u[t];
    }
  }

  const MatrixView& matrix_;
  BlockScheme scheme_;
  const std::vector<size_t>& order_;
  const bool blocks_first_;
  const std::vector<float>& upper_;
  BlockWriter& writer_;
  const size_t depth_, block_, batch_;
  std::vector<float> wanted_;   // as they are, [row][depth]
  std::vector<float> weights_;  // in the order of rounding, with what they make up for
  std::vector<float> errors_, scratch_;
  std::vector<Block> blocks_;
  std::vector<float> costs_;  // what a squared error in each column costs when those behind it make up for it
};

}  // namespace

std::string complaint(const Gram& inputs) {
  if (inputs.ragged()) return "its input's width differs between samples";
  if (inputs.rows() == 0) return "its input had no elements in the calibration data";
  double sum = 0;
  for (size_t i = 0; i < inputs.channels(); ++i) sum += static_cast<double>(inputs.at(i, i));
  if (std::isnan(sum)) return "its input is not a number somewhere in the calibration data";
  if (std::isinf(sum)) return "its input is infinite, or too large to square, somewhere in the calibration data";
  if (sum == 0) return "its input is zero in all of the calibration data";
  return {};
}

GptqFactor make_gptq_factor(const Gram& inputs, const GptqOptions& options, const Parallel& parallel) {
  GptqFactor factor;
  factor.order.resize(inputs.channels());
  std::iota(factor.order.begin(), factor.order.end(), size_t{0});
  factor.reordered = options.actorder;
  if (options.actorder)
    std::stable_sort(factor.order.begin(), factor.order.end(),
                     [&](size_t a, size_t b) { return inputs.at(a, a) > inputs.at(b, b); });
  factor.upper =
      inverse_factor(inputs, factor.order, options.percdamp, options.shrink ? trusted_part(inputs) : 1.0, parallel);
  return factor;
}

Result<QuantizedWeight> quantize_gptq(const MatrixView& matrix, const BlockScheme& scheme, const GptqFactor& factor,
                                      const Parallel& parallel) {
  LINNET_CHECK(static_cast<int64_t>(factor.order.size()) == matrix.depth);
  LINNET_ASSIGN(BlockWriter writer, BlockWriter::make(matrix.rows, matrix.depth, scheme));
  std::vector<BlockWriter::Errors> errors(static_cast<size_t>(matrix.rows));
  Rounding rounding(matrix, scheme, factor, writer);
  for (size_t first = 0; first < errors.size(); first += kChunk) {
    const size_t count = std::min(kChunk, errors.size() - first);
    rounding.round_rows(first, count, std::span(errors).subspan(first, count), parallel);
    LINNET_REQUIRE(!parallel.stopped(), error(Code::cancelled, "quantising was cancelled"));
  }
  return writer.finish(errors);
}

}  // namespace linnet
