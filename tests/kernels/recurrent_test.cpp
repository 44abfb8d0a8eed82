// Recurrent layers at every instruction set of this machine, against the standard's equations in double precision.
#include "kernels/recurrent/recurrent.h"

#include <cmath>
#include <new>
#include <vector>

#include <gtest/gtest.h>

#include "base/result.h"
#include "each_isa.h"
#include "noise.h"
#include "split_parallel.h"

namespace linnet {
namespace {

using Floats = std::vector<float>;

struct Aligned {
  explicit Aligned(size_t bytes) : data(static_cast<float*>(::operator new(bytes + 64, std::align_val_t{64}))) {
    std::fill_n(data, bytes / sizeof(float), std::nanf(""));
  }
  ~Aligned() { ::operator delete(data, std::align_val_t{64}); }
  Aligned(const Aligned&) = delete;
  Aligned& operator=(const Aligned&) = delete;
  float* data;
};

// A layer: sizes and flags in `args`, operands here.
struct Layer {
  RecurrentArgs args;
  Floats x, w, r, bias, peepholes, initial_h, initial_c;
  std::vector<int32_t> lengths;

  Layer(CellKind cell, size_t steps, size_t batch, size_t input, size_t hidden) {
    args.cell = cell;
    args.steps = steps, args.batch = batch, args.input = input, args.hidden = hidden;
    const size_t gates = gates_of(cell) * hidden;
    x = noise(steps * batch * input, 1, 0.6f);
    w = noise(gates * input, 2, 0.6f);
    r = noise(gates * hidden, 3, 0.6f);
    for (float& v : r) v *= 0.5f;
    bias = noise(2 * gates, 4, 0.6f);
    peepholes = noise(3 * hidden, 5, 0.6f);
    initial_h = noise(batch * (hidden + 1), 6, 0.6f);
    initial_c = noise(batch * (hidden + 1), 7, 0.6f);
    if (cell == CellKind::lstm) {
      args.activations[0].fn = UnaryFn::sigmoid;
    } else if (cell == CellKind::gru) {
      args.activations[0].fn = UnaryFn::sigmoid;
    }
    args.initial_stride = args.last_stride = hidden + 1;
    args.y_step = args.batch * (hidden + 2);
    args.y_batch = hidden + 2;
  }

  const float* x_at(size_t t, size_t b) const {
    return x.data() + (args.batch_first ? b * args.steps + t : t * args.batch + b) * args.input;
  }
};

// Weights of a layer in 8 bits, in the kernel's order of columns; those of the layer become what they stand for.
struct Codes {
  std::vector<int8_t> codes;
  Floats scale;
  std::vector<int32_t> zero;
  std::vector<std::byte> memory;

