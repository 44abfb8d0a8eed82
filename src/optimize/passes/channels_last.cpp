// Holds the values around convolutions as [batch][...][channels]: convolutions ask for it, other operators go along
// when an input has it already. A value that is wanted in the model's order as well gets one transposition; where
// regions meet, two of them cancel.
#include <algorithm>
#include <cmath>
#include <unordered_map>

#include "kernels/transpose/transpose.h"
#include "optimize/match.h"
#include "optimize/optimizer.h"
#include "tensor/alignment.h"

namespace linnet {
namespace {

using Permutation = std::vector<int64_t>;

Permutation to_last(size_t rank) {
  Permutation p = {0};
  for (size_t a = 2; a < rank; ++a) p.push_back(static_cast<int64_t>(a));
  p.push_back(1);
  return p;
}

Permutation to_first(size_t rank) {
  Permutation p = {0, static_cast<int64_t>(rank) - 1};
  for (size_t a = 1; a + 1 < rank; ++a) p.push_back(static_cast<int64_t>(a));
  return p;
}

bool is_spatial_rank(size_t rank) { return rank >= 3 && rank <= 5; }

// Where an axis of the model's order stands in the other.
int64_t axis_in_last(int64_t axis, size_t rank) {
  if (axis < 0) axis += static_cast<int64_t>(rank);
  return axis == 0 ? 0 : axis == 1 ? static_cast<int64_t>(rank) - 1 : axis - 1;
}

std::optional<std::vector<int64_t>> constant_ints(const Graph& graph, ValueId value) {
  const Tensor* t = graph.constant(value);
  if (!t || t->dtype != DType::i64 || t->shape.rank() != 1) return std::nullopt;
  std::vector<int64_t> elements;
  for (int64_t i = 0; i < t->count(); ++i) elements.push_back(integer_at(*t, i));
  return elements;
}

// The tensor with leading ones up to the rank, its axes permuted.
Result<Tensor> permuted(const Tensor& given, const Permutation& permutation) {
  LINNET_ASSIGN(const Tensor tensor, aligned(given));
  Shape shape(permutation.size(), 1), result(permutation.size());
  std::copy(tensor.shape.begin(), tensor.shape.end(), shape.end() - tensor.shape.rank());
  std::vector<size_t> order(permutation.begin(), permutation.end());
  for (size_t i = 0; i < order.size(); ++i) result[i] = shape[order[i]];
  LINNET_ASSIGN(Tensor out, make_tensor_uninitialized(tensor.dtype, result));
  const std::optional<TransposePlan> plan = plan_transpose(shape.sizes(), order, element_size(tensor.dtype));
  LINNET_CHECK(plan.has_value());
  transpose(*plan, tensor.data, out.data, Parallel());
  return out;
}

class Converter {
 public:
  explicit Converter(Graph& graph) : graph_(graph) {}

  Result<size_t> run() {
    const std::vector<NodeId> order = graph_.order();
    for (const NodeId id : order) LINNET_TRY(visit(id));
    for (const auto& [first, last] : made_)
      if (graph_.use_count(first) != 0) add_transpose(last, first, to_first(rank(first)));
    return changes_;
  }

 private:
  using Convert = Status (Converter::*)(NodeId);
  struct Rule {
    std::string_view name;
    Convert convert;
  };

  size_t rank(ValueId value) const {
    return value != kNoValue && graph_.value(value).info.ranked ? graph_.value(value).info.shape.size() : 0;
  }
  bool has_last(ValueId value) const { return last_.contains(value); }

  void add_transpose(ValueId from, ValueId to, Permutation permutation) {
    Node node;
    node.op_type = "Transpose";
    node.name = graph_.value(to).name + "/transpose";
    node.version = 13;
    node.inputs = {from};
    node.outputs = {to};
    node.set("perm", std::move(permutation));
    graph_.add_node(std::move(node));
  }

  ValueId new_last_value(ValueId value) {
    ValueInfo info = graph_.value(value).info;
    const SymShape shape = info.shape;
    const Permutation p = to_last(shape.size());
    for (size_t i = 0; i < p.size(); ++i) info.shape[i] = shape[static_cast<size_t>(p[i])];
    return graph_.add_value(graph_.value(value).name + "/channels_last", std::move(info));
  }

