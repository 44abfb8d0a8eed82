#include "tune/recipe.h"

#include <algorithm>
#include <charconv>

namespace linnet {
namespace {

using Scheme = Recipe::Scheme;

constexpr std::string_view kLevels[] = {"none", "basic", "extended", "all"};
constexpr CalibrationMethod kMethods[] = {CalibrationMethod::mse, CalibrationMethod::percentile,
                                          CalibrationMethod::min_max, CalibrationMethod::entropy};
// With as many bins as quantised ones entropy would be min_max.
constexpr size_t kEntropyBins = 2048;

std::string number_text(double number) {
  char text[32];
  const auto [end, failed] = std::to_chars(text, text + sizeof text, number);
  return failed == std::errc() ? std::string(text, end) : std::string();
}

void add_weight_arguments(const WeightOptions& options, std::vector<std::string>& out) {
  if (options.weight_type == DType::u8) out.insert(out.end(), {"--weight-type", "uint8"});
  if (options.weight_symmetric) out.emplace_back(*options.weight_symmetric ? "--symmetric" : "--asymmetric");
  if (options.per_channel) out.emplace_back("--per-channel");
}

void add_range_arguments(const StaticOptions& how, std::vector<std::string>& out) {
  const StaticOptions standard;
  if (how.activation_type != standard.activation_type)
    out.insert(out.end(), {"--activation-type", how.activation_type == DType::u8    ? "uint8"
                                                : how.activation_type == DType::u16 ? "uint16"
                                                                                    : "int16"});
  if (how.activation_symmetric) out.emplace_back("--activation-symmetric");
  if (how.range.method != standard.range.method)
    out.insert(out.end(), {"--calibrate-method", std::string(calibration_name(how.range.method))});
  if (how.range.percentile != standard.range.percentile)
    out.insert(out.end(), {"--percentile", number_text(how.range.percentile)});
  if (how.range.num_bins != standard.range.num_bins)
    out.insert(out.end(), {"--num-bins", std::to_string(how.range.num_bins)});
  if (how.range.moving_average) out.emplace_back("--moving-average");
  if (how.range.symmetric) out.emplace_back("--symmetric-range");
  if (how.equalise) out.emplace_back("--equalise");
  if (how.smooth) out.emplace_back("--smooth-quant");
  if (!how.bias_correction) out.emplace_back("--no-bias-correction");
}

void add_block_arguments(const WeightOptions& options, std::vector<std::string>& out) {
  const BlockScheme& blocks = options.blocks;
  out.insert(out.end(), {"--bits", std::to_string(blocks.bits), "--block", std::to_string(blocks.block)});
  if (!blocks.symmetric) out.emplace_back("--asymmetric");
  if (blocks.method == BlockMethod::half_quadratic) out.insert(out.end(), {"--method", "hqq"});
  if (options.embeddings) out.emplace_back("--embeddings");
  if (options.accuracy_level != 0) out.insert(out.end(), {"--accuracy-level", std::to_string(options.accuracy_level)});
}

void set_method(Recipe& recipe, CalibrationMethod method) {
  recipe.ranges.range = {};
  recipe.ranges.range.method = method;
  if (method == CalibrationMethod::entropy) recipe.ranges.range.num_bins = kEntropyBins;
}

Recipe static_recipe(DType activations, bool per_channel, CalibrationMethod method) {
  Recipe recipe;
  recipe.scheme = Scheme::ranges;
  recipe.ranges.activation_type = activations;
  recipe.weights.per_channel = per_channel;
  set_method(recipe, method);
  return recipe;
}

Recipe block_recipe(int bits, int64_t block, bool symmetric, BlockMethod method) {
  Recipe recipe;
  recipe.scheme = Scheme::weights;
  recipe.weights.blocks = {bits, block, symmetric, method};
  recipe.weights.embeddings = true;
  return recipe;
}

}  // namespace

std::vector<std::string> Recipe::arguments() const {
  if (scheme == Scheme::optimize) {
    std::vector<std::string> out = {"optimize", "--level", std::string(kLevels[static_cast<size_t>(level)])};
    if (half) out.emplace_back("--float16");
    return out;
  }
  std::vector<std::string> out = {"quantize", scheme == Scheme::dynamic  ? "dynamic"
                                              : scheme == Scheme::ranges ? "static"
                                                                         : "weights"};
  if (scheme == Scheme::weights) {
    add_block_arguments(weights, out);
  } else {
    if (scheme == Scheme::ranges) add_range_arguments(ranges, out);
    add_weight_arguments(weights, out);
  }
  for (const std::string& name : weights.include) out.insert(out.end(), {"--include", name});
  for (const std::string& name : weights.exclude) out.insert(out.end(), {"--exclude", name});
  return out;
}

std::string Recipe::key() const {
  std::string text;
  const std::vector<std::string> all = arguments();
  for (size_t i = quantizes() ? 1 : 0; i < all.size(); ++i) text += (text.empty() ? "" : " ") + shell_quoted(all[i]);
  return text;
}

std::vector<Recipe> preset_recipes() {
  std::vector<Recipe> presets(4);
  presets[1].level = OptimizationLevel::basic;
  presets[2].level = OptimizationLevel::all;
  presets[3].half = true;
  for (const bool per_channel : {false, true}) {
    Recipe& dynamic = presets.emplace_back();
    dynamic.scheme = Scheme::dynamic;
    dynamic.weights.per_channel = per_channel;
  }
  presets.push_back(static_recipe(DType::u8, true, CalibrationMethod::min_max));
  presets.push_back(static_recipe(DType::i8, true, CalibrationMethod::min_max));
  presets.push_back(static_recipe(DType::u8, false, CalibrationMethod::min_max));
  for (const CalibrationMethod method :
       {CalibrationMethod::percentile, CalibrationMethod::entropy, CalibrationMethod::mse})
    presets.push_back(static_recipe(DType::u8, true, method));
  presets.push_back(block_recipe(8, 32, true, BlockMethod::nearest));
  presets.push_back(block_recipe(4, 32, true, BlockMethod::nearest));
  presets.push_back(block_recipe(4, 32, false, BlockMethod::half_quadratic));
  return presets;
}

std::vector<Recipe> neighbours(const Recipe& recipe) {
  std::vector<Recipe> found;
  const auto add = [&](auto&& change) {
    Recipe next = recipe;
    change(next);
    if (next.key() != recipe.key()) found.push_back(std::move(next));
  };
  const auto flip = [&](bool WeightOptions::*field) {
    add([&](Recipe& r) { r.weights.*field = !(r.weights.*field); });
  };
  switch (recipe.scheme) {
    case Scheme::optimize: break;
    case Scheme::dynamic:
      flip(&WeightOptions::per_channel);
      add([](Recipe& r) { r.weights.weight_type = r.weights.weight_type == DType::u8 ? DType::i8 : DType::u8; });
      break;
    case Scheme::ranges:
      for (const CalibrationMethod method : kMethods)
        if (method != recipe.ranges.range.method) add([&](Recipe& r) { set_method(r, method); });
      for (bool StaticOptions::*const field :
           {&StaticOptions::smooth, &StaticOptions::equalise, &StaticOptions::bias_correction})
        add([&](Recipe& r) { r.ranges.*field = !(r.ranges.*field); });
      flip(&WeightOptions::per_channel);
      add([](Recipe& r) { r.ranges.activation_type = r.ranges.activation_type == DType::u8 ? DType::i8 : DType::u8; });
      if (recipe.ranges.range.method == CalibrationMethod::percentile)
        for (const double percentile : {99.99, 99.9}) add([&](Recipe& r) { r.ranges.range.percentile = percentile; });
      if (recipe.ranges.range.method == CalibrationMethod::min_max)
        add([](Recipe& r) { r.ranges.range.moving_average = !r.ranges.range.moving_average; });
      break;
    case Scheme::weights:
      add([](Recipe& r) { r.weights.accuracy_level = r.weights.accuracy_level == 0 ? 4 : 0; });
      for (const int64_t block : {64, 128, 16, 256}) add([&](Recipe& r) { r.weights.blocks.block = block; });
      if (recipe.weights.blocks.method == BlockMethod::nearest)
        add([](Recipe& r) { r.weights.blocks.symmetric = !r.weights.blocks.symmetric; });
      add([](Recipe& r) {
        const bool nearest = r.weights.blocks.method == BlockMethod::nearest;
        r.weights.blocks.method = nearest ? BlockMethod::half_quadratic : BlockMethod::nearest;
        r.weights.blocks.symmetric = !nearest;
      });
      flip(&WeightOptions::embeddings);
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
  for (size_t i = 0; i < arguments.size(); ++i) {
    line += ' ' + shell_quoted(arguments[i]);
    if (i + 1 != words) continue;
    line += concat(' ', shell_quoted(model), " -o ", shell_quoted(output));
    if (arguments[i] == "static") line += concat(" --calibrate ", shell_quoted(samples));
  }
  return line;
}

}  // namespace linnet
