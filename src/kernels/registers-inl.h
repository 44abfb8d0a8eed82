// Keeps GCC from undoing the layout of a tile whose sums fill the registers. Included by Highway files inside
// foreach_target.h.
#if defined(LINNET_KERNELS_REGISTERS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef LINNET_KERNELS_REGISTERS_INL_H_
#undef LINNET_KERNELS_REGISTERS_INL_H_
#else
#define LINNET_KERNELS_REGISTERS_INL_H_
#endif

#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace linnet::HWY_NAMESPACE {
namespace {

// v in a register: as a memory operand it would be loaded once for each of its uses.
template <class V>
HWY_INLINE V in_register(V v) {
#if HWY_COMPILER_GCC_ACTUAL && HWY_ARCH_X86
  asm("" : "+v"(v.raw));
#endif
  return v;
}

// sum + a b of floats. GCC may choose another destination than the sum, and with many sums spills for it.
template <class V>
HWY_INLINE V add_product(V a, V b, V sum) {
#if HWY_COMPILER_GCC_ACTUAL && (HWY_TARGET == HWY_AVX2 || HWY_TARGET == HWY_AVX3)
  asm("vfmadd231ps %2, %1, %0" : "+v"(sum.raw) : "v"(a.raw), "v"(b.raw));
  return sum;
#else
  return hwy::HWY_NAMESPACE::MulAdd(a, b, sum);
#endif
}

}  // namespace
}  // namespace linnet::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // LINNET_KERNELS_REGISTERS_INL_H_
