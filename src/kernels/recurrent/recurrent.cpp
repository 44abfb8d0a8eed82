#include "kernels/recurrent/recurrent.h"

#include <algorithm>
#include <optional>

#include "base/checked.h"
#include "kernels/gemm/gemm.h"
#include "kernels/quant/int_block.h"
#include "kernels/quant/int_gemm_format.h"
#include "kernels/quant/packed_check.h"
#include "kernels/quant/quantize.h"
#include "kernels/recurrent/cell.h"

namespace linnet {
namespace {

constexpr size_t kProductRows = 128;  // of x at a time: enough for a fast product, few enough to stay in the cache
constexpr size_t kStopSteps = 16;     // between two looks at `stopped`

// Sizes that follow from the arguments, and where everything lies in scratch (in floats).
struct Layout {
  size_t blocks, units, stride;  // of hidden units: blocks of 16, padded, and between rows
  size_t row;                    // of sums
  bool chunked;
  size_t chunk;  // steps whose x is multiplied at once
  size_t bias_x, bias_r, peepholes, h[2], c[2], reset, sums, x_sums, gemm;
  size_t gemm_bytes;
  // With codes: what they multiply, the scales of W's product, and of R's what its panels and rows add.
  size_t x_codes, h_codes, scales, epilogues, h_sums, h_rows;
  size_t depth;  // of R, whole quads
  std::optional<size_t> bytes;

  GemmArgs x_product(const RecurrentArgs& a) const {
    GemmArgs g;
    g.m = chunk * a.batch;
    g.n = row;
    g.k = a.input;
    g.lda = a.input;
    g.ldc = row;
    return g;
  }

  Layout(const RecurrentArgs& a, size_t threads) {
    blocks = ceil_div(a.hidden, kUnitBlock);
    units = blocks * kUnitBlock;
    stride = units % 1024 == 0 ? units + kUnitBlock : units;  // so that gemm takes rows as they are
    row = gates_of(a.cell) * units;
    // A chunk of steps must be a run of rows of x, the same steps for all sequences.
    chunked = (!a.batch_first || a.batch == 1) && !(a.reverse && a.lengths);
    chunk = chunked ? std::min(a.steps, std::max<size_t>(1, kProductRows / std::max<size_t>(1, a.batch))) : a.steps;
    size_t floats = 0;
    bool fits = true;
    const auto take = [&](size_t count, size_t rows) {
      const size_t at = floats;
      const std::optional<size_t> size = checked_mul(count, rows);
      const std::optional<size_t> sum = size ? checked_add(floats, *size) : std::nullopt;
      fits = fits && sum;
      floats = sum.value_or(0);
      return at;
    };
    bias_x = take(row, 1);
    bias_r = take(units, 1);
    peepholes = take(units, 3);
    for (size_t i = 0; i < 2; ++i) h[i] = take(stride, a.batch);
    for (size_t i = 0; i < 2; ++i) c[i] = take(stride, a.batch);
    reset = take(stride, a.batch);
    sums = take(row, a.batch);
    const std::optional<size_t> rows = checked_mul(chunk, a.batch);
    fits = fits && rows;
    x_sums = take(row, rows.value_or(0));
    if (a.w_codes.packed) {
      const auto take_bytes = [&](std::optional<size_t> count) {
        fits = fits && count && *count < SIZE_MAX - 64;
        return take(fits ? ceil_div(*count, size_t{64}) * 16 : 0, 1);
      };
      depth = round_up(a.hidden, 4);
      x_codes = take_bytes(checked_mul(rows.value_or(0), a.input));
      h_codes = take_bytes(checked_mul(depth, a.batch));
      scales = take(row, 1);
      epilogues = take_bytes(row / kIntPanel * sizeof(PanelEpilogue));
      h_sums = take_bytes(checked_mul(a.batch, sizeof(int32_t)));
      h_rows = take_bytes(checked_mul(a.batch, sizeof(const uint8_t*)));
    }
    gemm = floats;
    gemm_bytes = !fits              ? 0
                 : a.w_codes.packed ? int_gemm_scratch(*rows, a.input, false)
                                    : gemm_scratch_size(x_product(a), threads);
    const std::optional<size_t> own = checked_mul(floats, sizeof(float));
    if (fits && own) bytes = checked_add(*own, gemm_bytes);
  }
};

class Run {
 public:
  Run(const RecurrentArgs& args, const Parallel& parallel)
      : a_(args), parallel_(parallel), at_(args, parallel.threads()), scratch_(args.scratch) {}

