#include "kernels/recurrent/recurrent_double.h"

#include <algorithm>

namespace linnet {
namespace {

// One direction: `sums` holds the gates of one row in the standard's order.
class Layer {
 public:
  Layer(const RecurrentArgs& args, const DoubleTensors& t)
      : a_(args),
        t_(t),
        gates_(gates_of(args.cell)),
        h_(t.scratch),
        c_(h_ + args.hidden),
        sums_(c_ + args.hidden),
        r_sums_(sums_ + gates_ * args.hidden) {}

  // Sample b moves on by its x of step `at`.
  void step(size_t at, size_t b) {
    const size_t hidden = a_.hidden;
    const double* x = t_.x + (a_.batch_first ? b * a_.steps + at : at * a_.batch + b) * a_.input;
    for (size_t g = 0; g < gates_ * hidden; ++g) {
      sums_[g] = bias(g) + dot(t_.w + g * a_.input, x, a_.input);
      // A GRU's candidate waits for its reset gate.
      if (a_.cell != CellKind::gru || g < 2 * hidden)
        sums_[g] += bias(gates_ * hidden + g) + dot(t_.r + g * hidden, h_, hidden);
    }
    switch (a_.cell) {
      case CellKind::rnn:
        for (size_t i = 0; i < hidden; ++i) h_[i] = activated(0, sums_[i]);
        break;
      case CellKind::gru: gru(); break;
      case CellKind::lstm: lstm(); break;
    }
  }

  double* h() noexcept { return h_; }
  double* c() noexcept { return c_; }

 private:
  static double dot(const double* a, const double* b, size_t n) noexcept {
    double sum = 0;
    for (size_t i = 0; i < n; ++i) sum += a[i] * b[i];
    return sum;
  }
  double bias(size_t i) const noexcept { return t_.bias ? t_.bias[i] : 0.0; }
  double peephole(size_t gate, size_t i) const noexcept {
    return t_.peepholes ? t_.peepholes[gate * a_.hidden + i] : 0.0;
  }

  double activated(size_t which, double value, bool clipped = true) const noexcept {
    const GateActivation& f = a_.activations[which];
    const double clip = static_cast<double>(a_.clip);
    if (clipped) value = value > clip ? clip : value < -clip ? -clip : value;
    value *= static_cast<double>(f.in_scale);
    if (f.has_fn) unary(f.fn, f.params, &value, &value, 1, Parallel());
    return value * static_cast<double>(f.out_scale) + static_cast<double>(f.out_shift);
  }

  void lstm() {
    const size_t n = a_.hidden;
    for (size_t i = 0; i < n; ++i) {
      const double in = activated(0, sums_[i] + peephole(0, i) * c_[i]);
      const double forget = a_.input_forget ? 1.0 - in : activated(0, sums_[2 * n + i] + peephole(2, i) * c_[i]);
      c_[i] = forget * c_[i] + in * activated(1, sums_[3 * n + i]);
      h_[i] = activated(0, sums_[n + i] + peephole(1, i) * c_[i]) * activated(2, c_[i], false);
    }
  }

  void gru() {
    const size_t n = a_.hidden;
    for (size_t i = 0; i < 2 * n; ++i) sums_[i] = activated(0, sums_[i]);
    const double *update = sums_, *reset = sums_ + n;
    if (a_.linear_before_reset) {
      for (size_t i = 0; i < n; ++i) r_sums_[i] = reset[i] * (dot(t_.r + (2 * n + i) * n, h_, n) + bias(5 * n + i));
    } else {
      for (size_t i = 0; i < n; ++i) c_[i] = reset[i] * h_[i];  // a GRU has no cell state
      for (size_t i = 0; i < n; ++i) r_sums_[i] = dot(t_.r + (2 * n + i) * n, c_, n) + bias(5 * n + i);
    }
    for (size_t i = 0; i < n; ++i)
      h_[i] = (1.0 - update[i]) * activated(1, sums_[2 * n + i] + r_sums_[i]) + update[i] * h_[i];
  }

  const RecurrentArgs& a_;
  const DoubleTensors& t_;
  size_t gates_;
  double *h_, *c_, *sums_, *r_sums_;
};

}  // namespace

size_t recurrent_double_scratch(const RecurrentArgs& args) noexcept { return (gates_of(args.cell) + 3) * args.hidden; }

void recurrent_double(const RecurrentArgs& args, const DoubleTensors& t, const Parallel& parallel) noexcept {
  const size_t n = args.hidden;
  Layer layer(args, t);
  const auto start = [&](const double* from, size_t b, double* to) {
    if (from) {
      std::copy_n(from + b * args.initial_stride, n, to);
    } else {
      std::fill_n(to, n, 0.0);
    }
  };
  for (size_t b = 0; b < args.batch && !parallel.stopped(); ++b) {
    const size_t length = args.lengths ? static_cast<size_t>(args.lengths[b]) : args.steps;
    start(t.initial_h, b, layer.h());
    start(t.initial_c, b, layer.c());
    for (size_t s = 0; s < length; ++s) {
      const size_t at = args.reverse ? length - 1 - s : s;
      layer.step(at, b);
      if (t.y) std::copy_n(layer.h(), n, t.y + at * args.y_step + b * args.y_batch);
    }
    for (size_t s = length; s < args.steps && t.y; ++s) std::fill_n(t.y + s * args.y_step + b * args.y_batch, n, 0.0);
    if (length == 0) {
      std::fill_n(layer.h(), n, 0.0);
      std::fill_n(layer.c(), n, 0.0);
    }
    if (t.y_h) std::copy_n(layer.h(), n, t.y_h + b * args.last_stride);
    if (t.y_c) std::copy_n(layer.c(), n, t.y_c + b * args.last_stride);
  }
}

}  // namespace linnet
