// Built trees as constants, which a compiled model holds and maps: what linnet.TreeEnsemble,
// linnet.TreeEnsembleClassifier and linnet.TreeEnsembleRegressor have in place of the lists of ai.onnx.ml's.
#pragma once

#include "ops/ml/tree_builder.h"
#include "ops/op.h"

namespace linnet {

// The inputs behind the features: the arrays of a TreeEnsembleView, those that are empty left out. Structures lie as
// rows of unsigned integers of T's width, kVotes is either votes (integers) or weights (of type T).
struct TreeInput {
  enum : size_t { kNodes = 1, kRoots, kVoteBegin, kVotes, kTests, kSetBegin, kMembers, kEnd };
};

// The constants for these inputs, from kNodes on; those to leave out are of no type.
template <class T>
std::vector<Tensor> tree_constants(const std::shared_ptr<BuiltTrees<T>>& trees);

// The arrays of a node's constants. Nothing of them is trusted: fails unless every index stays within and every path
// ends, with no node that tests a feature from `features` on.
template <class T>
Result<TreeEnsembleView<T>> constant_trees(PrepareContext& context, size_t targets, int64_t features);

// Makes a node of ai.onnx.ml one of linnet, but for its inputs: those behind the features are returned. One that fails
// stays as it is.
Result<std::vector<Tensor>> pack_tree_node(Node& node, DType features);

extern template std::vector<Tensor> tree_constants(const std::shared_ptr<BuiltTrees<float>>&);
extern template std::vector<Tensor> tree_constants(const std::shared_ptr<BuiltTrees<double>>&);
extern template Result<TreeEnsembleView<float>> constant_trees(PrepareContext&, size_t, int64_t);
extern template Result<TreeEnsembleView<double>> constant_trees(PrepareContext&, size_t, int64_t);

}  // namespace linnet
