// Reads the attributes of the tree operators, in both of their encodings.
// https://onnx.ai/onnx/operators/onnx_aionnxml_TreeEnsembleRegressor.html, ...TreeEnsemble.html
#pragma once

#include "ops/ml/tree_builder.h"
#include "ops/op.h"

namespace linnet {

// A list of numbers where the node has it.
struct NumberList {
  std::span<const float> floats;
  const Tensor* tensor = nullptr;

  size_t size() const noexcept { return tensor ? static_cast<size_t>(tensor->count()) : floats.size(); }
  double operator[](size_t i) const noexcept {
    return tensor ? number_at(*tensor, static_cast<int64_t>(i)) : double{floats[i]};
  }
};

// The attribute `name`, or in its place the tensor attribute `name`_as_tensor.
Result<NumberList> numbers_or_tensor(NodeReader& reader, const std::string& name);

// The lists of a node, of the lengths that they should have, but with elements that nobody has looked at: reading them
// costs nothing. They are the node's own, which is there until prepare is done: raw_trees must not be called later.
struct TreeLists {
  bool by_id = false;  // children and leaves are named by tree and node, not by index
  std::span<const int64_t> trees, ids, features, pass, fail, missing;
  std::span<const int64_t> roots, pass_leaf, fail_leaf;
  std::span<const std::string> mode_names;
  NumberList modes, values, members;
  std::span<const int64_t> vote_trees, vote_nodes, targets;
  NumberList weights;

  // The greatest feature that a node tests; -1 when none does.
  int64_t greatest_feature() const;
};

// nodes_* by tree and node id, with votes in `prefix`_ids, `prefix`_weights and so on ("class", "target").
Result<TreeLists> parse_trees_by_id(NodeReader& reader, const std::string& prefix);
// nodes_* by index, with leaf_*.
Result<TreeLists> parse_trees_by_index(NodeReader& reader);

Result<RawTrees> raw_trees(const TreeLists& lists);

}  // namespace linnet
