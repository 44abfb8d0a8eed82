// softmax(scale q k^T + mask) v becomes Attention, with what surrounds it: the splitting of projections into heads and
// the merging of the heads' results, keys and values that are repeated for groups of heads, and the past in front of
// new keys and values.
// https://onnx.ai/onnx/operators/onnx__Attention.html
//
// A row of scores that are all -inf gives 0, as PyTorch's guard (Where(IsNaN(p), 0, p)) has it; without the guard it
// gave NaN.
#include <map>
#include <tuple>

#include "optimize/match.h"
#include "optimize/optimizer.h"

namespace linnet {
namespace {

using Permutation = std::vector<int64_t>;

// Queries, keys or values: [batch, heads, rows, size].
struct Operand {
  ValueId heads_first = kNoValue;
  ValueId rows_first = kNoValue;  // the same as [batch, rows, heads size], where that is what they were split from,
  float rows_scale = 1.0f;        // by this number
  SymShape shape;
  ValueId past = kNoValue;     // what stands in front of them
  ValueId present = kNoValue;  // both together
};

struct Attention {
  Operand q, k, v;
  float scale = 1.0f;
  ValueId mask = kNoValue;
  SymShape scores;  // [batch, heads, rows, columns], before the mask
};

bool is_product(const Node& node) {
  if (node.is("MatMul")) return true;
  return node.is("FusedMatMul", "com.microsoft") && node.inputs.size() == 2 && node.int_or("transA", 0) == 0 &&
         node.int_or("transBatchA", 0) == 0 && node.int_or("transBatchB", 0) == 0;
}

const Permutation* permutation_of(const Node* transpose) { return transpose ? transpose->ints("perm") : nullptr; }

class Fusion {
 public:
  Fusion(Graph& graph, PassContext& context) : graph_(graph), context_(context), place_(graph.node_count(), 0) {
    for (size_t i = 0; i < graph.order().size(); ++i) place_[graph.order()[i]] = i;
  }

  bool fuse(NodeId last) {
    const Node& product = graph_.node(last);
    if (!is_product(product) || product.int_or("transB", 0) != 0 || product.float_or("alpha", 1.0f) != 1.0f)
      return false;
    const ValueId scores = before_softmax(product.inputs[0]);
    if (scores == kNoValue)
      return made_by(graph_, product.inputs[0], "Softmax") &&
             missed(last, "the softmax in front of it is read by others, or is not one over the last of four axes");
    Attention found;
    Mask mask;
    if (!match_scores(scores, found, mask) || found.scale == 0.0f)
      return missed(last, "its softmax is not of a product of four axes that is scaled and masked, and read once");
    found.v = operand(product.inputs[1], {}, nullptr);
    if (!fits(found)) return missed(last, "its queries, keys and values are not certain to fit together");
    share_heads(found);
    found.mask = made(mask);
    if (found.mask != kNoValue && !has_axes(found.mask)) return missed(last, "nothing is known of its mask's shape");
    if (!mask_fits(found) && context_.options.level < OptimizationLevel::all)
      return missed(last, "its mask is not certain to repeat to the scores, which only the level 'all' allows");
    if (one_row_for_all(found) && context_.options.level < OptimizationLevel::all)
      return missed(last, "its mask has one row for all queries, which only the level 'all' allows");
    take_past(found);
    write(last, found);
    return true;
  }

 private:
  bool missed(NodeId last, std::string_view reason) const {
    context_.miss(graph_, last, reason);
    return false;
  }

  // What is added to the scores: a value, and rewrites of it that are made once the whole pattern is there.
  struct Step {
    std::string_view op;  // Add, or Where
    ValueId a, b, c;
  };
  struct Mask {
    std::vector<Step> steps;  // innermost first; kNoValue stands for the result of the step before
  };

