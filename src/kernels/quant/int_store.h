// The plain form of what becomes of a sum.
#pragma once

#include <algorithm>
#include <cmath>

#include "kernels/quant/int_block.h"

namespace linnet {

inline void store_sums_reference(const IntStore& s, const int32_t* sums, int32_t row_sum, void* c) noexcept {
  const PanelEpilogue& e = *s.epilogue;
  for (size_t i = 0; i < s.columns; ++i) {
    const auto sum = static_cast<int32_t>(static_cast<uint32_t>(sums[i]) + static_cast<uint32_t>(e.add[i]) -
                                          static_cast<uint32_t>(row_sum) * static_cast<uint32_t>(e.b_zero[i]));
    const float x = static_cast<float>(sum) * e.scale[i];
    const auto rounded = [&](float low, float high) {
      const float offset = static_cast<float>(s.zero), least = low - offset;
      return static_cast<int>(std::nearbyint(x > least ? std::min(x, high - offset) : least)) + s.zero;
    };
    switch (s.kind) {
      case IntOutput::i32: static_cast<int32_t*>(c)[i] = sum; break;
      case IntOutput::f32: static_cast<float*>(c)[i] = x + e.bias[i]; break;
      case IntOutput::u8: static_cast<uint8_t*>(c)[i] = static_cast<uint8_t>(rounded(0, 255)); break;
      case IntOutput::s8: static_cast<int8_t*>(c)[i] = static_cast<int8_t>(rounded(-128, 127)); break;
    }
  }
}

}  // namespace linnet
