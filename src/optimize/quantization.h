// What passes ask about QuantizeLinear and DequantizeLinear.
#pragma once

#include <optional>

#include "graph/graph.h"

namespace linnet {

// Codes and what they stand for: (codes - zero) scale, of one constant scale or one for each index of an axis.
struct Quantized {
  ValueId codes = kNoValue, scale = kNoValue, zero = kNoValue;  // zero: kNoValue for 0
  DType type = DType::undefined;                                // of the codes
  int64_t axis = 0;                                             // where the scale has more than one element
  bool by_axis = false;

  bool is_byte() const noexcept { return type == DType::u8 || type == DType::i8; }
  int32_t least() const noexcept { return type == DType::i8 ? -128 : 0; }
  int32_t greatest() const noexcept { return type == DType::i8 ? 127 : 255; }
};

// A DequantizeLinear to float by constants, in no blocks, its scales positive and finite.
std::optional<Quantized> as_dequantize(const Graph& graph, const Node* node);
inline std::optional<Quantized> dequantized(const Graph& graph, ValueId value) {
  return value == kNoValue ? std::nullopt : as_dequantize(graph, graph.producer(value));
}

// A QuantizeLinear of floats by one constant scale, positive and finite; `codes` are its output.
std::optional<Quantized> as_quantize(const Graph& graph, const Node& node);

float scale_of(const Graph& graph, const Quantized& q, int64_t i = 0);
int32_t zero_of(const Graph& graph, const Quantized& q, int64_t i = 0);
// Of one scale each: the same codes stand for the same numbers.
bool same_quantization(const Graph& graph, const Quantized& a, const Quantized& b);
// The zero point as a value; made where it is left out.
ValueId zero_value(Graph& graph, const Quantized& q);

}  // namespace linnet