  // The scores when the value is their softmax over the last axis.
  ValueId before_softmax(ValueId value) const {
    if (const Node* where = made_only_for_one(graph_, value, "Where");
        where && is_scalar(graph_, where->inputs[1], 0)) {
      const ValueId p = where->inputs[2];
      const Node* nan = made_only_for_one(graph_, where->inputs[0], "IsNaN");
      if (!nan || nan->inputs[0] != p || graph_.use_count(p) != 2) return kNoValue;
      value = p;
    } else if (sole_user(graph_, value) == kNoNode) {
      return kNoValue;
    }
    const Node* softmax = made_by(graph_, value, "Softmax");
    const SymShape* shape = shape_of(graph_, value, 4);
    if (!softmax || !shape) return kNoValue;
    const DType type = graph_.value(value).info.dtype;
    if (softmax_axis(graph_, *softmax) != 3 || (type != DType::f32 && type != DType::f16 && type != DType::bf16))
      return kNoValue;
    return softmax->inputs[0];
  }

  // Takes a factor off the value, when that is a product by a number that nothing else uses.
  ValueId without_scale(ValueId value, float& scale) const {
    for (;;) {
      const NodeId user = sole_user(graph_, value);
      if (user == kNoNode) return value;
      if (const Node* div = made_by(graph_, value, "Div")) {
        const std::optional<float> by = scalar(graph_, div->inputs[1]);
        if (!by || *by == 0.0f || !keeps_shape(div->inputs[0], value)) return value;
        scale /= *by;
        value = div->inputs[0];
      } else if (const Node* mul = made_by(graph_, value, "Mul")) {
        const ValueId x = other_input(*mul, [&](ValueId v) { return scalar(graph_, v).has_value(); });
        if (x == kNoValue || !keeps_shape(x, value)) return value;
        scale *= *scalar(graph_, mul->inputs[0] == x ? mul->inputs[1] : mul->inputs[0]);
        value = x;
      } else {
        return value;
      }
    }
  }
  bool keeps_shape(ValueId x, ValueId y) const {
    const ValueInfo& a = graph_.value(x).info;
    const ValueInfo& b = graph_.value(y).info;
    return a.ranked && b.ranked && a.shape.size() == b.shape.size();
  }

  bool match_scores(ValueId value, Attention& found, Mask& mask) {
    if (sole_user(graph_, value) == kNoNode || !graph_.producer(value)) return false;
    const Node& node = *graph_.producer(value);
    if (node.is("Add")) {
      for (size_t side = 0; side < 2; ++side) {
        const ValueId other = node.inputs[1 - side];
        if (graph_.value(other).info.dtype != graph_.value(value).info.dtype) return false;
        Attention inner = found;
        Mask inner_mask;
        if (other == node.inputs[side] || !match_scores(node.inputs[side], inner, inner_mask)) continue;
        found = std::move(inner);
        mask = std::move(inner_mask);
        mask.steps.push_back({"Add", kNoValue, other, kNoValue});
        return true;
      }
      return false;
    }
    if (node.is("Where")) {
      for (size_t side = 1; side < 3; ++side) {
        const std::optional<float> filler = scalar(graph_, node.inputs[3 - side]);
        // Beside a lower number the score is lost when both are added.
        if (!filler || !(*filler <= -1e30f) || !match_scores(node.inputs[side], found, mask)) continue;
        if (side == 1) {
          mask.steps.push_back({"Where", node.inputs[0], kNoValue, node.inputs[2]});
        } else {
          mask.steps.push_back({"Where", node.inputs[0], node.inputs[1], kNoValue});
        }
        return true;
      }
      return false;
    }
    float scale = 1.0f;
    const ValueId product = without_scale(value, scale);
    if (sole_user(graph_, product) == kNoNode || !graph_.producer(product)) return false;
    const Node& made_scores = *graph_.producer(product);
    const SymShape* shape = shape_of(graph_, product, 4);
    if (!shape || !is_product(made_scores)) return false;
    found.scores = *shape;
    found.scale = scale * made_scores.float_or("alpha", 1.0f);
    const bool transposed = made_scores.int_or("transB", 0) != 0;
    found.q = operand(made_scores.inputs[0], {}, &found.scale);
    found.k = operand(made_scores.inputs[1], transposed ? Permutation{} : Permutation{0, 1, 3, 2}, &found.scale);
    return found.q.heads_first != kNoValue && found.k.heads_first != kNoValue;
  }

