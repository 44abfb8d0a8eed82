#include "ops/packed_matrix.h"

#include <limits>
#include <vector>

#include "base/checked.h"
#include "kernels/elementwise/half_convert.h"

namespace linnet {

Result<PackedMatrix> pack_matrix(PrepareContext& context, size_t input, bool transposed) {
  const Tensor* b = packing(context).stored(input);
  PackedMatrix result;
  if (!b || b->shape.rank() < 2 || b->count() == 0) return result;
  const size_t rank = b->shape.rank();
  const size_t rows = static_cast<size_t>(b->shape[rank - 2]), columns = static_cast<size_t>(b->shape[rank - 1]);
  const size_t k = transposed ? columns : rows, n = transposed ? rows : columns;
  const size_t count = static_cast<size_t>(b->shape.count(0, rank - 2));
  const bool half = b->dtype == DType::f16 || b->dtype == DType::bf16;
  if (!half && (b->dtype != DType::f32 || n == 1)) return result;
  constexpr std::string_view kForms[][3] = {
      {"gemm panels", "gemm panels, f16", "gemm panels, bf16"},
      {"gemm panels, transposed", "gemm panels, f16, transposed", "gemm panels, bf16, transposed"}};
  const auto& forms = kForms[transposed];
  if (half) {
    result.form = b->dtype == DType::f16 ? BForm::packed_f16 : BForm::packed_bf16;
  } else if (b->data) {
    result.form = narrowest_form(b->ptr<float>(), static_cast<size_t>(b->count()));
    if (result.form != BForm::packed) b = context.constant(input);
    if (!b) return PackedMatrix{};
  } else {
    for (const BForm form : {BForm::packed, BForm::packed_f16, BForm::packed_bf16})
      if (!packing(context).supplied(input, forms[static_cast<size_t>(form)]).empty()) result.form = form;
  }
  const size_t each = packed_b_size(k, n, result.form);
  const std::optional<size_t> bytes = checked_mul(each, count);
  LINNET_REQUIRE(bytes && each != std::numeric_limits<size_t>::max(),
                 invalid_model("the constant of shape ", b->shape, " is too large"));
  const std::string_view form = forms[static_cast<size_t>(result.form)];
  LINNET_ASSIGN(result.data, context.packed(input, form, *bytes, [&](std::byte* to) {
    std::vector<uint16_t> narrowed(!half && result.form != BForm::packed ? rows * columns : 0);
    for (size_t i = 0; i < count; ++i) {
      const size_t first = i * rows * columns;
      if (result.form == BForm::packed) {
        pack_b(b->ptr<float>() + first, k, n, columns, transposed, reinterpret_cast<float*>(to + i * each),
               context.parallel());
        continue;
      }
      const uint16_t* src = narrowed.data();
      if (half) {
        src = b->ptr<uint16_t>() + first;
      } else if (result.form == BForm::packed_f16) {
        from_float(b->ptr<float>() + first, reinterpret_cast<f16*>(narrowed.data()), rows * columns);
      } else {
        from_float(b->ptr<float>() + first, reinterpret_cast<bf16*>(narrowed.data()), rows * columns);
      }
      pack_b_halves(src, k, n, columns, transposed, reinterpret_cast<uint16_t*>(to + i * each), context.parallel());
    }
  }));
  context.release(input);
  return result;
}

}  // namespace linnet
