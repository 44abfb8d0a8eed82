#include "verify.h"

#include <algorithm>
#include <cmath>

#include "inner_values.h"
#include "size_advice.h"

namespace linnet::cli {
namespace {

bool is_finite(const Value& value) {
  if (!value.is_tensor() || !is_float(value.tensor.dtype)) return true;
  for (int64_t i = 0; i < value.tensor.count(); ++i)
    if (!std::isfinite(number_at(value.tensor, i))) return false;
  return true;
}

// The first value of both models that is finite in the first one alone.
Result<std::optional<InnerValue>> first_overflow(const VerifyOptions& options,
                                                 const std::map<std::string, Value>& inputs) {
  ModelOptions after = options.after;
  after.no_optimize = true;
  LINNET_ASSIGN(const InnerValues original, inner_values(options.before));
  LINNET_ASSIGN(const InnerValues rewritten, inner_values(after));
  const std::vector<InnerValue> common = common_values(rewritten, original);
  for (size_t begin = 0; begin < common.size(); begin += kInnerBatch) {
    if (options.stop && options.stop->stop_requested()) return error(Code::cancelled, "it was cancelled");
    const size_t end = std::min(begin + kInnerBatch, common.size());
    std::vector<std::string> batch;
    for (size_t i = begin; i < end; ++i) batch.push_back(common[i].name);
    LINNET_ASSIGN(const auto expected, run_for(options.before, batch, inputs));
    LINNET_ASSIGN(const auto actual, run_for(after, batch, inputs));
    for (size_t i = begin; i < end; ++i)
      if (!is_finite(actual.at(common[i].name)) && is_finite(expected.at(common[i].name))) return common[i];
  }
  return std::nullopt;
}

std::string advice_on(const InnerValue& value, DType floats) {
  std::string advice = concat("the first value that is finite in the model but not in ", dtype_name(floats), " is '",
                              value.name, "', made by ", value.path);
  if (floats == DType::f16)
    advice += concat(": it is beyond float16's 65504; --keep-float '", value.node.empty() ? value.op_type : value.node,
                     "' leaves the node in 32 bits, and --bfloat16 has the range for all of them");
  return advice;
}

}  // namespace

namespace {

// Those that the rewritten model is told to compute in, or what the original computes in already. Where it rounds to
// codes of few bits on the way, a last digit may become a code.
DType coarsest_floats(const VerifyOptions& options, const Model& original) {
  const auto has = [&](DType type) {
    return std::any_of(original.program->slots.begin(), original.program->slots.end(),
                       [&](const Slot& slot) { return slot.info.dtype == type; });
  };
  const auto rounds = [](const Step& step) {
    const std::string_view name = step.def->name;
    return name.starts_with("QuantizeLinear") || name.starts_with("DynamicQuantize") || name.starts_with("QLinear");
  };
  const std::vector<Step>& steps = original.program->steps;
  if (has(DType::bf16) || std::any_of(steps.begin(), steps.end(), rounds)) return DType::bf16;
  return options.floats == DType::f32 && has(DType::f16) ? DType::f16 : options.floats;
}

}  // namespace

bool Verification::nothing_compared() const noexcept {
  return !agreements.empty() && std::all_of(agreements.begin(), agreements.end(), [](const Agreement& a) {
    return a.difference.equal && !a.difference.compared;
  });
}

bool Verification::agrees() const noexcept {
  return !nothing_compared() &&
         std::all_of(agreements.begin(), agreements.end(), [](const Agreement& a) { return a.difference.equal; });
}

Result<Original> run_original(const VerifyOptions& options, const LoadedGraph& rewritten) {
  LINNET_ASSIGN(const std::unique_ptr<Session> session, open_session(options.before));
  const Model& model = session->model();
  const Graph& graph = *rewritten.graph;
  LINNET_REQUIRE(graph.inputs.size() == model.inputs.size() && graph.outputs.size() == model.outputs.size(),
                 error(Code::internal, "the models have different inputs or outputs"));
  std::vector<Model::Port> ports;
  for (size_t i = 0; i < model.inputs.size(); ++i) {
    ports.push_back({graph.inputs[i].name, graph.value(graph.inputs[i].value).info});
    ports.back().info.dtype = model.inputs[i].info.dtype;
  }
  LINNET_ASSIGN(const Inputs inputs, make_inputs(ports, *rewritten.symbols, options.inputs, options.before.seed));
  Original original{{}, std::vector<Value>(model.outputs.size()), coarsest_floats(options, model)};
  RunOptions run;
  run.stop = options.stop;
  LINNET_TRY(explain(session->run(inputs.values, original.outputs, run), inputs, &model));
  for (size_t i = 0; i < ports.size(); ++i) original.inputs[ports[i].name] = inputs.values[i];
  return original;
}

Result<Verification> verify(const VerifyOptions& options, const Original& original) {
  LINNET_ASSIGN(const std::unique_ptr<Session> rewritten, open_session(options.after));
  const Model& model = rewritten->model();
  std::vector<Value> inputs, actual(model.outputs.size());
  for (const Model::Port& port : model.inputs) {
    LINNET_ASSIGN(inputs.emplace_back(), as_floats(original.inputs.at(port.name), port.info.dtype));
  }
  RunOptions run;
  run.stop = options.stop;
  LINNET_TRY(rewritten->run(inputs, actual, run));
  const std::vector<Value>& expected = original.outputs;
  Verification result;
  for (size_t o = 0; o < expected.size(); ++o) {
    Tolerance t{rounding_of(original.floats), 0, true};
    t.atol = std::max(1e-6, (original.floats == DType::f32 ? 1e-4 : t.rtol) * greatest(expected[o]));
    if (options.rtol >= 0) t.rtol = options.rtol;
    if (options.atol >= 0) t.atol = options.atol;
    result.agreements.push_back({model.outputs[o].name, t, compare(actual[o], expected[o], t)});
  }
  if (result.agrees() || result.nothing_compared()) return result;
  // An infinite value inside need not leave the outputs infinite: the root of its inverse is 0.
  if (options.floats != DType::f32) {
    LINNET_ASSIGN(const std::optional<InnerValue> first, first_overflow(options, original.inputs));
    if (first) result.advice = advice_on(*first, options.floats);
  }
  if (result.advice.empty())
    result.advice = concat("`linnet diff ", options.before.path, " ", options.after.path,
                           "` with the same inputs tells where they begin to differ");
  return result;
}

}  // namespace linnet::cli
