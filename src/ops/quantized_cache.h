// Caches of keys and values as codes with scales.
#pragma once

#include "ops/op.h"

namespace linnet {

// How a cache keeps its numbers: as they are, or as codes of 8 or 4 bits with a scale for all or for each channel of
// each head. Two codes of 4 bits lie in a byte, the lower one first, 8 above what they mean.
struct CacheForm {
  int bits = 0;  // 0: not quantised
  bool by_channel = false;
};

// The form that the attribute `name` says.
Result<CacheForm> parse_cache_form(NodeReader& reader, std::string_view name, int64_t bits);

// A row of one head; `step` is 0 where all have one scale.
void quantize_row(const float* row, size_t size, const float* scale, size_t step, int bits, uint8_t* codes) noexcept;
void dequantize_row(const uint8_t* codes, size_t size, const float* scale, size_t step, int bits, float* row) noexcept;

}  // namespace linnet
