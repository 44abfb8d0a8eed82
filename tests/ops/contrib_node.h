// Nodes of com.microsoft for the tests, and inputs that must be refused.
#pragma once

#include <string>
#include <string_view>

#include <gtest/gtest.h>

#include "run_node.h"

namespace linnet {

inline Attribute attribute(const char* name, Attribute::Data data) { return {name, std::move(data)}; }

inline Tensor number(float value) { return floats({}, {value}); }
inline Tensor bytes(const Shape& shape, std::vector<uint8_t> elements) {
  elements.resize(static_cast<size_t>(shape.count()));
  return tensor_of<uint8_t>(shape, elements);
}
inline Tensor int32s(const Shape& shape, std::vector<int32_t> elements) {
  elements.resize(static_cast<size_t>(shape.count()));
  return tensor_of<int32_t>(shape, elements);
}
inline std::optional<Tensor> none() { return std::nullopt; }

inline NodeRun contrib(const char* op, std::vector<std::optional<Tensor>> inputs, std::vector<Attribute> attributes,
                       size_t outputs = 1, size_t first_constant = SIZE_MAX) {
  NodeRun run{op, std::move(inputs), std::move(attributes), outputs, 1, first_constant};
  run.domain = "com.microsoft";
  return run;
}

// Refused with a sentence that contains `words`, whether sizes are known when the model loads or not.
inline void expect_refused(NodeRun run, std::string_view words) {
  for (const bool symbolic : {false, true}) {
    run.symbolic = symbolic;
    const auto result = run_node(run);
    ASSERT_FALSE(result.ok()) << run.op_type;
    EXPECT_NE(result.status().code(), Code::internal);
    EXPECT_NE(std::string(result.status().message()).find(words), std::string::npos)
        << run.op_type << ": " << result.status().message();
  }
}

}  // namespace linnet
