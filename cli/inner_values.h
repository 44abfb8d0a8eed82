// The values inside a model, by name.
#pragma once

#include <string>
#include <vector>

#include "model_options.h"

namespace linnet::cli {

struct InnerValue {
  std::string name, path;     // the path of the node that makes it
  std::string node, op_type;  // that node; its name may be empty
};

struct InnerValues {
  std::vector<InnerValue> values;  // that nodes of the main graph make, in order
  DType floats = DType::f32;       // the fewest bits that weights have as floats
};

Result<InnerValues> inner_values(const ModelOptions& options);

// Those of `values` whose names `others` have, too.
std::vector<InnerValue> common_values(const InnerValues& values, const InnerValues& others);

// Inner values become outputs so many at a time: each of them keeps the rewrites around it from happening.
inline constexpr size_t kInnerBatch = 32;

// Runs a model; gives its outputs by name, or the inner values named instead.
Result<std::map<std::string, Value>> run_for(const ModelOptions& options, const std::vector<std::string>& inner,
                                             const std::map<std::string, Value>& inputs);

}  // namespace linnet::cli
