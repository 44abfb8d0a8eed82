// What a model says of itself beside its graph: names, versions, metadata.
#pragma once

#include "onnx/model.h"
#include "run/session.h"

namespace linnet {

void read_description(const onnx::Model& from, Model& to);
// The inverse, as views of `from`; the operator sets are the graph's matter.
void write_description(const Model& from, onnx::Model& to);

}  // namespace linnet