  // The value, its axes in another order (`after`; none: as they are), with the factors in it taken into `scale`.
  Operand operand(ValueId value, Permutation after, float* scale) {
    if (scale) value = without_scale(value, *scale);
    if (!shape_of(graph_, value, 4)) return {};
    Operand result;
    if (after.empty()) {
      result.heads_first = value;
    } else {
      const Node* transpose = made_by(graph_, value, "Transpose");
      const Permutation* before = permutation_of(transpose);
      Permutation both = after;
      if (before)
        for (int64_t& axis : both) axis = (*before)[static_cast<size_t>(axis)];
      const ValueId source = before ? transpose->inputs[0] : value;
      result.heads_first = transposed(source, both);
    }
    if (scale) result.heads_first = without_scale(result.heads_first, *scale);
    result.shape = graph_.value(result.heads_first).info.shape;
    take_rows(result, scale != nullptr);
    return result;
  }

  ValueId transposed(ValueId value, const Permutation& permutation) {
    if (permutation == Permutation{0, 1, 2, 3}) return value;
    SymShape shape;
    for (const int64_t axis : permutation) shape.push_back(graph_.value(value).info.shape[static_cast<size_t>(axis)]);
    for (const NodeId user : graph_.uses(value)) {
      const Permutation* same = permutation_of(&graph_.node(user));
      if (graph_.node(user).is("Transpose") && same && *same == permutation) return graph_.node(user).outputs[0];
    }
    Node node;
    node.op_type = "Transpose";
    node.version = 13;
    node.inputs = {value};
    node.set("perm", permutation);
    return graph_.add_node(std::move(node), graph_.value(value).name + "/heads",
                           ValueInfo::tensor(graph_.value(value).info.dtype, shape));
  }

  // x where the operand is Transpose(Reshape(x)), x the heads of each row beside each other.
  void take_rows(Operand& operand, bool with_scale) const {
    operand.rows_first = kNoValue;
    operand.rows_scale = 1.0f;
    const Node* transpose = made_by(graph_, operand.heads_first, "Transpose");
    const Permutation* permutation = permutation_of(transpose);
    if (!permutation || *permutation != Permutation{0, 2, 1, 3}) return;
    const Node* reshape = made_by(graph_, transpose->inputs[0], "Reshape");
    const SymShape* split = shape_of(graph_, transpose->inputs[0], 4);
    const SymShape* whole = reshape ? shape_of(graph_, reshape->inputs[0], 3) : nullptr;
    if (!whole || !split || !((*whole)[0] == (*split)[0]) || !((*whole)[1] == (*split)[1])) return;
    const Dim heads = (*split)[2], size = (*split)[3];
    if (!heads.known() || !size.known() || !(*whole)[2].is(heads.value() * size.value())) return;
    operand.rows_first = with_scale ? without_scale(reshape->inputs[0], operand.rows_scale) : reshape->inputs[0];
  }

  bool fits(const Attention& a) const {
    const SymShape &q = a.q.shape, &k = a.k.shape, &v = a.v.shape;
    if (q.size() != 4 || k.size() != 4 || v.size() != 4) return false;
    if (!q[1].known() || !k[1].known() || !v[1].known() || !q[3].known()) return false;
    if (k[1].value() <= 0 || q[1].value() % k[1].value() != 0) return false;
    return q[0] == k[0] && q[0] == v[0] && k[1] == v[1] && q[3] == k[3] && k[2] == v[2];
  }

