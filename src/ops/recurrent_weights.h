// W or R of a recurrent layer in 8 bits, as the kernel takes them.
#pragma once

#include <string_view>
#include <vector>

#include "kernels/recurrent/recurrent.h"
#include "ops/op.h"

namespace linnet {

inline constexpr std::string_view kCodesNotConstant =
    "8-bit weights must be constants, and so must their scales and zero points";

class RecurrentWeights {
 public:
  struct Inputs {
    size_t codes, scale, zero;  // zero may be left out
  };
  // Packs the constant [directions][gates hidden][k], or with `depth_axis` 1 [directions][k][gates hidden], whose shape
  // and whose scales' counts have been checked, and releases the input.
  Status prepare(PrepareContext& context, const Inputs& inputs, const Tensor& constant, CellKind cell,
                 size_t depth_axis);
  bool ready() const noexcept { return packed_ != nullptr; }
  RecurrentCodes direction(size_t d) const noexcept;

 private:
  const std::byte* packed_ = nullptr;
  size_t each_ = 0, columns_ = 0;  // bytes and columns of a direction
  std::vector<float> scale_;
  std::vector<int32_t> zero_;  // empty where all are 0
};

}  // namespace linnet
