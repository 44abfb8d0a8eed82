// Scales with which quantised numbers mean nothing, as a calibration that met an infinity leaves them.
#pragma once

#include <string>
#include <vector>

#include "graph/graph.h"

namespace linnet::cli {

// A sentence for each constant scale that is infinite or NaN or, where numbers are quantised by it, not above 0.
// Subgraphs' included.
std::vector<std::string> doubtful_scales(const Graph& graph);

}  // namespace linnet::cli
