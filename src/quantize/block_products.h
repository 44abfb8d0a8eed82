// Products with constant weights that blocks can stand for, and what calibration knows of their inputs.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <tuple>
#include <vector>

#include "base/function_ref.h"
#include "quantize/calibration/observe.h"
#include "quantize/gptq.h"

namespace linnet {

// A MatMul or Gemm. `weight` may be computed from constants; the matrix is [n][k] where it lies by row, else [k][n].
struct BlockProduct {
  ValueId input = kNoValue, weight = kNoValue;
  bool by_row = false;
  int64_t n = 0, k = 0;
};
// Nothing, with the reason, where MatMulNBits cannot stand for the node.
std::optional<BlockProduct> find_block_product(const Graph& graph, const Node& node, int64_t block,
                                               std::string& reason);

// What gptq wants of the inputs by which weights are multiplied, of all nodes that read a weight together. The model
// runs on the samples when the first weight's are asked for, and again as often as the memory limit makes it necessary.
class InputProducts {
 public:
  using Wanted = FunctionRef<bool(const Graph&, const Node&)>;
  // Of the nodes that are `wanted`, bodies' included. The graphs may change later, except for the values' numbers.
  InputProducts(Graph& graph, int64_t block, Wanted wanted, const GptqOptions& options, const Parallel& parallel);

  struct Source {
    const std::shared_ptr<Engine>& engine;
    const Samples& samples;
    FunctionRef<Result<LoadedGraph>()> load;  // the float model's graph anew, with the same values
    const ObserveOptions& options;
  };
  bool knows(const Graph& graph, ValueId weight, bool by_row) const noexcept;
  // Of a weight that is known. Null, with the reason, where there is nothing to learn. Valid until the next call.
  Result<const GptqFactor*> find(const Graph& graph, ValueId weight, bool by_row, const Source& source,
                                 std::string& reason);

 private:
  struct Weight {
    int64_t k = 0;
    std::vector<PlacedValue> inputs;
    size_t group = 0;  // those whose products fit into memory together
  };

  void collect(const Graph& graph, int64_t block, Wanted wanted);
  Weight& weight_of(const Graph& graph, ValueId value, bool by_row, int64_t k);

  std::vector<Weight> weights_;
  std::map<const Graph*, size_t> graphs_;                             // their numbers
  std::map<std::tuple<const Graph*, ValueId, bool>, size_t> places_;  // of the weights, and whether they lie by row
  std::map<std::pair<const Tensor*, bool>, size_t> shared_;           // of constants, whichever graphs have them
  size_t groups_ = 0, observed_ = SIZE_MAX;                           // of the groups
  Observations observations_;
  const GptqOptions& options_;
  const Parallel& parallel_;
  std::vector<PlacedValue> factored_;  // the inputs that the factor is of
  std::string complaint_;
  GptqFactor factor_;
};

}  // namespace linnet
