// x cos + rotate_half(x) sin becomes RotaryEmbedding, where rotate_half(x) = Concat(-x[half:], x[:half]) and both
// halves of cos and of sin are the same; on a part of the features too, where Concat puts the others behind.
// https://onnx.ai/onnx/operators/onnx__RotaryEmbedding.html
#include <algorithm>

#include "optimize/match.h"
#include "optimize/optimizer.h"

namespace linnet {
namespace {

bool is_last(int64_t axis, size_t rank) { return axis == -1 || axis == static_cast<int64_t>(rank) - 1; }

// x[..., start:stop].
struct Part {
  ValueId x = kNoValue;
  int64_t start = 0, stop = 0;
};

Part part_of(const Graph& graph, ValueId value) {
  const Node* node = graph.producer(value);
  if (!node || node->inputs.empty()) return {};
  const ValueId x = node->inputs[0];
  const SymShape *whole = shape_of(graph, x, 4), *own = shape_of(graph, value, 4);
  if (!whole || !own || !(*whole)[3].known() || !(*own)[3].known()) return {};
  const int64_t size = (*whole)[3].value(), count = (*own)[3].value();
  if (node->is("Slice")) {
    const auto one = [&](size_t i, int64_t fallback) -> std::optional<int64_t> {
      if (node->input(i) == kNoValue) return fallback;
      const Tensor* t = graph.constant(node->inputs[i]);
      return t && t->count() == 1 ? std::optional(integer_at(*t, 0)) : std::nullopt;
    };
    const auto start = one(1, 0), axis = one(3, 0), step = one(4, 1);
    if (!start || !axis || !is_last(*axis, 4) || step != 1) return {};
    const int64_t from = *start < 0 ? *start + size : *start;
    return from < 0 || from + count > size ? Part{} : Part{x, from, from + count};
  }
  if (node->is("Split") && is_last(node->int_or("axis", 0), 4)) {
    int64_t from = 0;
    for (const ValueId out : node->outputs) {
      const SymShape* shape = shape_of(graph, out, 4);
      if (!shape || !(*shape)[3].known()) return {};
      if (out == value) return {x, from, from + count};
      from += (*shape)[3].value();
    }
  }
  return {};
}

// The two inputs of a Concat of the last axis.
const Node* pair_of(const Graph& graph, ValueId value) {
  const Node* concat = made_only_for_one(graph, value, "Concat");
  return concat && concat->inputs.size() == 2 && is_last(concat->int_or("axis", 0), 4) ? concat : nullptr;
}

// x when the value is rotate_half(x).
ValueId rotated(const Graph& graph, ValueId value) {
  const Node* concat = pair_of(graph, value);
  const Node* neg = concat ? made_by(graph, concat->inputs[0], "Neg") : nullptr;
  if (!neg) return kNoValue;
  const Part high = part_of(graph, neg->inputs[0]), low = part_of(graph, concat->inputs[1]);
  if (high.x == kNoValue || high.x != low.x || low.start != 0 || low.stop != high.start || high.stop != 2 * low.stop)
    return kNoValue;
  return (*shape_of(graph, low.x, 4))[3].is(high.stop) ? low.x : kNoValue;
}

// Whether both halves of the last axis are certainly the same.
bool repeats(const Graph& graph, ValueId value, int depth = 8) {
  const ValueInfo& info = graph.value(value).info;
  if (depth == 0 || !info.ranked || info.shape.empty()) return false;
  const Dim last = info.shape.back();
  if (const Tensor* t = graph.constant(value)) {
    if (t->dtype != DType::f32 || t->shape.empty() || t->shape.back() % 2 != 0) return false;
    const int64_t n = t->shape.back();
    const size_t half = static_cast<size_t>(n) / 2 * sizeof(float);
    const std::byte* x = t->ptr<std::byte>();  // at any address
    for (int64_t row = 0; n != 0 && row < t->count() / n; ++row, x += 2 * half)
      if (!std::equal(x, x + half, x + half)) return false;
    return true;
  }
  const Node* node = graph.producer(value);
  if (!node || !node->domain.empty() || node->inputs.empty()) return false;
  const auto keeps_last = [&] {
    const ValueInfo& in = graph.value(node->inputs[0]).info;
    return in.ranked && !in.shape.empty() && in.shape.back() == last && repeats(graph, node->inputs[0], depth - 1);
  };
  const std::string& type = node->op_type;
  if (type == "Concat")
    return node->inputs.size() == 2 && node->inputs[0] == node->inputs[1] &&
           is_last(node->int_or("axis", 0), info.shape.size());
  if (type == "Cos" || type == "Sin" || type == "Cast" || type == "Unsqueeze" || type == "Squeeze") return keeps_last();
  if (type == "Gather") return node->int_or("axis", 0) == 0 && keeps_last();
  if (type == "Mul" || type == "Div" || type == "Add")
    return std::all_of(node->inputs.begin(), node->inputs.end(), [&](ValueId v) {
      return scalar(graph, v) || (graph.value(v).info.ranked && !graph.value(v).info.shape.empty() &&
                                  graph.value(v).info.shape.back() == last && repeats(graph, v, depth - 1));
    });
  return false;
}

class Fusion {
 public:
  Fusion(Graph& graph, const PassContext& context) : graph_(graph), context_(context) {}

