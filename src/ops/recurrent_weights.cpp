#include "ops/recurrent_weights.h"

#include "ops/packing.h"

namespace linnet {
namespace {

constexpr size_t kMostUnits = size_t{1} << 22;

}  // namespace

Status RecurrentWeights::prepare(PrepareContext& context, const Inputs& inputs, const Tensor& constant, CellKind cell,
                                 size_t depth_axis) {
  const Tensor* scale = context.constant(inputs.scale);
  const Tensor* zero = context.has(inputs.zero) ? context.constant(inputs.zero) : nullptr;
  LINNET_REQUIRE(scale && (zero || !context.has(inputs.zero)), unsupported(kCodesNotConstant));
  const size_t directions = static_cast<size_t>(constant.shape[0]), k = static_cast<size_t>(constant.shape[depth_axis]),
               rows = static_cast<size_t>(constant.shape[3 - depth_axis]), gates = gates_of(cell),
               hidden = rows / gates;
  LINNET_REQUIRE(hidden <= kMostUnits && recurrent_packed_size(cell, hidden, k) < SIZE_MAX / 4,
                 invalid_model("the constant of shape ", constant.shape, " is too large"));
  columns_ = recurrent_columns(cell, hidden);
  each_ = recurrent_codes_size(cell, hidden, k);
  scale_.assign(directions * columns_, 0.0f);
  zero_.assign(directions * columns_, 0);
  const int less = constant.dtype == DType::u8 ? 128 : 0;  // codes become int8
  const auto for_each_row = [&](auto&& body) {
    for (size_t d = 0; d < directions; ++d)
      for (size_t g = 0; g < gates; ++g)
        for (size_t u = 0; u < hidden; ++u)
          body(d, g * hidden + u, d * columns_ + recurrent_column(cell, hidden, g, u));
  };
  bool any_zero = false;
  for_each_row([&](size_t d, size_t row, size_t column) {
    const auto at = [&](const Tensor& t) {
      return static_cast<int64_t>(t.count() == constant.shape[0] ? d : d * rows + row);
    };
    scale_[column] = static_cast<float>(number_at(*scale, at(*scale)));
    zero_[column] = (zero ? static_cast<int32_t>(integer_at(*zero, at(*zero))) : 0) - less;
    any_zero |= zero_[column] != 0;
  });
  if (!any_zero) zero_.clear();

  constexpr std::string_view kForms[] = {"codes of an rnn", "codes of a gru", "codes of an lstm"};
  const std::string form = concat(kForms[static_cast<size_t>(cell)], depth_axis == 1 ? ", transposed" : "");
  const std::span<const std::byte> supplied = packing(context).supplied(inputs.codes, form);
  for (size_t d = 0; d < directions && !supplied.empty(); ++d)
    LINNET_REQUIRE(supplied.size() == directions * each_ &&
                       recurrent_codes_valid(supplied.subspan(d * each_, each_), cell, hidden, k),
                   invalid_model("the compiled model's packed weights are damaged"));
  LINNET_REQUIRE(!supplied.empty() || constant.data, invalid_model("the compiled model lacks packed weights"));
  const auto fill = [&](std::byte* to) {
    std::vector<int8_t> ordered(directions * columns_ * k);
    const auto* from = static_cast<const uint8_t*>(constant.data);
    const size_t step = depth_axis == 1 ? rows : 1, row_step = depth_axis == 1 ? 1 : k;
    for_each_row([&](size_t d, size_t row, size_t column) {
      const uint8_t* src = from + d * rows * k + row * row_step;
      for (size_t i = 0; i < k; ++i) ordered[column * k + i] = static_cast<int8_t>(src[i * step] ^ less);
    });
    for (size_t d = 0; d < directions; ++d)
      pack_recurrent_codes(cell, hidden, k, ordered.data() + d * columns_ * k, to + d * each_, context.parallel());
  };
  LINNET_ASSIGN(packed_, context.packed(inputs.codes, form, directions * each_, fill));
  context.release(inputs.codes);
  return {};
}

RecurrentCodes RecurrentWeights::direction(size_t d) const noexcept {
  return {packed_ + d * each_, scale_.data() + d * columns_, zero_.empty() ? nullptr : zero_.data() + d * columns_};
}

}  // namespace linnet
