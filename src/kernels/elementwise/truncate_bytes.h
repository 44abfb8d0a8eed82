// Floats cast to 8-bit integers.
#pragma once

#include <cstddef>
#include <cstdint>

namespace linnet {

// The lowest byte of the number without its fraction as int32; 0 for what does not fit into that.
void truncate_to_bytes(const float* src, uint8_t* dst, size_t n) noexcept;

}  // namespace linnet
