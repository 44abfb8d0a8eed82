// Rewrites the marked nodes of a graph, one after another.
#pragma once

#include "quantize/activation_codes.h"
#include "quantize/job.h"
#include "quantize/static_marks.h"

namespace linnet {

// What running the model told, beside the ranges.
struct Measured {
  std::map<ValueId, std::string> complaints;     // why values that decide a quantisation have none
  std::map<ValueId, std::vector<double>> means;  // of channels of inputs, where biases are corrected
};

class StaticWriter {
 public:
  // Of one graph, whose nodes it takes. All outlive the writer.
  StaticWriter(QuantizeJob& job, const Marks& marks, const Measured& measured, ActivationCodes& codes,
               StaticFormat format)
      : job_(job), marks_(marks), measured_(measured), codes_(codes), format_(format) {}

  Status rewrite(Graph& graph, NodeId id, NodeReport& report);

 private:
  // An input as integers.
  struct Operand {
    ValueId codes = kNoValue, scale = kNoValue, zero_point = kNoValue;
  };

  const std::string* find_complaint(const MarkedNode& node) const;
  Status rectifier(Graph& graph, NodeId id, const MarkedNode& node, NodeReport& report, bool* done);
  Status table(Graph& graph, NodeId id, const MarkedNode& node, NodeReport& report);
  Result<std::optional<Operand>> operand(Graph& graph, const MarkedNode& node, size_t i, NodeReport& report);
  // The bias as int32 by the scales of the other operands, or nothing where it does not fit.
  Result<std::optional<Operand>> bias(Graph& graph, const Node& node, const MarkedNode& marked, const Operand& x,
                                      const Operand& weight);
  // Gives a node whose bias is to be corrected one, where it has none.
  Status add_bias(Graph& graph, NodeId id, MarkedNode& marked);

  // The node computes with float32: its inputs of other floats become that.
  Status widen(Graph& graph, NodeId id);
  Status write_qdq(Graph& graph, NodeId id, const MarkedNode& node, std::span<const Operand> operands);
  // False where there is no such operator on integers.
  bool write_operator(Graph& graph, NodeId id, const MarkedNode& node, std::span<const Operand> operands);

  QuantizeJob& job_;
  const Marks& marks_;
  const Measured& measured_;
  ActivationCodes& codes_;
  StaticFormat format_;
  std::map<ValueId, ValueId> restored_;  // constants' codes and what they stand for as floats
};

}  // namespace linnet
