// Convolution of 8-bit integers, exact, channels-last. A tile of the integer GEMM reads the input where it lies: what a
// filter meets is some runs of neighbouring bytes.
#pragma once

#include "base/checked.h"
#include "kernels/quant/int_gemm.h"
#include "kernels/spatial.h"

namespace linnet {

struct IntConv {
  size_t batch = 1, channels = 1, filters = 1, groups = 1;
  SpatialSizes src{1, 1, 1}, dst{1, 1, 1}, kernel{1, 1, 1}, stride{1, 1, 1}, dilation{1, 1, 1};
  std::array<ptrdiff_t, kSpatialAxes> pad{};

  size_t taps() const noexcept { return positions_of(kernel); }
  size_t depth() const noexcept { return channels / groups * taps(); }  // of a sum
  // A run is the taps of a row of the kernel where they are neighbours, else one tap.
  size_t run_taps() const noexcept { return groups == 1 && dilation[2] == 1 ? kernel[2] : 1; }
  size_t run() const noexcept { return channels / groups * run_taps(); }
  // Bytes of a filter as packing takes it: each run ends on a multiple of four.
  size_t filter_bytes() const noexcept { return taps() / run_taps() * round_up(run(), 4); }
  // One filter for each channel: runs as a vector over channels.
  bool is_depthwise() const noexcept { return groups > 1 && groups == channels && filters == channels; }
};

// ONNX's weights [filters][channels / groups][taps] as [filters][filter_bytes()].
void int_conv_arrange(const IntConv& conv, const void* weights, bool is_signed, void* arranged,
                      const Parallel& parallel) noexcept;
// The packed weights of the groups stand one after the other.
size_t int_conv_packed_size(const IntConv& conv) noexcept;
void int_conv_pack(const IntConv& conv, const void* arranged, bool is_signed, std::byte* packed,
                   const Parallel& parallel) noexcept;

size_t int_conv_scratch_size(const IntConv& conv, bool src_signed, size_t threads) noexcept;
// `like` has everything but sizes, A and B: types and zero points, bias, output. Its c is [batch][positions][filters].
// An image and what surrounds it has fewer than 2^32 bytes.
void int_conv(const IntConv& conv, const void* src, const std::byte* packed, const IntGemm& like, std::byte* scratch,
              const Parallel& parallel) noexcept;
// Bytes of an image with its surroundings, in double: for the check above.
double int_conv_image_bytes(const IntConv& conv) noexcept;

// Depthwise: `weights` as ONNX has them, `zero` their zero points, one for each channel or one for all or null.
size_t int_depthwise_packed_size(const IntConv& conv) noexcept;
void int_depthwise_pack(const IntConv& conv, const void* weights, bool is_signed, const int32_t* zero,
                        bool zero_by_channel, std::byte* packed) noexcept;
size_t int_depthwise_scratch_size(const IntConv& conv, size_t threads) noexcept;
// As int_conv; the weights' zero points went into the packed form.
void int_depthwise(const IntConv& conv, const void* src, const std::byte* packed, const IntGemm& like,
                   std::byte* scratch, const Parallel& parallel) noexcept;

}  // namespace linnet
