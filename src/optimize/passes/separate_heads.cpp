// Attention whose heads count as batch items, [batch heads, rows, columns], as batched products of matrices have it:
// from the values p v, up through the softmax to the scores q k, it is restated with the heads on an axis of their own,
// which is what fuse_attention reads. What is added to the scores on the way (DeBERTa's terms of content and position)
// is given that axis by a Reshape.
// https://docs.pytorch.org/docs/stable/generated/torch.bmm.html
//
// For this engine only: where all scores of a row are masked by the lowest number, as DeBERTa masks the rows of
// padding, they are alike, and so are their weights; ONNX Runtime's Attention gives something else.
#include <map>

#include "optimize/match.h"
#include "optimize/optimizer.h"

namespace linnet {
namespace {

class Separation {
 public:
  Separation(Graph& graph, const PassContext& context) : graph_(graph), context_(context) {}

  // MatMul(p, v) of three axes, p a softmax.
  bool separate(NodeId id) {
    const Node& product = graph_.node(id);
    const ValueId out = product.outputs.empty() ? kNoValue : product.outputs[0];
    if (!product.is("MatMul") || !shape_of(graph_, out, 3)) return false;
    const ValueId v = before_merge(product.inputs[1]);
    if (v == kNoValue || !is_softmax(product.inputs[0])) return false;
    heads_ = (*shape_of(graph_, v, 4))[1];
    if (!heads_.known()) return false;
    const ValueId p = apart(product.inputs[0]);
    const SymShape* weights = p == kNoValue ? nullptr : shape_of(graph_, p, 4);
    if (!weights) {
      context_.miss(graph_, id,
                    "what its softmax takes does not come from products of heads that were batch items once");
      return false;
    }
    const SymShape from = *shape_of(graph_, v, 4);
    const ValueId made = add("MatMul", 13, {p, v}, {(*weights)[0], heads_, (*weights)[2], from[3]});
    const std::vector<NodeId> users = graph_.uses(out);
    for (const NodeId user : users) {
      if (!splits(graph_.node(user))) continue;
      graph_.replace_uses(graph_.node(user).outputs[0], made);
      graph_.remove_node(user);
    }
    graph_.remove_node(id);
    Node merge = reshape(made, sizes_behind(made, 2, {-1}));
    merge.outputs = {out};
    graph_.add_node(std::move(merge));
    return true;
  }

 private:
  // x of four axes when the value is Reshape(x), x's first two made one.
  ValueId before_merge(ValueId value) const {
    const Node* reshape = made_by(graph_, value, "Reshape");
    const SymShape *whole = shape_of(graph_, value, 3),
                   *parts = reshape ? shape_of(graph_, reshape->inputs[0], 4) : nullptr;
    if (!whole || !parts || !((*whole)[1] == (*parts)[2]) || !((*whole)[2] == (*parts)[3])) return kNoValue;
    return reshape->inputs[0];
  }
  // Whether one node reads the value, beside those that ask for its shape.
  bool read_once(ValueId value) const {
    size_t readers = graph_.is_output(value) ? 2 : 0;
    for (const NodeId user : graph_.uses(value)) readers += !graph_.node(user).is("Shape");
    return readers == 1;
  }
  // Whether the node is the opposite Reshape, for this number of heads.
  bool splits(const Node& node) const {
    if (!node.is("Reshape")) return false;
    const SymShape *whole = shape_of(graph_, node.inputs[0], 3), *parts = shape_of(graph_, node.outputs[0], 4);
    return whole && parts && (*parts)[1] == heads_ && (*whole)[1] == (*parts)[2] && (*whole)[2] == (*parts)[3];
  }
  bool is_softmax(ValueId value) const {
    if (!read_once(value)) return false;
    if (const ValueId x = before_merge(value); x != kNoValue) value = x;
    if (!read_once(value)) return false;
    const Node* softmax = made_by(graph_, value, "Softmax");
    return softmax && softmax_axis(graph_, *softmax) == static_cast<int64_t>(graph_.value(value).info.shape.size()) - 1;
  }

  // The value with the heads on an axis of their own; kNoValue where that would only move a Reshape.
  ValueId apart(ValueId value, int depth = 12) {
    if (shape_of(graph_, value, 4)) return through(value, depth);
    const SymShape* shape = shape_of(graph_, value, 3);
    if (!shape || depth == 0) return kNoValue;
    if (const ValueId x = before_merge(value); x != kNoValue)
      return (*shape_of(graph_, x, 4))[1] == heads_ ? through(x, depth) : kNoValue;
    const Node* node = graph_.producer(value);
    if (!node || !read_once(value)) return kNoValue;
    const SymShape three = *shape;
    if (node->is("Softmax")) {
      const ValueId x = apart(node->inputs[0], depth - 1);
      if (x == kNoValue) return kNoValue;
      Node softmax = *node;
      softmax.set("axis", int64_t{-1});
      softmax.version = 13;
      return add(std::move(softmax), {x}, behind(x, three));
    }
    const std::vector<int64_t>* permutation = node->is("Transpose") ? node->ints("perm") : nullptr;
    if (permutation && *permutation == std::vector<int64_t>{0, 2, 1}) {
      const ValueId x = apart(node->inputs[0], depth - 1);
      if (x == kNoValue) return kNoValue;
      Node transpose = *node;
      transpose.set("perm", std::vector<int64_t>{0, 1, 3, 2});
      return add(std::move(transpose), {x}, behind(x, three));
    }
    if (node->is("MatMul") || (node->is("FusedMatMul", "com.microsoft") && node->int_or("transA", 0) == 0 &&
                               node->int_or("transBatchA", 0) == 0 && node->int_or("transBatchB", 0) == 0)) {
      const Node product = *node;
      const ValueId a = apart(product.inputs[0], depth - 1);
      const ValueId b = a == kNoValue ? kNoValue : apart(product.inputs[1], depth - 1);
      return b == kNoValue ? kNoValue : add(Node(product), {a, b}, behind(a, three));
    }
    return elementwise(*node, three, depth);
  }