  // The value in the other order; made when it is not there.
  Result<ValueId> last(ValueId value) {
    if (value == kNoValue) return kNoValue;
    const auto found = last_.find(value);
    if (found != last_.end()) return found->second;
    ValueId made;
    if (const Tensor* constant = graph_.constant(value)) {
      LINNET_ASSIGN(Tensor tensor, permuted(*constant, to_last(rank(value))));
      made = graph_.add_constant(graph_.value(value).name + "/channels_last", std::move(tensor));
    } else {
      made = new_last_value(value);
      add_transpose(value, made, to_last(rank(value)));
    }
    last_[value] = made;
    return made;
  }

  // Output o is now in the other order.
  void convert_outputs(NodeId id) {
    std::vector<ValueId> outputs = graph_.node(id).outputs;
    for (ValueId& out : outputs) {
      if (out == kNoValue) continue;
      const ValueId made = new_last_value(out);
      last_[out] = made;
      made_.emplace_back(out, made);
      out = made;
    }
    graph_.set_outputs(id, std::move(outputs));
    ++changes_;
  }

  Status convert_input(NodeId id, size_t i) {
    LINNET_ASSIGN(const ValueId value, last(graph_.node(id).input(i)));
    if (value != kNoValue) graph_.set_input(id, i, value);
    return {};
  }

  Status visit(NodeId id) {
    static constexpr Rule kRules[] = {
        {"Conv", &Converter::convolution},
        {"FusedConv", &Converter::convolution},
        {"ConvTranspose", &Converter::convolution},
        {"MaxPool", &Converter::follower},
        {"AveragePool", &Converter::follower},
        {"GlobalMaxPool", &Converter::follower},
        {"GlobalAveragePool", &Converter::follower},
        {"LpPool", &Converter::follower},
        {"GlobalLpPool", &Converter::follower},
        {"Resize", &Converter::follower},
        {"DepthToSpace", &Converter::follower},
        {"SpaceToDepth", &Converter::follower},
        {"Add", &Converter::elementwise},
        {"Sub", &Converter::elementwise},
        {"Mul", &Converter::elementwise},
        {"Div", &Converter::elementwise},
        {"Pow", &Converter::elementwise},
        {"PRelu", &Converter::elementwise},
        {"Min", &Converter::elementwise},
        {"Max", &Converter::elementwise},
        {"Sum", &Converter::elementwise},
        {"BatchNormalization", &Converter::batch_normalization},
        {"Concat", &Converter::along_axis},
        {"Split", &Converter::along_axis},
        {"Softmax", &Converter::along_axis},
        {"LogSoftmax", &Converter::along_axis},
        {"ReduceMean", &Converter::reduction},
        {"ReduceSum", &Converter::reduction},
        {"ReduceMax", &Converter::reduction},
        {"ReduceMin", &Converter::reduction},
        {"Pad", &Converter::pad},
        {"Slice", &Converter::slice},
        {"Transpose", &Converter::transposition},
        {"QuantizeLinear", &Converter::quantization},
        {"DequantizeLinear", &Converter::quantization},
        {"QLinearConv", &Converter::integer_convolution},
        {"ConvIntegerToFloat", &Converter::integer_convolution},
        {"QLinearAveragePool", &Converter::follower},
        {"QLinearGlobalAveragePool", &Converter::follower},
        {"QLinearAdd", &Converter::integer_pair},
        {"QLinearMul", &Converter::integer_pair},
        {"QLinearConcat", &Converter::integer_concatenation},
    };
    // One data input, and whatever else is a scalar.
    static constexpr std::string_view kUnary[] = {"Abs",
                                                  "BiasGelu",
                                                  "Cast",
                                                  "Ceil",
                                                  "Celu",
                                                  "Clip",
                                                  "Cos",
                                                  "Elu",
                                                  "Erf",
                                                  "Exp",
                                                  "Floor",
                                                  "FastGelu",
                                                  "Gelu",
                                                  "HardSigmoid",
                                                  "HardSwish",
                                                  "Identity",
                                                  "LeakyRelu",
                                                  "Log",
                                                  "Mish",
                                                  "Neg",
                                                  "QuickGelu",
                                                  "QLinearLeakyRelu",
                                                  "QLinearSigmoid",
                                                  "Reciprocal",
                                                  "Relu",
                                                  "Round",
                                                  "Selu",
                                                  "Sigmoid",
                                                  "Sign",
                                                  "Sin",
                                                  "Softplus",
                                                  "Softsign",
                                                  "Sqrt",
                                                  "Swish",
                                                  "Tanh",
                                                  "ThresholdedRelu"};
    const Node& node = graph_.node(id);
    if (node.inputs.empty() || node.outputs.empty() ||
        !(node.domain.empty() || node.domain == "com.microsoft" || node.domain == "linnet"))
      return {};
    for (const Rule& rule : kRules)
      if (rule.name == node.op_type) return (this->*rule.convert)(id);
    if (std::find(std::begin(kUnary), std::end(kUnary), node.op_type) == std::end(kUnary)) return {};
    for (size_t i = 1; i < node.inputs.size(); ++i) {
      const Tensor* constant = graph_.constant(node.inputs[i]);
      if (node.inputs[i] != kNoValue && rank(node.inputs[i]) != 0 && !(constant && constant->count() == 1)) return {};
    }
    return unary(id);
  }

