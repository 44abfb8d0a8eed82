// Convolution of 8-bit integers, exact, channels-last: each block of output positions is gathered into rows
// [tap][channel] and multiplied by the integer GEMM.
#pragma once

#include "kernels/quant/int_gemm.h"
#include "kernels/spatial.h"

namespace linnet {

struct IntConv {
  size_t batch = 1, channels = 1, filters = 1, groups = 1;
  SpatialSizes src{1, 1, 1}, dst{1, 1, 1}, kernel{1, 1, 1}, stride{1, 1, 1}, dilation{1, 1, 1};
  std::array<ptrdiff_t, kSpatialAxes> pad{};

  size_t taps() const noexcept { return positions_of(kernel); }
  size_t depth() const noexcept { return channels / groups * taps(); }  // of a sum
};

// The packed weights of the groups stand one after the other; `offsets` has where each begins.
// `weights` are [filters][taps][channels / groups].
size_t int_conv_packed_size(const IntConv& conv, const void* weights, bool is_signed) noexcept;
size_t int_conv_packed_size_limit(const IntConv& conv) noexcept;
void int_conv_pack(const IntConv& conv, const void* weights, bool is_signed, std::byte* packed) noexcept;

size_t int_conv_scratch_size(const IntConv& conv, size_t threads) noexcept;
// `like` has everything but sizes, A and B: types and zero points, bias, output. Its c is [batch][positions][filters].
void int_conv(const IntConv& conv, const void* src, const std::byte* packed, const IntGemm& like, std::byte* scratch,
              const Parallel& parallel) noexcept;

}  // namespace linnet