  // A value of four axes stays as it is, unless it is a Reshape of scores, or made of one.
  ValueId through(ValueId value, int depth) {
    const Node* node = graph_.producer(value);
    if (!node || depth == 0) return value;
    const SymShape four = *shape_of(graph_, value, 4);
    if (node->is("Reshape")) {
      if (!splits(*node)) return value;
      const ValueId x = apart(node->inputs[0], depth - 1);
      return x == kNoValue ? value : x;
    }
    if (!node->is("Softmax") && !node->is("Add") && !node->is("Where") && !node->is("Mul") && !node->is("Div"))
      return value;
    const Node copy = *node;
    std::vector<ValueId> inputs = copy.inputs;
    for (ValueId& in : inputs)
      if (shape_of(graph_, in, 4) && read_once(in)) in = through(in, depth - 1);
    return inputs == copy.inputs ? value : add(Node(copy), std::move(inputs), four);
  }

  // Of products by numbers, and of sums one of whose terms is a product of matrices.
  ValueId elementwise(const Node& given, const SymShape& three, int depth) {
    if (!given.is("Add") && !given.is("Mul") && !given.is("Div")) return kNoValue;
    const Node node = given;
    std::vector<ValueId> inputs = node.inputs;
    bool found = false;
    for (ValueId& in : inputs) {
      if (scalar(graph_, in)) continue;
      const SymShape* shape = shape_of(graph_, in, 3);
      if (!shape || !(*shape == three)) return kNoValue;
      if (const ValueId x = apart(in, depth - 1); x != kNoValue) {
        in = x;
        found = true;
      }
    }
    if (!found) return kNoValue;
    SymShape four = three;
    for (const ValueId in : inputs)
      if (shape_of(graph_, in, 4)) four = behind(in, three);
    for (ValueId& in : inputs)
      if (!scalar(graph_, in) && !shape_of(graph_, in, 4)) in = split(in, four);
    return add(Node(node), std::move(inputs), four);
  }

  // The first two sizes of one value, the last two of the other.
  SymShape behind(ValueId leading, const SymShape& three) const {
    const SymShape& four = *shape_of(graph_, leading, 4);
    return {four[0], four[1], three[1], three[2]};
  }

  ValueId split(ValueId value, const SymShape& four) {
    const auto [it, added] = splits_.try_emplace(value, kNoValue);
    if (added) it->second = add(reshape(value, sizes_behind(value, 1, {-1, heads_.value()})), {}, four);
    return it->second;
  }

  // The list, and behind it the value's sizes from the axis on.
  ValueId sizes_behind(ValueId value, int64_t axis, std::vector<int64_t> first) {
    Node shape;
    shape.op_type = "Shape";
    shape.version = 15;
    shape.set("start", axis);
    shape.inputs = {value};
    const ValueId sizes = graph_.add_node(std::move(shape), "sizes", ValueInfo::tensor(DType::i64, {Dim(2)}));
    const auto count = static_cast<int64_t>(first.size()) + 2;
    Node concat;
    concat.op_type = "Concat";
    concat.version = 13;
    concat.set("axis", int64_t{0});
    concat.inputs = {graph_.add_ints("leading", std::move(first)), sizes};
    return graph_.add_node(std::move(concat), "shape", ValueInfo::tensor(DType::i64, {Dim(count)}));
  }
  static Node reshape(ValueId value, ValueId sizes) {
    Node node;
    node.op_type = "Reshape";
    node.version = 14;
    node.inputs = {value, sizes};
    return node;
  }

  ValueId add(std::string_view type, int version, std::vector<ValueId> inputs, SymShape shape) {
    Node node;
    node.op_type = type;
    node.version = version;
    return add(std::move(node), std::move(inputs), std::move(shape));
  }
  // The same node for other inputs; without any, for its own.
  ValueId add(Node node, std::vector<ValueId> inputs, SymShape shape) {
    if (!inputs.empty()) node.inputs = std::move(inputs);
    node.outputs.clear();
    const DType type = graph_.value(node.inputs.back()).info.dtype;
    return graph_.add_node(std::move(node), "heads", ValueInfo::tensor(type, std::move(shape)));
  }

  Graph& graph_;
  const PassContext& context_;
  Dim heads_;
  std::map<ValueId, ValueId> splits_;
};

}  // namespace

Result<size_t> separate_heads(Graph& graph, PassContext& context) {
  Separation separation(graph, context);
  const size_t changes = rewrite_nodes(graph, [&](NodeId id) { return separation.separate(id); });
  if (changes == 0) graph.remove_unused();  // what was made before a pattern turned out to be another
  return changes;
}

}  // namespace linnet