  bool fuse(NodeId id) {
    const Node& add = graph_.node(id);
    if (!add.is("Add")) return false;
    for (size_t side = 0; side < 2; ++side) {
      const Node *plain = made_only_for_one(graph_, add.inputs[side], "Mul"),
                 *turned = made_only_for_one(graph_, add.inputs[1 - side], "Mul");
      if (!plain || !turned) return false;
      for (size_t i = 0; i < 2; ++i) {
        const ValueId x = rotated(graph_, turned->inputs[i]);
        const ValueId cos = x == kNoValue ? kNoValue : other_input(*plain, [&](ValueId v) { return v == x; });
        if (cos == kNoValue) continue;
        if (write(id, x, cos, turned->inputs[1 - i])) return true;
        context_.miss(graph_, id,
                      "the halves of its cosines or sines are not certain to be the same, or their shapes to fit");
      }
    }
    return false;
  }

 private:
  bool write(NodeId id, ValueId x, ValueId cos, ValueId sin) {
    const SymShape* shape = shape_of(graph_, x, 4);
    const DType type = graph_.value(x).info.dtype;
    if ((type != DType::f32 && type != DType::f16 && type != DType::bf16) || !(*shape)[1].known()) return false;
    const Dim rows = (*shape)[2], rotary = (*shape)[3];
    for (const ValueId table : {cos, sin}) {
      const SymShape* of = shape_of(graph_, table, 4);
      if (!of || graph_.value(table).info.dtype != type || !((*of)[0].is(1) || (*of)[0] == (*shape)[0]) ||
          !(*of)[1].is(1) || !((*of)[2] == rows) || !((*of)[3] == rotary) || !repeats(graph_, table))
        return false;
    }
    NodeId replaced = id;
    if (const Part part = part_of(graph_, x); part.x != kNoValue && part.start == 0) {  // the others are put behind
      const NodeId user = sole_user(graph_, graph_.node(id).outputs[0]);
      const Node* concat = user == kNoNode ? nullptr : pair_of_node(user);
      const Part rest = concat ? part_of(graph_, concat->inputs[1]) : Part{};
      const Dim whole = (*shape_of(graph_, part.x, 4))[3];
      if (concat && concat->inputs[0] == graph_.node(id).outputs[0] && rest.x == part.x && rest.start == part.stop &&
          whole.is(rest.stop)) {
        x = part.x;
        replaced = user;
      }
    }
    const SymShape full = *shape_of(graph_, x, 4);
    const int64_t heads = full[1].value(), size = full[3].value();
    Node node;
    node.op_type = "RotaryEmbedding";
    node.version = 23;
    node.name = graph_.node(id).name;
    if (!full[3].is(rotary.value())) node.set("rotary_embedding_dim", rotary.value());
    const std::vector<ValueId> outputs = graph_.node(replaced).outputs;
    const ValueId cos_half = half(cos, x), sin_half = half(sin, x);
    graph_.remove_node(replaced);

    // In front of the splitting into heads, where there is one.
    const Node* transpose = made_by(graph_, x, "Transpose");
    const std::vector<int64_t>* permutation = transpose ? transpose->ints("perm") : nullptr;
    if (!permutation || *permutation != kHeadsFirst) {
      node.inputs = {x, cos_half, sin_half};
      node.outputs = outputs;
      graph_.add_node(std::move(node));
      return true;
    }
    const ValueInfo flat = ValueInfo::tensor(type, {full[0], full[2], Dim(heads * size)});
    const ValueInfo apart = ValueInfo::tensor(type, {full[0], full[2], full[1], full[3]});
    const ValueId split = transpose->inputs[0];
    const Node* reshape = made_by(graph_, split, "Reshape");
    const SymShape* before = reshape ? shape_of(graph_, reshape->inputs[0], 3) : nullptr;
    const ValueId source = before && *before == flat.shape
                               ? reshape->inputs[0]
                               : graph_.add_node(reshaped(split, {0, 0, heads * size}), "rows", flat);
    node.set("num_heads", heads);
    node.inputs = {source, cos_half, sin_half};
    const ValueId turned = graph_.add_node(std::move(node), graph_.value(outputs[0]).name + "/rows", flat);
    Node back;
    back.op_type = "Transpose";
    back.version = 13;
    back.set("perm", kHeadsFirst);
    back.inputs = {graph_.add_node(reshaped(turned, {0, 0, heads, size}), "heads", apart)};
    back.outputs = outputs;
    graph_.add_node(std::move(back));
    return true;
  }

