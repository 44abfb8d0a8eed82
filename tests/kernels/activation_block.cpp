#include "activation_block.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/activation_block.cpp"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "kernels/activation-inl.h"

HWY_BEFORE_NAMESPACE();
namespace linnet::HWY_NAMESPACE {
void test_block(const ActivationSpec& spec, float* data, size_t row_stride, size_t rows, size_t columns) {
  activate_block(spec, data, row_stride, rows, columns);
}
}  // namespace linnet::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
#include "kernels/dispatch.h"
namespace linnet {
namespace {
void test_block_reference(const ActivationSpec& spec, float* data, size_t row_stride, size_t rows, size_t columns) {
  for (size_t r = 0; r < rows; ++r)
    for (size_t i = 0; i < columns; ++i) data[r * row_stride + i] = activate_reference(spec, data[r * row_stride + i]);
}
}  // namespace
void activate_block_for_test(const ActivationSpec& spec, float* data, size_t row_stride, size_t rows, size_t columns) {
  LINNET_DISPATCH(test_block, test_block_reference)(spec, data, row_stride, rows, columns);
}
}  // namespace linnet
#endif
