// The arithmetic of LayerNormalization and RMSNormalization, as exporters spell it before operator sets 17 and 23.
// https://onnx.ai/onnx/operators/onnx__LayerNormalization.html, ...RMSNormalization.html
#include "optimize/match.h"
#include "optimize/optimizer.h"

namespace linnet {
namespace {

// The last axis only, kept: what the norms of transformers reduce over.
const Node* mean_over_last(const Graph& graph, ValueId value) {
  const Node* mean = made_by(graph, value, "ReduceMean");
  if (!mean || mean->int_or("keepdims", 1) != 1) return nullptr;
  const ValueInfo& info = graph.value(mean->inputs[0]).info;
  const Tensor* axes = graph.constant(mean->input(1));
  if (!axes || axes->count() != 1) return nullptr;
  const int64_t axis = integer_at(*axes, 0);
  const bool last = axis == -1 || (info.ranked && axis == static_cast<int64_t>(info.shape.size()) - 1);
  return last ? mean : nullptr;
}

// x when the value is x squared.
ValueId squared(const Graph& graph, ValueId value) {
  if (const Node* pow = made_by(graph, value, "Pow")) {
    const Tensor* exponent = graph.constant(pow->inputs[1]);
    return exponent && exponent->count() == 1 && number_at(*exponent, 0) == 2.0 ? pow->inputs[0] : kNoValue;
  }
  const Node* mul = made_by(graph, value, "Mul");
  return mul && mul->inputs[0] == mul->inputs[1] ? mul->inputs[0] : kNoValue;
}

struct Normalized {
  ValueId x = kNoValue;  // the numerator
  float epsilon = 0;
};

// x / sqrt(mean(x^2) + epsilon), as a quotient, or as a product with the reciprocal.
Normalized match_normalized(const Graph& graph, ValueId value) {
  ValueId x = kNoValue, root = kNoValue;
  if (const Node* div = made_by(graph, value, "Div")) {
    x = div->inputs[0];
    root = div->inputs[1];
  } else if (const Node* mul = made_by(graph, value, "Mul")) {
    for (size_t side = 0; side < 2 && root == kNoValue; ++side) {
      if (const Node* reciprocal = made_by(graph, mul->inputs[side], "Reciprocal")) {
        root = reciprocal->inputs[0];
      } else if (const Node* one_over = made_by(graph, mul->inputs[side], "Div");
                 one_over && is_scalar(graph, one_over->inputs[0], 1)) {
        root = one_over->inputs[1];
      }
      x = mul->inputs[1 - side];
    }
  }
  const Node* sqrt = root == kNoValue ? nullptr : made_by(graph, root, "Sqrt");
  const Node* add = sqrt ? made_by(graph, sqrt->inputs[0], "Add") : nullptr;
  if (!add) return {};
  for (size_t side = 0; side < 2; ++side) {
    const std::optional<float> epsilon = scalar(graph, add->inputs[side]);
    const Node* mean = epsilon ? mean_over_last(graph, add->inputs[1 - side]) : nullptr;
    if (mean && squared(graph, mean->inputs[0]) == x) return {x, *epsilon};
  }
  return {};
}

bool is_row_constant(const Graph& graph, ValueId value, const ValueInfo& like) {
  const Tensor* t = graph.constant(value);
  return t && t->shape.rank() == 1 && like.ranked && !like.shape.empty() &&
         like.shape[like.shape.size() - 1].is(t->shape[0]) && t->dtype == like.dtype;
}

}  // namespace

Result<size_t> fuse_layer_norm(Graph& graph, PassContext& context) {
  size_t changes = 0;
  const std::vector<NodeId> order = graph.order();
  for (const NodeId id : order) {
    if (!graph.alive(id) || !graph.node(id).is("Mul")) continue;
    const Node& scale_node = graph.node(id);
    for (size_t side = 0; side < 2; ++side) {
      const ValueInfo& info = graph.value(scale_node.inputs[side]).info;
      const ValueId weight = scale_node.inputs[1 - side];
      const Normalized n = match_normalized(graph, scale_node.inputs[side]);
      if (n.x == kNoValue) continue;
      if (!is_row_constant(graph, weight, info) || info.dtype != DType::f32) {
        context.miss(graph, id, "its scale is no constant row, or its elements are not float");
        continue;
      }
      Node node;
      node.name = scale_node.name;
      node.set("axis", int64_t{-1});
      node.set("epsilon", n.epsilon);
      // x - mean(x) in front and a bias behind make it a LayerNormalization.
      const Node* centred = made_by(graph, n.x, "Sub");
      const Node* mean = centred ? mean_over_last(graph, centred->inputs[1]) : nullptr;
      const bool layer = mean && mean->inputs[0] == centred->inputs[0];
      NodeId replaced = id;
      if (layer) {
        node.op_type = "LayerNormalization";
        node.version = 17;
        node.inputs = {centred->inputs[0], weight};
        const NodeId user = sole_user(graph, scale_node.outputs[0]);
        if (user != kNoNode && graph.node(user).is("Add")) {
          const Node& add = graph.node(user);
          const ValueId bias = other_input(add, [&](ValueId v) { return v == scale_node.outputs[0]; });
          if (bias != kNoValue && is_row_constant(graph, bias, info)) {
            node.inputs.push_back(bias);
            replaced = user;
          }
        }
      } else {
        node.op_type = "RMSNormalization";
        node.version = 23;
        node.inputs = {n.x, weight};
      }
      node.outputs = graph.node(replaced).outputs;
      graph.remove_node(replaced);
      graph.add_node(std::move(node));
      ++changes;
      break;
    }
  }
  return changes;
}

}  // namespace linnet
