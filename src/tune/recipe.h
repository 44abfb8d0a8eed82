// How a candidate is made of the model that is tuned: a command of `linnet` with its options.
#pragma once

#include <string>
#include <vector>

#include "optimize/optimizer.h"
#include "quantize/blocks.h"
#include "quantize/calibration/range.h"

namespace linnet {

struct Recipe {
  enum class Scheme : uint8_t { optimize, dynamic, ranges, weights };

  Scheme scheme = Scheme::optimize;
  // optimize
  OptimizationLevel level = OptimizationLevel::extended;
  bool half = false;  // floats of 16 bits
  // dynamic and ranges
  DType weight_type = DType::i8;
  bool per_channel = false;
  // ranges
  DType activation_type = DType::i8;
  RangeOptions range;
  bool equalise = false, smooth = false, bias_correction = true;
  // weights
  BlockScheme blocks;
  bool embeddings = false;
  int accuracy_level = 0;
  // Nodes that are quantised, or are not.
  std::vector<std::string> include, exclude;

  // What `linnet` takes beside the files: "quantize", "dynamic", "--per-channel". Recipes with the same arguments give
  // the same model.
  std::vector<std::string> arguments() const;
  std::string key() const;  // the arguments in one line, without the command
  bool quantizes() const noexcept { return scheme != Scheme::optimize; }
};

// What people try first, the model in floats before all others.
std::vector<Recipe> preset_recipes();
// Recipes of the same scheme that differ in one option, those that promise most first.
std::vector<Recipe> neighbours(const Recipe& recipe);

// As a shell takes it.
std::string shell_quoted(std::string_view argument);
// The whole command. The samples are left out where it does without.
std::string command_line(const std::vector<std::string>& arguments, std::string_view model, std::string_view output,
                         std::string_view samples);

}  // namespace linnet