  void operator()() {
    prepare();
    const size_t chunk = std::max<size_t>(1, at_.chunk);
    for (size_t step = 0; step < a_.steps; ++step) {
      if (step % kStopSteps == 0 && parallel_.stopped()) return;
      if (step % chunk == 0) multiply_x(step, std::min(chunk, a_.steps - step));
      advance(step);
      now_ ^= 1;
    }
    for (size_t b = 0; b < a_.batch; ++b) {
      if (length(b) == 0) {  // no step, no state: as ONNX Runtime has it
        std::fill_n(h(now_, b), a_.hidden, 0.0f);
        std::fill_n(c(now_, b), a_.hidden, 0.0f);
      }
      if (a_.y_h) std::copy_n(h(now_, b), a_.hidden, a_.y_h + b * a_.last_stride);
      if (a_.y_c) std::copy_n(c(now_, b), a_.hidden, a_.y_c + b * a_.last_stride);
    }
  }

 private:
  float* h(size_t which, size_t b) const { return scratch_ + at_.h[which] + b * at_.stride; }
  float* c(size_t which, size_t b) const { return scratch_ + at_.c[which] + b * at_.stride; }
  size_t length(size_t b) const { return a_.lengths ? static_cast<size_t>(a_.lengths[b]) : a_.steps; }

  void prepare() {
    std::fill_n(scratch_, at_.sums, 0.0f);
    const size_t gates = gates_of(a_.cell);
    const bool apart = a_.cell == CellKind::gru && a_.linear_before_reset;
    for (size_t gate = 0; a_.bias && gate < gates; ++gate)
      for (size_t unit = 0; unit < a_.hidden; ++unit) {
        const float of_w = a_.bias[gate * a_.hidden + unit], of_r = a_.bias[(gates + gate) * a_.hidden + unit];
        float& sum =
            scratch_[at_.bias_x + gate_offset(a_.cell, at_.blocks, unit / kUnitBlock, gate) + unit % kUnitBlock];
        if (apart && gate == 2) {
          sum = of_w;
          scratch_[at_.bias_r + unit] = of_r;
        } else {
          sum = of_w + of_r;
        }
      }
    if (a_.r_codes.packed) {
      of_x_ = quantization_for(range_with_zero(a_.x, a_.steps * a_.batch * a_.input));
      std::fill_n(scratch_ + at_.epilogues, at_.row / kIntPanel * sizeof(PanelEpilogue) / sizeof(float), 0.0f);
      for (size_t i = 0; a_.r_codes.zero && i < at_.row; ++i)
        bytes_at<PanelEpilogue>(at_.epilogues)[i / kIntPanel].b_zero[i % kIntPanel] = a_.r_codes.zero[i];
    }
    for (size_t i = 0; a_.peepholes && i < 3; ++i)
      std::copy_n(a_.peepholes + i * a_.hidden, a_.hidden, scratch_ + at_.peepholes + i * at_.units);
    for (size_t b = 0; b < a_.batch; ++b) {
      if (a_.initial_h) std::copy_n(a_.initial_h + b * a_.initial_stride, a_.hidden, h(0, b));
      if (a_.initial_c) std::copy_n(a_.initial_c + b * a_.initial_stride, a_.hidden, c(0, b));
      for (size_t t = length(b); a_.y && t < a_.steps; ++t)
        std::fill_n(a_.y + t * a_.y_step + b * a_.y_batch, a_.hidden, 0.0f);
    }
  }

