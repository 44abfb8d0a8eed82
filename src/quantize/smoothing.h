// SmoothQuant: channels in which an activation has outliers become smaller by a factor, and the rows of the weights
// that read them greater by the same one, so that one scale fits all channels.
// G. Xiao et al.: SmoothQuant, 2022.
#pragma once

#include <map>
#include <vector>

#include "base/function_ref.h"
#include "graph/graph.h"

namespace linnet {

// A value that MatMuls and Gemms multiply by constants, by its channels: the last axis.
struct SmoothPlace {
  ValueId value;
  std::vector<NodeId> readers;
};

// `wanted`: which MatMuls and Gemms may change.
std::vector<SmoothPlace> find_smooth_places(const Graph& graph, FunctionRef<bool(const Node&)> wanted);

// `magnitudes`: the greatest of each channel of the value. Where a normalisation makes the value for these readers
// alone, its constants take the factors up; else a Mul is put in. `alpha`: how much of the outliers goes into the
// weights, from 0 to 1.
Status smooth(Graph& graph, const SmoothPlace& place, const std::vector<float>& magnitudes, double alpha);

}  // namespace linnet
