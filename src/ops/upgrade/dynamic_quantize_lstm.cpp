// com.microsoft's LSTM over 8-bit weights as the standard's over the floats that they stand for: inputs and states stay
// exact instead of being rounded at each step, and the weights take four times their memory.
// https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md#com.microsoft.DynamicQuantizeLSTM
#include "ops/upgrade/upgrade.h"

namespace linnet {
namespace {

// [directions, k, 4 hidden] with a scale and zero point for each direction, or for each of its columns, as
// floats [directions, 4 hidden, k].
Result<Tensor> dequantized(const Tensor& weights, const Tensor& scale, const Tensor* zero_point) {
  const Shape& shape = weights.shape;
  LINNET_REQUIRE(shape.rank() == 3 && (weights.dtype == DType::u8 || weights.dtype == DType::i8),
                 invalid_model("has weights ", weights, "; they must be 8-bit, of rank 3"));
  const int64_t directions = shape[0], rows = shape[1], columns = shape[2];
  const bool by_column = scale.count() == directions * columns;
  LINNET_REQUIRE(scale.dtype == DType::f32 && (by_column || scale.count() == directions),
                 invalid_model("has scales ", scale, " for weights ", weights));
  LINNET_REQUIRE(!zero_point || (zero_point->dtype == weights.dtype && zero_point->count() == scale.count()),
                 invalid_model("has zero points that do not fit its scales"));
  LINNET_ASSIGN(Tensor out, make_tensor_uninitialized(DType::f32, Shape{directions, columns, rows}));
  for (int64_t d = 0; d < directions; ++d) {
    for (int64_t c = 0; c < columns; ++c) {
      const int64_t which = by_column ? d * columns + c : d;
      const auto factor = static_cast<float>(number_at(scale, which));
      const int64_t zero = zero_point ? integer_at(*zero_point, which) : 0;
      for (int64_t r = 0; r < rows; ++r)
        out.ptr<float>()[(d * columns + c) * rows + r] =
            static_cast<float>(integer_at(weights, (d * rows + r) * columns + c) - zero) * factor;
    }
  }
  return out;
}

Status to_lstm(Graph& graph, NodeId id) {
  enum : size_t { kW = 1, kR = 2, kQuantization = 8 };
  for (const size_t side : {size_t{0}, size_t{1}}) {
    const Node& node = graph.node(id);
    const ValueId zero = node.input(kQuantization + 2 * side + 1);
    const Tensor* weights = graph.constant(node.input(kW + side));
    const Tensor* scale = graph.constant(node.input(kQuantization + 2 * side));
    LINNET_REQUIRE(weights && scale && (zero == kNoValue || graph.constant(zero)),
                   unsupported("the weights of DynamicQuantizeLSTM must be constants"));
    LINNET_ASSIGN(Tensor floats, dequantized(*weights, *scale, graph.constant(zero)));
    const std::string name = graph.value(node.input(kW + side)).name + "/dequantized";
    graph.set_input(id, kW + side, graph.add_constant(name, std::move(floats)));
  }
  std::vector<ValueId> inputs = graph.node(id).inputs;
  inputs.resize(kQuantization);
  while (inputs.back() == kNoValue) inputs.pop_back();
  graph.set_inputs(id, std::move(inputs));
  graph.node(id).domain = "";
  graph.node(id).op_type = "LSTM";
  return {};
}

constexpr Upgrade kUpgrades[] = {{"com.microsoft", "DynamicQuantizeLSTM", 14, to_lstm}};

}  // namespace

extern const std::span<const Upgrade> kDynamicQuantizeLstmUpgrades = kUpgrades;

}  // namespace linnet