  Status unary(NodeId id) {
    if (!has_last(graph_.node(id).inputs[0])) return {};
    LINNET_TRY(convert_input(id, 0));
    convert_outputs(id);
    return {};
  }

  Status quantization(NodeId id) {
    const Tensor* scale = graph_.constant(graph_.node(id).input(1));
    return scale && scale->count() == 1 ? unary(id) : Status();
  }

  Status convolution(NodeId id) {
    const Node& node = graph_.node(id);
    const ValueId x = node.inputs[0];
    const ValueInfo& info = graph_.value(x).info;
    if (!is_spatial_rank(rank(x)) || rank(node.outputs[0]) != rank(x) || info.dtype == DType::f64 ||
        node.find("channels_last"))
      return {};
    if (node.input(3) != kNoValue && rank(node.input(3)) != rank(x)) return {};
    // Few channels are read as they are.
    constexpr int64_t kMostPlanes = 4;
    const Dim channels = info.shape[1];
    const bool stem = !has_last(x) && node.op_type != "ConvTranspose" && node.int_or("group", 1) == 1 &&
                      channels.known() && channels.value() <= kMostPlanes && !graph_.constant(x);
    if (!stem) LINNET_TRY(convert_input(id, 0));
    LINNET_TRY(convert_input(id, 3));
    graph_.node(id).set("channels_last", int64_t{1});
    if (stem) graph_.node(id).set("src_channels_first", int64_t{1});
    convert_outputs(id);
    return {};
  }

  Status integer_convolution(NodeId id) {
    const Node& node = graph_.node(id);
    const size_t r = rank(node.inputs[0]);
    if (!is_spatial_rank(r) || rank(node.outputs[0]) != r || node.int_or("channels_last", 0) != 0) return {};
    LINNET_TRY(convert_input(id, 0));
    if (node.domain.empty()) graph_.node(id).domain = "com.microsoft";
    graph_.node(id).version = 1;
    graph_.node(id).set("channels_last", int64_t{1});
    convert_outputs(id);
    return {};
  }

  // Inputs 0 and 3 are the operands.
  Status integer_pair(NodeId id) {
    const Node& node = graph_.node(id);
    const size_t r = rank(node.outputs[0]);
    const ValueId a = node.inputs[0], b = node.input(3);
    if (!is_spatial_rank(r) || rank(a) != r || rank(b) != r || !(has_last(a) || has_last(b))) return {};
    LINNET_TRY(convert_input(id, 0));
    LINNET_TRY(convert_input(id, 3));
    convert_outputs(id);
    return {};
  }

  // Inputs 2, 5, 8 and so on are joined.
  Status integer_concatenation(NodeId id) {
    const Node& node = graph_.node(id);
    const size_t r = rank(node.outputs[0]);
    if (!is_spatial_rank(r)) return {};
    size_t ready = 0;
    for (size_t i = 2; i < node.inputs.size(); i += 3) {
      if (rank(node.inputs[i]) != r) return {};
      ready += has_last(node.inputs[i]);
    }
    if (6 * ready < node.inputs.size() - 2 || ready == 0) return {};
    for (size_t i = 2; i < graph_.node(id).inputs.size(); i += 3) LINNET_TRY(convert_input(id, i));
    graph_.node(id).set("axis", axis_in_last(graph_.node(id).int_or("axis", 0), r));
    convert_outputs(id);
    return {};
  }

