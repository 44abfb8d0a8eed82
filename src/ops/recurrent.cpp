// Recurrent layers.
// https://onnx.ai/onnx/operators/onnx__LSTM.html, ...GRU, ...RNN; with 8-bit weights com.microsoft's
// DynamicQuantizeLSTM,
// https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md#com.microsoft.DynamicQuantizeLSTM,
// and the same of all three, with W and R in the standard's order, as linnet.DynamicQuantizeLSTM, ...GRU, ...RNN.
#include <algorithm>
#include <limits>
#include <vector>

#include "kernels/elementwise/half_convert.h"
#include "kernels/recurrent/recurrent.h"
#include "kernels/recurrent/recurrent_double.h"
#include "ops/infer_shapes.h"
#include "ops/packing.h"
#include "ops/recurrent_weights.h"

namespace linnet {
namespace {

// Positions of inputs and outputs.
enum : size_t { kX, kW, kR, kB, kLengths, kInitialH, kInitialC, kP, kWScale, kWZero, kRScale, kRZero };
enum : size_t { kY, kYH, kYC };

struct KnownActivation {
  std::string_view name;  // in lower case
  UnaryFn fn;
  int parameters;  // of activation_alpha and activation_beta that it takes
  float alpha, beta;
};
constexpr KnownActivation kActivations[] = {
    {"relu", UnaryFn::relu, 0, 0, 0},
    {"tanh", UnaryFn::tanh, 0, 0, 0},
    {"sigmoid", UnaryFn::sigmoid, 0, 0, 0},
    {"softsign", UnaryFn::softsign, 0, 0, 0},
    {"softplus", UnaryFn::softplus, 0, 0, 0},
    {"leakyrelu", UnaryFn::leaky_relu, 1, 0.01f, 0},
    {"thresholdedrelu", UnaryFn::thresholded_relu, 1, 1.0f, 0},
    {"elu", UnaryFn::elu, 1, 1.0f, 0},
    {"hardsigmoid", UnaryFn::hard_sigmoid, 2, 0.2f, 0.5f},
    {"affine", UnaryFn::abs, 2, 1.0f, 0},
    {"scaledtanh", UnaryFn::tanh, 2, 1.0f, 1.0f},
};

// Takes what the activation needs from the front of `alphas` and `betas`.
Result<GateActivation> parse_activation(std::string name, std::span<const float>& alphas,
                                        std::span<const float>& betas) {
  std::transform(name.begin(), name.end(), name.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
  const auto take = [](std::span<const float>& from, float fallback) {
    if (from.empty()) return fallback;
    const float value = from.front();
    from = from.subspan(1);
    return value;
  };
  for (const KnownActivation& known : kActivations) {
    if (known.name != name) continue;
    const float alpha = known.parameters >= 1 ? take(alphas, known.alpha) : 0.0f;
    const float beta = known.parameters >= 2 ? take(betas, known.beta) : 0.0f;
    GateActivation a;
    a.fn = known.fn;
    if (name == "affine") {
      a.has_fn = false;
      a.out_scale = alpha;
      a.out_shift = beta;
    } else if (name == "scaledtanh") {
      a.in_scale = beta;
      a.out_scale = alpha;
    } else {
      a.params = {alpha, beta};
    }
    return a;
  }
  return invalid_model("activation '", name, "' is not one of the standard's");
}

// As bind computes it: sizes, and offsets into scratch in floats.
struct Bound {
  RecurrentArgs sizes;
  size_t direction;              // scratch of one
  size_t packed[2];              // W and R where they are not constants, else unused
  size_t inputs[8], outputs[3];  // copies of half-precision tensors
};

class Recurrent final : public Op {
 public:
  Status parse(NodeReader& reader) {
    std::string_view name = reader.op_type();
    constexpr std::string_view kQuantized = "DynamicQuantize";
    quantized_ = name.starts_with(kQuantized);
    if (quantized_) name.remove_prefix(kQuantized.size());
    depth_axis_ = quantized_ && reader.domain() == "com.microsoft" ? 1 : 2;
    for (const size_t i : {kWScale, kRScale})
      LINNET_REQUIRE(!quantized_ || reader.has_input(i), invalid_model("a scale of the weights is missing"));
    cell_ = name == "LSTM" ? CellKind::lstm : name == "GRU" ? CellKind::gru : CellKind::rnn;
    const std::string direction = reader.text("direction", "forward");
    LINNET_REQUIRE(direction == "forward" || direction == "reverse" || direction == "bidirectional",
                   invalid_model("direction is '", direction, "'; it must be forward, reverse or bidirectional"));
    directions_ = direction == "bidirectional" ? 2 : 1;
    reverse_ = direction == "reverse";
    hidden_ = reader.integer("hidden_size", 0);
    LINNET_REQUIRE(hidden_ >= 0, invalid_model("hidden_size is ", hidden_));
    batch_first_ = reader.flag("layout", false);
    clip_ = reader.number("clip", clip_);
    LINNET_REQUIRE(clip_ >= 0.0f, invalid_model("clip is ", clip_, "; it must not be negative"));
    if (cell_ == CellKind::lstm) input_forget_ = reader.flag("input_forget", false);
    if (cell_ == CellKind::gru) linear_before_reset_ = reader.flag("linear_before_reset", false);
    return parse_activations(reader);
  }

  Status infer(InferContext& context) const override {
    const DType type = context.dtype(kX);
    LINNET_REQUIRE(is_float(type), unsupported("recurrent layers of ", dtype_name(type)));
    for (size_t i = 1; i < context.inputs(); ++i) {
      if (!context.has(i)) continue;
      const bool of_codes = quantized_ && (i == kW || i == kR || i == kWZero || i == kRZero);
      const bool fits = of_codes ? context.dtype(i) == DType::i8 || context.dtype(i) == DType::u8
                                 : context.dtype(i) == (i == kLengths ? DType::i32 : type);
      LINNET_REQUIRE(fits, invalid_model("input ", i, " is of type ", dtype_name(context.dtype(i))));
    }
    LINNET_REQUIRE(!quantized_ || type == DType::f32, unsupported("8-bit weights with ", dtype_name(type)));
    Dim steps, batch, input, hidden = hidden_ > 0 ? Dim(hidden_) : Dim();
    const auto rank_is = [&](size_t i, size_t rank) -> Status {
      if (context.ranked(i) && context.shape(i).size() != rank)
        return invalid_argument("input ", i, " has rank ", context.shape(i).size(), ", not ", rank);
      return {};
    };
    const size_t ranks[] = {3, 3, 3, 2, 1, 3, 3, 2};
    for (size_t i = 0; i < context.inputs() && i < std::size(ranks); ++i) LINNET_TRY(rank_is(i, ranks[i]));
    if (context.ranked(kX)) {
      const SymShape& x = context.shape(kX);
      steps = x[batch_first_ ? 1 : 0];
      batch = x[batch_first_ ? 0 : 1];
      input = x[2];
    }
    if (context.ranked(kR) && (hidden.unknown() || context.shape(kR)[depth_axis_].known()))
      hidden = context.shape(kR)[depth_axis_];
    LINNET_REQUIRE(hidden_ == 0 || !hidden.known() || hidden.is(hidden_),
                   invalid_model("hidden_size is ", hidden_, ", but R has ", hidden.value(), " columns"));
    const int64_t directions = static_cast<int64_t>(directions_);
    if (hidden.known()) {
      const std::optional<int64_t> of_gates = checked_mul(hidden.value(), static_cast<int64_t>(2 * gates_of(cell_)));
      LINNET_REQUIRE(of_gates, invalid_model("the hidden size is ", hidden.value()));
      const int64_t gates = *of_gates / 2, h = hidden.value();
      const Dim last[] = {input, input, hidden, 2 * gates, batch, hidden, hidden, cell_ == CellKind::lstm ? 3 * h : 0};
      for (size_t i = 1; i < context.inputs() && i < std::size(ranks); ++i) {
        if (!context.ranked(i)) continue;
        SymShape wanted;
        if (i == kInitialH || i == kInitialC) {
          wanted = batch_first_ ? SymShape{batch, directions, h} : SymShape{directions, batch, h};
        } else if (i == kLengths) {
          wanted = {batch};
        } else {
          wanted = ranks[i] != 3      ? SymShape{directions, last[i]}
                   : depth_axis_ == 1 ? SymShape{directions, last[i], gates}
                                      : SymShape{directions, gates, last[i]};
        }
        for (size_t j = 0; j < wanted.size(); ++j)
          LINNET_REQUIRE(!wanted[j].known() || !context.shape(i)[j].known() || wanted[j] == context.shape(i)[j],
                         invalid_argument("input ", i, " has shape ", context.symbols().to_string(context.shape(i)),
                                          ", not ", context.symbols().to_string(wanted)));
      }
    }
    for (size_t i = kWScale; i < context.inputs(); ++i) {
      if (!context.ranked(i) || !context.shape(i).known() || !hidden.known()) continue;
      const int64_t count = context.shape(i).values().count();
      const int64_t gates = static_cast<int64_t>(gates_of(cell_));
      LINNET_REQUIRE(
          count == directions || (hidden.value() < (1 << 28) && count == directions * gates * hidden.value()),
          invalid_model("input ", i, " has ", count, " elements"));
    }
    const SymShape state = batch_first_ ? SymShape{batch, directions, hidden} : SymShape{directions, batch, hidden};
    context.set(kY, type,
                batch_first_ ? SymShape{batch, steps, directions, hidden} : SymShape{steps, directions, batch, hidden});
    context.set(kYH, type, state);
    if (cell_ == CellKind::lstm) context.set(kYC, type, state);
    return {};
  }

  Status prepare(PrepareContext& context) override {
    for (size_t i : {kW, kR}) {
      const Tensor* constant = packing(context).stored(i);
      if (constant && constant->data) constant = context.constant(i);
      if (!constant || context.dtype(kX) == DType::f64) continue;
      if (quantized_) {
        const size_t scale = i == kW ? kWScale : kRScale;
        LINNET_TRY(codes_[i - kW].prepare(context, {i, scale, scale + 1}, *constant, cell_, depth_axis_));
        continue;
      }
      const size_t k = static_cast<size_t>(constant->shape[2]);
      const size_t hidden = static_cast<size_t>(constant->shape[1]) / gates_of(cell_);
      const size_t each = recurrent_packed_size(cell_, hidden, k);
      const std::optional<size_t> bytes = checked_mul(each, directions_);
      LINNET_REQUIRE(bytes && each != std::numeric_limits<size_t>::max(),
                     invalid_model("the constant of shape ", constant->shape, " is too large"));
      constexpr std::string_view kForms[] = {"units of an rnn", "units of a gru", "units of an lstm"};
      const std::string_view form = kForms[static_cast<size_t>(cell_)];
      const auto fill = [&](std::byte* to) {
        std::vector<float> floats(constant->dtype == DType::f32 ? 0 : static_cast<size_t>(constant->count()));
        if (!floats.empty()) widen(*constant, floats.data());
        pack(floats.empty() ? constant->ptr<float>() : floats.data(), hidden, k, reinterpret_cast<float*>(to),
             context.parallel());
      };
      LINNET_ASSIGN(const std::byte* packed, context.packed(i, form, *bytes, fill));
      packed_[i - kW] = reinterpret_cast<const float*>(packed);
      context.release(i);
    }
    return {};
  }

  Status bind(BindContext& context) const override {
    Bound& bound = context.state<Bound>();
    RecurrentArgs& a = bound.sizes;
    const Shape& x = context.shape(kX);
    a.cell = cell_;
    a.steps = static_cast<size_t>(x[batch_first_ ? 1 : 0]);
    a.batch = static_cast<size_t>(x[batch_first_ ? 0 : 1]);
    a.input = static_cast<size_t>(x[2]);
    a.hidden = static_cast<size_t>(context.shape(kR)[depth_axis_]);
    LINNET_REQUIRE(!quantized_ || (codes_[0].ready() && codes_[1].ready()), unsupported(kCodesNotConstant));
    if (quantized_) {
      a.w_codes = codes_[0].direction(0);
      a.r_codes = codes_[1].direction(0);
    }
    a.batch_first = batch_first_;
    a.reverse = reverse_ || directions_ == 2;  // the greater need of scratch
    static const int32_t kSome = 0;
    a.lengths = context.has(kLengths) ? &kSome : nullptr;
    if (context.dtype(kX) == DType::f64) {
      context.request_scratch(directions_ * recurrent_double_scratch(a) * sizeof(double));
      return {};
    }
    size_t floats = 0;
    bool fits = true;
    const auto take = [&](std::optional<size_t> bytes) {
      const size_t at = floats;
      const std::optional<size_t> sum = bytes ? checked_add(floats, ceil_div(*bytes, size_t{64}) * 16) : std::nullopt;
      fits = fits && sum;
      floats = sum.value_or(0);
      return at;
    };
    bound.direction = recurrent_scratch_size(a, context.threads()) / sizeof(float);
    bound.direction = ceil_div(bound.direction, size_t{16}) * 16;
    take(checked_mul(bound.direction, directions_ * sizeof(float)));
    for (size_t i : {kW, kR})
      if (!packed_[i - kW] && !quantized_)
        bound.packed[i - kW] = take(
            checked_mul(recurrent_packed_size(cell_, a.hidden, static_cast<size_t>(context.shape(i)[2])), directions_));
    if (context.dtype(kX) != DType::f32) {
      for (size_t i = 0; i < context.inputs(); ++i)
        if (context.has(i) && i != kLengths && !(i == kW && packed_[0]) && !(i == kR && packed_[1]))
          bound.inputs[i] = take(storage_size(DType::f32, context.shape(i).count()));
      for (size_t o = 0; o < context.outputs(); ++o)
        if (context.wants(o)) bound.outputs[o] = take(storage_size(DType::f32, context.out_shape(o).count()));
    }
    const std::optional<size_t> bytes = fits ? checked_mul(floats, sizeof(float)) : std::nullopt;
    LINNET_REQUIRE(bytes && recurrent_scratch_size(a, context.threads()) != std::numeric_limits<size_t>::max(),
                   error(Code::out_of_memory, "the layer's scratch memory is too large"));
    context.request_scratch(*bytes);
    return {};
  }

  Status run(RunContext& context) const override {
    const Bound& bound = context.state<Bound>();
    float* scratch = reinterpret_cast<float*>(context.scratch());
    RecurrentArgs a = bound.sizes;
    if (a.batch == 0 || a.hidden == 0) return {};
    a.lengths = nullptr;
    if (context.has(kLengths)) {
      a.lengths = context.in(kLengths).ptr<int32_t>();
      for (size_t b = 0; b < a.batch; ++b)
        LINNET_REQUIRE(a.lengths[b] >= 0 && static_cast<size_t>(a.lengths[b]) <= a.steps,
                       invalid_argument("sequence_lens[", b, "] is ", a.lengths[b], "; the longest sequence has ",
                                        a.steps, " steps"));
    }
    if (context.in(kX).dtype == DType::f64) return run_double(context, a);
    // Halves are copied to floats and back.
    const bool half = context.in(kX).dtype != DType::f32;
    const auto input = [&](size_t i) -> const float* {
      if (!context.has(i)) return nullptr;
      if (!half) return context.in(i).ptr<float>();
      widen(context.in(i), scratch + bound.inputs[i]);
      return scratch + bound.inputs[i];
    };
    const auto output = [&](size_t o) -> float* {
      return !context.wants(o) ? nullptr : half ? scratch + bound.outputs[o] : context.out(o).ptr<float>();
    };
    a.x = input(kX);
    if (!quantized_) {
      a.w = weights(context, bound, kW, input);
      a.r = weights(context, bound, kR, input);
    }
    a.bias = input(kB);
    a.initial_h = input(kInitialH);
    if (cell_ == CellKind::lstm) {
      a.initial_c = input(kInitialC);
      a.peepholes = input(kP);
      a.y_c = output(kYC);
    }
    a.y = output(kY);
    a.y_h = output(kYH);
    const size_t last = batch_first_ ? a.hidden : a.batch * a.hidden;  // between the states of two directions
    a.initial_stride = a.last_stride = batch_first_ ? directions_ * a.hidden : a.hidden;
    a.y_step = batch_first_ ? directions_ * a.hidden : directions_ * a.batch * a.hidden;
    a.y_batch = batch_first_ ? a.steps * directions_ * a.hidden : a.hidden;
    a.clip = clip_;
    a.input_forget = input_forget_;
    a.linear_before_reset = linear_before_reset_;
    const auto direction = [&](size_t d, const Parallel& parallel) {
      RecurrentArgs one = a;
      one.reverse = reverse_ || d == 1;
      const size_t gates = gates_of(cell_);
      if (quantized_) {
        one.w_codes = codes_[0].direction(d);
        one.r_codes = codes_[1].direction(d);
      } else {
        one.w += d * (recurrent_packed_size(cell_, a.hidden, a.input) / sizeof(float));
        one.r += d * (recurrent_packed_size(cell_, a.hidden, a.hidden) / sizeof(float));
      }
      if (a.bias) one.bias += d * 2 * gates * a.hidden;
      if (a.peepholes) one.peepholes += d * 3 * a.hidden;
      if (a.initial_h) one.initial_h += d * last;
      if (a.initial_c) one.initial_c += d * last;
      if (a.y) one.y += d * last;
      if (a.y_h) one.y_h += d * last;
      if (a.y_c) one.y_c += d * last;
      std::copy_n(activations_.begin() + static_cast<std::ptrdiff_t>(d * 3), 3, one.activations.begin());
      one.scratch = scratch + d * bound.direction;
      recurrent(one, parallel);
    };
    // Two threads serve two directions best when each takes one: they need not meet after every step.
    if (directions_ == 2 && context.parallel.threads() < 4) {
      context.parallel.for_range(2, 1, [&](size_t begin, size_t end, size_t) {
        const Parallel serial(&context.stop);
        for (size_t d = begin; d < end; ++d) direction(d, serial);
      });
    } else {
      for (size_t d = 0; d < directions_; ++d) direction(d, context.parallel);
    }
    for (size_t o = 0; half && o < context.outputs(); ++o) {
      if (!context.wants(o)) continue;
      Tensor& to = context.out(o);
      const size_t count = static_cast<size_t>(to.count());
      to.dtype == DType::f16 ? from_float(scratch + bound.outputs[o], to.ptr<f16>(), count)
                             : from_float(scratch + bound.outputs[o], to.ptr<bf16>(), count);
    }
    return {};
  }

 private:
  // What lies where of one direction is the same for every type: `args` has the sizes.
  Status run_double(RunContext& context, RecurrentArgs args) const {
    args.clip = clip_;
    args.input_forget = input_forget_;
    args.linear_before_reset = linear_before_reset_;
    const size_t gates = gates_of(cell_), hidden = args.hidden;
    const size_t last = batch_first_ ? hidden : args.batch * hidden;
    args.initial_stride = args.last_stride = batch_first_ ? directions_ * hidden : hidden;
    args.y_step = batch_first_ ? directions_ * hidden : directions_ * args.batch * hidden;
    args.y_batch = batch_first_ ? args.steps * directions_ * hidden : hidden;
    const auto input = [&](size_t i, size_t offset) -> const double* {
      return context.has(i) ? context.in(i).ptr<double>() + offset : nullptr;
    };
    const auto output = [&](size_t o, size_t offset) -> double* {
      return context.wants(o) ? context.out(o).ptr<double>() + offset : nullptr;
    };
    context.parallel.for_range(directions_, 1, [&](size_t begin, size_t end, size_t) {
      for (size_t d = begin; d < end; ++d) {
        RecurrentArgs one = args;
        one.reverse = reverse_ || d == 1;
        std::copy_n(activations_.begin() + static_cast<std::ptrdiff_t>(d * 3), 3, one.activations.begin());
        DoubleTensors t;
        t.x = input(kX, 0);
        t.w = input(kW, d * gates * hidden * args.input);
        t.r = input(kR, d * gates * hidden * hidden);
        t.bias = input(kB, d * 2 * gates * hidden);
        t.initial_h = input(kInitialH, d * last);
        t.y = output(kY, d * last);
        t.y_h = output(kYH, d * last);
        if (cell_ == CellKind::lstm) {
          t.initial_c = input(kInitialC, d * last);
          t.peepholes = input(kP, d * 3 * hidden);
          t.y_c = output(kYC, d * last);
        }
        t.scratch = reinterpret_cast<double*>(context.scratch()) + d * recurrent_double_scratch(args);
        recurrent_double(one, t, context.parallel);
      }
    });
    return {};
  }

  Status parse_activations(NodeReader& reader) {
    std::vector<std::string> names = reader.texts("activations");
    const std::vector<float> alpha_list = reader.numbers("activation_alpha"),
                             beta_list = reader.numbers("activation_beta");
    const size_t each = cell_ == CellKind::lstm ? 3 : cell_ == CellKind::gru ? 2 : 1;
    if (names.empty()) {
      if (cell_ != CellKind::rnn) names.push_back("Sigmoid");
      while (names.size() < each) names.push_back("Tanh");
    }
    if (cell_ == CellKind::rnn && names.size() == 2 && directions_ == 1) names.pop_back();  // the standard's default
    if (names.size() == each && directions_ == 2) {                                         // the same for both
      const std::vector<std::string> forward = names;
      names.insert(names.end(), forward.begin(), forward.end());
    }
    LINNET_REQUIRE(names.size() == each * directions_,
                   invalid_model("activations has ", names.size(), " names, not ", each * directions_));
    std::span<const float> alphas = alpha_list, betas = beta_list;
    for (size_t i = 0; i < names.size(); ++i) {
      LINNET_ASSIGN(activations_[i / each * 3 + i % each], parse_activation(names[i], alphas, betas));
    }
    return {};
  }

  static void widen(const Tensor& t, float* dst) {
    const size_t count = static_cast<size_t>(t.count());
    t.dtype == DType::f16 ? to_float(t.ptr<f16>(), dst, count) : to_float(t.ptr<bf16>(), dst, count);
  }

  // All directions.
  void pack(const float* src, size_t hidden, size_t k, float* dst, const Parallel& parallel) const {
    for (size_t d = 0; d < directions_; ++d)
      pack_recurrent(cell_, hidden, k, src + d * gates_of(cell_) * hidden * k,
                     dst + d * (recurrent_packed_size(cell_, hidden, k) / sizeof(float)), parallel);
  }

  template <class Input>
  const float* weights(RunContext& context, const Bound& bound, size_t i, const Input& input) const {
    if (packed_[i - kW]) return packed_[i - kW];
    float* to = reinterpret_cast<float*>(context.scratch()) + bound.packed[i - kW];
    pack(input(i), bound.sizes.hidden, i == kW ? bound.sizes.input : bound.sizes.hidden, to, context.parallel);
    return to;
  }

  CellKind cell_ = CellKind::lstm;
  size_t directions_ = 1;
  bool quantized_ = false, reverse_ = false, batch_first_ = false, input_forget_ = false, linear_before_reset_ = false;
  int64_t hidden_ = 0;
  float clip_ = std::numeric_limits<float>::infinity();
  std::array<GateActivation, 6> activations_;  // three of each direction
  const float* packed_[2] = {nullptr, nullptr};
  size_t depth_axis_ = 2;  // of W and R
  RecurrentWeights codes_[2];
};

constexpr OpDef kDefs[] = {
    {"", "LSTM", 7, 3, 8, 0, 3, create<Recurrent>},
    {"", "GRU", 7, 3, 6, 0, 2, create<Recurrent>},
    {"", "RNN", 7, 3, 6, 0, 2, create<Recurrent>},
    {"com.microsoft", "DynamicQuantizeLSTM", 1, 3, 12, 0, 3, create<Recurrent>},
    {"linnet", "DynamicQuantizeLSTM", 1, 3, 12, 0, 3, create<Recurrent>},
    {"linnet", "DynamicQuantizeGRU", 1, 3, 12, 0, 2, create<Recurrent>},
    {"linnet", "DynamicQuantizeRNN", 1, 3, 12, 0, 2, create<Recurrent>},
};

}  // namespace

extern const std::span<const OpDef> kRecurrentOps = kDefs;

}  // namespace linnet
