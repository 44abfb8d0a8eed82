#include "quantize/blocks.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

namespace linnet {
namespace {

// The number of the greatest magnitude gets the code 0, at the end that reaches further.
Block symmetric_block(std::span<const float> x, int32_t most) {
  float extreme = 0;
  for (const float v : x)
    if (std::fabs(v) > std::fabs(extreme)) extreme = v;
  Block block{1.0f, (most + 1) / 2};
  const float scale = extreme / -static_cast<float>(block.zero);
  if (std::fabs(scale) >= std::numeric_limits<float>::min()) block.scale = scale;
  return block;
}

Block ranged_block(std::span<const float> x, int32_t most) {
  const auto [low, high] = std::minmax_element(x.begin(), x.end());
  const Quantization q = choose_quantization(*low, *high, {0, most}, false);
  return {q.scale, q.zero_point};
}

float total_error(std::span<const float> x, const Block& block, int32_t most) {
  float total = 0;
  for (const float v : x) total += std::fabs(v - block.decoded(block.nearest(v, most)));
  return total;
}

// Half-quadratic splitting: errors are shrunk towards sparseness, and the zero point follows the rest. From ranges that
// leave out more and more of what lies far off, the one with the least errors.
Block half_quadratic_block(std::span<const float> x, int32_t most) {
  constexpr int kRounds = 8;
  constexpr float kNorm = 0.7f, kBeta = 10.0f;
  const Block whole = ranged_block(x, most);
  Block best = whole;
  float least = total_error(x, whole, most);
  for (const float part : {1.0f, 0.9f, 0.8f, 0.7f, 0.6f}) {
    Block block{whole.scale * part, whole.zero};
    for (int round = 0; round < kRounds; ++round) {
      float zero = 0;
      for (const float v : x) {
        const int32_t code = block.nearest(v, most);
        const float e = v - block.decoded(code), size = std::fabs(e);
        // The proximal operator of |e|^kNorm.
        const float shrunk = size == 0 ? 0.0f : std::max(0.0f, size - kNorm * std::pow(size, kNorm - 1.0f) / kBeta);
        zero += static_cast<float>(code) - (v - std::copysign(shrunk, e)) / block.scale;
      }
      const int32_t moved = std::clamp(static_cast<int32_t>(std::lrintf(zero / static_cast<float>(x.size()))), 0, most);
      if (moved == block.zero) break;
      block.zero = moved;
    }
    if (const float error = total_error(x, block, most); error < least) {
      least = error;
      best = block;
    }
  }
  return best;
}

// Of ranges narrower by hundredths, the one with the least sum of errors to the power of 2.4.
Block narrowed(std::span<const float> x, const Block& whole, int32_t most) {
  constexpr int kGrid = 100, kMostShrunk = 80;
  Block best = whole;
  float least = std::numeric_limits<float>::infinity();
  for (int i = 0; i < kMostShrunk; ++i) {
    const Block block{whole.scale * (1.0f - static_cast<float>(i) / kGrid), whole.zero};
    float total = 0;
    for (const float v : x) {
      const float e = std::fabs(v - block.decoded(block.nearest(v, most)));
      if (e != 0) total += std::exp2(2.4f * std::log2(e));
    }
    if (total < least) {
      least = total;
      best = block;
    }
  }
  return best;
}

template <class T>
bool read_as(const MatrixView& m, int64_t first, int64_t count, float* to) noexcept {
  const char* from = static_cast<const char*>(m.data);
  float all = 0;  // becomes NaN through any element that is not finite
  const auto copy = [&](int64_t row, int64_t k) {
    T element;
    std::memcpy(&element, from + ((first + row) * m.row_stride + k * m.depth_stride) * ptrdiff_t{sizeof(T)},
                sizeof element);
    const float v = static_cast<float>(element);
    to[row * m.depth + k] = v;
    all += v * 0.0f;
  };
  // In the order in which they lie.
  if (m.depth_stride == 1) {
    for (int64_t r = 0; r < count; ++r)
      for (int64_t k = 0; k < m.depth; ++k) copy(r, k);
  } else {
    for (int64_t k = 0; k < m.depth; ++k)
      for (int64_t r = 0; r < count; ++r) copy(r, k);
  }
  return all == 0.0f;
}

// Rows are quantised in tiles, so that a matrix with its rows far apart is read by cache lines.
constexpr int64_t kTile = 16;

}  // namespace

bool MatrixView::read(int64_t first, int64_t count, float* to) const noexcept {
  switch (type) {
    case DType::f16: return read_as<f16>(*this, first, count, to);
    case DType::bf16: return read_as<bf16>(*this, first, count, to);
    case DType::f64: return read_as<double>(*this, first, count, to);
    default: return read_as<float>(*this, first, count, to);
  }
}

int32_t Block::nearest(float x, int32_t most) const noexcept {
  return std::clamp(static_cast<int32_t>(std::lrintf(x / scale)) + zero, 0, most);
}

Block choose_block(std::span<const float> numbers, const BlockScheme& scheme) noexcept {
  const int32_t most = scheme.most();
  if (scheme.method == BlockMethod::half_quadratic) return half_quadratic_block(numbers, most);
  const Block block = scheme.symmetric ? symmetric_block(numbers, most) : ranged_block(numbers, most);
  return scheme.mse ? narrowed(numbers, block, most) : block;
}

Result<BlockWriter> BlockWriter::make(int64_t rows, int64_t depth, const BlockScheme& scheme) {
  BlockWriter w;
  w.bits_ = scheme.bits;
  w.per_byte_ = 8 / scheme.bits;
  w.blocks_ = ceil_div(depth, scheme.block);
  w.row_bytes_ = w.blocks_ * scheme.block / w.per_byte_;
  w.zero_bytes_ = ceil_div(w.blocks_, w.per_byte_);
  LINNET_ASSIGN(w.out_.codes, make_tensor(DType::u8, Shape{rows, w.blocks_, scheme.block / w.per_byte_}));
  LINNET_ASSIGN(w.out_.scale, make_tensor(DType::f32, Shape{rows * w.blocks_}));
  if (scheme.has_zero_points()) {
    LINNET_ASSIGN(w.out_.zero_point, make_tensor(DType::u8, Shape{rows * w.zero_bytes_}));
  }
  w.codes_ = w.out_.codes.ptr<uint8_t>();
  w.zeros_ = w.out_.zero_point.ptr<uint8_t>();
  w.scales_ = w.out_.scale.ptr<float>();
  return w;
}

void BlockWriter::set_block(int64_t row, int64_t index, const Block& block) noexcept {
  scales_[row * blocks_ + index] = block.scale;
  if (zeros_) set(zeros_ + row * zero_bytes_, index, block.zero);
}

Result<QuantizedWeight> BlockWriter::finish(std::span<const Errors> errors) {
  Errors total;
  for (const Errors& part : errors) {
    LINNET_REQUIRE(part.finite, invalid_argument("the weight has elements that are infinite or no numbers"));
    total.signal += part.signal;
    total.noise += part.noise;
  }
  out_.snr_db = snr_db(total.signal, total.noise);
  return std::move(out_);
}

Result<QuantizedWeight> quantize_blocks(const MatrixView& matrix, const BlockScheme& scheme, const Parallel& parallel) {
  const int32_t most = scheme.most();
  LINNET_ASSIGN(BlockWriter writer, BlockWriter::make(matrix.rows, matrix.depth, scheme));
  const auto quantize_row = [&](int64_t row, std::span<const float> numbers, BlockWriter::Errors& errors) {
    for (int64_t b = 0; b < writer.blocks(); ++b) {
      const size_t first = static_cast<size_t>(b * scheme.block);
      const auto x = numbers.subspan(first, std::min(static_cast<size_t>(scheme.block), numbers.size() - first));
      const Block block = choose_block(x, scheme);
      writer.set_block(row, b, block);
      float signal = 0, noise = 0;
      for (size_t i = 0; i < x.size(); ++i) {
        const int32_t code = block.nearest(x[i], most);
        writer.set_code(row, b * scheme.block + static_cast<int64_t>(i), code);
        const float e = x[i] - block.decoded(code);
        signal += x[i] * x[i];
        noise += e * e;
      }
      errors.signal += static_cast<double>(signal);
      errors.noise += static_cast<double>(noise);
    }
  };

  const size_t tiles = static_cast<size_t>(ceil_div(matrix.rows, kTile));
  std::vector<BlockWriter::Errors> by_tile(tiles);
  const size_t tile_size = static_cast<size_t>(kTile * matrix.depth);
  std::vector<float> scratch(parallel.threads() * tile_size);
  parallel.for_range(tiles, 1, [&](size_t begin, size_t end, size_t worker) {
    const std::span<float> numbers = std::span(scratch).subspan(worker * tile_size, tile_size);
    for (size_t tile = begin; tile < end; ++tile) {
      const int64_t first = static_cast<int64_t>(tile) * kTile, rows = std::min(kTile, matrix.rows - first);
      by_tile[tile].finite = matrix.read(first, rows, numbers.data());
      for (int64_t r = 0; by_tile[tile].finite && r < rows; ++r)
        quantize_row(first + r,
                     numbers.subspan(static_cast<size_t>(r * matrix.depth), static_cast<size_t>(matrix.depth)),
                     by_tile[tile]);
    }
  });
  return writer.finish(by_tile);
}

}  // namespace linnet