  void multiply_x(size_t step, size_t count) {
    GemmArgs g = at_.x_product(a_);
    g.m = count * a_.batch;
    first_time_ = !at_.chunked ? 0 : a_.reverse ? a_.steps - step - count : step;
    if (a_.w_codes.packed) return multiply_x_codes(g.m);
    g.a = a_.x + first_time_ * a_.batch * a_.input;
    g.b = a_.w;
    g.bias = scratch_ + at_.bias_x;
    g.c = scratch_ + at_.x_sums;
    g.scratch = scratch_ + at_.gemm;
    gemm(g, parallel_);
  }

  void multiply_x_codes(size_t rows) {
    auto* codes = bytes_at<uint8_t>(at_.x_codes);
    quantize(a_.x + first_time_ * a_.batch * a_.input, codes, rows * a_.input, of_x_.scale, of_x_.zero_point);
    float* scales = scratch_ + at_.scales;
    for (size_t i = 0; i < at_.row; ++i) scales[i] = of_x_.scale * a_.w_codes.scale[i];
    IntGemm g;
    g.m = rows;
    g.n = g.ldc = at_.row;
    g.k = g.lda = a_.input;
    g.a = codes;
    g.a_zero = of_x_.zero_point;
    g.b = a_.w_codes.packed;
    g.b_signed = true;
    g.b_zero = a_.w_codes.zero;
    g.b_zero_by_column = true;
    g.output = IntOutput::f32;
    g.c = scratch_ + at_.x_sums;
    g.scale = scales;
    g.scale_by_column = true;
    g.float_bias = scratch_ + at_.bias_x;
    int_gemm(g, bytes_at<std::byte>(at_.gemm), parallel_);
  }

  // What R multiplies next, where it has codes.
  void quantize_state(size_t state) {
    if (!a_.r_codes.packed) return;
    FloatRange range;
    for (size_t b = 0; b < a_.batch; ++b) {
      const FloatRange of_row = range_with_zero(scratch_ + state + b * at_.stride, a_.hidden);
      range = {std::min(range.min, of_row.min), std::max(range.max, of_row.max)};
    }
    of_state_ = quantization_for(range);
    for (size_t b = 0; b < a_.batch; ++b) {
      uint8_t* to = bytes_at<uint8_t>(at_.h_codes) + b * at_.depth;
      quantize(scratch_ + state + b * at_.stride, to, a_.hidden, of_state_.scale, of_state_.zero_point);
      std::fill(to + a_.hidden, to + at_.depth, of_state_.zero_point);
      bytes_at<const uint8_t*>(at_.h_rows)[b] = to;
      if (a_.r_codes.zero) bytes_at<int32_t>(at_.h_sums)[b] = static_cast<int32_t>(sum_of_bytes(to, at_.depth));
    }
  }

  void multiply_r_codes(size_t column, size_t columns) const {
    const auto* headers = reinterpret_cast<const IntPanelHeader*>(a_.r_codes.packed);
    const size_t quads = at_.depth / 4;
    for (size_t p = column / kIntPanel; p < (column + columns) / kIntPanel; ++p) {
      const IntPanelHeader& header = headers[p];
      const auto* panel = reinterpret_cast<const int8_t*>(a_.r_codes.packed + header.offset);
      PanelEpilogue& e = bytes_at<PanelEpilogue>(at_.epilogues)[p];
      const bool balanced = header.balanced != 0 && a_.batch <= balanced_rows();
      std::fill_n(e.add, kIntPanel, 0);
      add_zero_points(e, header.sums, at_.depth, of_state_.zero_point, balanced);
      for (size_t c = 0; c < kIntPanel; ++c) e.scale[c] = of_state_.scale * a_.r_codes.scale[p * kIntPanel + c];
      float* c = scratch_ + at_.sums + p * kIntPanel;
      int_block({bytes_at<const uint8_t*>(at_.h_rows),
                 a_.batch,
                 panel,
                 reinterpret_cast<const uint32_t*>(panel + quads * 64),
                 header.paired,
                 header.singles,
                 quads - header.paired - header.singles,
                 a_.r_codes.zero ? bytes_at<int32_t>(at_.h_sums) : nullptr,
                 balanced,
                 {IntOutput::f32, 0, kIntPanel, &e},
                 reinterpret_cast<std::byte*>(c),
                 at_.row * sizeof(float)});
    }
  }

