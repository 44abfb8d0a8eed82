// Turns a model of 32-bit floats into one of 16 bits: half the size, and what hardware for them wants.
#pragma once

#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "infer/infer.h"

namespace linnet {

struct FloatConversion {
  DType to = DType::f16;  // or bf16
  bool keep_io = true;    // inputs and outputs of the model stay as they are, with casts behind and before them
  // Beside the operators that always do: these compute in 32 bits, by operator type, or by name of a node.
  std::set<std::string, std::less<>> keep;
};

struct FloatConversionReport {
  size_t constants = 0, casts = 0;
  std::vector<std::string> kept;  // paths of nodes that compute in 32 bits
};

// Operators that always stay: those whose 16-bit form the standard or other runtimes lack, and those whose results a
// rounded input would change altogether (positions, ranks, sizes, scales of quantised values).
std::span<const std::string_view> operators_kept_in_float() noexcept;

// Whether the graph, or one within it, has a node of that name or operator type.
bool has_node_or_operator(const Graph& graph, std::string_view name);

// The graph is inferred before and after. Numbers beyond the range become the greatest, and none but zero becomes zero.
Result<FloatConversionReport> convert_floats(Graph& graph, SymbolTable& symbols, const FloatConversion& conversion);

}  // namespace linnet
