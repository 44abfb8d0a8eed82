// Products of double matrices in registers, from memory as it lies: nothing is packed.
#include "kernels/gemm/plain_product.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/gemm/double_product.cpp"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "kernels/partial-inl.h"

HWY_BEFORE_NAMESPACE();
namespace linnet::HWY_NAMESPACE {
namespace {
namespace hn = hwy::HWY_NAMESPACE;

using D = hn::ScalableTag<double>;
using V = hn::Vec<D>;
using Product = PlainProduct<double>;

// kRows rows of c from `i`, two vectors of columns from `j`.
template <size_t kRows>
HWY_INLINE void tile(const Product& p, size_t i, size_t j) {
  const D d;
  const size_t lanes = hn::Lanes(d);
  V sum[kRows][2];
  for (size_t r = 0; r < kRows; ++r) sum[r][0] = sum[r][1] = hn::Zero(d);
  for (size_t x = 0; x < p.k; ++x) {
    const double* b = p.b + x * p.b_row + j;
    const V b0 = hn::LoadU(d, b), b1 = hn::LoadU(d, b + lanes);
#pragma GCC unroll 4
    for (size_t r = 0; r < kRows; ++r) {
      const V a = hn::Set(d, p.a[(i + r) * p.a_row + x * p.a_column]);
      sum[r][0] = hn::MulAdd(a, b0, sum[r][0]);
      sum[r][1] = hn::MulAdd(a, b1, sum[r][1]);
    }
  }
  for (size_t r = 0; r < kRows; ++r) {
    double* c = p.c + (i + r) * p.ldc + j;
    hn::StoreU(sum[r][0], d, c);
    hn::StoreU(sum[r][1], d, c + lanes);
  }
}

// One row of c from column `j` on, a vector or less at a time.
HWY_INLINE void last_columns(const Product& p, size_t i, size_t j) {
  const D d;
  for (const size_t lanes = hn::Lanes(d); j < p.n; j += lanes) {
    const size_t count = HWY_MIN(lanes, p.n - j);
    V sum = hn::Zero(d);
    for (size_t x = 0; x < p.k; ++x) {
      const double* b = p.b + x * p.b_row + j;
      const V a = hn::Set(d, p.a[i * p.a_row + x * p.a_column]);
      sum = hn::MulAdd(a, count == lanes ? hn::LoadU(d, b) : load_partial(d, b, count), sum);
    }
    if (count == lanes) {
      hn::StoreU(sum, d, p.c + i * p.ldc + j);
    } else {
      store_partial(sum, d, p.c + i * p.ldc + j, count);
    }
  }
}

void by_columns(const Product& p, size_t begin, size_t end) {
  const size_t step = 2 * hn::Lanes(D()), whole = p.n - p.n % step;
  // A strip of b stays in the cache while all rows meet it.
  for (size_t j = 0; j < whole; j += step) {
    size_t i = begin;
    for (; i + 4 <= end; i += 4) tile<4>(p, i, j);
    for (; i < end; ++i) tile<1>(p, i, j);
  }
  for (size_t i = begin; i < end; ++i) last_columns(p, i, whole);
}

// b's columns stand together, and a's rows do: sums along k, four columns at a time.
void by_dot_products(const Product& p, size_t begin, size_t end) {
  const D d;
  const size_t lanes = hn::Lanes(d), whole = p.k - p.k % lanes;
  const auto dots = [&](const double* a, const double* b, size_t columns, double* c) HWY_ATTR {
    V sum[4] = {hn::Zero(d), hn::Zero(d), hn::Zero(d), hn::Zero(d)};
    for (size_t x = 0; x < whole; x += lanes) {
      const V v = hn::LoadU(d, a + x);
      for (size_t j = 0; j < columns; ++j) sum[j] = hn::MulAdd(v, hn::LoadU(d, b + j * p.b_column + x), sum[j]);
    }
    if (whole != p.k) {
      const V v = load_partial(d, a + whole, p.k - whole);
      for (size_t j = 0; j < columns; ++j)
        sum[j] = hn::MulAdd(v, load_partial(d, b + j * p.b_column + whole, p.k - whole), sum[j]);
    }
    for (size_t j = 0; j < columns; ++j) c[j] = hn::GetLane(hn::SumOfLanes(d, sum[j]));
  };
  for (size_t j = 0; j < p.n; j += 4) {
    const double* b = p.b + j * p.b_column;
    for (size_t i = begin; i < end; ++i) {
      if (j + 4 <= p.n) {
        dots(p.a + i * p.a_row, b, 4, p.c + i * p.ldc + j);
      } else {
        dots(p.a + i * p.a_row, b, p.n - j, p.c + i * p.ldc + j);
      }
    }
  }
}

void double_product_simd(const Product& p, size_t begin, size_t end) {
  if (p.b_column == 1) return by_columns(p, begin, end);
  if (p.b_row == 1 && p.a_column == 1) return by_dot_products(p, begin, end);
  plain_product(p, begin, end);
}

}  // namespace
}  // namespace linnet::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
#include "kernels/dispatch.h"

namespace linnet {

void double_product(const PlainProduct<double>& p, size_t begin, size_t end) noexcept {
  LINNET_DISPATCH(double_product_simd, plain_product<double>)(p, begin, end);
}

}  // namespace linnet
#endif
