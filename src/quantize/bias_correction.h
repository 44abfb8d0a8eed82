// What rounding its weight does to the mean of a node's result, so that the bias can make up for it.
// M. Nagel et al.: Data-Free Quantization through Weight Equalization and Bias Correction, 2019.
#pragma once

#include <span>
#include <vector>

#include "graph/graph.h"

namespace linnet {

// A Conv or Gemm with a constant weight.
bool corrects_bias(const Graph& graph, const Node& node) noexcept;

// By output channel: how far the mean moves when the weight becomes what its codes stand for. `means` are those of the
// input along axis 1. Empty where they do not fit the weight.
std::vector<double> mean_shift(const Node& node, const Tensor& weight, const Tensor& codes, const Tensor& scale,
                               const Tensor& zero_point, std::span<const double> means);

}  // namespace linnet
