// The quantised forms of activations in a graph that is being rewritten.
#pragma once

#include <map>

#include "graph/graph.h"
#include "quantize/weight.h"

namespace linnet {

class ActivationCodes {
 public:
  // New operators are written for at least operator set `opset`.
  ActivationCodes(Graph& graph, DType type, int opset) : graph_(graph), type_(type), opset_(opset) {}

  DType type() const noexcept { return type_; }
  int opset() const noexcept { return opset_; }

  struct Parameters {
    ValueId scale = kNoValue, zero_point = kNoValue;  // constants
    Quantization quantization;
  };
  // What the range of `root` means for all values that share its quantisation; made once.
  void set_range(ValueId root, float least, float greatest, bool symmetric);
  const Parameters& parameters(ValueId root) const { return parameters_.at(root); }
  bool has(ValueId root) const { return parameters_.contains(root); }

  // Whether the value has a quantised form.
  bool made(ValueId value) const { return forms_.contains(value); }
  // The value's codes, and what they stand for as float32; made where they are not there yet.
  ValueId codes(ValueId value, ValueId root);
  ValueId floats(ValueId value, ValueId root);
  // The codes are there, made by another operator: all who use the value use what they stand for, as floats of its
  // type.
  void supply(ValueId value, ValueId root, ValueId codes);
  // All who use the value use its quantised form, likewise. What makes it does so as float32.
  void replace(ValueId value, ValueId root);
  // Both have the same quantised form.
  void unite(ValueId value, ValueId with);

  // As another type of floats.
  ValueId cast(ValueId value, DType type);

  // A node of the standard with one output, and what its output holds. The name is a copy: those in the graph move when
  // it grows, as it may while the other arguments are computed.
  ValueId add(std::string_view op_type, std::vector<ValueId> inputs, std::string named_after, DType type,
              std::vector<Attribute> attributes = {});

 private:
  struct Forms {
    ValueId codes = kNoValue, floats = kNoValue;
  };

  Graph& graph_;
  DType type_;
  int opset_;
  std::map<ValueId, Parameters> parameters_;
  std::map<ValueId, Forms> forms_;
  std::map<std::pair<ValueId, DType>, ValueId> casts_;
};

}  // namespace linnet
