// What a search asks for: candidates, judgements and times. Tests have one whose answers are known.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "tune/recipe.h"

namespace linnet {

struct MadeModel {
  uint64_t bytes = 0;
  std::string sha256;
  size_t quantized = 0;  // nodes
};

struct Judgement {
  double loss = 0;
  std::string quality;  // JSON
};

class Workshop {
 public:
  virtual ~Workshop() = default;

  virtual double seconds() = 0;  // of a clock
  // Each recipe is made before anything else is asked of it, or made again by what asks.
  virtual Result<MadeModel> make(const Recipe& recipe) = 0;
  virtual Result<Judgement> judge(const Recipe& recipe) = 0;
  // Names of the recipe's quantised nodes, those that harm most first. May take until `deadline`.
  virtual Result<std::vector<std::string>> rank(const Recipe& recipe, double deadline) = 0;
  virtual Result<uint64_t> memory(const Recipe& recipe, size_t threads) = 0;
  virtual void discard(const Recipe& recipe) = 0;

  // Candidates to run in turns.
  virtual Status load(const Recipe& recipe) = 0;
  virtual void unload(const Recipe& recipe) = 0;
  virtual Result<double> run_ms(const Recipe& recipe, size_t threads, size_t round) = 0;
};

}  // namespace linnet
