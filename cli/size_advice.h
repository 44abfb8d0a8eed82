// What to say where inputs of sizes that nobody gave do not suit a model.
#pragma once

#include <string>
#include <string_view>

#include "inputs.h"

namespace linnet::cli {

// An axis of an input, whose size has a name.
struct OpenAxis {
  std::string_view name, input;
  size_t axis, rank;
};
// A size that many models take there: an example for somebody to change.
int64_t example_size(const OpenAxis& open);

// The error of a run, with the options that give other sizes where shapes may be why a node failed. Without a model
// every failure of a node may be.
Status explain(Status status, const Inputs& inputs, const Model* model);

}  // namespace linnet::cli
