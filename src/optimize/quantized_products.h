// Products by constant matrices of 8 bits, or of few bits in blocks.
#pragma once

#include <array>
#include <optional>
#include <string>

#include "graph/graph.h"
#include "optimize/products.h"

namespace linnet {

// x b + bias of floats, where x is rounded at run time.
struct QuantizedProduct {
  ValueId x = kNoValue;
  // The matrix, its scales, zero points and bias; the last two may be missing.
  std::array<ValueId, 4> weights = {kNoValue, kNoValue, kNoValue, kNoValue};
  int64_t columns = 0;
  // Of MatMulNBits: K, block_size, bits, accuracy_level. All 0 for matrices of 8 bits.
  std::array<int64_t, 4> blocks = {0, 0, 0, 0};
  // The DynamicQuantizeLinear whose codes it reads, which others may read, too.
  NodeId quantizer = kNoNode;

  bool fits(const QuantizedProduct& other) const { return x == other.x && blocks == other.blocks; }
};

// What a DynamicQuantizeMatMul, MatMulNBits, or MatMulIntegerToFloat of codes made for it computes.
std::optional<QuantizedProduct> as_quantized_product(const Graph& graph, const Node& node);

// A linnet.GroupedDynamicQuantizeMatMul or GroupedMatMulNBits of such products, without outputs.
Node grouped_quantized(std::span<const QuantizedProduct> products, std::string name);

}  // namespace linnet
