// What elementwise operators make of codes of 8 bits, by themselves and constants of one element, has at most 256
// values: linnet.MapCodes looks it up. GELU between quantised layers is such a function, in whichever pieces.
//
// Last, since the layout is arranged by operator.
#include <algorithm>

#include "optimize/evaluate.h"
#include "optimize/match.h"
#include "optimize/optimizer.h"

namespace linnet {
namespace {

constexpr int64_t kCodes = 256;

bool is_elementwise(const Node& node) {
  static constexpr std::string_view kFunctions[] = {
      "Abs", "Clip", "Elu",  "Erf",     "Exp",      "Gelu",     "HardSigmoid", "HardSwish", "LeakyRelu", "Mish",
      "Neg", "Relu", "Selu", "Sigmoid", "Softplus", "Softsign", "Sqrt",        "Swish",     "Tanh"};
  static constexpr std::string_view kOthers[] = {"Add", "DequantizeLinear", "Div", "Mul",
                                                 "Pow", "QuantizeLinear",   "Sub"};
  static constexpr std::string_view kMicrosoft[] = {"FastGelu",   "Gelu",           "QLinearAdd", "QLinearLeakyRelu",
                                                    "QLinearMul", "QLinearSigmoid", "QuickGelu"};
  const auto has = [&](const auto& names) {
    return std::find(std::begin(names), std::end(names), node.op_type) != std::end(names);
  };
  return (node.domain.empty() ? has(kFunctions) || has(kOthers) : node.domain == "com.microsoft" && has(kMicrosoft)) &&
         node.outputs.size() == 1 && node.outputs[0] != kNoValue && node.captures.empty() && !node.custom &&
         node.int_or("block_size", 0) == 0;
}

bool tabulates(const Node& node) { return node.op_type == "QLinearLeakyRelu" || node.op_type == "QLinearSigmoid"; }

class Tabulation {
 public:
  Tabulation(Graph& graph, size_t most_bytes)
      : graph_(graph),
        most_bytes_(most_bytes),
        sources_(graph.value_count(), kNoValue),
        read_(graph.value_count(), false) {}

  size_t run() {
    for (const NodeId id : graph_.order())
      if (is_elementwise(graph_.node(id))) sources_[graph_.node(id).outputs[0]] = common_source(graph_.node(id));
    for (size_t i = graph_.order().size(); i-- > 0;)
      for (const ValueId value : graph_.node(graph_.order()[i]).outputs)
        if (value != kNoValue && sources_[value] != kNoValue) read_[value] = is_read(value);
    struct Found {
      ValueId codes, made;
      Tensor table;
    };
    std::vector<Found> all;
    for (const NodeId id : graph_.order()) {
      const ValueId made = graph_.node(id).outputs.empty() ? kNoValue : graph_.node(id).outputs[0];
      if (made == kNoValue || sources_[made] == kNoValue || !is_byte(made) || !read_[made]) continue;
      if (std::optional<Tensor> table = table_of(made)) all.push_back({sources_[made], made, std::move(*table)});
    }
    for (Found& found : all) {
      Node node;
      node.domain = "linnet";
      node.op_type = "MapCodes";
      node.version = 1;
      node.name = graph_.producer(found.made)->name;
      node.inputs = {found.codes,
                     graph_.add_constant(graph_.value(found.made).name + "/table", std::move(found.table))};
      node.outputs = {found.made};
      graph_.remove_node(node_id(graph_, found.made));
      graph_.add_node(std::move(node));
    }
    return all.size();
  }

 private:
  bool is_byte(ValueId value) const {
    const DType type = graph_.value(value).info.dtype;
    return type == DType::u8 || type == DType::i8;
  }

  // The codes that a value is a function of, itself if of nothing before; kNoValue for others.
  ValueId source(ValueId value) const {
    if (sources_[value] != kNoValue) return sources_[value];
    return is_byte(value) && graph_.value(value).info.ranked ? value : kNoValue;
  }
  ValueId common_source(const Node& node) const {
    ValueId common = kNoValue;
    for (const ValueId input : node.inputs) {
      if (input == kNoValue) continue;
      if (const Tensor* constant = graph_.constant(input)) {
        if (constant->count() != 1) return kNoValue;
        continue;
      }
      const ValueId of = source(input);
      if (of == kNoValue || (common != kNoValue && of != common)) return kNoValue;
      common = of;
    }
    const ValueInfo& info = graph_.value(node.outputs[0]).info;
    return common != kNoValue && info.ranked && info.shape == graph_.value(common).info.shape ? common : kNoValue;
  }

  // Whether the value is read by more than functions of the same codes that end in codes.
  bool is_read(ValueId value) const {
    if (graph_.is_output(value)) return true;
    return std::any_of(graph_.uses(value).begin(), graph_.uses(value).end(), [&](NodeId user) {
      const Node& node = graph_.node(user);
      const ValueId made = is_elementwise(node) ? node.outputs[0] : kNoValue;
      return made == kNoValue || sources_[made] != sources_[value] || (!is_byte(made) && read_[made]);
    });
  }

  // What the value is for each of its source's codes; nothing where one node makes it of them, unless that would
  // compute the table in each run.
  std::optional<Tensor> table_of(ValueId made) const {
    const ValueId codes = sources_[made];
    std::vector<ValueId> open = {made};
    std::vector<bool> within(graph_.node_count(), false);
    size_t nodes = 0;
    while (!open.empty()) {
      const NodeId id = node_id(graph_, open.back());
      open.pop_back();
      if (within[id]) continue;
      within[id] = true;
      ++nodes;
      for (const ValueId input : graph_.node(id).inputs)
        if (input != kNoValue && input != codes && !graph_.constant(input)) open.push_back(input);
    }
    if (nodes < 2 && !tabulates(*graph_.producer(made))) return std::nullopt;
    Tensor all = make_tensor(graph_.value(codes).info.dtype, Shape{kCodes}).value();
    for (int64_t i = 0; i < kCodes; ++i) static_cast<uint8_t*>(all.data)[i] = static_cast<uint8_t>(i);
    Graph rehearsal;
    std::vector<ValueId> known(graph_.value_count(), kNoValue);
    known[codes] = rehearsal.add_constant("codes", std::move(all));
    for (const NodeId id : graph_.order()) {
      if (!within[id]) continue;
      Node node = graph_.node(id);
      const ValueId out = node.outputs[0];
      for (ValueId& input : node.inputs) {
        if (input == kNoValue) continue;
        if (known[input] == kNoValue) known[input] = rehearsal.add_constant("constant", *graph_.constant(input));
        input = known[input];
      }
      node.outputs = {rehearsal.add_value("made")};
      std::optional<std::vector<Tensor>> outputs =
          evaluate(rehearsal, rehearsal.add_node(std::move(node)), most_bytes_);
      if (!outputs || (*outputs)[0].count() != kCodes) return std::nullopt;
      known[out] = rehearsal.add_constant("made", std::move((*outputs)[0]));
    }
    Tensor table = *rehearsal.constant(known[made]);
    table.shape = Shape{kCodes};
    return table.dtype == graph_.value(made).info.dtype ? std::optional(std::move(table)) : std::nullopt;
  }

  Graph& graph_;
  size_t most_bytes_;
  std::vector<ValueId> sources_;  // by value
  std::vector<bool> read_;
};

}  // namespace

Result<size_t> tabulate_codes(Graph& graph, PassContext& context) {
  return Tabulation(graph, context.options.fold_bytes).run();
}

}  // namespace linnet