  Codes(CellKind cell, size_t hidden, size_t k, Floats& weights, bool with_zero)
      : codes(recurrent_columns(cell, hidden) * k), scale(recurrent_columns(cell, hidden)), zero(scale.size()) {
    for (size_t gate = 0; gate < gates_of(cell); ++gate)
      for (size_t unit = 0; unit < hidden; ++unit) {
        const size_t column = recurrent_column(cell, hidden, gate, unit);
        scale[column] = 0.6f / 127.0f * (1.0f + 0.1f * static_cast<float>(unit % 3));
        zero[column] = with_zero ? static_cast<int32_t>(unit % 5) * 20 - 40 : 0;
        float* row = weights.data() + (gate * hidden + unit) * k;
        for (size_t i = 0; i < k; ++i) {
          const float code = std::nearbyint(row[i] / scale[column]) + static_cast<float>(zero[column]);
          codes[column * k + i] = static_cast<int8_t>(std::min(127.0f, std::max(-128.0f, code)));
          row[i] = static_cast<float>(codes[column * k + i] - zero[column]) * scale[column];
        }
      }
    if (!with_zero) zero.clear();
    memory.resize(recurrent_codes_size(cell, hidden, k) + 64);
  }
  RecurrentCodes pack(CellKind cell, size_t hidden, size_t k) {
    std::byte* to = memory.data() + (64 - reinterpret_cast<uintptr_t>(memory.data()) % 64) % 64;
    pack_recurrent_codes(cell, hidden, k, codes.data(), to, Parallel());
    EXPECT_TRUE(recurrent_codes_valid({to, memory.size() - 64}, cell, hidden, k));
    return {to, scale.data(), zero.empty() ? nullptr : zero.data()};
  }
};

struct Outputs {
  Floats y, y_h, y_c;
};

Outputs run(const Layer& layer, const Parallel& parallel, Codes* w_codes = nullptr, Codes* r_codes = nullptr) {
  RecurrentArgs a = layer.args;
  Aligned w(recurrent_packed_size(a.cell, a.hidden, a.input)), r(recurrent_packed_size(a.cell, a.hidden, a.hidden));
  pack_recurrent(a.cell, a.hidden, a.input, layer.w.data(), w.data, parallel);
  pack_recurrent(a.cell, a.hidden, a.hidden, layer.r.data(), r.data, parallel);
  Outputs out;
  out.y.assign(a.steps * a.y_step, 7.0f);
  out.y_h.assign(a.batch * a.last_stride, 7.0f);
  out.y_c = out.y_h;
  a.x = layer.x.data();
  a.w = w.data, a.r = r.data;
  if (w_codes) {
    a.w = a.r = nullptr;
    a.w_codes = w_codes->pack(a.cell, a.hidden, a.input);
    a.r_codes = r_codes->pack(a.cell, a.hidden, a.hidden);
  }
  a.y = out.y.data(), a.y_h = out.y_h.data(), a.y_c = a.cell == CellKind::lstm ? out.y_c.data() : nullptr;
  // Flags that say which operands are there.
  if (a.bias) a.bias = layer.bias.data();
  if (a.peepholes) a.peepholes = layer.peepholes.data();
  if (a.initial_h) a.initial_h = layer.initial_h.data();
  if (a.initial_c) a.initial_c = layer.initial_c.data();
  if (!layer.lengths.empty()) a.lengths = layer.lengths.data();
  Aligned scratch(recurrent_scratch_size(a, parallel.threads()));
  a.scratch = scratch.data;
  recurrent(a, parallel);
  return out;
}

double apply(const GateActivation& g, double x) {
  x *= g.in_scale;
  if (g.has_fn) switch (g.fn) {
      case UnaryFn::sigmoid: x = 1.0 / (1.0 + std::exp(-x)); break;
      case UnaryFn::tanh: x = std::tanh(x); break;
      case UnaryFn::relu: x = std::max(x, 0.0); break;
      case UnaryFn::softsign: x = x / (1.0 + std::abs(x)); break;
      default: ADD_FAILURE() << "not in the oracle";
    }
  return x * g.out_scale + g.out_shift;
}

// The equations of the standard, one number at a time.
Outputs expected(const Layer& layer) {
  const RecurrentArgs& a = layer.args;
  const size_t gates = gates_of(a.cell), hidden = a.hidden;
  Outputs out;
  out.y.assign(a.steps * a.y_step, 7.0f);
  out.y_h.assign(a.batch * a.last_stride, 7.0f);
  out.y_c = out.y_h;
  const auto clipped = [&](double v) { return std::min<double>(a.clip, std::max<double>(-a.clip, v)); };
  for (size_t b = 0; b < a.batch; ++b) {
    const size_t length = layer.lengths.empty() ? a.steps : static_cast<size_t>(layer.lengths[b]);
    std::vector<double> h(hidden), c(hidden);
    for (size_t u = 0; u < hidden; ++u) {
      if (length == 0) continue;
      if (a.initial_h) h[u] = layer.initial_h[b * a.initial_stride + u];
      if (a.initial_c) c[u] = layer.initial_c[b * a.initial_stride + u];
    }
    for (size_t t = 0; t < a.steps; ++t)
      for (size_t u = 0; u < hidden && t >= length; ++u) out.y[t * a.y_step + b * a.y_batch + u] = 0.0f;
    for (size_t step = 0; step < length; ++step) {
      const size_t t = a.reverse ? length - 1 - step : step;
      const auto of_w = [&](size_t gate, size_t u) {
        double sum = a.bias ? layer.bias[gate * hidden + u] : 0.0f;
        for (size_t i = 0; i < a.input; ++i)
          sum += static_cast<double>(layer.x_at(t, b)[i]) * layer.w[(gate * hidden + u) * a.input + i];
        return sum;
      };
      const auto of_r = [&](size_t gate, size_t u, const std::vector<double>& state) {
        double sum = a.bias ? layer.bias[(gates + gate) * hidden + u] : 0.0f;
        for (size_t i = 0; i < hidden; ++i) sum += state[i] * layer.r[(gate * hidden + u) * hidden + i];
        return sum;
      };
      const auto sum_of = [&](size_t gate, size_t u) { return of_w(gate, u) + of_r(gate, u, h); };
      const auto peephole = [&](size_t which, size_t u, double state) {
        return a.peepholes ? layer.peepholes[which * hidden + u] * state : 0.0;
      };
      std::vector<double> next(hidden), next_c(hidden), reset(hidden), r(hidden);
      if (a.cell == CellKind::gru)
        for (size_t u = 0; u < hidden; ++u) {
          r[u] = apply(a.activations[0], clipped(sum_of(1, u)));
          reset[u] = r[u] * h[u];
        }
      for (size_t u = 0; u < hidden; ++u) {
        if (a.cell == CellKind::rnn) {
          next[u] = apply(a.activations[0], clipped(sum_of(0, u)));
        } else if (a.cell == CellKind::gru) {
          const double z = apply(a.activations[0], clipped(sum_of(0, u)));
          const double candidate =
              a.linear_before_reset ? of_w(2, u) + r[u] * of_r(2, u, h) : of_w(2, u) + of_r(2, u, reset);
          next[u] = (1 - z) * apply(a.activations[1], clipped(candidate)) + z * h[u];
        } else {
          const double in = apply(a.activations[0], clipped(sum_of(0, u) + peephole(0, u, c[u])));
          const double forget =
              a.input_forget ? 1 - in : apply(a.activations[0], clipped(sum_of(2, u) + peephole(2, u, c[u])));
          next_c[u] = forget * c[u] + in * apply(a.activations[1], clipped(sum_of(3, u)));
          const double o = apply(a.activations[0], clipped(sum_of(1, u) + peephole(1, u, next_c[u])));
          next[u] = o * apply(a.activations[2], next_c[u]);
        }
      }
      h = next;
      c = next_c;
      for (size_t u = 0; u < hidden; ++u) out.y[t * a.y_step + b * a.y_batch + u] = static_cast<float>(h[u]);
    }
    for (size_t u = 0; u < hidden; ++u) {
      out.y_h[b * a.last_stride + u] = static_cast<float>(h[u]);
      if (a.cell == CellKind::lstm) out.y_c[b * a.last_stride + u] = static_cast<float>(c[u]);
    }
  }
  return out;
}

void expect_near(const Floats& actual, const Floats& wanted, const char* what) {
  ASSERT_EQ(actual.size(), wanted.size());
  for (size_t i = 0; i < actual.size(); ++i) ASSERT_NEAR(actual[i], wanted[i], 5e-6) << what << " " << i;
}

void check(const Layer& layer) {
  const Outputs wanted = expected(layer);
  const Outputs actual = run(layer, Parallel());
  expect_near(actual.y, wanted.y, "y");
  expect_near(actual.y_h, wanted.y_h, "y_h");
  expect_near(actual.y_c, wanted.y_c, "y_c");
  const Outputs split = run(layer, SplitParallel(3));
  EXPECT_EQ(actual.y, split.y) << "depends on the threads";
  EXPECT_EQ(actual.y_h, split.y_h);
}

const float kPresent = 0.0f;
constexpr CellKind kCells[] = {CellKind::rnn, CellKind::gru, CellKind::lstm};

TEST(RecurrentTest, SizesAndDirections) {
  for_each_isa([] {
    for (CellKind cell : kCells)
      for (bool reverse : {false, true})
        for (bool batch_first : {false, true})
          for (const auto& [steps, batch, input, hidden] : {std::array<size_t, 4>{1, 1, 1, 1},
                                                            {5, 1, 3, 16},
                                                            {7, 2, 9, 20},
                                                            {4, 3, 2, 70},
                                                            {200, 1, 2, 17},
                                                            {150, 3, 2, 5}}) {
            Layer layer(cell, steps, batch, input, hidden);
            layer.args.reverse = reverse;
            layer.args.batch_first = batch_first;
            layer.args.bias = &kPresent;
            layer.args.initial_h = layer.args.initial_c = &kPresent;
            SCOPED_TRACE(
                concat("cell ", static_cast<int>(cell), " steps ", steps, " batch ", batch, " hidden ", hidden));
            check(layer);
            if (::testing::Test::HasFatalFailure()) return;
          }
  });
}

TEST(RecurrentTest, LengthsPadWithZerosAndKeepTheState) {
  for_each_isa([] {
    for (CellKind cell : kCells)
      for (bool reverse : {false, true})
        for (bool batch_first : {false, true}) {
          Layer layer(cell, 6, 4, 3, 18);
          layer.args.reverse = reverse;
          layer.args.batch_first = batch_first;
          layer.args.initial_h = &kPresent;
          layer.lengths = {6, 0, 3, 1};
          check(layer);
          if (::testing::Test::HasFatalFailure()) return;
        }
  });
}

TEST(RecurrentTest, OptionsOfEachCell) {
  Layer lstm(CellKind::lstm, 5, 2, 4, 21);
  lstm.args.bias = lstm.args.peepholes = lstm.args.initial_c = &kPresent;
  lstm.args.clip = 0.3f;
  check(lstm);
  lstm.args.input_forget = true;
  lstm.args.activations[1].fn = UnaryFn::softsign;
  lstm.args.activations[2] = {false, UnaryFn::abs, {}, 1.0f, 0.5f, 0.1f};
  check(lstm);
  Layer gru(CellKind::gru, 5, 2, 4, 21);
  gru.args.bias = &kPresent;
  gru.args.linear_before_reset = true;
  gru.args.activations[1] = {true, UnaryFn::tanh, {}, 0.5f, 1.7f, 0.0f};
  check(gru);
  Layer rnn(CellKind::rnn, 5, 2, 4, 21);
  rnn.args.activations[0].fn = UnaryFn::relu;
  rnn.args.clip = 0.25f;
  check(rnn);
}

TEST(RecurrentTest, ManyThreadsDivideTheUnits) {
  Layer layer(CellKind::gru, 3, 1, 8, 300);
  check(layer);
  Layer wide(CellKind::lstm, 3, 65, 8, 1024);
  wide.args.bias = &kPresent;
  const Outputs whole = run(wide, Parallel());
  EXPECT_EQ(whole.y, run(wide, SplitParallel(4)).y);
}

// Inputs and states are rounded to one of 255 steps of a range of about 2, and their errors add up.
TEST(RecurrentTest, WeightsOf8Bits) {
  for_each_isa([] {
    for (const CellKind cell : kCells)
      for (const bool with_zero : {false, true})
        for (const bool linear_before_reset : {false, true})
          for (const auto& [steps, batch, input, hidden] :
               {std::array<size_t, 4>{1, 1, 1, 1}, {5, 1, 3, 16}, {7, 2, 9, 20}, {4, 3, 8, 70}, {150, 1, 2, 17}}) {
            Layer layer(cell, steps, batch, input, hidden);
            layer.args.linear_before_reset = linear_before_reset;
            layer.args.reverse = with_zero;
            layer.args.batch_first = linear_before_reset;
            layer.args.bias = &kPresent;
            layer.args.initial_h = layer.args.initial_c = &kPresent;
            if (batch == 2) layer.lengths = {3, 7};
            if (cell == CellKind::rnn) layer.args.clip = 2.0f;
            Codes w(cell, hidden, input, layer.w, with_zero), r(cell, hidden, hidden, layer.r, with_zero);
            SCOPED_TRACE(concat("cell ", static_cast<int>(cell), " steps ", steps, " hidden ", hidden, with_zero));
            const Outputs wanted = expected(layer), actual = run(layer, Parallel(), &w, &r);
            for (size_t i = 0; i < wanted.y.size(); ++i) ASSERT_NEAR(actual.y[i], wanted.y[i], 0.04) << i;
            for (size_t i = 0; i < wanted.y_h.size(); ++i) ASSERT_NEAR(actual.y_h[i], wanted.y_h[i], 0.04) << i;
            EXPECT_EQ(actual.y, run(layer, SplitParallel(3), &w, &r).y) << "depends on the threads";
          }
  });
}

TEST(RecurrentTest, NoSteps) {
  Layer layer(CellKind::lstm, 0, 2, 3, 4);
  layer.args.initial_h = &kPresent;
  check(layer);
}

}  // namespace
}  // namespace linnet
