// Whether a rewritten model answers like the one it was made of.
#pragma once

#include <string>
#include <vector>

#include "compare.h"
#include "inputs.h"
#include "model_options.h"
#include "run/session.h"

namespace linnet::cli {

struct VerifyOptions {
  ModelOptions before, after;
  InputOptions inputs;
  double rtol = -1, atol = -1;  // below 0: by the types computed in and the outputs' size
  DType floats = DType::f32;    // that the second model is told to compute in
  const StopToken* stop = nullptr;
};

// What the model gave as it was.
struct Original {
  std::map<std::string, Value> inputs;
  std::vector<Value> outputs;
  DType floats = DType::f32;  // whose rounding tells how far answers may lie apart
};

struct Agreement {
  std::string output;
  Tolerance tolerance;
  Difference difference;
};

struct Verification {
  std::vector<Agreement> agreements;
  // Where outputs differ: the first inner value that has become infinite and what to do, or how to look further.
  std::string advice;

  // Whether no output has a finite number in either model, and so nothing is known.
  bool nothing_compared() const noexcept;
  bool agrees() const noexcept;
};

// Runs the model as it was, without any rewrite. Sizes that were fixed are those of `rewritten`'s inputs; the types are
// the model's own.
Result<Original> run_original(const VerifyOptions& options, const LoadedGraph& rewritten);
// Runs what became of it, as it is loaded by default.
Result<Verification> verify(const VerifyOptions& options, const Original& original);

}  // namespace linnet::cli
