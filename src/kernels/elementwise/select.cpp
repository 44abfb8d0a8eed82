// Where, by the width of an element.
#include <cstdint>
#include <type_traits>

#include "kernels/elementwise/binary.h"

namespace linnet {
namespace {

// Eight bytes may be two floats, and sixteen two doubles, aligned as those.
struct Pair32 {
  uint32_t part[2];
};
struct Pair64 {
  uint64_t part[2];
};

// Without a branch: masks are rarely predictable.
template <class T>
T choose(bool condition, T x, T y) noexcept {
  if constexpr (std::is_unsigned_v<T>) {
    const T mask = static_cast<T>(T{0} - static_cast<T>(condition));
    return static_cast<T>((x & mask) | (y & static_cast<T>(~mask)));
  } else {
    return condition ? x : y;
  }
}

template <class T>
void choose_block(const BroadcastBlock& block, const bool* condition, const T* x, const T* y, T* dst) noexcept {
  for (size_t r = 0; r < block.rows; ++r) {
    const bool* c = condition + block.src[0] + r * block.row_stride[0];
    const T* p = x + block.src[1] + r * block.row_stride[1];
    const T* q = y + block.src[2] + r * block.row_stride[2];
    T* out = dst + block.dst + r * block.columns;
    const size_t n = block.columns;
    if (block.stride[0] == 0) {  // the condition holds for the row
      const T* from = *c ? p : q;
      const size_t stride = block.stride[*c ? 1 : 2];
      for (size_t i = 0; i < n; ++i) out[i] = from[i * stride];
    } else if (block.stride[1] == 1 && block.stride[2] == 1) {
      for (size_t i = 0; i < n; ++i) out[i] = choose(c[i], p[i], q[i]);
    } else if (block.stride[1] == 0 && block.stride[2] == 1) {
      const T value = *p;
      for (size_t i = 0; i < n; ++i) out[i] = choose(c[i], value, q[i]);
    } else if (block.stride[1] == 1) {
      const T value = *q;
      for (size_t i = 0; i < n; ++i) out[i] = choose(c[i], p[i], value);
    } else {
      const T yes = *p;
      const T no = *q;
      for (size_t i = 0; i < n; ++i) out[i] = choose(c[i], yes, no);
    }
  }
}

template <class T>
void run(const BroadcastPlan& plan, const bool* condition, const void* x, const void* y, void* dst,
         const Parallel& parallel) noexcept {
  for_each_block(plan, 0.2, parallel, [&](const BroadcastBlock& block) {
    choose_block(block, condition, static_cast<const T*>(x), static_cast<const T*>(y), static_cast<T*>(dst));
  });
}

}  // namespace

void select(size_t width, const BroadcastPlan& plan, const bool* condition, const void* x, const void* y, void* dst,
            const Parallel& parallel) noexcept {
  switch (width) {
    case 1: return run<uint8_t>(plan, condition, x, y, dst, parallel);
    case 2: return run<uint16_t>(plan, condition, x, y, dst, parallel);
    case 4: return run<uint32_t>(plan, condition, x, y, dst, parallel);
    case 8: return run<Pair32>(plan, condition, x, y, dst, parallel);
    default: return run<Pair64>(plan, condition, x, y, dst, parallel);
  }
}

void select_block(const BroadcastBlock& block, const bool* condition, const float* x, const float* y,
                  float* dst) noexcept {
  choose_block(block, condition, reinterpret_cast<const uint32_t*>(x), reinterpret_cast<const uint32_t*>(y),
               reinterpret_cast<uint32_t*>(dst));
}

}  // namespace linnet
