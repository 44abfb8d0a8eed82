// The choices are those of quantize_static in onnxruntime.quantization, except where docs/quantization.md says
// otherwise.
#include "quantize/static_marks.h"

#include <algorithm>

namespace linnet {
namespace {

enum class Rule : uint8_t { product, matmul, elementwise, moves, rectifies };

struct Entry {
  std::string_view op_type;
  Rule rule;
};

constexpr Entry kRules[] = {
    {"Conv", Rule::product},          {"ConvTranspose", Rule::product},
    {"Gemm", Rule::product},          {"MatMul", Rule::matmul},
    {"Add", Rule::elementwise},       {"Mul", Rule::elementwise},
    {"Concat", Rule::elementwise},    {"GlobalAveragePool", Rule::elementwise},
    {"LeakyRelu", Rule::elementwise}, {"Sigmoid", Rule::elementwise},
    {"Softmax", Rule::elementwise},   {"Where", Rule::elementwise},
    {"AveragePool", Rule::moves},     {"Flatten", Rule::moves},
    {"Gather", Rule::moves},          {"GatherElements", Rule::moves},
    {"MaxPool", Rule::moves},         {"Pad", Rule::moves},
    {"Reshape", Rule::moves},         {"Resize", Rule::moves},
    {"Slice", Rule::moves},           {"Split", Rule::moves},
    {"Squeeze", Rule::moves},         {"Transpose", Rule::moves},
    {"Unsqueeze", Rule::moves},       {"Clip", Rule::rectifies},
    {"Relu", Rule::rectifies},
};

const Entry* rule_of(const Node& node) noexcept {
  if (!node.domain.empty()) return nullptr;
  const auto found = std::find_if(std::begin(kRules), std::end(kRules),
                                  [&](const Entry& entry) { return entry.op_type == node.op_type; });
  return found == std::end(kRules) ? nullptr : found;
}

class Marker {
 public:
  Marker(const Graph& graph, StaticFormat format) : graph_(graph), format_(format) {}

  void visit(NodeId id, Rule rule) {
    const Node& node = graph_.node(id);
    MarkedNode marked{node.inputs, std::vector<MarkedInput>(node.inputs.size()), {}};
    const std::string refusal = mark(node, rule, marked);
    if (!refusal.empty()) {
      marks_.refused.emplace(id, refusal);
      return;
    }
    for (size_t i = 0; i < marked.inputs.size(); ++i)
      if (marked.inputs[i].kind == InputKind::activation)
        marks_.activations.emplace(marked.values[i], marked.values[i]);
    for (const ValueId v : marked.outputs) marks_.activations.emplace(v, v);
    marks_.nodes.emplace(id, std::move(marked));
  }

  Marks take() { return std::move(marks_); }

 private:
  // What float32 can stand for.
  bool is_narrow_float(ValueId v) const {
    const DType type = v == kNoValue ? DType::undefined : graph_.value(v).info.dtype;
    return type == DType::f32 || type == DType::f16 || type == DType::bf16;
  }
  bool is_quantised(ValueId v) const { return marks_.activations.contains(v); }
  size_t rank(ValueId v) const { return graph_.value(v).info.shape.size(); }

  // Fills `marked`, or says why the node cannot be quantised.
  std::string mark(const Node& node, Rule rule, MarkedNode& marked) {
    if (!is_narrow_float(node.input(node.op_type == "Where" ? 1 : 0)))
      return "its input is neither float32 nor float16 nor bfloat16";
    for (const ValueId v : node.inputs)
      if (const Node* producer = v == kNoValue ? nullptr : graph_.producer(v);
          producer && producer->op_type == "DequantizeLinear")
        return "it is quantised already";
    switch (rule) {
      case Rule::product: return mark_product(node, marked);
      case Rule::matmul: return mark_matmul(node, marked);
      case Rule::elementwise: return mark_elementwise(node, marked);
      case Rule::moves: return mark_moves(node, marked);
      case Rule::rectifies: return mark_rectifier(node, marked);
    }
    return {};
  }

  std::string mark_product(const Node& node, MarkedNode& marked) {
    if (graph_.constant(node.input(0))) return "its input is a constant";
    marked.inputs[0].kind = InputKind::activation;
    const bool is_gemm = node.op_type == "Gemm";
    const size_t axis = is_gemm ? (node.int_or("transB", 0) != 0 ? 0 : 1) : (node.op_type == "Conv" ? 0 : 1);
    marked.inputs[1] =
        graph_.constant(node.input(1)) ? MarkedInput{InputKind::weight, axis} : MarkedInput{InputKind::activation};
    if (const Tensor* bias = graph_.constant(node.input(2)); bias && bias->shape.rank() == 1 && bias->count() > 1)
      marked.inputs[2].kind = InputKind::bias;
    marked.outputs = {node.outputs[0]};
    return {};
  }

