// LayerNormalization of the sum of two or three embeddings, each a Gather of rows: words, positions, and segments
// ("token types"). After fuse_layer_norm, before sums become skip connections.
// https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md#com.microsoft.EmbedLayerNormalization,
// whose ids are int32 and never negative: Gather's may be either, hence the operator of this engine's own.
#include <algorithm>

#include "optimize/match.h"
#include "optimize/optimizer.h"

namespace linnet {
namespace {

struct Embedding {
  ValueId table = kNoValue, ids = kNoValue;
};

std::optional<Embedding> as_embedding(const Graph& graph, ValueId value, Dim width) {
  const Node* gather = made_only_for_one(graph, value, "Gather");
  if (!gather || gather->int_or("axis", 0) != 0) return std::nullopt;
  const Tensor* table = graph.constant(gather->inputs[0]);
  const ValueInfo& ids = graph.value(gather->inputs[1]).info;
  if (!table || table->dtype != DType::f32 || table->shape.rank() != 2 || !width.is(table->shape[1]) || !ids.ranked ||
      (ids.dtype != DType::i64 && ids.dtype != DType::i32))
    return std::nullopt;
  return Embedding{gather->inputs[0], gather->inputs[1]};
}

bool fuse(Graph& graph, NodeId id, const PassContext& context) {
  const Node& norm = graph.node(id);
  if (!norm.is("LayerNormalization")) return false;
  const ValueId sum = norm.inputs[0];
  const Node* add = made_by(graph, sum, "Add");
  const SymShape* shape = shape_of(graph, sum, 3);
  const int64_t axis = norm.int_or("axis", -1);
  if (!add || !shape || graph.value(sum).info.dtype != DType::f32) return false;
  std::vector<ValueId> terms = add->inputs;
  for (const size_t side : {0, 1})
    if (const Node* inner = made_only_for_one(graph, add->inputs[side], "Add"); inner && terms.size() == 2) {
      terms = inner->inputs;
      terms.push_back(add->inputs[1 - side]);
    }
  std::vector<Embedding> parts;
  for (const ValueId term : terms)
    if (const auto part = as_embedding(graph, term, shape->back())) parts.push_back(*part);
  if (parts.empty()) return false;
  if (parts.size() != terms.size()) {
    context.miss(graph, id, "not all that it normalises are rows of a constant that are read once");
    return false;
  }
  for (size_t o = 1; o < norm.outputs.size(); ++o)
    if (norm.outputs[o] != kNoValue) return false;
  const SymShape* scale = shape_of(graph, norm.inputs[1], 1);
  const SymShape* shift = norm.input(2) == kNoValue ? nullptr : shape_of(graph, norm.inputs[2], 1);
  if ((axis != -1 && axis != 2) || norm.int_or("stash_type", 1) != 1 || !scale || !shift ||
      !((*scale)[0] == shape->back()) || !((*shift)[0] == shape->back()))
    return false;

  // Words and segments have an id for each row of the sum; positions repeat to that.
  const auto is_of_all = [&](const Embedding& e) {
    const SymShape* ids = shape_of(graph, e.ids, 2);
    return ids && (*ids)[0] == (*shape)[0] && (*ids)[1] == (*shape)[1];
  };
  const auto is_position = [&](const Embedding& e) {
    const ValueInfo& ids = graph.value(e.ids).info;
    return ids.shape.size() == 1 || (ids.shape.size() == 2 && (ids.shape[0].is(1) || ids.shape[0] == (*shape)[0]));
  };
  auto position = std::find_if(parts.begin(), parts.end(), [&](const Embedding& e) { return !is_of_all(e); });
  if (position == parts.end()) position = parts.end() - 1;
  const Embedding places = *position;
  parts.erase(position);
  if (!is_position(places) || !std::all_of(parts.begin(), parts.end(), is_of_all)) {
    context.miss(graph, id, "the ids of its embeddings have other shapes than [batch, sequence]");
    return false;
  }

  Node node;
  node.domain = "linnet";
  node.op_type = "EmbedLayerNormalization";
  node.version = 1;
  node.name = norm.name;
  node.set("epsilon", norm.float_or("epsilon", 1e-5f));
  const Embedding segments = parts.size() == 2 ? parts[1] : Embedding{};
  node.inputs = {parts[0].ids,   segments.ids,   parts[0].table, places.table, segments.table,
                 norm.inputs[1], norm.inputs[2], kNoValue,       places.ids};
  node.outputs = {norm.outputs[0]};
  const bool shared = graph.use_count(sum) > 1;
  if (shared) node.outputs.insert(node.outputs.end(), {kNoValue, sum});
  graph.remove_node(id);
  if (shared) graph.remove_node(graph.value(sum).producer);
  graph.add_node(std::move(node));
  return true;
}

}  // namespace

Result<size_t> fuse_embedding_norm(Graph& graph, PassContext& context) {
  return rewrite_nodes(graph, [&](NodeId id) { return fuse(graph, id, context); });
}

}  // namespace linnet
