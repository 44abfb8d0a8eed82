// Recurrent layers over dequantised weights: which scales fit, and what is left alone.
#include <gtest/gtest.h>

#include "optimize/rewritten.h"

namespace linnet {
namespace {

constexpr int64_t kInput = 5, kHidden = 18;

struct Form {
  std::string_view cell = "GRU";
  int64_t directions = 1;
  enum class Scales { one, by_direction, by_row, by_row_of_one, by_column } scales = Scales::one;
  bool zero_points = false;
  bool r_is_float = false;
};

int64_t gates_of_type(std::string_view cell) { return cell == "LSTM" ? 4 : cell == "GRU" ? 3 : 1; }

// [directions][gates hidden][k] of small steps, as floats.
ValueId weight(Graph& g, const Form& f, int64_t k, int start) {
  using Scales = Form::Scales;
  const int64_t rows = gates_of_type(f.cell) * kHidden;
  const bool flat = f.scales == Scales::by_row;
  const Shape shape = flat ? Shape{f.directions * rows, k} : Shape{f.directions, rows, k};
  Tensor codes = make_tensor(f.zero_points ? DType::u8 : DType::i8, shape).value();
  for (int64_t i = 0; i < codes.count(); ++i)
    codes.ptr<int8_t>()[i] = static_cast<int8_t>((i * 7919 + start * 31) % 255 - 127);
  int64_t count = 1, axis = 0;
  switch (f.scales) {
    case Scales::one: break;
    case Scales::by_direction: count = f.directions; break;
    case Scales::by_row: count = f.directions * rows; break;
    case Scales::by_row_of_one: count = rows, axis = 1; break;
    case Scales::by_column: count = k, axis = 2; break;
  }
  Tensor scale = make_tensor(DType::f32, f.scales == Scales::one ? Shape{} : Shape{count}).value();
  for (int64_t i = 0; i < count; ++i) scale.ptr<float>()[i] = 0.002f + 0.0003f * static_cast<float>(i % 4);
  std::vector<ValueId> inputs = {g.add_constant("codes", codes), g.add_constant("scale", scale)};
  if (f.zero_points) {
    Tensor zero = make_tensor(DType::u8, scale.shape).value();
    for (int64_t i = 0; i < count; ++i) zero.ptr<uint8_t>()[i] = static_cast<uint8_t>(128 - i % 9);
    inputs.push_back(g.add_constant("zero", zero));
  }
  const ValueId floats = add(g, "DequantizeLinear", inputs, {{"axis", axis}});
  return flat ? add(g, "Reshape", {floats, g.add_ints("shape", {f.directions, rows, k})}) : floats;
}

void expect_fused(const Form& f, bool fused) {
  const auto build = [&](Graph& g, SymbolTable&) {
    const ValueId x = add_input(g, "x", DType::f32, {Dim(7), Dim(2), Dim(kInput)});
    const int64_t rows = gates_of_type(f.cell) * kHidden;
    const ValueId w = weight(g, f, kInput, 1);
    const ValueId r =
        f.r_is_float ? g.add_constant("r", wave({f.directions, rows, kHidden}, 0.2f, 2)) : weight(g, f, kHidden, 2);
    std::vector<Attribute> attributes = {{"hidden_size", kHidden}};
    if (f.directions == 2) attributes.push_back({"direction", std::string("bidirectional")});
    const ValueId bias = g.add_constant("b", wave({f.directions, 2 * rows}, 0.1f, 3));
    add_output(g, "y", add(g, f.cell, {x, w, r, bias}, attributes, 14));
  };
  const auto look = [&](const Graph& g) {
    const std::string type = "DynamicQuantize" + std::string(f.cell);
    EXPECT_EQ(count_of(g, type), fused ? 1u : 0u);
    EXPECT_EQ(count_of(g, f.cell), fused ? 0u : 1u);
    if (fused) {
      EXPECT_EQ(count_of(g, "DequantizeLinear"), 0u);
    }
  };
  // Inputs and states in 8 bits beside floats.
  expect_rewritten(build, {{wave({7, 2, kInput}, 1)}}, look, {}, fused ? 0.03f : 1e-5f);
}

using Scales = Form::Scales;

TEST(FuseDequantizedRecurrent, Fits) {
  for (const std::string_view cell : {"LSTM", "GRU", "RNN"})
    for (const int64_t directions : {1, 2})
      for (const bool zero_points : {false, true})
        for (const Scales scales : {Scales::by_direction, Scales::by_row}) {
          SCOPED_TRACE(cell);
          expect_fused({cell, directions, scales, zero_points}, true);
        }
  expect_fused({"GRU", 1, Scales::one}, true);
  expect_fused({"GRU", 1, Scales::by_row_of_one, true}, true);
}

TEST(FuseDequantizedRecurrent, LeavesOthersAlone) {
  expect_fused({"GRU", 1, Scales::by_column}, false);
  expect_fused({"LSTM", 1, Scales::by_direction, false, true}, false);
}

}  // namespace
}  // namespace linnet