  Status follower(NodeId id) {
    const Node& node = graph_.node(id);
    if (!has_last(node.inputs[0]) || node.output(1) != kNoValue) return {};
    LINNET_TRY(convert_input(id, 0));
    graph_.node(id).set("channels_last", int64_t{1});
    convert_outputs(id);
    return {};
  }

  Status elementwise(NodeId id) {
    const Node& node = graph_.node(id);
    const size_t r = rank(node.outputs[0]);
    if (!is_spatial_rank(r)) return {};
    bool any = false;
    for (const ValueId in : node.inputs) {
      any |= rank(in) == r && has_last(in);
      const ValueInfo& info = graph_.value(in).info;
      if (!info.ranked || (!graph_.constant(in) && rank(in) != r && rank(in) != 0)) return {};
    }
    if (!any) return {};
    for (size_t i = 0; i < node.inputs.size(); ++i) {
      const ValueId in = node.inputs[i];
      const Tensor* constant = graph_.constant(in);
      if (constant && constant->count() != 1 && rank(in) != r) {
        LINNET_ASSIGN(Tensor tensor, permuted(*constant, to_last(r)));
        graph_.set_input(id, i, graph_.add_constant(graph_.value(in).name + "/channels_last", std::move(tensor)));
      } else if (!(constant && constant->count() == 1) && rank(in) == r) {
        LINNET_TRY(convert_input(id, i));
      }
    }
    convert_outputs(id);
    return {};
  }

  // With constant statistics it is a product and a sum along the last axis.
  Status batch_normalization(NodeId id) {
    const Node node = graph_.node(id);
    if (!has_last(node.inputs[0]) || node.inputs.size() != 5 || node.outputs.size() != 1 ||
        node.int_or("training_mode", 0) != 0)
      return {};
    const Tensor* parts[4];
    for (size_t i = 0; i < 4; ++i) {
      parts[i] = graph_.constant(node.inputs[i + 1]);
      if (!parts[i] || parts[i]->dtype != DType::f32 || parts[i]->count() != parts[0]->count()) return {};
    }
    if (graph_.value(node.inputs[0]).info.dtype != DType::f32) return {};
    const Shape shape{parts[0]->count()};
    LINNET_ASSIGN(Tensor scale, make_tensor_uninitialized(DType::f32, shape));
    LINNET_ASSIGN(Tensor shift, make_tensor_uninitialized(DType::f32, shape));
    const double epsilon = static_cast<double>(node.float_or("epsilon", 1e-5f));
    for (int64_t c = 0; c < shape[0]; ++c) {
      const double factor = number_at(*parts[0], c) / std::sqrt(number_at(*parts[3], c) + epsilon);
      scale.ptr<float>()[c] = static_cast<float>(factor);
      shift.ptr<float>()[c] = static_cast<float>(number_at(*parts[1], c) - number_at(*parts[2], c) * factor);
    }
    const ValueId out = node.outputs[0];
    const ValueId scaled = new_last_value(out), shifted = new_last_value(out);
    const auto add = [&](std::string_view type, ValueId a, ValueId b, ValueId to) {
      Node made;
      made.op_type = type;
      made.name = node.name + "/" + std::string(type);
      made.version = 14;
      made.inputs = {a, b};
      made.outputs = {to};
      graph_.add_node(std::move(made));
    };
    LINNET_ASSIGN(const ValueId x, last(node.inputs[0]));
    graph_.remove_node(id);
    add("Mul", x, graph_.add_constant(node.name + "/scale", std::move(scale)), scaled);
    add("Add", scaled, graph_.add_constant(node.name + "/shift", std::move(shift)), shifted);
    last_[out] = shifted;
    made_.emplace_back(out, shifted);
    ++changes_;
    return {};
  }

  // Concat, Split, Softmax: an attribute names the axis.
  Status along_axis(NodeId id) {
    const Node& node = graph_.node(id);
    const size_t r = rank(node.outputs[0]);
    if (!is_spatial_rank(r)) return {};
    const bool joins = node.op_type == "Concat", splits = node.op_type == "Split";
    const std::optional<int64_t> axis =
        joins || splits ? node.int_or("axis", joins ? 1 : 0) : softmax_axis(graph_, node);
    if (!axis) return {};
    const size_t data = joins ? node.inputs.size() : 1;
    size_t ready = 0;
    for (size_t i = 0; i < data; ++i) {
      if (rank(node.inputs[i]) != r) return {};
      ready += has_last(node.inputs[i]);
    }
    if (2 * ready < data || ready == 0) return {};
    for (size_t i = 0; i < data; ++i) LINNET_TRY(convert_input(id, i));
    graph_.node(id).set("axis", axis_in_last(*axis, r));
    if (!joins && !splits) graph_.node(id).version = std::max(node.version, 13);  // of this axis alone
    convert_outputs(id);
    return {};
  }

