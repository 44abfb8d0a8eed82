// Reads the attributes of the tree operators, in both of their encodings.
// https://onnx.ai/onnx/operators/onnx_aionnxml_TreeEnsembleRegressor.html, ...TreeEnsemble.html
#pragma once

#include "ops/ml/tree_builder.h"
#include "ops/op.h"

namespace linnet {

// The attribute `name`, or in its place the tensor attribute `name`_as_tensor.
Result<std::vector<double>> numbers_or_tensor(NodeReader& reader, const std::string& name);

// nodes_* by tree and node id, with votes in `prefix`_ids, `prefix`_weights and so on ("class", "target").
Result<RawTrees> parse_trees_by_id(NodeReader& reader, const std::string& prefix);
// nodes_* by index, with leaf_*.
Result<RawTrees> parse_trees_by_index(NodeReader& reader);

}  // namespace linnet
