#include "infer/infer.h"

#include <algorithm>
#include <unordered_map>

#include "ops/operator_types.h"
#include "ops/registry.h"
#include "tensor/alignment.h"

namespace linnet {
namespace {

constexpr size_t kMostTracked = 64;  // elements; shape vectors are shorter

class Inference {
 public:
  Inference(Graph& graph, SymbolTable& symbols) : graph_(graph), symbols_(symbols) {
    facts_.ints.resize(graph.value_count());
  }

  GraphFacts& facts() { return facts_; }

  Status run() {
    for (const NodeId id : graph_.order()) {
      if (Status status = visit(id); !status.ok()) {
        std::vector<const ValueInfo*> in = inputs_of(graph_.node(id));
        return std::move(status).at_node(graph_.node_path(id), describe(in, symbols_));
      }
    }
    return {};
  }

  // Nothing is known of what nodes make.
  void forget() {
    for (const NodeId id : graph_.order())
      for (const ValueId v : graph_.node(id).outputs)
        if (v != kNoValue) graph_.value(v).info = ValueInfo();
  }

 private:
  std::vector<const ValueInfo*> inputs_of(const Node& node) const {
    std::vector<const ValueInfo*> in;
    for (const ValueId v : node.inputs) in.push_back(v == kNoValue ? nullptr : &graph_.value(v).info);
    return in;
  }

  Status visit(NodeId id) {
    const Node& node = graph_.node(id);
    LINNET_ASSIGN(const std::unique_ptr<Op> op, create_op(node));
    const std::vector<const ValueInfo*> in = inputs_of(node);
    std::vector<const Tensor*> known;
    std::vector<const DimVector*> tracked;
    for (const ValueId v : node.inputs) {
      const Tensor* constant = graph_.constant(v);
      known.push_back(constant && constant->data && is_aligned(*constant)
                          ? constant
                          : nullptr);  // shapes do not hang on large ones
      tracked.push_back(v == kNoValue ? nullptr : facts_.tracked(v));
    }
    std::vector<ValueInfo> infos(node.outputs.size());
    std::vector<DimVector> elements(node.outputs.size(), InferContext::kUnsaid);
    std::vector<ValueInfo*> out;
    std::vector<DimVector*> out_tracked;
    for (size_t o = 0; o < node.outputs.size(); ++o) {
      out.push_back(node.outputs[o] == kNoValue ? nullptr : &infos[o]);
      out_tracked.push_back(&elements[o]);
    }
    InferContext context(in, known, tracked, out, out_tracked, &symbols_, true);
    const auto bodies = subgraphs_of(node);
    std::vector<bool> visited(bodies.size(), false);
    context.infer_subgraph = [&](int k, std::span<const ValueInfo> formal) {
      if (k >= 0 && static_cast<size_t>(k) < visited.size()) visited[static_cast<size_t>(k)] = true;
      return subgraph(node, k, formal);
    };
    const OperatorTypes* types = node.custom ? nullptr : types_of(node.domain, node.op_type);
    if (types) LINNET_TRY(check_inputs(*types, in));
    LINNET_TRY(context.infer(*op));
    if (types) LINNET_TRY(check_outputs(*types, out));
    for (size_t k = 0; k < bodies.size(); ++k) {  // bodies that the operator feeds as they declare
      if (visited[k]) continue;
      std::vector<ValueInfo> declared;
      for (const GraphPort& port : bodies[k]->inputs) declared.push_back(bodies[k]->value(port.value).info);
      LINNET_TRY(subgraph(node, static_cast<int>(k), declared).status());
    }
    if (node.op_type == "If") declare_types(bodies, infos);
    for (size_t o = 0; o < node.outputs.size(); ++o) {
      if (!out[o]) continue;
      name_unknown_sizes(infos[o]);
      graph_.value(node.outputs[o]).info = std::move(infos[o]);
      if (elements[o].size() <= kMostTracked && InferContext::said(elements[o]))
        facts_.ints[node.outputs[o]] = std::make_unique<DimVector>(std::move(elements[o]));
      else
        facts_.ints[node.outputs[o]].reset();
    }
    return {};
  }

