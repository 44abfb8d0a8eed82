#include "tune/recipe.h"

#include <gtest/gtest.h>

#include <set>

namespace linnet {
namespace {

TEST(Recipe, ArgumentsAreThoseOfTheCommandLine) {
  Recipe recipe;
  EXPECT_EQ(recipe.key(), "optimize --level extended");
  recipe.half = true;
  EXPECT_EQ(recipe.key(), "optimize --level extended --float16");
  recipe.scheme = Recipe::Scheme::ranges;
  recipe.activation_type = DType::u8;
  recipe.range.method = CalibrationMethod::percentile;
  recipe.range.percentile = 99.99;
  recipe.bias_correction = false;
  recipe.exclude = {"/layer 1/MatMul"};
  EXPECT_EQ(recipe.key(),
            "static --activation-type uint8 --calibrate-method percentile --percentile 99.99 --no-bias-correction "
            "--exclude '/layer 1/MatMul'");
  recipe.scheme = Recipe::Scheme::weights;
  recipe.blocks = {4, 64, false, BlockMethod::half_quadratic};
  EXPECT_EQ(recipe.key(), "weights --bits 4 --block 64 --asymmetric --method hqq --exclude '/layer 1/MatMul'");
}

TEST(Recipe, PresetsDifferAndFloatsComeFirst) {
  std::set<std::string> keys;
  for (const Recipe& recipe : preset_recipes()) EXPECT_TRUE(keys.insert(recipe.key()).second) << recipe.key();
  EXPECT_EQ(preset_recipes().front().key(), "optimize --level extended");
  for (const char* method : {"percentile", "entropy --num-bins 2048", "mse"})
    EXPECT_TRUE(keys.contains(concat("static --activation-type uint8 --calibrate-method ", method, " --per-channel")));
}

TEST(Recipe, NeighboursAreOfTheSchemeAndDiffer) {
  for (const Recipe& preset : preset_recipes()) {
    std::set<std::string> keys = {preset.key()};
    for (const Recipe& next : neighbours(preset)) {
      EXPECT_TRUE(keys.insert(next.key()).second) << next.key();
      EXPECT_EQ(next.scheme, preset.scheme);
    }
    EXPECT_EQ(keys.size() > 1, preset.quantizes()) << preset.key();
  }
}

TEST(Recipe, NeighboursKeepTheExclusions) {
  Recipe recipe = preset_recipes()[5];
  recipe.exclude = {"head"};
  for (const Recipe& next : neighbours(recipe)) EXPECT_EQ(next.exclude, recipe.exclude);
}

TEST(CommandLine, IsWhatAShellTakes) {
  EXPECT_EQ(shell_quoted("a/b-c_1.onnx"), "a/b-c_1.onnx");
  EXPECT_EQ(shell_quoted(""), "''");
  EXPECT_EQ(shell_quoted("it's $HOME"), "'it'\\''s $HOME'");
  EXPECT_EQ(command_line({"optimize", "--level", "all"}, "in.onnx", "my out.onnx", "s"),
            "linnet optimize in.onnx -o 'my out.onnx' --level all");
  EXPECT_EQ(command_line({"quantize", "dynamic"}, "in.onnx", "out.onnx", "s"),
            "linnet quantize dynamic in.onnx -o out.onnx");
  EXPECT_EQ(command_line({"quantize", "static", "--per-channel"}, "in.onnx", "out.onnx", "s"),
            "linnet quantize static in.onnx -o out.onnx --calibrate s --per-channel");
  EXPECT_EQ(command_line({"quantize", "weights", "--method", "gptq"}, "in.onnx", "out.onnx", "s"),
            "linnet quantize weights in.onnx -o out.onnx --calibrate s --method gptq");
}

}  // namespace
}  // namespace linnet