  const Node* pair_of_node(NodeId id) const {
    const Node& node = graph_.node(id);
    return node.is("Concat") && node.inputs.size() == 2 && is_last(node.int_or("axis", 0), 4) ? &node : nullptr;
  }

  Node reshaped(ValueId value, std::vector<int64_t> sizes) {
    Node node;
    node.op_type = "Reshape";
    node.version = 14;
    node.inputs = {value, graph_.add_ints("sizes", std::move(sizes))};
    return node;
  }

  // [batch, rows, half] of [1 or batch, 1, rows, 2 half]; made once for all that use it.
  ValueId half(ValueId table, ValueId x) {
    const Dim batch = (*shape_of(graph_, x, 4))[0];
    for (const Half& h : halves_)
      if (h.table == table && h.batch == batch) return h.half;
    const SymShape of = *shape_of(graph_, table, 4);
    const DType type = graph_.value(table).info.dtype;
    const auto add = [&](std::string_view op, std::vector<ValueId> inputs, SymShape shape) {
      Node node;
      node.op_type = op;
      node.version = 15;
      node.inputs = std::move(inputs);
      if (op == "Shape") node.set("end", int64_t{1});
      if (op == "Concat") node.set("axis", int64_t{0});
      const DType made = op == "Shape" || op == "Concat" ? DType::i64 : type;
      return graph_.add_node(std::move(node), graph_.value(table).name + "/half",
                             ValueInfo::tensor(made, std::move(shape)));
    };
    const Dim count = Dim(of[3].value() / 2);
    ValueId value = add("Squeeze", {table, graph_.add_ints("axes", {1})}, {of[0], of[2], of[3]});
    value = add("Slice",
                {value, graph_.add_ints("starts", {0}), graph_.add_ints("ends", {count.value()}),
                 graph_.add_ints("axes", {-1})},
                {of[0], of[2], count});
    if (!(of[0] == batch)) {
      const ValueId size = add("Shape", {x}, {Dim(1)});
      const ValueId target = add("Concat", {size, graph_.add_ints("ones", {1, 1})}, {Dim(3)});
      value = add("Expand", {value, target}, {batch, of[2], count});
    }
    halves_.push_back({table, batch, value});
    return value;
  }

  struct Half {
    ValueId table;
    Dim batch;
    ValueId half;
  };
  inline static const std::vector<int64_t> kHeadsFirst = {0, 2, 1, 3};

  Graph& graph_;
  const PassContext& context_;
  std::vector<Half> halves_;
};

}  // namespace

Result<size_t> fuse_rotary(Graph& graph, PassContext& context) {
  Fusion fusion(graph, context);
  return rewrite_nodes(graph, [&](NodeId id) { return fusion.fuse(id); });
}

}  // namespace linnet