  // A branch that sizes rule out gives values of the types that the other one gives.
  static void declare_types(std::span<const std::shared_ptr<Graph>> branches, std::span<const ValueInfo> infos) {
    for (const auto& branch : branches) {
      for (size_t o = 0; o < std::min(branch->outputs.size(), infos.size()); ++o) {
        if (branch->outputs[o].value == kNoValue) continue;
        ValueInfo& info = branch->value(branch->outputs[o].value).info;
        if (info.dtype != DType::undefined || info.kind != ValueKind::tensor) continue;
        info = infos[o];
        info.ranked = false;
        info.shape.clear();
      }
    }
  }

  // So that two uses of one data-dependent size are known to agree.
  void name_unknown_sizes(ValueInfo& info) {
    if (!info.ranked) return;
    for (Dim& d : info.shape)
      if (d.unknown()) d = symbols_.fresh();
  }

  Result<std::vector<ValueInfo>> subgraph(const Node& node, int k, std::span<const ValueInfo> formal) {
    const auto bodies = subgraphs_of(node);
    if (k < 0 || static_cast<size_t>(k) >= bodies.size()) return invalid_model("lacks a subgraph");
    Graph& body = *bodies[static_cast<size_t>(k)];
    if (formal.size() != body.inputs.size())
      return invalid_model("its subgraph '", body.name, "' takes ", body.inputs.size(), " inputs, but gets ",
                           formal.size());
    for (size_t i = 0; i < formal.size(); ++i) {
      ValueInfo info = formal[i];
      const ValueInfo& declared = body.value(body.inputs[i].value).info;
      if (info.dtype == DType::undefined && info.kind == ValueKind::tensor) info = declared;
      body.value(body.inputs[i].value).info = std::move(info);
    }
    Inference inner(body, symbols_);
    for (size_t j = 0; j < body.captures.size(); ++j) {
      const ValueId mine = body.captures[j];
      if (mine == kNoValue) continue;
      const ValueId outer = node.captures[j];
      body.value(mine).info = graph_.value(outer).info;
      body.value(mine).constant = graph_.value(outer).constant;
      if (const DimVector* ints = facts_.tracked(outer)) inner.facts_.ints[mine] = std::make_unique<DimVector>(*ints);
    }
    LINNET_TRY(body.sort());
    if (Status status = inner.run(); !status.ok()) {
      inner.forget();
      return status;
    }
    std::vector<ValueInfo> out;
    for (const GraphPort& port : body.outputs) {
      if (port.value == kNoValue) return invalid_model("subgraph '", body.name, "' lacks its output '", port.name, "'");
      out.push_back(body.value(port.value).info);
    }
    return out;
  }

  Graph& graph_;
  SymbolTable& symbols_;
  GraphFacts facts_;
};

}  // namespace

Result<GraphFacts> infer_graph(Graph& graph, SymbolTable& symbols) {
  LINNET_TRY(graph.sort());
  Inference inference(graph, symbols);
  LINNET_TRY(inference.run());
  return std::move(inference.facts());
}

std::string describe(std::span<const ValueInfo* const> infos, const SymbolTable& symbols) {
  std::string out;
  for (const ValueInfo* info : infos) {
    if (!out.empty()) out += ", ";
    if (!info) {
      out += "none";
    } else {
      if (info->kind == ValueKind::sequence) out += "sequence of ";
      if (info->kind == ValueKind::optional) out += "optional ";
      if (info->kind == ValueKind::map) out += "map to ";
      out += dtype_name(info->dtype);
      out += info->ranked ? symbols.to_string(info->shape) : "[...]";
    }
  }
  return out.empty() ? "nothing" : out;
}

}  // namespace linnet
