#include "quantize/static_writer.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "quantize/bias_correction.h"

namespace linnet {
namespace {

constexpr std::string_view kMicrosoft = "com.microsoft";

std::string_view name_of(const Graph& graph, const Node& node) {
  return node.name.empty() ? std::string_view(graph.value(node.outputs[0]).name) : std::string_view(node.name);
}

}  // namespace

const std::string* StaticWriter::find_complaint(const MarkedNode& node) const {
  const auto find = [&](ValueId v) -> const std::string* {
    const auto found = measured_.complaints.find(marks_.root(v));
    return found == measured_.complaints.end() ? nullptr : &found->second;
  };
  for (size_t i = 0; i < node.inputs.size(); ++i)
    if (node.inputs[i].kind == InputKind::activation)
      if (const std::string* words = find(node.values[i])) return words;
  for (const ValueId v : node.outputs)
    if (const std::string* words = find(v)) return words;
  return nullptr;
}

Status StaticWriter::rewrite(Graph& graph, NodeId id, NodeReport& report) {
  const auto found = marks_.nodes.find(id);
  if (found == marks_.nodes.end()) {
    const auto refused = marks_.refused.find(id);
    report.reason = refused == marks_.refused.end() ? "its inputs are constants" : refused->second;
    return {};
  }
  MarkedNode node = found->second;
  if (const std::string* words = find_complaint(node)) {
    report.reason = *words;
    return {};
  }
  bool done = false;
  LINNET_TRY(rectifier(graph, id, node, report, &done));
  if (done) return {};
  if (node.outputs.empty()) return table(graph, id, node, report);

  LINNET_TRY(add_bias(graph, id, node));
  std::vector<Operand> operands(node.inputs.size());
  for (size_t i = 0; i < node.inputs.size(); ++i) {
    if (node.inputs[i].kind == InputKind::plain) continue;
    Result<std::optional<Operand>> made = node.inputs[i].kind == InputKind::bias
                                              ? bias(graph, graph.node(id), node, operands[0], operands[1])
                                              : operand(graph, node, i, report);
    LINNET_TRY(made.status());
    if (!*made && node.inputs[i].kind != InputKind::bias) return {};  // the report has why
    if (*made) operands[i] = **made;
  }
  if (format_ == StaticFormat::qdq) {
    LINNET_TRY(write_qdq(graph, id, node, operands));
    report.result = "QDQ";
  } else if (const std::string type = graph.node(id).op_type; write_operator(graph, id, node, operands)) {
    report.result = concat("integer ", type);
  } else {
    report.reason = "there is no such operator on integers";
  }
  return {};
}

// A Relu or Clip that the quantisation of its input does already is left out.
Status StaticWriter::rectifier(Graph& graph, NodeId id, const MarkedNode& marked, NodeReport& report, bool* done) {
  const Node& node = graph.node(id);
  if (!node.is("Relu") && !node.is("Clip")) return {};
  const ValueId from = marked.values[0], to = marked.outputs[0];
  if (!marks_.covered.contains(from) || !codes_.made(from)) return {};
  // The least number that the codes stand for must not be below what the node lets through, nor the greatest above.
  const auto& p = codes_.parameters(marks_.root(from)).quantization;
  const CodeRange range = code_range(codes_.type(), false);
  const float least = static_cast<float>(range.min - p.zero_point) * p.scale;
  const float greatest = static_cast<float>(range.max - p.zero_point) * p.scale;
  float low = -std::numeric_limits<float>::infinity(), high = std::numeric_limits<float>::infinity();
  if (node.op_type == "Relu") {
    low = 0;
  } else {
    for (size_t i = 1; i < node.inputs.size(); ++i) {
      if (node.inputs[i] == kNoValue) continue;
      const Tensor* bound = graph.constant(node.inputs[i]);
      if (!bound || bound->count() != 1) return {};
      (i == 1 ? low : high) = static_cast<float>(number_at(*bound, 0));
    }
  }
  if (least < low - p.scale / 2 || greatest > high + p.scale / 2) return {};
  codes_.unite(to, from);
  graph.remove_node(id);
  report.result = "left out";
  report.note = "quantising its input clips as it does";
  *done = true;
  return {};
}

// Rows are looked up as codes.
Status StaticWriter::table(Graph& graph, NodeId id, const MarkedNode& marked, NodeReport& report) {
  LINNET_ASSIGN(const auto made, operand(graph, marked, 0, report));
  if (!made) return {};
  const ValueId out = graph.node(id).outputs[0];
  const std::string name(name_of(graph, graph.node(id)));
  const ValueId rows = graph.add_value(name + "_quantized", ValueInfo::tensor(codes_.type()));
  const ValueId floats =
      codes_.cast(codes_.add("DequantizeLinear", {rows, made->scale, made->zero_point}, name, DType::f32),
                  graph.value(out).info.dtype);
  const NodeId maker = graph.value(floats).producer;
  graph.set_input(id, 0, made->codes);
  graph.set_outputs(id, {rows});
  graph.set_outputs(maker, {out});
  report.result = "Gather";
  return {};
}

Result<std::optional<StaticWriter::Operand>> StaticWriter::operand(Graph& graph, const MarkedNode& node, size_t i,
                                                                   NodeReport& report) {
  const ValueId value = node.values[i];
  if (node.inputs[i].kind == InputKind::activation) {
    const ValueId root = marks_.root(value);
    const auto& p = codes_.parameters(root);
    return std::optional(Operand{codes_.codes(value, root), p.scale, p.zero_point});
  }
  WeightScheme scheme = job_.scheme(job_.options().per_channel ? node.inputs[i].axis : std::nullopt);
  if (scheme.axis) scheme.symmetric = true;             // operators on integers take one zero point for all channels
  if (i == 0 && format_ == StaticFormat::q_operator) {  // not every runtime multiplies int8 by uint8
    scheme.type = codes_.type();
    scheme.symmetric = scheme.type == DType::i8;
  }
  if (node.inputs[i].kind == InputKind::constant) scheme = {codes_.type(), false, false, std::nullopt};
  LINNET_ASSIGN(const auto made, job_.quantize(graph, value, scheme, report));
  if (!made) return std::optional<Operand>();
  return std::optional(Operand{made->codes, made->scale, made->zero_point});
}

Status StaticWriter::add_bias(Graph& graph, NodeId id, MarkedNode& marked) {
  if (!measured_.means.contains(marked.values[0]) || marked.inputs[1].kind != InputKind::weight) return {};
  const Node& node = graph.node(id);
  if (node.input(2) != kNoValue || !corrects_bias(graph, node)) return {};
  const Shape& weight = graph.constant(marked.values[1])->shape;
  const int64_t outputs = weight[marked.inputs[1].axis.value_or(0)];
  if (outputs < 2) return {};
  LINNET_ASSIGN(Tensor zeros, make_tensor(DType::f32, Shape{outputs}));
  marked.values.resize(2);
  marked.values.push_back(graph.add_constant(concat(graph.value(marked.values[1]).name, "_bias"), std::move(zeros)));
  marked.inputs.resize(2);
  marked.inputs.push_back({InputKind::bias});
  std::vector<ValueId> inputs = node.inputs;
  inputs.resize(2);
  inputs.push_back(marked.values[2]);
  graph.set_inputs(id, inputs);
  return {};
}

Result<std::optional<StaticWriter::Operand>> StaticWriter::bias(Graph& graph, const Node& node,
                                                                const MarkedNode& marked, const Operand& x,
                                                                const Operand& weight) {
  const ValueId value = marked.values[2];
  const Tensor& floats = *graph.constant(value);
  const Tensor& weight_scale = *graph.constant(weight.scale);
  const bool is_gemm = node.op_type == "Gemm";
  const double alpha = is_gemm ? node.float_or("alpha", 1) : 1, beta = is_gemm ? node.float_or("beta", 1) : 1;
  if (weight_scale.count() != 1 && weight_scale.count() != floats.count()) return std::optional<Operand>();
  std::vector<double> shift;
  if (const auto means = measured_.means.find(marked.values[0]); means != measured_.means.end())
    shift = mean_shift(node, *graph.constant(marked.values[1]), *graph.constant(weight.codes), weight_scale,
                       *graph.constant(weight.zero_point), means->second);
  if (static_cast<int64_t>(shift.size()) != floats.count()) shift.assign(static_cast<size_t>(floats.count()), 0);
  LINNET_ASSIGN(Tensor scale, make_tensor(DType::f32, weight_scale.shape));
  LINNET_ASSIGN(Tensor zero_point, make_tensor(DType::i32, weight_scale.shape));
  LINNET_ASSIGN(Tensor codes, make_tensor(DType::i32, floats.shape));
  const double x_scale = number_at(*graph.constant(x.scale), 0) * alpha;
  for (int64_t i = 0; i < scale.count(); ++i)
    scale.ptr<float>()[i] = static_cast<float>(x_scale * number_at(weight_scale, i));
  for (int64_t i = 0; i < codes.count(); ++i) {
    const double step = scale.ptr<float>()[scale.count() == 1 ? 0 : i];
    const double code = std::nearbyint((beta * number_at(floats, i) - alpha * shift[static_cast<size_t>(i)]) / step);
    if (!(std::fabs(code) <= std::numeric_limits<int32_t>::max())) return std::optional<Operand>();
    codes.ptr<int32_t>()[i] = static_cast<int32_t>(code);
  }
  const std::string name = graph.value(value).name;
  return std::optional(Operand{graph.add_constant(name + "_quantized", std::move(codes)),
                               graph.add_constant(name + "_quantized_scale", std::move(scale)),
                               graph.add_constant(name + "_quantized_zero_point", std::move(zero_point))});
}

Status StaticWriter::write_qdq(Graph& graph, NodeId id, const MarkedNode& marked, std::span<const Operand> operands) {
  for (size_t i = 0; i < operands.size(); ++i) {
    const ValueId value = marked.values[i];
    const Operand& made = operands[i];
    if (made.codes == kNoValue) continue;
    if (marked.inputs[i].kind == InputKind::activation) {
      graph.set_input(id, i, codes_.floats(value, marks_.root(value)));
      continue;
    }
    const auto [known, is_new] = restored_.try_emplace(made.codes, kNoValue);
    if (is_new) {
      std::vector<Attribute> attributes;
      if (graph.constant(made.scale)->shape.rank() == 1)
        attributes.push_back({"axis", marked.inputs[i].kind == InputKind::bias
                                          ? int64_t{0}
                                          : static_cast<int64_t>(marked.inputs[i].axis.value_or(0))});
      const std::vector<ValueId> inputs{made.codes, made.scale, made.zero_point};
      known->second = codes_.add("DequantizeLinear", inputs, graph.value(value).name, DType::f32, attributes);
    }
    graph.set_input(id, i, known->second);
    if (marked.inputs[i].kind == InputKind::bias && graph.node(id).op_type == "Gemm") graph.node(id).set("beta", 1.0f);
  }
  LINNET_TRY(widen(graph, id));
  for (const ValueId v : marked.outputs) codes_.replace(v, marks_.root(v));
  return {};
}

Status StaticWriter::widen(Graph& graph, NodeId id) {
  const std::vector<ValueId> inputs = graph.node(id).inputs;
  for (size_t i = 0; i < inputs.size(); ++i) {
    const ValueId v = inputs[i];
    if (v == kNoValue || !is_float(graph.value(v).info.dtype)) continue;
    ValueId wide = kNoValue;
    if (graph.constant(v) && graph.constant(v)->dtype != DType::f32) {
      LINNET_ASSIGN(Tensor floats, as_float(*graph.constant(v)));
      wide = graph.add_constant(graph.value(v).name + "_float32", std::move(floats));
    } else {
      wide = codes_.cast(v, DType::f32);
    }
    if (wide != v) graph.set_input(id, i, wide);
  }
  return {};
}

bool StaticWriter::write_operator(Graph& graph, NodeId id, const MarkedNode& marked,
                                  std::span<const Operand> operands) {
  static constexpr struct {
    std::string_view op_type, integer;
    bool microsoft;
  } kForms[] = {
      {"Conv", "QLinearConv", false},
      {"MatMul", "QLinearMatMul", false},
      {"Gemm", "QGemm", true},
      {"Add", "QLinearAdd", true},
      {"Mul", "QLinearMul", true},
      {"Concat", "QLinearConcat", true},
      {"Softmax", "QLinearSoftmax", true},
      {"Sigmoid", "QLinearSigmoid", true},
      {"LeakyRelu", "QLinearLeakyRelu", true},
      {"Where", "QLinearWhere", true},
      {"AveragePool", "QLinearAveragePool", true},
      {"GlobalAveragePool", "QLinearGlobalAveragePool", true},
  };
  const Node& node = graph.node(id);
  const std::string name(name_of(graph, node));
  const auto* form =
      std::find_if(std::begin(kForms), std::end(kForms), [&](const auto& f) { return f.op_type == node.op_type; });
  const bool moves = form == std::end(kForms);
  if (node.op_type == "ConvTranspose" || node.op_type == "Relu" || node.op_type == "Clip") return false;
  // A bias has to be among the sums.
  if (node.input(2) != kNoValue && (node.op_type == "Conv" || node.op_type == "Gemm") && operands[2].codes == kNoValue)
    return false;

  if (moves) {
    graph.set_input(id, 0, operands[0].codes);
    if (node.op_type == "Pad" && node.string_or("mode", "constant") == "constant") {
      std::vector<ValueId> inputs = node.inputs;
      inputs.resize(std::max<size_t>(inputs.size(), 3), kNoValue);
      inputs[2] = operands[0].zero_point;
      graph.set_inputs(id, inputs);
    }
    std::vector<ValueId> coded;
    for (const ValueId v : node.outputs)
      coded.push_back(v == kNoValue
                          ? kNoValue
                          : graph.add_value(graph.value(v).name + "_quantized", ValueInfo::tensor(codes_.type())));
    const std::vector<ValueId> before = node.outputs;
    graph.set_outputs(id, coded);
    for (size_t k = 0; k < before.size(); ++k)
      if (before[k] != kNoValue) codes_.supply(before[k], marks_.root(before[k]), coded[k]);
    return true;
  }

  const ValueId out = marked.outputs[0], root = marks_.root(out);
  const auto& result = codes_.parameters(root);
  std::vector<ValueId> inputs;
  if (node.op_type == "Concat") inputs = {result.scale, result.zero_point};
  if (node.op_type == "Where") inputs = {node.inputs[0]};
  for (size_t i = 0; i < operands.size(); ++i)
    if (operands[i].codes != kNoValue && marked.inputs[i].kind != InputKind::bias)
      inputs.insert(inputs.end(), {operands[i].codes, operands[i].scale, operands[i].zero_point});
  const ValueId bias = operands.size() > 2 && marked.inputs[2].kind == InputKind::bias ? operands[2].codes : kNoValue;
  if (node.op_type == "Gemm") inputs.push_back(bias);
  if (node.op_type != "Concat") inputs.insert(inputs.end(), {result.scale, result.zero_point});
  if (node.op_type == "Conv" && bias != kNoValue) inputs.push_back(bias);

  Node made;
  made.op_type = form->integer;
  made.domain = form->microsoft ? kMicrosoft : std::string_view();
  made.version = form->microsoft ? 1 : codes_.opset();
  made.name = name + "_quant";
  made.inputs = std::move(inputs);
  made.attributes = node.attributes;
  made.erase("beta");
  if (node.op_type == "GlobalAveragePool" || node.op_type == "AveragePool") made.set("channels_last", int64_t{0});
  if (node.op_type == "Softmax") made.set("opset", static_cast<int64_t>(codes_.opset()));
  const std::string coded_name = graph.value(out).name + "_quantized";
  graph.remove_node(id);
  const ValueId coded = graph.add_node(std::move(made), coded_name, ValueInfo::tensor(codes_.type()));
  codes_.supply(out, root, coded);
  return true;
}

}  // namespace linnet