  // Keys and values before Reshape(Expand(Unsqueeze(x, 2))), which repeats each of their heads for a group of queries.
  void share_heads(Attention& a) const {
    const ValueId k = before_repeat(a.k), v = before_repeat(a.v);
    if (k == kNoValue || v == kNoValue) return;
    const SymShape &one = *shape_of(graph_, k, 4), &other = *shape_of(graph_, v, 4);
    if (!(one[1] == other[1])) return;
    for (Operand* operand : {&a.k, &a.v}) {
      operand->heads_first = operand == &a.k ? k : v;
      operand->shape = *shape_of(graph_, operand->heads_first, 4);
      take_rows(*operand, false);
    }
  }
  ValueId before_repeat(const Operand& repeated) const {
    const Node* reshape = made_by(graph_, repeated.heads_first, "Reshape");
    const Node* expand = reshape ? made_by(graph_, reshape->inputs[0], "Expand") : nullptr;
    const SymShape* copies = expand ? shape_of(graph_, reshape->inputs[0], 5) : nullptr;
    const Node* unsqueeze = copies ? made_by(graph_, expand->inputs[0], "Unsqueeze") : nullptr;
    const SymShape* single = unsqueeze ? shape_of(graph_, expand->inputs[0], 5) : nullptr;
    const SymShape* x = single ? shape_of(graph_, unsqueeze->inputs[0], 4) : nullptr;
    if (!x) return kNoValue;
    const Dim heads = (*x)[1], times = (*copies)[2];
    const SymShape& out = repeated.shape;
    const bool is_repeat = (*single)[0] == (*x)[0] && (*single)[1] == heads && (*single)[2].is(1) &&
                           (*single)[3] == (*x)[2] && (*copies)[0] == (*x)[0] && (*copies)[1] == heads &&
                           (*copies)[3] == (*x)[2] && (*copies)[4] == (*x)[3] && out[0] == (*x)[0] &&
                           out[2] == (*x)[2] && out[3] == (*x)[3] && heads.known() && times.known() &&
                           heads.value() > 0 && out[1].is(heads.value() * times.value());
    return is_repeat ? unsqueeze->inputs[0] : kNoValue;
  }

  // The mask's value; equal ones are made once for all layers.
  ValueId made(const Mask& mask) {
    ValueId value = kNoValue;
    for (const Step& step : mask.steps) {
      if (value == kNoValue && step.op == "Add") {
        value = step.b;
        continue;
      }
      ValueId a = step.a, b = step.b, c = step.c;
      if (step.op == "Add") a = value;
      if (step.op == "Where") {
        ValueId& kept = b == kNoValue ? b : c;
        const DType type = graph_.value(b == kNoValue ? c : b).info.dtype;
        kept = value == kNoValue ? zero(type) : value;
      }
      const auto [it, added] = masks_.try_emplace(std::tuple(a, b, c), kNoValue);
      if (added) {
        Node node;
        node.op_type = step.op;
        node.version = 16;
        node.inputs = step.op == "Add" ? std::vector{a, b} : std::vector{a, b, c};
        ValueInfo info = ValueInfo::tensor(graph_.value(b).info.dtype, {});
        info.ranked = false;
        for (const ValueId part : node.inputs) {
          const ValueInfo& of = graph_.value(part).info;
          Result<SymShape> both = of.ranked && (info.ranked || part == node.inputs[0])
                                      ? broadcast(info.shape, of.shape)
                                      : Result<SymShape>(invalid_argument("unranked"));
          info.ranked = both.ok();
          if (both.ok()) info.shape = std::move(*both);
        }
        it->second = graph_.add_node(std::move(node), "mask", std::move(info));
      }
      value = it->second;
    }
    return value;
  }
  // Sizes of a and b broadcast, where they are the same or 1.
  static Result<SymShape> broadcast(const SymShape& a, const SymShape& b) {
    SymShape out = a.size() >= b.size() ? a : b;
    const SymShape& shorter = a.size() >= b.size() ? b : a;
    const size_t shift = out.size() - shorter.size();
    for (size_t i = 0; i < shorter.size(); ++i) {
      Dim& size = out[shift + i];
      if (size.is(1)) size = shorter[i];
      if (!(size == shorter[i]) && !shorter[i].is(1)) return invalid_argument("may not broadcast");
    }
    return out;
  }
  ValueId zero(DType type) {
    ValueId& value = zeros_[type];
    if (value != 0) return value;
    Result<Tensor> tensor = make_tensor(type, {});
    if (!tensor.ok()) return kNoValue;
    return value = graph_.add_constant("zero", std::move(*tensor));
  }

  bool has_axes(ValueId mask) const {
    const ValueInfo& info = graph_.value(mask).info;
    return info.ranked && !info.shape.empty() && info.shape.size() <= 4;
  }

