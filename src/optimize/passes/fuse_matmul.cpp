// What stands behind a product by a constant matrix goes into it: a bias, a factor, an activation, a residual. A Gemm
// between Reshapes that make rows of all leading axes, and undo that, is a product over all of them.
#include "optimize/activations.h"
#include "optimize/match.h"
#include "optimize/optimizer.h"

namespace linnet {
namespace {

bool is_float_matrix(const Graph& graph, ValueId value) {
  const Tensor* t = graph.constant(value);
  return t && (t->dtype == DType::f32 || t->dtype == DType::f16 || t->dtype == DType::bf16) && t->shape.rank() == 2;
}

// A row that is added to each row of the product.
bool is_bias(const Graph& graph, ValueId value, DType type, int64_t columns) {
  const Tensor* t = graph.constant(value);
  if (!t || t->dtype != type || t->shape.empty() || t->shape.back() != columns) return false;
  return t->count() == columns;
}

// The product as linnet.FusedMatMul; nothing when it is none by a constant matrix.
std::optional<Node> as_fused(const Graph& graph, const Node& node) {
  const bool gemm = node.is("Gemm"), transposing = node.is("FusedMatMul", "com.microsoft");
  if (!gemm && !transposing && !node.is("MatMul")) return std::nullopt;
  if (!is_float_matrix(graph, node.input(1))) return std::nullopt;
  if (node.int_or("transA", 0) != 0 || node.float_or("beta", 1.0f) != 1.0f) return std::nullopt;
  if (node.int_or("transBatchA", 0) != 0 || node.int_or("transBatchB", 0) != 0) return std::nullopt;
  const ValueInfo& a = graph.value(node.inputs[0]).info;
  if (!a.ranked || a.shape.size() < 2) return std::nullopt;
  const DType type = graph.constant(node.inputs[1])->dtype;
  const int64_t columns = graph.constant(node.inputs[1])->shape[node.int_or("transB", 0) != 0 ? 0 : 1];
  if (gemm && node.input(2) != kNoValue && !is_bias(graph, node.input(2), type, columns)) return std::nullopt;
  Node fused = node;
  fused.domain = "linnet";
  fused.op_type = "FusedMatMul";
  fused.version = 1;
  fused.erase("beta");
  for (const std::string_view name : {"transA", "transBatchA", "transBatchB"}) fused.erase(name);
  return fused;
}

// x and the Reshape behind, where the Gemm of matrices stands for a product of the rows of x, [..., k].
struct Unflattened {
  ValueId x = kNoValue;
  NodeId behind = kNoNode;
};
Unflattened without_reshapes(const Graph& graph, const Node& gemm) {
  const Node* flatten = made_by(graph, gemm.inputs[0], "Reshape");
  const NodeId behind = sole_user(graph, gemm.outputs[0]);
  if (!gemm.is("Gemm") || !flatten || behind == kNoNode || !graph.node(behind).is("Reshape")) return {};
  const ValueInfo &x = graph.value(flatten->inputs[0]).info, &flat = graph.value(gemm.inputs[0]).info,
                  &y = graph.value(gemm.outputs[0]).info, &out = graph.value(graph.node(behind).outputs[0]).info;
  if (!x.ranked || !flat.ranked || !y.ranked || !out.ranked || x.shape.size() < 3 || flat.shape.size() != 2 ||
      y.shape.size() != 2 || !(x.shape.back() == flat.shape.back()))
    return {};
  SymShape wanted = x.shape;
  wanted.back() = y.shape.back();
  return out.shape == wanted ? Unflattened{flatten->inputs[0], behind} : Unflattened{};
}

ValueId flat_bias(Graph& graph, ValueId value) {
  const Tensor& t = *graph.constant(value);
  if (t.shape.rank() == 1) return value;
  Tensor flat = t;
  flat.shape = Shape{t.count()};
  return graph.add_constant(graph.value(value).name, std::move(flat));
}

bool scale(Graph& graph, Node& fused, float factor) {
  if (const Tensor* bias = graph.constant(fused.input(2))) {
    Result<Tensor> scaled = clone(*bias);
    if (!scaled.ok()) return false;
    for (int64_t i = 0; i < scaled->count(); ++i) scaled->ptr<float>()[i] *= factor;
    fused.inputs[2] = graph.add_constant(graph.value(fused.inputs[2]).name + "/scaled", std::move(*scaled));
  }
  fused.set("alpha", fused.float_or("alpha", 1.0f) * factor);
  return true;
}

}  // namespace

Result<size_t> fuse_matmul(Graph& graph, PassContext& context) {
  size_t changes = 0;
  const std::vector<NodeId> order = graph.order();
  NodePlaces places(graph);
  for (const NodeId id : order) {
    if (!graph.alive(id)) continue;
    std::optional<Node> fused = as_fused(graph, graph.node(id));
    if (!fused) continue;
    std::vector<NodeId> chain = {id};
    const Unflattened unflattened = without_reshapes(graph, graph.node(id));
    if (unflattened.behind != kNoNode) {
      fused->inputs[0] = unflattened.x;
      chain.push_back(unflattened.behind);
    }
    const ValueInfo product = graph.value(graph.node(chain.back()).outputs[0]).info;
    if (!product.ranked || !product.shape.back().known()) continue;
    const auto next = [&]() { return sole_user(graph, graph.node(chain.back()).outputs[0]); };
    const auto addend = [&](NodeId user) {
      const ValueId out = graph.node(chain.back()).outputs[0];
      if (user == kNoNode || !graph.node(user).is("Add")) return kNoValue;
      const ValueId other = other_input(graph.node(user), [&](ValueId v) { return v == out; });
      return other == out ? kNoValue : other;
    };
    NodeId user = next();
    if (ValueId bias = addend(user); fused->input(2) == kNoValue && bias != kNoValue &&
                                     is_bias(graph, bias, product.dtype, product.shape.back().value()) &&
                                     graph.constant(bias)->shape.rank() <= product.shape.size()) {
      fused->inputs.resize(3, kNoValue);
      fused->inputs[2] = flat_bias(graph, bias);
      chain.push_back(user);
      user = next();
    }
    if (const Scaled scaled = user == kNoNode ? Scaled{} : as_scaled(graph, graph.node(user));
        scaled.x == graph.node(chain.back()).outputs[0] && scale(graph, *fused, scaled.factor)) {
      chain.push_back(user);
      user = next();
    }
    const std::optional<FusedActivation> activation =
        user != kNoNode && graph.node(user).input(0) == graph.node(chain.back()).outputs[0]
            ? as_activation(graph, graph.node(user))
            : std::nullopt;
    if (activation) {
      activation->apply(*fused);
      chain.push_back(user);
    } else if (const ValueId residual = addend(user); residual != kNoValue && !graph.constant(residual)) {
      const ValueInfo& info = graph.value(residual).info;
      if (places.is_before(graph, residual, id) && info.ranked && info.dtype == DType::f32 &&
          info.shape.size() == product.shape.size() && info.shape == product.shape) {
        fused->inputs.resize(4, kNoValue);
        fused->inputs[3] = residual;
        chain.push_back(user);
      } else {
        context.miss(graph, id, "the addend in ", graph.node_path(user), " comes later or may have another shape");
      }
    }
    if (chain.size() == 1) continue;
    fused->outputs = graph.node(chain.back()).outputs;
    for (const NodeId part : chain) graph.remove_node(part);
    places.take(graph.add_node(std::move(*fused)), id);
    ++changes;
  }
  return changes;
}

}  // namespace linnet
