// Cross-layer equalisation: what one Conv gives in a channel may be smaller by a factor that the next Conv's weight
// makes up for. Chosen so that both have channels of about the same magnitude, one scale for a whole weight loses less.
// M. Nagel et al.: Data-Free Quantization through Weight Equalization and Bias Correction, 2019.
#pragma once

#include "graph/graph.h"

namespace linnet {

// For each two Convs with nothing between them but a Relu, LeakyRelu or pools, and no other readers. Results stay the
// same but for rounding. Returns how many pairs there are.
Result<size_t> equalise_layers(Graph& graph);

}  // namespace linnet