  template <class T>
  T* bytes_at(size_t floats) const {
    return reinterpret_cast<T*>(scratch_ + floats);
  }

  // The row of x sums for sequence b at this step.
  const float* x_row(size_t step, size_t b) const {
    const size_t t = time(step, b);
    const size_t row = a_.batch_first && a_.batch > 1 ? b * a_.steps + t : (t - first_time_) * a_.batch + b;
    return scratch_ + at_.x_sums + row * at_.row;
  }
  size_t time(size_t step, size_t b) const { return a_.reverse ? length(b) - 1 - step : step; }

  // sums = rows of `state` times the panels of `gates` gates of blocks [begin, end), which start at `gate`.
  void multiply_r(size_t state, size_t begin, size_t end, size_t gate, size_t gates) const {
    const size_t offset = gate_offset(a_.cell, at_.blocks, begin, gate), columns = (end - begin) * gates * kUnitBlock;
    if (a_.r_codes.packed) return multiply_r_codes(offset, columns);
    GemmArgs g;
    g.m = a_.batch;
    g.n = columns;
    g.k = a_.hidden;
    g.a = scratch_ + state;
    g.lda = at_.stride;
    g.b = a_.r + offset * a_.hidden;
    g.c = scratch_ + at_.sums + offset;
    g.ldc = at_.row;
    gemm(g, Parallel());
  }

  void for_rows(size_t step, size_t begin, size_t end, void (*cell)(const CellRow&) noexcept, bool last) const {
    CellRow row{};
    row.args = &a_;
    row.blocks = at_.blocks;
    row.begin = begin, row.end = end;
    row.bias_r = scratch_ + at_.bias_r;
    row.peepholes = a_.peepholes ? scratch_ + at_.peepholes : nullptr;
    const size_t unit = begin * kUnitBlock, units = std::min(a_.hidden, end * kUnitBlock) - unit;
    for (size_t b = 0; b < a_.batch; ++b) {
      row.h_before = h(now_, b), row.c_before = c(now_, b);
      row.h = h(now_ ^ 1, b), row.c = c(now_ ^ 1, b);
      if (step >= length(b)) {
        std::copy_n(row.h_before + unit, units, row.h + unit);
        std::copy_n(row.c_before + unit, units, row.c + unit);
        continue;
      }
      row.x = x_row(step, b);
      row.sums = scratch_ + at_.sums + b * at_.row;
      row.reset = a_.cell == CellKind::gru && !a_.linear_before_reset ? scratch_ + at_.reset + b * at_.stride : nullptr;
      cell(row);
      if (last && a_.y) std::copy_n(row.h + unit, units, a_.y + time(step, b) * a_.y_step + b * a_.y_batch + unit);
    }
  }

