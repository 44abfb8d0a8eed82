// How a candidate is made of the model that is tuned: a command of `linnet` with its options.
#pragma once

#include <string>
#include <vector>

#include "optimize_model.h"
#include "quantize/static_quantize.h"

namespace linnet {

struct Recipe {
  enum class Scheme : uint8_t { optimize, dynamic, ranges, weights };

  Scheme scheme = Scheme::optimize;
  OptimizationLevel level = OptimizationLevel::extended;  // optimize
  bool half = false;                                      // optimize: floats of 16 bits
  WeightOptions weights;                                  // of the other schemes, as far as they know them
  StaticOptions ranges;

  // What `linnet` takes beside the files: "quantize", "dynamic", "--per-channel". Recipes with the same arguments give
  // the same model.
  std::vector<std::string> arguments() const;
  std::string key() const;  // the arguments in one line, without the command
  bool quantizes() const noexcept { return scheme != Scheme::optimize; }
  bool needs_samples() const noexcept { return scheme == Scheme::ranges; }
};

// What people try first, the model in floats before all others.
std::vector<Recipe> preset_recipes();
// Recipes of the same scheme that differ in one option, those that promise most first.
std::vector<Recipe> neighbours(const Recipe& recipe);

// As a shell takes it.
std::string shell_quoted(std::string_view argument);
// The whole command. `samples` is left out where the recipe does without.
std::string command_line(const std::vector<std::string>& arguments, std::string_view model, std::string_view output,
                         std::string_view samples);

}  // namespace linnet
