// Functions of elements that read each other's results, over one iteration space, become linnet.Elementwise: one pass
// over memory. Last, since it takes what every other fusion has left.
#include <algorithm>

#include "ops/element_types.h"
#include "ops/elementwise.h"
#include "ops/float_scratch.h"
#include "optimize/match.h"
#include "optimize/optimizer.h"

namespace linnet {
namespace {

// What nobody would notice the lack of, so that neither operands nor the search grow without bound.
constexpr size_t kMostNodes = 256, kMostInputs = 16, kMostOutputs = 4, kMostReaders = 64;

constexpr ValueId kPrevious = kNoValue - 1;  // as an operand: the result of the step before
constexpr TypeSet kCastable = kNumberTypes | TypeSet{DType::boolean};

struct Step {
  Step(std::string_view named, std::initializer_list<ValueId> values, float a = 0, float b = 0)
      : function(named), count(values.size()), alpha(a), beta(b) {
    std::copy(values.begin(), values.end(), operands);
  }
  std::span<const ValueId> reads() const { return {operands, count}; }

  std::string_view function;
  ValueId operands[3] = {};
  size_t count = 0;
  float alpha = 0, beta = 0;
};
using Steps = std::vector<Step>;

DType type_of(const Graph& graph, ValueId value) { return graph.value(value).info.dtype; }
// Of what a function of elements takes; for Where, of what it chooses from.
DType taken_type(const Graph& graph, const Node& node) {
  return type_of(graph, node.inputs[node.op_type == "Where" ? 1 : 0]);
}

Steps steps_of_pow(const Graph& graph, const Node& node) {
  const ValueId x = node.inputs[0];
  const Tensor* power = graph.constant(node.inputs[1]);
  if (!power || power->count() != 1) return {};
  // As the operator itself has them.
  const double exponent = number_at(*power, 0);
  if (exponent == 2.0) return {{"Mul", {x, x}}};
  if (exponent == 3.0 && type_of(graph, x) == DType::f32) return {{"Mul", {x, x}}, {"Mul", {kPrevious, x}}};
  if (exponent == 0.5) return {{"Sqrt", {x}}};
  if (exponent == -0.5) return {{"Rsqrt", {x}}};
  if (exponent == -1.0) return {{"Reciprocal", {x}}};
  if (power->dtype != type_of(graph, x)) return {};
  return {{"Pow", {x, node.inputs[1]}}};
}

Steps steps_of_clip(const Graph& graph, const Node& node) {
  const DType type = type_of(graph, node.inputs[0]);
  const float greatest = type == DType::f16    ? 65504.0f
                         : type == DType::bf16 ? 0x1.fep127f
                                               : std::numeric_limits<float>::max();
  float limits[] = {-greatest, greatest};
  for (const size_t i : {0, 1}) {
    if (node.input(i + 1) == kNoValue) continue;
    const Tensor* limit = graph.constant(node.input(i + 1));
    if (!limit || limit->count() != 1 || !is_float_or_half(limit->dtype)) return {};
    limits[i] = static_cast<float>(number_at(*limit, 0));
  }
  return {{"Clip", {node.inputs[0]}, limits[0], limits[1]}};
}

// The node as steps, each over the node's output; none where it is no function of elements, or not of floats.
Steps steps_of(const Graph& graph, const Node& node) {
  if (node.custom || node.inputs.empty() || node.outputs.size() != 1) return {};
  const std::string& type = node.op_type;
  const bool contrib = node.domain == "com.microsoft";
  if (!node.domain.empty() && !contrib) return {};
  if (contrib && type != "Gelu" && type != "BiasGelu" && type != "FastGelu" && type != "QuickGelu") return {};
  for (const ValueId v : node.inputs)
    if (v == kNoValue && type != "Clip") return {};
  const ValueId first = node.inputs[0];
  if (type == "Cast") {
    const DType from = graph.value(first).info.dtype, to = graph.value(node.outputs[0]).info.dtype;
    if (!kCastable.has(from) || !kCastable.has(to) || from == to) return {};
    return {{"Cast", {first}, static_cast<float>(to)}};
  }
  const bool logical = type == "And" || type == "Or" || type == "Xor" || type == "Not";
  if (!logical && !is_float_or_half(taken_type(graph, node))) return {};
  if (type == "Pow") return node.version >= 7 ? steps_of_pow(graph, node) : Steps();
  if (type == "Clip") return steps_of_clip(graph, node);
  if (type == "Gelu" || type == "BiasGelu" || type == "FastGelu") {
    const bool rough = type == "FastGelu" || node.string_or("approximate", "none") == "tanh";
    const std::string_view gelu = rough ? "FastGelu" : "Gelu";
    if (node.inputs.size() == 1) return {{gelu, {first}}};
    return {{"Add", {first, node.inputs[1]}}, {gelu, {kPrevious}}};
  }
  if (type == "Max" || type == "Min" || type == "Sum") {
    Steps steps;
    for (size_t i = 1; i < node.inputs.size(); ++i)
      steps.push_back({type == "Sum" ? "Add" : std::string_view(type), {i == 1 ? first : kPrevious, node.inputs[i]}});
    return steps;
  }
  const std::optional<ElementwiseFunction> function = elementwise_function(type);
  if (!function || node.inputs.size() != operand_count(function->kind)) return {};
  Step step(type, {});
  step.count = node.inputs.size();
  std::copy(node.inputs.begin(), node.inputs.end(), step.operands);
  if (const UnaryFunction* unary = unary_function(type)) {
    step.alpha = node.float_or(unary->alpha, unary->alpha_default);
    step.beta = node.float_or(unary->beta, unary->beta_default);
  } else if (node.version < 7) {
    return {};  // broadcasting was another
  }
  return {step};
}

class Grouping {
 public:
  Grouping(Graph& graph, const PassContext& context) : graph_(graph), context_(context) {
    const size_t nodes = graph.node_count();
    steps_.resize(nodes);
    place_.resize(nodes);
    group_.resize(nodes);
    heavy_.push_back(0);
    for (const NodeId id : graph.order()) {
      place_[id] = heavy_.size() - 1;
      const Node& node = graph.node(id);
      steps_[id] = steps_of(graph, node);
      // The arithmetic of shapes is none of ours.
      if (!steps_[id].empty() && (!graph.value(node.outputs[0]).info.ranked || context.facts.tracked(node.outputs[0]) ||
                                  graph.uses(node.outputs[0]).size() > kMostReaders))
        steps_[id].clear();
      const bool heavy = steps_[id].empty() && !node.outputs.empty() && node.outputs[0] != kNoValue &&
                         is_float(graph.value(node.outputs[0]).info.dtype);
      heavy_.push_back(heavy_.back() + heavy);
    }
  }