  // The mask repeats to the scores, not the scores to the mask.
  bool mask_fits(const Attention& a) const {
    if (a.mask == kNoValue) return true;
    const ValueInfo& info = graph_.value(a.mask).info;
    if (!info.ranked || info.shape.size() < 2 || info.shape.size() > 4) return false;
    for (size_t back = 1; back <= info.shape.size(); ++back) {
      const Dim size = info.shape[info.shape.size() - back], wanted = a.scores[4 - back];
      if (!(size == wanted) && !(back > 1 && size.is(1))) return false;
    }
    return true;
  }

  // Of padding, say. The standard lets it repeat; ONNX Runtime's Attention does not.
  bool one_row_for_all(const Attention& a) const {
    if (a.mask == kNoValue) return false;
    const SymShape& shape = graph_.value(a.mask).info.shape;
    return shape[shape.size() - 2].is(1) && !a.scores[2].is(1);
  }

  // Keys and values before Concat(past, x), unless something that the attention reads hangs on the result.
  void take_past(Attention& a) const {
    const auto halves = [&](const Operand& whole) -> const Node* {
      const Node* concat = made_by(graph_, whole.heads_first, "Concat");
      const int64_t axis = concat ? concat->int_or("axis", 0) : 0;
      if (!concat || concat->inputs.size() != 2 || (axis != 2 && axis != -2)) return nullptr;
      const SymShape *past = shape_of(graph_, concat->inputs[0], 4), *fresh = shape_of(graph_, concat->inputs[1], 4);
      if (!past || !fresh || !((*past)[0] == (*fresh)[0]) || !((*past)[1] == (*fresh)[1]) ||
          !((*past)[3] == (*fresh)[3]))
        return nullptr;
      return concat;
    };
    const Node *k = halves(a.k), *v = halves(a.v);
    if (!k || !v || !((*shape_of(graph_, k->inputs[0], 4))[2] == (*shape_of(graph_, v->inputs[0], 4))[2])) return;
    const std::vector<NodeId> concats = {node_id(graph_, k->outputs[0]), node_id(graph_, v->outputs[0])};
    std::vector<ValueId> read = {a.q.heads_first, a.mask};
    read.insert(read.end(), k->inputs.begin(), k->inputs.end());
    read.insert(read.end(), v->inputs.begin(), v->inputs.end());
    if (hangs_on(std::move(read), concats)) return;
    for (Operand* operand : {&a.k, &a.v}) {
      const Node& concat = operand == &a.k ? *k : *v;
      operand->past = concat.inputs[0];
      operand->present = operand->heads_first;
      operand->heads_first = concat.inputs[1];
      operand->shape = *shape_of(graph_, operand->heads_first, 4);
      take_rows(*operand, false);
    }
  }

  bool hangs_on(std::vector<ValueId> values, const std::vector<NodeId>& nodes) const {
    const size_t first = std::min(place_[nodes[0]], place_[nodes[1]]);
    std::vector<bool> seen(graph_.node_count(), false);
    while (!values.empty()) {
      const ValueId value = values.back();
      values.pop_back();
      const NodeId producer = value == kNoValue ? kNoNode : graph_.value(value).producer;
      if (producer == kNoNode || seen[producer]) continue;
      seen[producer] = true;
      if (producer == nodes[0] || producer == nodes[1]) return true;
      if (producer < place_.size() && place_[producer] < first) continue;  // what this pass made stands nowhere yet
      const Node& node = graph_.node(producer);
      values.insert(values.end(), node.inputs.begin(), node.inputs.end());
      values.insert(values.end(), node.captures.begin(), node.captures.end());
    }
    return false;
  }

