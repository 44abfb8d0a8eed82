#include "ops/float_view.h"

#include "kernels/elementwise/half_convert.h"

namespace linnet {
namespace {

constexpr size_t kChunk = 4096;

template <class F>
void in_chunks(size_t count, const Parallel& parallel, F&& f) {
  parallel.for_range(ceil_div(count, kChunk), 8, [&](size_t first, size_t last, size_t) {
    f(first * kChunk, std::min(count, last * kChunk) - first * kChunk);
  });
}

}  // namespace

const float* float_view(const Tensor& tensor, std::byte*& scratch, const Parallel& parallel) {
  if (tensor.dtype == DType::f32) return tensor.ptr<float>();
  auto* floats = reinterpret_cast<float*>(scratch);
  const auto count = static_cast<size_t>(tensor.count());
  scratch += float_view_bytes(tensor.dtype, tensor.count());
  in_chunks(count, parallel, [&](size_t begin, size_t n) {
    if (tensor.dtype == DType::f16) {
      to_float(tensor.ptr<f16>() + begin, floats + begin, n);
    } else {
      to_float(tensor.ptr<bf16>() + begin, floats + begin, n);
    }
  });
  return floats;
}

float* float_target(Tensor& tensor, std::byte*& scratch) {
  if (tensor.dtype == DType::f32) return tensor.ptr<float>();
  auto* floats = reinterpret_cast<float*>(scratch);
  scratch += float_view_bytes(tensor.dtype, tensor.count());
  return floats;
}

void finish_floats(const float* floats, Tensor& tensor, const Parallel& parallel) {
  if (tensor.dtype == DType::f32) return;
  in_chunks(static_cast<size_t>(tensor.count()), parallel, [&](size_t begin, size_t n) {
    if (tensor.dtype == DType::f16) {
      from_float(floats + begin, tensor.ptr<f16>() + begin, n);
    } else {
      from_float(floats + begin, tensor.ptr<bf16>() + begin, n);
    }
  });
}

}  // namespace linnet
