// Calls the form of a kernel that suits the machine. Include after "hwy/highway.h", in the part of a kernel file that
// is compiled once:
//
//   #undef HWY_TARGET_INCLUDE
//   #define HWY_TARGET_INCLUDE "kernels/elementwise/unary.cpp"
//   #include "hwy/foreach_target.h"
//   #include "hwy/highway.h"
//   HWY_BEFORE_NAMESPACE();
//   namespace linnet::HWY_NAMESPACE { void relu(const float* src, float* dst, size_t n) {...} }
//   HWY_AFTER_NAMESPACE();
//   #if HWY_ONCE
//   #include "kernels/dispatch.h"
//   namespace linnet { void relu(const float* src, float* dst, size_t n) noexcept {
//     LINNET_DISPATCH(relu, relu_reference)(src, dst, n); } }
//   #endif
//
// Everything that is not Highway's and is inlined into a target's code belongs into the target's namespace: the linker
// would otherwise merge a template compiled for AVX-512 into code for older machines.
#pragma once

#include "hwy/highway.h"
#include "kernels/isa.h"

#define LINNET_DISPATCH_TABLE(function, reference, avx2_vnni, avx512, avx512_vnni)                            \
  ([]() noexcept {                                                                                            \
    static constexpr decltype(&HWY_STATIC_DISPATCH(function)) table[] = {                                     \
        &reference, HWY_CHOOSE_SSE4(function), HWY_CHOOSE_AVX2(function), HWY_CHOOSE_AVX2(avx2_vnni), avx512, \
        avx512_vnni};                                                                                         \
    return table[static_cast<int>(::linnet::current_isa())];                                                  \
  }())

// The function to call: `reference` for Isa::reference, else the target's `function`.
#define LINNET_DISPATCH(function, reference) \
  LINNET_DISPATCH_TABLE(function, reference, function, HWY_CHOOSE_AVX3(function), HWY_CHOOSE_AVX3(function))

// For kernels that sum products of small integers: AVX2 has another function, `vnni`, for its level with VNNI, and
// AVX-512 has that one alone. The few processors with AVX-512 and no VNNI take AVX2's.
#define LINNET_DISPATCH_VNNI(function, vnni, reference) \
  LINNET_DISPATCH_TABLE(function, reference, vnni, HWY_CHOOSE_AVX2(function), HWY_CHOOSE_AVX3(vnni))
