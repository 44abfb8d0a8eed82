#include "quantize/blocks.h"

#include <algorithm>
#include <cmath>

namespace linnet {
namespace {

struct Block {
  float scale = 1.0f;
  int32_t zero = 0;
};

float decoded(int32_t code, const Block& block) { return static_cast<float>(code - block.zero) * block.scale; }

int32_t nearest(float x, const Block& block, int32_t most) {
  return std::clamp(static_cast<int32_t>(std::lrintf(x / block.scale)) + block.zero, 0, most);
}

// The number of the greatest magnitude gets the code 0, at the end that reaches further.
Block symmetric_block(std::span<const float> x, int32_t most) {
  float extreme = 0;
  for (const float v : x)
    if (std::fabs(v) > std::fabs(extreme)) extreme = v;
  Block block{1.0f, (most + 1) / 2};
  if (extreme != 0) block.scale = extreme / -static_cast<float>(block.zero);
  return block;
}

Block ranged_block(std::span<const float> x, int32_t most) {
  const auto [low, high] = std::minmax_element(x.begin(), x.end());
  const Quantization q = choose_quantization(*low, *high, {0, most}, false);
  return {q.scale, q.zero_point};
}

float total_error(std::span<const float> x, const Block& block, int32_t most) {
  float total = 0;
  for (const float v : x) total += std::fabs(v - decoded(nearest(v, block, most), block));
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
        const int32_t code = nearest(v, block, most);
        const float e = v - decoded(code, block), size = std::fabs(e);
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

struct Errors {
  double signal = 0, noise = 0;
  bool finite = true;
};

// Rows are quantised in tiles, so that a matrix with its rows far apart is read by cache lines.
constexpr int64_t kTile = 16;

}  // namespace

Result<QuantizedWeight> quantize_blocks(const MatrixView& matrix, const BlockScheme& scheme, const Parallel& parallel) {
  const int64_t blocks = ceil_div(matrix.depth, scheme.block), per_byte = 8 / scheme.bits;
  const int64_t row_bytes = blocks * scheme.block / per_byte, zero_bytes = ceil_div(blocks, per_byte);
  const int32_t most = (1 << scheme.bits) - 1;
  QuantizedWeight out;
  LINNET_ASSIGN(out.codes, make_tensor(DType::u8, Shape{matrix.rows, blocks, scheme.block / per_byte}));
  LINNET_ASSIGN(out.scale, make_tensor(DType::f32, Shape{matrix.rows * blocks}));
  if (scheme.has_zero_points()) {
    LINNET_ASSIGN(out.zero_point, make_tensor(DType::u8, Shape{matrix.rows * zero_bytes}));
  }
  uint8_t* codes = out.codes.ptr<uint8_t>();
  uint8_t* zeros = out.zero_point.ptr<uint8_t>();
  float* scales = out.scale.ptr<float>();
  const auto set_code = [&](uint8_t* bytes, int64_t i, int32_t code) {
    uint8_t& byte = bytes[i / per_byte];
    byte = static_cast<uint8_t>(byte | code << (i % per_byte * scheme.bits));
  };
  const auto quantize_row = [&](int64_t row, std::span<const float> numbers, Errors& errors) {
    for (int64_t b = 0; b < blocks; ++b) {
      const size_t first = static_cast<size_t>(b * scheme.block);
      const auto x = numbers.subspan(first, std::min(static_cast<size_t>(scheme.block), numbers.size() - first));
      const Block block = scheme.method == BlockMethod::half_quadratic ? half_quadratic_block(x, most)
                          : scheme.symmetric                           ? symmetric_block(x, most)
                                                                       : ranged_block(x, most);
      scales[row * blocks + b] = block.scale;
      if (zeros) set_code(zeros + row * zero_bytes, b, block.zero);
      float signal = 0, noise = 0;
      for (size_t i = 0; i < x.size(); ++i) {
        const int32_t code = nearest(x[i], block, most);
        set_code(codes + row * row_bytes, b * scheme.block + static_cast<int64_t>(i), code);
        const float e = x[i] - decoded(code, block);
        signal += x[i] * x[i];
        noise += e * e;
      }
      errors.signal += static_cast<double>(signal);
      errors.noise += static_cast<double>(noise);
    }
  };

  const size_t tiles = static_cast<size_t>(ceil_div(matrix.rows, kTile));
  std::vector<Errors> by_tile(tiles);
  const size_t tile_size = static_cast<size_t>(kTile * matrix.depth);
  std::vector<float> scratch(parallel.threads() * tile_size);
  parallel.for_range(tiles, 1, [&](size_t begin, size_t end, size_t worker) {
    const std::span<float> numbers = std::span(scratch).subspan(worker * tile_size, tile_size);
    for (size_t tile = begin; tile < end; ++tile) {
      const int64_t first = static_cast<int64_t>(tile) * kTile, rows = std::min(kTile, matrix.rows - first);
      float all = 0;  // becomes NaN through any element that is not finite
      for (int64_t k = 0; k < matrix.depth; ++k) {
        for (int64_t r = 0; r < rows; ++r) {
          const float v = matrix.data[(first + r) * matrix.row_stride + k * matrix.depth_stride];
          numbers[static_cast<size_t>(r * matrix.depth + k)] = v;
          all += v * 0.0f;
        }
      }
      by_tile[tile].finite = all == 0.0f;
      for (int64_t r = 0; by_tile[tile].finite && r < rows; ++r)
        quantize_row(first + r,
                     numbers.subspan(static_cast<size_t>(r * matrix.depth), static_cast<size_t>(matrix.depth)),
                     by_tile[tile]);
    }
  });
  Errors total;
  for (const Errors& errors : by_tile) {
    LINNET_REQUIRE(errors.finite, invalid_argument("the weight has elements that are infinite or no numbers"));
    total.signal += errors.signal;
    total.noise += errors.noise;
  }
  out.snr_db = snr_db(total.signal, total.noise);
  return out;
}

}  // namespace linnet