  void write(NodeId last, Attention& a) {
    const ValueId out = graph_.node(last).outputs[0];
    const Dim heads = a.q.shape[1], size = a.v.shape[3];
    NodeId merge = kNoNode;  // Transpose to [batch, rows, heads, size]
    for (const NodeId user : graph_.uses(out)) {
      const Permutation* permutation = permutation_of(&graph_.node(user));
      if (graph_.node(user).is("Transpose") && permutation && *permutation == Permutation{0, 2, 1, 3}) merge = user;
    }
    const bool any_form = context_.options.level >= OptimizationLevel::all;
    bool flat[3] = {a.q.rows_first != kNoValue, a.k.rows_first != kNoValue, a.v.rows_first != kNoValue};
    bool merged = merge != kNoNode && size.known();
    const bool all_flat = flat[0] && flat[1] && flat[2] && merged;
    const bool none_flat = !flat[0] && !flat[1] && !flat[2] && !merged;
    const bool standard = mask_fits(a) && (all_flat || none_flat);
    if (!standard && !any_form) flat[0] = flat[1] = flat[2] = merged = false;

    Node node;
    node.op_type = "Attention";
    if (standard || !any_form) {
      node.version = 23;
    } else {
      node.domain = "linnet";
      node.version = 1;
      if (merged) node.set("merge_heads", int64_t{1});
    }
    node.name = graph_.node(last).name;
    const Operand* operands[3] = {&a.q, &a.k, &a.v};
    for (size_t i = 0; i < 3; ++i) node.inputs.push_back(flat[i] ? operands[i]->rows_first : operands[i]->heads_first);
    if (a.mask != kNoValue || a.k.past != kNoValue) node.inputs.push_back(a.mask);
    if (a.k.past != kNoValue) node.inputs.insert(node.inputs.end(), {a.k.past, a.v.past});
    for (const size_t i : {0, 1})
      if (flat[i]) a.scale *= operands[i]->rows_scale;
    node.set("scale", a.scale);
    if (flat[0]) node.set("q_num_heads", heads.value());
    if (flat[1] || flat[2]) node.set("kv_num_heads", a.k.shape[1].value());

    const ValueInfo info = graph_.value(out).info;
    const std::string name = graph_.value(out).name;
    graph_.remove_node(last);
    for (const Operand* operand : {&a.k, &a.v})
      if (operand->present != kNoValue) graph_.remove_node(node_id(graph_, operand->present));
    SymShape rows = {info.shape[0], info.shape[2], Dim()};
    if (merged) rows[2] = Dim(heads.value() * size.value());
    const ValueId result = merged ? graph_.add_value(name + "/rows", ValueInfo::tensor(info.dtype, rows)) : out;
    node.outputs = {result};
    if (a.k.present != kNoValue) node.outputs.insert(node.outputs.end(), {a.k.present, a.v.present});
    graph_.add_node(std::move(node));
    if (merged) put_heads_back(result, rows, out, merge, heads, size);
  }

  // Whoever read the heads apart goes on doing so; who merged them reads the result.
  void put_heads_back(ValueId result, const SymShape& rows, ValueId heads_first, NodeId merge, Dim heads, Dim size) {
    const ValueId split = graph_.node(merge).outputs[0];
    const std::vector<NodeId> users = graph_.uses(split);
    for (const NodeId user : users) {
      if (!graph_.node(user).is("Reshape")) continue;
      const ValueId whole = graph_.node(user).outputs[0];
      const SymShape* shape = shape_of(graph_, whole, 3);
      if (!shape || !(*shape == rows)) continue;
      graph_.replace_uses(whole, result);
      graph_.remove_node(user);
    }
    graph_.remove_node(merge);
    Node reshape;
    reshape.op_type = "Reshape";
    reshape.version = 14;
    reshape.inputs = {result, graph_.add_ints("split", {0, 0, heads.value(), size.value()})};
    reshape.outputs = {split};
    graph_.add_node(std::move(reshape));
    Node back;
    back.op_type = "Transpose";
    back.version = 13;
    back.inputs = {split};
    back.outputs = {heads_first};
    back.set("perm", Permutation{0, 2, 1, 3});
    graph_.add_node(std::move(back));
  }

  Graph& graph_;
  PassContext& context_;
  std::vector<size_t> place_;  // in the order, of the nodes that were there
  std::map<std::tuple<ValueId, ValueId, ValueId>, ValueId> masks_;
  std::map<DType, ValueId> zeros_;
};

}  // namespace

Result<size_t> fuse_attention(Graph& graph, PassContext& context) {
  Fusion fusion(graph, context);
  const size_t changes = rewrite_nodes(graph, [&](NodeId id) { return fusion.fuse(id); });
  if (changes == 0) graph.remove_unused();  // parts of patterns that did not come about
  return changes;
}

}  // namespace linnet
