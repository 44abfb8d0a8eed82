#include "ops/ml/packed_trees.h"

namespace linnet {
namespace {

template <class T>
constexpr DType kBits = sizeof(T) == 8 ? DType::u64 : DType::u32;

// The elements as a list of numbers of the type, or as rows of `columns`.
Tensor constant_of(std::span<const std::byte> elements, DType dtype, size_t columns,
                   const std::shared_ptr<void>& owner) {
  if (elements.empty()) return {};
  const size_t count = elements.size() / element_size(dtype);
  Shape shape{static_cast<int64_t>(count)};
  if (columns != 0) shape = Shape{static_cast<int64_t>(count / columns), static_cast<int64_t>(columns)};
  return {dtype, shape, const_cast<std::byte*>(elements.data()), owner};
}

// Reads constant inputs of a node; the first failure stays.
struct ConstantReader {
  PrepareContext& context;
  Status status;

  // Elements of `size` bytes that lie as numbers of the type, a list or rows.
  std::span<const std::byte> read(size_t input, DType dtype, size_t size) {
    if (!context.has(input)) return {};
    const Tensor* constant = context.constant(input);
    const size_t columns = size / element_size(dtype);
    if (constant && constant->dtype == dtype &&
        (columns == 1 || (constant->shape.rank() == 2 && constant->shape[1] == static_cast<int64_t>(columns))))
      return {constant->ptr<std::byte>(), constant->bytes()};
    status = invalid_model("input ", input, " is no constant that describes trees");
    return {};
  }
  template <class E>
  void read(size_t input, DType dtype, std::span<const E>& elements) {
    const auto bytes = read(input, dtype, sizeof(E));
    elements = {reinterpret_cast<const E*>(bytes.data()), bytes.size() / sizeof(E)};
  }
};

// Ranges of something of this size, one for each but the last.
bool are_ranges(std::span<const uint32_t> begin, size_t size) {
  bool fine = !begin.empty() && begin.back() <= size;
  for (size_t i = 1; i < begin.size(); ++i) fine &= begin[i - 1] <= begin[i];
  return fine;
}

// Whether every node is a leaf or leads to two behind it. Says whether a NaN passes any.
template <class T>
bool are_walkable(std::span<const TreeNode<T>> nodes, int64_t features, bool& nan_passes) {
  bool fine = nodes.size() <= kMostTreeNodes;
  uint32_t flags = 0;
  for (size_t i = 0; i < nodes.size(); ++i) {
    const TreeNode<T>& node = nodes[i];
    flags |= node.feature;
    const bool leaf = node.value != node.value && node.feature == 0 && node.child == static_cast<uint32_t>(i) - 1;
    fine &= leaf || (node.child > i && size_t{node.child} + 1 < nodes.size() &&
                     int64_t{node.feature & ~kTreeNanPasses} < features);
  }
  nan_passes = (flags & kTreeNanPasses) != 0;
  return fine;
}

template <class T>
bool are_tests(const TreeEnsembleView<T>& trees) {
  if (trees.tests.empty()) return true;
  bool fine = trees.tests.size() == trees.nodes.size() && trees.set_begin.size() == trees.nodes.size() + 1;
  for (const TreeTest test : trees.tests) fine &= test <= TreeTest::member;
  return fine && are_ranges(trees.set_begin, trees.members.size());
}

template <class T>
bool are_votes(const TreeEnsembleView<T>& trees) {
  bool fine = true;
  if (trees.weights.empty()) {
    for (const TreeVote<T>& vote : trees.votes) fine &= vote.target < trees.targets;
    return fine && trees.vote_begin.size() == trees.nodes.size() + 1 &&
           are_ranges(trees.vote_begin, trees.votes.size());
  }
  if (trees.width < trees.targets || (trees.width != 1 && trees.width != 2 && trees.width != 4 && trees.width != 8))
    return false;
  for (const uint32_t leaf : trees.vote_begin) fine &= leaf < trees.weights.size() / trees.width;
  return fine && trees.vote_begin.size() == trees.nodes.size();
}

}  // namespace

template <class T>
std::vector<Tensor> tree_constants(const std::shared_ptr<BuiltTrees<T>>& trees) {
  const auto constant = [&](const auto& elements, DType dtype, size_t columns = 0) {
    return constant_of(std::as_bytes(std::span(elements)), dtype, columns, trees);
  };
  return {constant(trees->nodes, kBits<T>, sizeof(TreeNode<T>) / sizeof(T)),
          constant(trees->roots, DType::u32),
          constant(trees->vote_begin, DType::u32),
          trees->width == 0 ? constant(trees->votes, kBits<T>, sizeof(TreeVote<T>) / sizeof(T))
                            : constant(trees->weights, dtype_of<T>, trees->width),
          constant(trees->tests, DType::u8),
          constant(trees->set_begin, DType::u32),
          constant(trees->members, dtype_of<T>)};
}

template <class T>
Result<TreeEnsembleView<T>> constant_trees(PrepareContext& context, size_t targets, int64_t features) {
  TreeEnsembleView<T> trees;
  trees.targets = targets;
  ConstantReader reader{context, {}};
  reader.read(TreeInput::kNodes, kBits<T>, trees.nodes);
  reader.read(TreeInput::kRoots, DType::u32, trees.roots);
  reader.read(TreeInput::kVoteBegin, DType::u32, trees.vote_begin);
  if (context.has(TreeInput::kVotes) && context.dtype(TreeInput::kVotes) == dtype_of<T>) {
    reader.read(TreeInput::kVotes, dtype_of<T>, trees.weights);
    const Tensor* weights = context.constant(TreeInput::kVotes);
    if (weights && weights->shape.rank() == 2) trees.width = static_cast<size_t>(weights->shape[1]);
  } else {
    reader.read(TreeInput::kVotes, kBits<T>, trees.votes);
  }
  reader.read(TreeInput::kTests, DType::u8, trees.tests);
  reader.read(TreeInput::kSetBegin, DType::u32, trees.set_begin);
  reader.read(TreeInput::kMembers, dtype_of<T>, trees.members);
  LINNET_TRY(std::move(reader.status));
  const char* wrong = are_walkable(trees.nodes, features, trees.nan_passes) ? nullptr : "nodes";
  for (const uint32_t root : trees.roots)
    if (root >= trees.nodes.size()) wrong = "roots";
  if (!are_tests(trees)) wrong = "tests";
  if (!are_votes(trees)) wrong = "votes";
  if (wrong) return invalid_model("the ", wrong, " of the trees lead outside of them, or nowhere");
  return trees;
}

template std::vector<Tensor> tree_constants(const std::shared_ptr<BuiltTrees<float>>&);
template std::vector<Tensor> tree_constants(const std::shared_ptr<BuiltTrees<double>>&);
template Result<TreeEnsembleView<float>> constant_trees(PrepareContext&, size_t, int64_t);
template Result<TreeEnsembleView<double>> constant_trees(PrepareContext&, size_t, int64_t);

}  // namespace linnet
