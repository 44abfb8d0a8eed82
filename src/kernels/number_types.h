// The element types that kernels of plain loops are instantiated for.
#pragma once

#include <cstdint>

#include "base/half.h"

// Expands M(T) for each.
#define LINNET_FOR_EACH_NUMBER_TYPE(M) \
  M(float)                             \
  M(double)                            \
  M(f16)                               \
  M(bf16)                              \
  M(int8_t)                            \
  M(uint8_t)                           \
  M(int16_t)                           \
  M(uint16_t)                          \
  M(int32_t)                           \
  M(uint32_t)                          \
  M(int64_t)                           \
  M(uint64_t)