  std::string mark_matmul(const Node& node, MarkedNode& marked) {
    if (graph_.constant(node.input(0)) && graph_.constant(node.input(1))) return "its inputs are constants";
    for (size_t i = 0; i < 2; ++i) {
      const bool constant = graph_.constant(node.inputs[i]) != nullptr;
      marked.inputs[i].kind = constant ? InputKind::weight : InputKind::activation;
      if (constant && i == 1 && rank(node.inputs[i]) == 2) marked.inputs[i].axis = 1;
    }
    marked.outputs = {node.outputs[0]};
    return {};
  }

  std::string mark_elementwise(const Node& node, MarkedNode& marked) {
    bool any = false;
    const size_t first = node.op_type == "Where" ? 1 : 0;
    for (size_t i = first; i < node.inputs.size(); ++i) {
      const bool constant = graph_.constant(node.inputs[i]) != nullptr;
      // Between operators on floats, there and back costs more time and precision than it saves.
      if (!constant && !is_quantised(node.inputs[i])) return "its inputs are not quantised";
      marked.inputs[i].kind = constant ? InputKind::constant : InputKind::activation;
      any |= !constant;
    }
    if (!any) return "its inputs are constants";
    marked.outputs = {node.outputs[0]};
    return {};
  }

  // The output's elements are among the input's, or means of them.
  std::string mark_moves(const Node& node, MarkedNode& marked) {
    const ValueId from = node.inputs[0];
    if (node.op_type == "Gather" && graph_.constant(from)) {
      marked.inputs[0].kind = InputKind::constant;
      return {};
    }
    if (!is_quantised(from)) return "its input is not quantised";
    if (node.op_type == "Pad" && !pads_with_zero_or_own(node)) return "it pads with a number other than zero";
    if (node.op_type == "MaxPool" && node.output(1) != kNoValue) return "it has a second output";
    marked.inputs[0].kind = InputKind::activation;
    for (const ValueId v : node.outputs)
      if (v != kNoValue) marked.outputs.push_back(v);
    // As an operator on integers, it has a range of its own.
    if (node.op_type == "AveragePool" && format_ == StaticFormat::q_operator) return {};
    for (const ValueId v : marked.outputs) marks_.activations[v] = from;
    return {};
  }

  bool pads_with_zero_or_own(const Node& node) const {
    if (node.string_or("mode", "constant") != "constant") return true;
    if (node.input(2) == kNoValue) return true;
    const Tensor* value = graph_.constant(node.inputs[2]);
    return value && value->count() == 1 && number_at(*value, 0) == 0;
  }

  std::string mark_rectifier(const Node& node, MarkedNode& marked) {
    const ValueId from = node.inputs[0];
    if (!is_quantised(from)) return "its input is not quantised";
    marked.inputs[0].kind = InputKind::activation;
    marked.outputs = {node.outputs[0]};
    if (graph_.use_count(from) == 1 && graph_.producer(from) && marks_.activations[from] == from)
      marks_.covered.emplace(from, node.outputs[0]);
    return {};
  }

  const Graph& graph_;
  StaticFormat format_;
  Marks marks_;
};

}  // namespace

ValueId Marks::root(ValueId value) const {
  for (;;) {
    ValueId next = activations.at(value);
    if (next == value)
      if (const auto found = covered.find(value); found != covered.end()) next = found->second;
    if (next == value) return value;
    value = next;
  }
}

bool is_static_operator(const Node& node) noexcept { return rule_of(node) != nullptr; }

bool multiplies(const Node& node) noexcept {
  const Entry* entry = rule_of(node);
  return entry && (entry->rule == Rule::product || entry->rule == Rule::matmul);
}

Marks mark_graph(const Graph& graph, StaticFormat format, FunctionRef<bool(const Node&)> wanted) {
  Marker marker(graph, format);
  for (const NodeId id : graph.order()) {
    const Node& node = graph.node(id);
    if (const Entry* entry = rule_of(node); entry && wanted(node)) marker.visit(id, entry->rule);
  }
  return marker.take();
}

}  // namespace linnet
