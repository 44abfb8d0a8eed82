#include "quantize/smoothing.h"

#include <algorithm>
#include <cmath>

#include "quantize/weight.h"

namespace linnet {
namespace {

constexpr float kLeast = 1e-4f, kGreatest = 1e4f;  // of a factor

bool is_own(const Graph& graph, ValueId v) {
  const Tensor* constant = graph.constant(v);
  return constant && is_float(constant->dtype) && dtype_bits(constant->dtype) <= 32 && graph.use_count(v) == 1;
}

bool reads(const Graph& graph, const Node& node, ValueId value) {
  const bool product = node.is("MatMul") || (node.is("Gemm") && node.int_or("transA", 0) == 0);
  return product && node.inputs[0] == value && is_own(graph, node.inputs[1]) &&
         graph.constant(node.inputs[1])->shape.rank() == 2;
}

// The weight as [channels][outputs] or, transposed, [outputs][channels].
bool is_transposed(const Node& node) { return node.is("Gemm") && node.int_or("transB", 0) != 0; }

// Calls function(element, channel) for each element of the weight.
template <class T, class Function>
void for_elements(const Node& node, T* elements, const Shape& shape, Function function) {
  const bool transposed = is_transposed(node);
  for (int64_t i = 0; i < shape[0]; ++i)
    for (int64_t j = 0; j < shape[1]; ++j)
      function(elements[i * shape[1] + j], static_cast<size_t>(transposed ? j : i));
}

Status replace_constant(Graph& graph, ValueId v, Tensor floats) {
  LINNET_ASSIGN(graph.value(v).constant, share_as(std::move(floats), graph.constant(v)->dtype));
  return {};
}

Status divide_constant(Graph& graph, ValueId v, const std::vector<float>& factors) {
  LINNET_ASSIGN(Tensor copy, copy_as_float(*graph.constant(v)));
  for (size_t c = 0; c < factors.size(); ++c) copy.ptr<float>()[c] /= factors[c];
  return replace_constant(graph, v, std::move(copy));
}

// The constants that, divided by the factors, divide the value: of a LayerNormalization, or of the Mul and Add at a
// normalisation's end. Empty where there are none.
std::vector<ValueId> constants_behind(const Graph& graph, ValueId value, size_t channels) {
  const auto fits = [&](ValueId v) {
    return is_own(graph, v) && graph.constant(v)->shape.rank() == 1 &&
           graph.constant(v)->count() == static_cast<int64_t>(channels);
  };
  const Node* node = graph.producer(value);
  if (!node || graph.is_output(value)) return {};
  std::vector<ValueId> found;
  if (node->is("LayerNormalization") && (node->int_or("axis", -1) == -1) && node->outputs.size() == 1) {
    found.push_back(node->inputs[1]);
    if (node->input(2) != kNoValue) found.push_back(node->inputs[2]);
  } else {
    const auto constant_of = [&](const Node& n) { return fits(n.inputs[0]) ? 0 : fits(n.inputs[1]) ? 1 : 2; };
    if (node->is("Add")) {
      const int i = constant_of(*node);
      if (i == 2) return {};
      const ValueId other = node->inputs[static_cast<size_t>(1 - i)];
      found.push_back(node->inputs[static_cast<size_t>(i)]);
      node = graph.producer(other);
      if (!node || graph.use_count(other) != 1) return {};
    }
    if (!node->is("Mul")) return {};
    const int i = constant_of(*node);
    if (i == 2) return {};
    found.push_back(node->inputs[static_cast<size_t>(i)]);
  }
  return std::all_of(found.begin(), found.end(), fits) ? found : std::vector<ValueId>();
}

}  // namespace

std::vector<SmoothPlace> find_smooth_places(const Graph& graph, FunctionRef<bool(const Node&)> wanted) {
  std::vector<SmoothPlace> places;
  std::map<ValueId, size_t> known;
  for (const NodeId id : graph.order()) {
    const Node& node = graph.node(id);
    if (node.inputs.empty() || !reads(graph, node, node.inputs[0]) || !wanted(node)) continue;
    const ValueId value = node.inputs[0];
    if (graph.constant(value)) continue;
    const auto [at, is_new] = known.emplace(value, places.size());
    if (is_new) places.push_back({value, {}});
    places[at->second].readers.push_back(id);
  }
  return places;
}

Status smooth(Graph& graph, const SmoothPlace& place, const std::vector<float>& magnitudes, double alpha) {
  std::vector<float> weights(magnitudes.size(), 0);
  for (const NodeId id : place.readers) {
    const Node& node = graph.node(id);
    LINNET_ASSIGN(const Tensor weight, as_float(*graph.constant(node.inputs[1])));
    if (weight.shape[is_transposed(node) ? 1 : 0] != static_cast<int64_t>(weights.size())) return {};
    for_elements(node, weight.ptr<float>(), weight.shape,
                 [&](float w, size_t c) { weights[c] = std::max(weights[c], std::fabs(w)); });
  }
  std::vector<float> factors(weights.size(), 1);
  for (size_t c = 0; c < factors.size(); ++c) {
    if (!(magnitudes[c] > 0 && weights[c] > 0 && std::isfinite(weights[c]))) continue;
    const double factor = std::pow(magnitudes[c], alpha) / std::pow(weights[c], 1 - alpha);
    factors[c] = std::clamp(static_cast<float>(factor), kLeast, kGreatest);
  }
  for (const NodeId id : place.readers) {
    const Node& node = graph.node(id);
    LINNET_ASSIGN(Tensor weight, copy_as_float(*graph.constant(node.inputs[1])));
    for_elements(node, weight.ptr<float>(), weight.shape, [&](float& w, size_t c) { w *= factors[c]; });
    LINNET_TRY(replace_constant(graph, node.inputs[1], std::move(weight)));
  }
  const std::vector<ValueId> behind = constants_behind(graph, place.value, factors.size());
  if (!behind.empty() && graph.use_count(place.value) == place.readers.size()) {
    for (const ValueId v : behind) LINNET_TRY(divide_constant(graph, v, factors));
    return {};
  }
  LINNET_ASSIGN(Tensor inverse, make_tensor(DType::f32, Shape{static_cast<int64_t>(factors.size())}));
  for (size_t c = 0; c < factors.size(); ++c) inverse.ptr<float>()[c] = 1 / factors[c];
  const std::string name = graph.value(place.value).name;
  Node mul;
  mul.op_type = "Mul";
  mul.name = name + "_smooth";
  mul.version = 13;
  LINNET_ASSIGN(const auto constant, share_as(std::move(inverse), graph.value(place.value).info.dtype));
  mul.inputs = {place.value, graph.add_constant(name + "_smooth_factors", *constant)};
  const ValueId smoothed = graph.add_node(std::move(mul), name + "_smoothed", graph.value(place.value).info);
  for (const NodeId id : place.readers) graph.set_input(id, 0, smoothed);
  return {};
}

}  // namespace linnet
