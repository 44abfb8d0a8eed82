#include "quantize/recurrent.h"

#include <array>

#include "quantize/replace.h"

namespace linnet {
namespace {

constexpr WeightScheme kScheme{DType::i8, true, false, 0};
constexpr size_t kInputWeights = 1, kHiddenWeights = 2;

// [directions][gates hidden][inputs]: a scale for each direction, or for each of its rows.
Result<QuantizedWeight> quantize_gates(const Tensor& weight, bool by_row) {
  const Shape& shape = weight.shape;
  LINNET_REQUIRE(shape.rank() == 3, invalid_argument("its weights do not have three axes"));
  Tensor rows = weight;
  if (by_row) rows.shape = Shape{shape[0] * shape[1], shape[2]};
  return quantize_weight(rows, kScheme);
}

}  // namespace

Status quantize_lstm(QuantizeJob& job, Graph& graph, NodeId id, NodeReport& report) {
  const Node& node = graph.node(id);
  if (node.int_or("layout", 0) != 0) {
    report.reason = "DynamicQuantizeLSTM has no other layout";
    return {};
  }
  const bool by_row = job.options().per_channel;
  std::array<QuantizedValues, 2> weights;
  for (const size_t input : {kInputWeights, kHiddenWeights}) {
    const auto make = [&](const Tensor& tensor) -> Result<QuantizedWeight> {
      LINNET_ASSIGN(QuantizedWeight made, quantize_gates(tensor, by_row));
      made.codes.shape = tensor.shape;
      LINNET_ASSIGN(made.codes, transposed_codes(made.codes));
      if (by_row) made.scale.shape = made.zero_point.shape = Shape{tensor.shape[0], tensor.shape[1]};
      return made;
    };
    LINNET_ASSIGN(const auto made,
                  job.quantize(graph, node.input(input), by_row ? "gates by row" : "gates", report, make));
    if (!made) return {};
    weights[input - kInputWeights] = *made;
  }
  std::vector<ValueId> inputs = node.inputs;
  inputs.resize(8, kNoValue);
  for (size_t w = 0; w < 2; ++w) {
    inputs[kInputWeights + w] = weights[w].codes;
    inputs.insert(inputs.end(), {weights[w].scale, weights[w].zero_point});
  }
  graph.set_inputs(id, std::move(inputs));
  Node& edited = graph.node(id);
  edited.op_type = "DynamicQuantizeLSTM";
  edited.domain = "com.microsoft";
  edited.version = 1;
  edited.erase("layout");
  Replacement(graph, id).widen();
  report.result = "DynamicQuantizeLSTM";
  return {};
}

Status dequantize_recurrent(QuantizeJob& job, Graph& graph, NodeId id, NodeReport& report) {
  const bool by_row = job.options().per_channel;
  std::array<QuantizedValues, 2> weights;
  for (const size_t input : {kInputWeights, kHiddenWeights}) {
    const auto make = [&](const Tensor& tensor) -> Result<QuantizedWeight> {
      LINNET_ASSIGN(QuantizedWeight made, quantize_gates(tensor, by_row));
      made.zero_point = {};
      return made;
    };
    LINNET_ASSIGN(const auto made, job.quantize(graph, graph.node(id).input(input),
                                                by_row ? "rows of gates" : "stacks of gates", report, make));
    if (!made) return {};
    weights[input - kInputWeights] = *made;
  }
  Replacement to(graph, id);
  for (const size_t input : {kInputWeights, kHiddenWeights}) {
    const ValueId old = to.node().input(input);
    const Shape shape = graph.constant(old)->shape;
    const DType type = graph.constant(old)->dtype;
    const QuantizedValues& weight = weights[input - kInputWeights];
    ValueId value = to.add("DequantizeLinear", {weight.codes, weight.scale}, {{"axis", int64_t{0}}});
    if (by_row) {
      const std::vector<int64_t> sizes(shape.begin(), shape.end());
      value = to.add("Reshape", {value, graph.add_ints(graph.value(old).name + "_shape", sizes)});
    }
    graph.value(value).info.dtype = DType::f32;
    graph.set_input(id, input, to.cast(value, type));
  }
  report.result = "DequantizeLinear";
  return {};
}

}  // namespace linnet