  size_t fuse_all() {
    return rewrite_nodes(graph_, [&](NodeId id) { return !steps_[id].empty() && fuse(id); });
  }

 private:
  struct Group {
    std::vector<ValueId> inputs, outputs;
    NodeId place = kNoNode;  // the member that can stand for all
  };

  bool has(NodeId id) const { return group_[id] == current_; }
  const SymShape& shape_of_node(NodeId id) const { return graph_.value(graph_.node(id).outputs[0]).info.shape; }
  bool same_shape(ValueId value, const SymShape& shape) const {
    const ValueInfo& info = graph_.value(value).info;
    return info.ranked && info.shape == shape;
  }

  // The members as one node, where there is a place for it: behind all that they read, before all that reads them.
  std::optional<Group> as_group(const std::vector<NodeId>& members) const;
  bool fuse(NodeId seed);
  void explain(NodeId id) const;

  Graph& graph_;
  const PassContext& context_;
  std::vector<Steps> steps_;     // by node; none: not ours
  std::vector<size_t> place_;    // by node, in the order
  std::vector<size_t> heavy_;    // how many nodes before a place make floats and are not ours
  std::vector<uint32_t> group_;  // by node: the last group that it was tried in
  uint32_t current_ = 0;
};

std::optional<Grouping::Group> Grouping::as_group(const std::vector<NodeId>& members) const {
  Group group;
  const auto by_place = [&](NodeId a, NodeId b) { return place_[a] < place_[b]; };
  const NodeId first = *std::min_element(members.begin(), members.end(), by_place),
               last = *std::max_element(members.begin(), members.end(), by_place);
  bool at_last = true, at_first = true;
  size_t large = 0;
  for (const NodeId id : members) {
    size_t read = 0;  // whole tensors that it reads and no member makes
    for (const Step& step : steps_[id]) {
      for (const ValueId v : step.reads()) {
        const NodeId producer = v == kPrevious ? id : graph_.value(v).producer;
        if (producer != kNoNode && has(producer)) continue;
        at_first = at_first && (producer == kNoNode || place_[producer] < place_[first]);
        if (!graph_.constant(v)) read += same_shape(v, shape_of_node(id));
        if (std::find(group.inputs.begin(), group.inputs.end(), v) != group.inputs.end()) continue;
        group.inputs.push_back(v);
        large += !graph_.constant(v) || graph_.constant(v)->count() != 1;
      }
    }
    const ValueId made = graph_.node(id).outputs[0];
    bool outside = graph_.is_output(made);
    for (const NodeId user : graph_.uses(made)) {
      if (has(user)) continue;
      outside = true;
      at_last = at_last && place_[user] > place_[last];
    }
    if (outside) group.outputs.push_back(made);
    // What is done later keeps what it reads, what is done earlier keeps what it makes: no more tensors may live while
    // others are made in between.
    if (read > 1) at_last = at_last && heavy_[place_[last]] == heavy_[place_[id]];
    at_first = at_first && heavy_[place_[id]] == heavy_[place_[first]];
  }
  if ((!at_last && !at_first) || large > kMostInputs || group.outputs.size() > kMostOutputs) return std::nullopt;
  group.place = at_last ? last : first;
  return group;
}

bool Grouping::fuse(NodeId seed) {
  ++current_;
  std::vector<NodeId> members = {seed};
  group_[seed] = current_;
  const SymShape& shape = shape_of_node(seed);
  std::optional<Group> group;
  const auto take = [&](NodeId id) {
    if (id == kNoNode || members.size() == kMostNodes || steps_[id].empty() || has(id) || !(shape_of_node(id) == shape))
      return false;
    members.push_back(id);
    group_[id] = current_;
    if (std::optional<Group> larger = as_group(members)) {
      group = std::move(larger);
      return true;
    }
    members.pop_back();
    group_[id] = 0;
    return false;
  };
  for (bool grown = true; grown;) {
    grown = false;
    for (size_t i = 0; i < members.size(); ++i) {
      const Node& node = graph_.node(members[i]);
      for (const ValueId v : node.inputs)
        if (v != kNoValue) grown = take(graph_.value(v).producer) || grown;
      for (const NodeId user : graph_.uses(node.outputs[0])) grown = take(user) || grown;
    }
  }
  if (!group) {
    explain(seed);
    return false;
  }
  std::sort(members.begin(), members.end(), [&](NodeId a, NodeId b) { return place_[a] < place_[b]; });

  std::vector<std::string> functions;
  std::vector<int64_t> operands, results;
  std::vector<float> parameters;
  std::vector<int64_t> types;
  std::vector<std::pair<ValueId, int64_t>> made;  // by steps so far
  const auto inputs = static_cast<int64_t>(group->inputs.size());
  for (const NodeId id : members) {
    for (const Step& step : steps_[id]) {
      for (const ValueId v : step.reads()) {
        const auto input = std::find(group->inputs.begin(), group->inputs.end(), v);
        const auto inner = std::find_if(made.begin(), made.end(), [&](const auto& one) { return one.first == v; });
        operands.push_back(v == kPrevious        ? inputs + static_cast<int64_t>(functions.size()) - 1
                           : inner != made.end() ? inputs + inner->second
                                                 : input - group->inputs.begin());
      }
      functions.emplace_back(step.function);
      parameters.insert(parameters.end(), {step.alpha, step.beta});
      types.push_back(static_cast<int64_t>(taken_type(graph_, graph_.node(id))));
    }
    made.emplace_back(graph_.node(id).outputs[0], static_cast<int64_t>(functions.size()) - 1);
  }
  std::vector<ValueId> outputs;
  for (const auto& [value, step] : made) {
    if (std::find(group->outputs.begin(), group->outputs.end(), value) == group->outputs.end()) continue;
    outputs.push_back(value);
    results.push_back(step);
  }
  std::string name = graph_.node(members.back()).name;
  for (const NodeId id : members)
    if (id != group->place) graph_.remove_node(id);
  // The node that stays keeps its place in the order: a new one would be run as late as it can.
  graph_.set_inputs(group->place, std::move(group->inputs));
  graph_.set_outputs(group->place, std::move(outputs));
  Node& node = graph_.node(group->place);
  node.domain = "linnet";
  node.op_type = "Elementwise";
  node.version = 1;
  node.name = std::move(name);
  node.attributes.clear();
  node.set("functions", std::move(functions));
  node.set("operands", std::move(operands));
  node.set("parameters", std::move(parameters));
  node.set("results", std::move(results));
  node.set("types", std::move(types));
  steps_[group->place].clear();
  return true;
}

void Grouping::explain(NodeId id) const {
  for (const ValueId v : graph_.node(id).inputs) {
    const NodeId before = v == kNoValue ? kNoNode : graph_.value(v).producer;
    if (before == kNoNode || steps_[before].empty()) continue;
    if (!(shape_of_node(before) == shape_of_node(id))) {
      context_.miss(graph_, id, "what it reads is of another shape and broadcasts");
    } else {
      context_.miss(graph_, id, "other nodes stand between it and what it reads");
    }
  }
}

}  // namespace

Result<size_t> fuse_elementwise(Graph& graph, PassContext& context) { return Grouping(graph, context).fuse_all(); }

}  // namespace linnet
