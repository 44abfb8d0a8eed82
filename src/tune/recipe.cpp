#include "tune/recipe.h"

#include <algorithm>
#include <charconv>

namespace linnet {
namespace {

using Scheme = Recipe::Scheme;

constexpr std::string_view kLevels[] = {"none", "basic", "extended", "all"};
constexpr std::string_view kSchemes[] = {"", "dynamic", "static", "weights"};
constexpr CalibrationMethod kMethods[] = {CalibrationMethod::mse, CalibrationMethod::percentile,
                                          CalibrationMethod::min_max, CalibrationMethod::entropy};
// With as many bins as quantised ones entropy would be min_max.
constexpr size_t kEntropyBins = 2048;

std::string number_text(double number) {
  char text[32];
  const auto [end, failed] = std::to_chars(text, text + sizeof text, number);
  return failed == std::errc() ? std::string(text, end) : std::string();
}

// Appends the words to a command's arguments.
class Words {
 public:
  explicit Words(std::vector<std::string>& to) : to_(to) {}
  void flag(bool given, std::string_view name) {
    if (given) to_.emplace_back(name);
  }
  void option(bool given, std::string_view name, std::string_view value) {
    if (!given) return;
    to_.emplace_back(name);
    to_.emplace_back(value);
  }

 private:
  std::vector<std::string>& to_;
};

void add_range_arguments(const Recipe& recipe, Words& words) {
  const RangeOptions standard, &range = recipe.range;
  words.option(recipe.activation_type != DType::i8, "--activation-type", dtype_name(recipe.activation_type));
  words.option(range.method != standard.method, "--calibrate-method", calibration_name(range.method));
  words.option(range.percentile != standard.percentile, "--percentile", number_text(range.percentile));
  words.option(range.num_bins != standard.num_bins, "--num-bins", std::to_string(range.num_bins));
  words.flag(range.moving_average, "--moving-average");
  words.flag(recipe.equalise, "--equalise");
  words.flag(recipe.smooth, "--smooth-quant");
  words.flag(!recipe.bias_correction, "--no-bias-correction");
}

void add_block_arguments(const Recipe& recipe, Words& words) {
  const BlockScheme& blocks = recipe.blocks;
  words.option(true, "--bits", std::to_string(blocks.bits));
  words.option(true, "--block", std::to_string(blocks.block));
  words.flag(!blocks.symmetric, "--asymmetric");
  words.option(blocks.method != BlockMethod::nearest, "--method", blocks.method == BlockMethod::gptq ? "gptq" : "hqq");
  words.flag(blocks.mse, "--mse");
  words.flag(recipe.embeddings, "--embeddings");
  words.option(recipe.accuracy_level != 0, "--accuracy-level", std::to_string(recipe.accuracy_level));
}

void set_method(Recipe& recipe, CalibrationMethod method) {
  recipe.range = {};
  recipe.range.method = method;
  if (method == CalibrationMethod::entropy) recipe.range.num_bins = kEntropyBins;
}

Recipe static_recipe(DType activations, bool per_channel, CalibrationMethod method) {
  Recipe recipe;
  recipe.scheme = Scheme::ranges;
  recipe.activation_type = activations;
  recipe.per_channel = per_channel;
  set_method(recipe, method);
  return recipe;
}

Recipe block_recipe(int bits, BlockMethod method) {
  Recipe recipe;
  recipe.scheme = Scheme::weights;
  recipe.blocks.bits = bits;
  recipe.blocks.method = method;
  recipe.blocks.symmetric = method != BlockMethod::half_quadratic;
  recipe.embeddings = true;
  return recipe;
}

DType other_type(DType type) { return type == DType::u8 ? DType::i8 : DType::u8; }

}  // namespace

std::vector<std::string> Recipe::arguments() const {
  std::vector<std::string> out;
  Words words(out);
  if (scheme == Scheme::optimize) {
    words.flag(true, "optimize");
    words.option(true, "--level", kLevels[static_cast<size_t>(level)]);
    words.flag(half, "--float16");
    return out;
  }
  words.option(true, "quantize", kSchemes[static_cast<size_t>(scheme)]);
  if (scheme == Scheme::weights) {
    add_block_arguments(*this, words);
  } else {
    if (scheme == Scheme::ranges) add_range_arguments(*this, words);
    words.option(weight_type == DType::u8, "--weight-type", "uint8");
    words.flag(per_channel, "--per-channel");
  }
  for (const std::string& name : include) words.option(true, "--include", name);
  for (const std::string& name : exclude) words.option(true, "--exclude", name);
  return out;
}

std::string Recipe::key() const {
  std::string text;
  const std::vector<std::string> all = arguments();
  for (size_t i = quantizes() ? 1 : 0; i < all.size(); ++i) text += (text.empty() ? "" : " ") + shell_quoted(all[i]);
  return text;
}

std::vector<Recipe> preset_recipes() {
  // The level `all` is what loading makes of every candidate.
  std::vector<Recipe> presets(5);
  presets[1].level = OptimizationLevel::basic;
  presets[2].half = true;
  presets[3].scheme = presets[4].scheme = Scheme::dynamic;
  presets[4].per_channel = true;
  presets.push_back(static_recipe(DType::u8, true, CalibrationMethod::min_max));
  presets.push_back(static_recipe(DType::i8, true, CalibrationMethod::min_max));
  presets.push_back(static_recipe(DType::u8, false, CalibrationMethod::min_max));
  for (const CalibrationMethod method :
       {CalibrationMethod::percentile, CalibrationMethod::entropy, CalibrationMethod::mse})
    presets.push_back(static_recipe(DType::u8, true, method));
  presets.push_back(block_recipe(8, BlockMethod::nearest));
  presets.push_back(block_recipe(4, BlockMethod::nearest));
  presets.push_back(block_recipe(4, BlockMethod::half_quadratic));
  presets.push_back(block_recipe(4, BlockMethod::gptq));
  return presets;
}

std::vector<Recipe> neighbours(const Recipe& recipe) {
  std::vector<Recipe> found;
  // A copy to change.
  const auto next = [&]() -> Recipe& { return found.emplace_back(recipe); };
  const auto flip = [&](bool Recipe::*field) {
    Recipe& r = next();
    r.*field = !(r.*field);
  };
  switch (recipe.scheme) {
    case Scheme::optimize: break;
    case Scheme::dynamic:
      flip(&Recipe::per_channel);
      next().weight_type = other_type(recipe.weight_type);
      break;
    case Scheme::ranges:
      for (const CalibrationMethod method : kMethods)
        if (method != recipe.range.method) set_method(next(), method);
      for (bool Recipe::*const field :
           {&Recipe::smooth, &Recipe::equalise, &Recipe::bias_correction, &Recipe::per_channel})
        flip(field);
      next().activation_type = other_type(recipe.activation_type);
      if (recipe.range.method == CalibrationMethod::percentile)
        for (const double percentile : {99.99, 99.9})
          if (percentile != recipe.range.percentile) next().range.percentile = percentile;
      if (recipe.range.method == CalibrationMethod::min_max) next().range.moving_average = !recipe.range.moving_average;
      break;
    case Scheme::weights:
      next().accuracy_level = recipe.accuracy_level == 0 ? 4 : 0;
      for (const int64_t block : {64, 128, 32, 16, 256})
        if (block != recipe.blocks.block) next().blocks.block = block;
      if (recipe.blocks.method != BlockMethod::half_quadratic) {
        next().blocks.symmetric = !recipe.blocks.symmetric;
        next().blocks.mse = !recipe.blocks.mse;
      }
      for (const BlockMethod method : {BlockMethod::gptq, BlockMethod::half_quadratic, BlockMethod::nearest})
        if (method != recipe.blocks.method) {
          Recipe& r = next();
          r.blocks.method = method;
          r.blocks.symmetric = method != BlockMethod::half_quadratic;
          r.blocks.mse = false;
        }
      flip(&Recipe::embeddings);
      break;
  }
  return found;
}

std::string shell_quoted(std::string_view argument) {
  const auto plain = [](char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
           std::string_view("_-./:=+,@%").find(c) != std::string_view::npos;
  };
  if (!argument.empty() && std::all_of(argument.begin(), argument.end(), plain)) return std::string(argument);
  std::string out = "'";
  for (const char c : argument) out += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return out + "'";
}

std::string command_line(const std::vector<std::string>& arguments, std::string_view model, std::string_view output,
                         std::string_view samples) {
  std::string line = "linnet";
  const size_t words = !arguments.empty() && arguments[0] == "quantize" ? 2 : 1;  // of the command itself
  bool needs_samples = arguments.size() > 1 && arguments[1] == "static";
  for (size_t i = 1; i < arguments.size(); ++i)
    needs_samples |= arguments[i - 1] == "--method" && arguments[i] == "gptq";
  for (size_t i = 0; i < arguments.size(); ++i) {
    line += ' ' + shell_quoted(arguments[i]);
    if (i + 1 != words) continue;
    line += concat(' ', shell_quoted(model), " -o ", shell_quoted(output));
    if (needs_samples) line += concat(" --calibrate ", shell_quoted(samples));
  }
  return line;
}

}  // namespace linnet