  void advance(size_t step) {
    // A thread takes at least so many blocks that they are worth waking it.
    const double block_ns = static_cast<double>(gates_of(a_.cell) * kUnitBlock * a_.hidden) *
                            std::max(0.05, 0.02 * static_cast<double>(a_.batch));
    const size_t grain = ceil_div(grain_for(block_ns), size_t{2});
    const size_t state = at_.h[now_];
    quantize_state(state);
    if (a_.cell == CellKind::gru) {
      parallel_.for_range(at_.blocks, grain, [&](size_t begin, size_t end, size_t) {
        multiply_r(state, begin, end, 0, 2);
        for_rows(step, begin, end, gru_gates, false);
        if (!a_.linear_before_reset) return;
        multiply_r(state, begin, end, 2, 1);
        for_rows(step, begin, end, gru_cell, true);
      });
      if (a_.linear_before_reset) return;
      quantize_state(at_.reset);
      parallel_.for_range(at_.blocks, grain, [&](size_t begin, size_t end, size_t) {
        multiply_r(at_.reset, begin, end, 2, 1);
        for_rows(step, begin, end, gru_cell, true);
      });
      return;
    }
    parallel_.for_range(at_.blocks, grain, [&](size_t begin, size_t end, size_t) {
      multiply_r(state, begin, end, 0, gates_of(a_.cell));
      for_rows(step, begin, end, a_.cell == CellKind::lstm ? lstm_cell : rnn_cell, true);
    });
  }

  const RecurrentArgs& a_;
  const Parallel& parallel_;
  const Layout at_;
  float* const scratch_;
  size_t now_ = 0;                  // which of the two states holds the step before
  size_t first_time_ = 0;           // of the x sums in memory
  QuantizationU8 of_x_, of_state_;  // what x, and what R multiplies, is rounded to
};

}  // namespace

size_t recurrent_packed_size(CellKind cell, size_t hidden, size_t k) noexcept {
  const auto columns = checked_mul(ceil_div(hidden, kUnitBlock) * kUnitBlock, gates_of(cell));
  return columns ? packed_b_size(k, *columns) : std::numeric_limits<size_t>::max();
}

void pack_recurrent(CellKind cell, size_t hidden, size_t k, const float* src, float* dst,
                    const Parallel& parallel) noexcept {
  const size_t blocks = ceil_div(hidden, kUnitBlock), gates = gates_of(cell);
  parallel.for_range(blocks, grain_for(static_cast<double>(gates * k) * 10.0), [&](size_t begin, size_t end, size_t) {
    for (size_t block = begin; block < end; ++block)
      for (size_t gate = 0; gate < gates; ++gate) {
        const size_t unit = block * kUnitBlock;
        pack_b(src + (gate * hidden + unit) * k, k, std::min(kUnitBlock, hidden - unit), k, true,
               dst + gate_offset(cell, blocks, block, gate) * k, Parallel());
      }
  });
}

size_t recurrent_columns(CellKind cell, size_t hidden) noexcept {
  return gates_of(cell) * ceil_div(hidden, kUnitBlock) * kUnitBlock;
}

size_t recurrent_column(CellKind cell, size_t hidden, size_t gate, size_t unit) noexcept {
  return gate_offset(cell, ceil_div(hidden, kUnitBlock), unit / kUnitBlock, gate) + unit % kUnitBlock;
}

size_t recurrent_codes_size(CellKind cell, size_t hidden, size_t k) noexcept {
  return round_up(int_gemm_packed_size(k, recurrent_columns(cell, hidden)), 64);
}

void pack_recurrent_codes(CellKind cell, size_t hidden, size_t k, const int8_t* src, std::byte* dst,
                          const Parallel& parallel) noexcept {
  int_gemm_pack({src, k, recurrent_columns(cell, hidden), 1, k, true}, dst, parallel);
}

bool recurrent_codes_valid(std::span<const std::byte> packed, CellKind cell, size_t hidden, size_t k) noexcept {
  return int_gemm_valid(packed, k, recurrent_columns(cell, hidden));
}

size_t recurrent_scratch_size(const RecurrentArgs& args, size_t threads) noexcept {
  return Layout(args, threads).bytes.value_or(std::numeric_limits<size_t>::max());
}

void recurrent(const RecurrentArgs& args, const Parallel& parallel) noexcept {
  if (args.batch != 0 && args.hidden != 0) Run(args, parallel)();
}

}  // namespace linnet