  Status reduction(NodeId id) {
    const Node& node = graph_.node(id);
    const size_t r = rank(node.inputs[0]);
    std::optional<std::vector<int64_t>> axes = constant_ints(graph_, node.input(1));
    if (!has_last(node.inputs[0]) || !axes || axes->empty()) return {};
    const bool keeps = node.int_or("keepdims", 1) != 0;
    bool takes_channels = false;
    for (int64_t& axis : *axes) {
      axis = axis_in_last(axis, r);
      takes_channels |= axis == static_cast<int64_t>(r) - 1;
    }
    // Without the reduced axes the two orders agree when the channels went, or all of the axes before them.
    if (!keeps && !takes_channels && axes->size() + 2 != r) return {};
    if (!keeps && !takes_channels && std::find(axes->begin(), axes->end(), 0) != axes->end()) return {};
    LINNET_TRY(convert_input(id, 0));
    graph_.set_input(id, 1, graph_.add_ints(node.name + "/axes", *axes));
    if (keeps) convert_outputs(id);
    return {};
  }

  Status pad(NodeId id) {
    const Node& node = graph_.node(id);
    const size_t r = rank(node.inputs[0]);
    const std::optional<std::vector<int64_t>> pads = constant_ints(graph_, node.input(1));
    if (!has_last(node.inputs[0]) || !pads || pads->size() != 2 * r || node.input(3) != kNoValue) return {};
    std::vector<int64_t> moved(2 * r);
    for (size_t a = 0; a < r; ++a) {
      const size_t to = static_cast<size_t>(axis_in_last(static_cast<int64_t>(a), r));
      moved[to] = (*pads)[a];
      moved[r + to] = (*pads)[r + a];
    }
    LINNET_TRY(convert_input(id, 0));
    graph_.set_input(id, 1, graph_.add_ints(node.name + "/pads", moved));
    convert_outputs(id);
    return {};
  }

  Status slice(NodeId id) {
    const Node& node = graph_.node(id);
    std::optional<std::vector<int64_t>> axes = constant_ints(graph_, node.input(3));
    if (!has_last(node.inputs[0]) || !axes) return {};
    for (int64_t& axis : *axes) axis = axis_in_last(axis, rank(node.inputs[0]));
    LINNET_TRY(convert_input(id, 0));
    graph_.set_input(id, 3, graph_.add_ints(node.name + "/axes", *axes));
    convert_outputs(id);
    return {};
  }

  Status transposition(NodeId id) {
    const Node& node = graph_.node(id);
    const ValueId x = node.inputs[0], out = node.outputs[0];
    const size_t r = rank(x);
    const std::vector<int64_t>* permutation = node.ints("perm");
    if (!is_spatial_rank(r) || !permutation || permutation->size() != r) return {};
    if (*permutation == to_first(r) && !has_last(x)) {
      last_[out] = x;
      return {};
    }
    if (!has_last(x)) return {};
    // Of the model's axis p to where it stands now.
    Permutation composed = *permutation;
    bool identity = true;
    for (size_t i = 0; i < r; ++i) {
      composed[i] = axis_in_last(composed[i], r);
      identity &= composed[i] == static_cast<int64_t>(i);
    }
    LINNET_ASSIGN(const ValueId source, last(x));
    if (identity && !graph_.is_output(out)) {
      graph_.replace_uses(out, source);
      graph_.remove_node(id);
    } else {
      graph_.set_input(id, 0, source);
      graph_.node(id).set("perm", composed);
    }
    ++changes_;
    return {};
  }

  Graph& graph_;
  std::unordered_map<ValueId, ValueId> last_;      // by the value in the model's order
  std::vector<std::pair<ValueId, ValueId>> made_;  // values whose producer now makes the other order
  size_t changes_ = 0;
};

}  // namespace

Result<size_t> channels_last(Graph& graph, PassContext&) { return Converter(graph).run(); }

}  // namespace linnet
