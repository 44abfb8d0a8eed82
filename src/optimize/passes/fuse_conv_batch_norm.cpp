// Folds an affine map of the channels behind a convolution into its weights: BatchNormalization, or Mul and Add by
// constants. A BatchNormalization behind a product by a constant matrix goes into that, too.
#include <cmath>

#include "optimize/match.h"
#include "optimize/optimizer.h"

namespace linnet {
namespace {

// y = scale x + shift, by channel.
struct Affine {
  std::vector<double> scale, shift;
};

std::optional<std::vector<double>> numbers(const Graph& graph, ValueId value, int64_t channels) {
  const Tensor* t = graph.constant(value);
  if (!t || t->dtype != DType::f32 || t->count() != channels) return std::nullopt;
  std::vector<double> out;
  for (int64_t i = 0; i < channels; ++i) out.push_back(number_at(*t, i));
  return out;
}

// A constant that holds one number for each channel of an [n, channels, ...] value, or one for all.
std::optional<std::vector<double>> by_channel(const Graph& graph, ValueId value, int64_t channels, size_t rank) {
  const Tensor* t = graph.constant(value);
  if (!t || t->dtype != DType::f32) return std::nullopt;
  if (t->count() == 1 && t->shape.rank() <= rank)
    return std::vector<double>(static_cast<size_t>(channels), number_at(*t, 0));
  const size_t r = t->shape.rank();
  if (r > rank || r + 1 < rank || t->shape[r - (rank - 1)] != channels) return std::nullopt;
  return numbers(graph, value, channels);
}

std::optional<Affine> batch_norm(const Graph& graph, const Node& node, int64_t channels) {
  if (!node.is("BatchNormalization") || node.inputs.size() != 5 || node.int_or("training_mode", 0) != 0)
    return std::nullopt;
  for (size_t o = 1; o < node.outputs.size(); ++o)
    if (node.outputs[o] != kNoValue) return std::nullopt;
  const auto gamma = numbers(graph, node.inputs[1], channels), beta = numbers(graph, node.inputs[2], channels);
  const auto mean = numbers(graph, node.inputs[3], channels), variance = numbers(graph, node.inputs[4], channels);
  if (!gamma || !beta || !mean || !variance) return std::nullopt;
  Affine a;
  const double epsilon = static_cast<double>(node.float_or("epsilon", 1e-5f));
  for (size_t c = 0; c < gamma->size(); ++c) {
    a.scale.push_back((*gamma)[c] / std::sqrt((*variance)[c] + epsilon));
    a.shift.push_back((*beta)[c] - (*mean)[c] * a.scale[c]);
  }
  return a;
}

std::optional<Affine> affine(const Graph& graph, const Node& node, ValueId conv_out, int64_t channels) {
  if (std::optional<Affine> bn = batch_norm(graph, node, channels)) return bn;
  const ValueInfo& info = graph.value(conv_out).info;
  if (!info.ranked || info.shape.size() < 3 || !(node.is("Mul") || node.is("Add"))) return std::nullopt;
  const ValueId constant = other_input(node, [&](ValueId v) { return v == conv_out; });
  if (constant == kNoValue || constant == conv_out) return std::nullopt;
  const auto values = by_channel(graph, constant, channels, info.shape.size());
  if (!values) return std::nullopt;
  const std::vector<double> ones(values->size(), 1.0), zeros(values->size(), 0.0);
  return node.is("Mul") ? Affine{*values, zeros} : Affine{ones, *values};
}

Status fold(Graph& graph, NodeId conv, const Affine& a) {
  const Node& node = graph.node(conv);
  const Tensor& weights = *graph.constant(node.inputs[1]);
  const size_t channels = a.scale.size();
  LINNET_ASSIGN(Tensor scaled, clone(weights));
  // Conv: [out, in/group, ...]. ConvTranspose: [in, out/group, ...].
  const bool transposed = node.op_type == "ConvTranspose";
  const size_t per_group = transposed ? static_cast<size_t>(weights.shape[1]) : channels;
  const size_t group = static_cast<size_t>(node.int_or("group", 1));
  const size_t inner = static_cast<size_t>(weights.shape.count(transposed ? 2 : 1, weights.shape.rank()));
  const size_t rows = static_cast<size_t>(weights.count()) / std::max<size_t>(inner, 1);
  float* w = scaled.ptr<float>();
  for (size_t r = 0; r < rows; ++r) {
    size_t channel = r;
    if (transposed) {
      const size_t in = r / per_group, ins_per_group = static_cast<size_t>(weights.shape[0]) / group;
      channel = in / ins_per_group * per_group + r % per_group;
    }
    for (size_t i = 0; i < inner; ++i, ++w) *w = static_cast<float>(static_cast<double>(*w) * a.scale[channel]);
  }
  const Tensor* old_bias = node.input(2) == kNoValue ? nullptr : graph.constant(node.input(2));
  LINNET_ASSIGN(Tensor bias, make_tensor(DType::f32, Shape{static_cast<int64_t>(channels)}));
  for (size_t c = 0; c < channels; ++c)
    bias.ptr<float>()[c] =
        static_cast<float>((old_bias ? number_at(*old_bias, static_cast<int64_t>(c)) : 0.0) * a.scale[c] + a.shift[c]);
  const std::string name = graph.value(node.inputs[1]).name;
  const ValueId new_weights = graph.add_constant(name + "/scaled", std::move(scaled));
  const ValueId new_bias = graph.add_constant(name + "/bias", std::move(bias));
  graph.set_input(conv, 1, new_weights);
  graph.set_input(conv, 2, new_bias);
  return {};
}

// A Gemm of [rows, columns], or a MatMul that becomes one.
Result<bool> fold_into_product(Graph& graph, NodeId id) {
  const Node& node = graph.node(id);
  const bool gemm = node.is("Gemm");
  const Tensor* weights = graph.constant(node.input(1));
  const Tensor* bias = graph.constant(node.input(2));
  const NodeId user = sole_user(graph, node.outputs[0]);
  if ((!gemm && !node.is("MatMul")) || user == kNoNode || !shape_of(graph, node.outputs[0], 2) ||
      !shape_of(graph, node.inputs[0], 2) || !weights || weights->dtype != DType::f32 || weights->shape.rank() != 2 ||
      node.float_or("alpha", 1.0f) != 1.0f || node.float_or("beta", 1.0f) != 1.0f ||
      (node.input(2) != kNoValue && !bias))
    return false;
  const bool transposed = node.int_or("transB", 0) != 0;
  const int64_t columns = weights->shape[transposed ? 0 : 1], depth = weights->shape[transposed ? 1 : 0];
  if (bias && (bias->shape.rank() != 1 || bias->count() != columns)) return false;
  const std::optional<Affine> a = batch_norm(graph, graph.node(user), columns);
  if (!a || graph.node(user).inputs[0] != node.outputs[0]) return false;
  LINNET_ASSIGN(Tensor scaled, clone(*weights));
  LINNET_ASSIGN(Tensor shift, make_tensor(DType::f32, Shape{columns}));
  for (int64_t c = 0; c < columns; ++c) {
    const double scale = a->scale[static_cast<size_t>(c)];
    for (int64_t k = 0; k < depth; ++k) {
      float& w = scaled.ptr<float>()[transposed ? c * depth + k : k * columns + c];
      w = static_cast<float>(static_cast<double>(w) * scale);
    }
    shift.ptr<float>()[c] =
        static_cast<float>((bias ? number_at(*bias, c) : 0.0) * scale + a->shift[static_cast<size_t>(c)]);
  }
  Node made = node;
  made.op_type = "Gemm";
  made.version = 13;
  const std::string name = graph.value(node.inputs[1]).name;
  made.inputs = {node.inputs[0], graph.add_constant(name + "/scaled", std::move(scaled)),
                 graph.add_constant(name + "/bias", std::move(shift))};
  made.outputs = {graph.node(user).outputs[0]};
  graph.remove_node(user);
  graph.remove_node(id);
  graph.add_node(std::move(made));
  return true;
}

// Tells of a normalisation behind a convolution that is not folded.
void note(const Graph& graph, NodeId conv, std::string_view reason, const PassContext& context) {
  for (const NodeId user : graph.uses(graph.node(conv).outputs[0]))
    if (graph.node(user).is("BatchNormalization"))
      return context.miss(graph, conv, graph.node_path(user), " stays: ", reason);
}

}  // namespace

Result<size_t> fuse_conv_batch_norm(Graph& graph, PassContext& context) {
  size_t changes = 0;
  const std::vector<NodeId> order = graph.order();
  for (const NodeId id : order) {
    if (!graph.alive(id)) continue;
    LINNET_ASSIGN(const bool folded, fold_into_product(graph, id));
    changes += folded;
    if (folded) continue;
    const Node& conv = graph.node(id);
    const bool transposed = conv.is("ConvTranspose");
    if (!conv.is("Conv") && !transposed) continue;
    const Tensor* weights = graph.constant(conv.input(1));
    const bool constant_bias = conv.input(2) == kNoValue || graph.constant(conv.input(2));
    if (!weights || weights->dtype != DType::f32 || weights->shape.rank() < 3 || !constant_bias ||
        weights->count() == 0) {
      note(graph, id, "not all weights of the convolution are constant floats", context);
      continue;
    }
    const int64_t group = conv.int_or("group", 1);
    if (group < 1 || weights->shape[0] % group != 0) continue;
    const int64_t channels = transposed ? weights->shape[1] * group : weights->shape[0];
    if (conv.input(2) != kNoValue && graph.constant(conv.input(2))->count() != channels) continue;
    for (;;) {  // Conv, Mul, Add, ...
      const ValueId out = graph.node(id).outputs[0];
      const NodeId user = sole_user(graph, out);
      if (user == kNoNode) {
        note(graph, id, "others read the convolution's result, too", context);
        break;
      }
      const Node& next = graph.node(user);
      const std::optional<Affine> a = next.input(0) == kNoValue ? std::nullopt : affine(graph, next, out, channels);
      if (!a) {
        note(graph, id, "it is not of constants, one for each channel, or it is in training mode", context);
        break;
      }
      LINNET_TRY(fold(graph, id, *a));
      const std::vector<ValueId> outputs = {next.outputs[0]};
      graph.remove_node(user);
      graph.set_outputs(id, outputs);
      ++changes;
    }
  }
  return changes;
}

}  // namespace linnet
