// The SIMD forms of the reductions of float: along rows where the fastest axis is reduced, else down columns.
#include "kernels/reduce/reduce.h"

#include <algorithm>
#include <cmath>
#include <limits>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/reduce/reduce.cpp"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "kernels/math-inl.h"
#include "kernels/partial-inl.h"

HWY_BEFORE_NAMESPACE();
namespace linnet::HWY_NAMESPACE {
namespace {
namespace hn = hwy::HWY_NAMESPACE;

using D = hn::ScalableTag<float>;
using V = hn::Vec<D>;

// Partial results of at most this many rows, or blocks of a row, are added up apart, which keeps rounding errors small.
constexpr size_t kBlock = 512;

struct Add {
  static constexpr float kIdentity = 0.0f;
  template <class A>
  static HWY_INLINE A combine(A a, A b) {
    return hn::Add(a, b);
  }
  static double combine(double a, double b) { return a + b; }
};
struct Sum : Add {
  static HWY_INLINE V map(V x, V) { return x; }
};
struct SumSquare : Add {
  static HWY_INLINE V map(V x, V) { return hn::Mul(x, x); }
};
struct SumAbs : Add {
  static HWY_INLINE V map(V x, V) { return hn::Abs(x); }
};
struct SumExp : Add {
  static HWY_INLINE V map(V x, V shift) { return vec_exp(D(), hn::Sub(x, shift)); }
};
struct Product : Sum {
  static constexpr float kIdentity = 1.0f;
  template <class A>
  static HWY_INLINE A combine(A a, A b) {
    return hn::Mul(a, b);
  }
  static double combine(double a, double b) { return a * b; }
};
// The instructions return the second operand when either is NaN: one met before has to be kept.
struct Maximum : Sum {
  static constexpr float kIdentity = -HUGE_VALF;
  template <class A>
  static HWY_INLINE A combine(A a, A b) {
    return hn::IfThenElse(hn::IsNaN(a), a, hn::Max(a, b));
  }
  static double combine(double a, double b) { return a > b || a != a ? a : b; }
};
struct Minimum : Sum {
  static constexpr float kIdentity = HUGE_VALF;
  template <class A>
  static HWY_INLINE A combine(A a, A b) {
    return hn::IfThenElse(hn::IsNaN(a), a, hn::Min(a, b));
  }
  static double combine(double a, double b) { return a < b || a != a ? a : b; }
};

template <class Op, class N>
HWY_INLINE double combine_all(N d, hn::Vec<N> v) {
  if constexpr (hn::MaxLanes(d) == 1) {
    return hn::GetLane(v);
  } else {
    const hn::Half<N> dh;
    return combine_all<Op>(dh, Op::combine(hn::LowerHalf(dh, v), hn::UpperHalf(dh, v)));
  }
}

template <class Op>
HWY_INLINE double combine_lanes(V v) {
  if constexpr (Op::kIdentity < 0.0f || Op::kIdentity > 1.0f) {
    const D d;
    if (!hn::AllFalse(d, hn::IsNaN(v))) return std::numeric_limits<double>::quiet_NaN();
    return static_cast<double>(hn::GetLane(Op::kIdentity < 0.0f ? hn::MaxOfLanes(d, v) : hn::MinOfLanes(d, v)));
  }
  const hn::Half<D> dh;
  const hn::Rebind<double, hn::Half<D>> dd;
  return combine_all<Op>(dd,
                         Op::combine(hn::PromoteTo(dd, hn::LowerHalf(dh, v)), hn::PromoteTo(dd, hn::UpperHalf(dh, v))));
}

// n > 0.
template <class Op>
HWY_NOINLINE double reduce_row(const float* src, size_t n, float shift) {
  const D d;
  const size_t lanes = hn::Lanes(d);
  const V vshift = hn::Set(d, shift);
  const V identity = hn::Set(d, Op::kIdentity);
  double total = static_cast<double>(Op::kIdentity);
  size_t i = 0;
  do {
    const size_t end = i + std::min(n - i, kBlock * lanes);
    V a = identity, b = identity, c = identity, e = identity;
    for (; i + 4 * lanes <= end; i += 4 * lanes) {
      a = Op::combine(a, Op::map(hn::LoadU(d, src + i), vshift));
      b = Op::combine(b, Op::map(hn::LoadU(d, src + i + lanes), vshift));
      c = Op::combine(c, Op::map(hn::LoadU(d, src + i + 2 * lanes), vshift));
      e = Op::combine(e, Op::map(hn::LoadU(d, src + i + 3 * lanes), vshift));
    }
    for (; i + lanes <= end; i += lanes) a = Op::combine(a, Op::map(hn::LoadU(d, src + i), vshift));
    if (i < end) {
      const V rest = Op::map(load_partial(d, src + i, end - i), vshift);
      b = Op::combine(b, hn::IfThenElse(hn::FirstN(d, end - i), rest, identity));
      i = end;
    }
    total = Op::combine(total, combine_lanes<Op>(Op::combine(Op::combine(a, b), Op::combine(c, e))));
  } while (i < n);
  return total;
}

// Calls visit(row) for the positions along the reduced axes [axis, last).
template <class Visit>
HWY_INLINE void for_each_position(const ReducePlan& plan, size_t last, const float* src, Visit& visit) {
  size_t index[decltype(plan.reduced)::capacity()] = {};
  for (;;) {
    visit(src);
    size_t axis = last;
    for (;;) {
      if (axis == 0) return;
      --axis;
      src += plan.reduced[axis].stride;
      if (++index[axis] < plan.reduced[axis].size) break;
      src -= plan.reduced[axis].size * plan.reduced[axis].stride;
      index[axis] = 0;
    }
  }
}

template <class Op>
struct RowVisitor {
  size_t n;
  float shift;
  double total = static_cast<double>(Op::kIdentity);
  HWY_INLINE void operator()(const float* row) { total = Op::combine(total, reduce_row<Op>(row, n, shift)); }
};

float finite_or_zero(float x) { return x > -HUGE_VALF && x < HUGE_VALF ? x : 0.0f; }

double finish(ReduceFn fn, double total, double shift, double count) {
  switch (fn) {
    case ReduceFn::mean: return total / count;
    case ReduceFn::l2: return std::sqrt(total);
    case ReduceFn::log_sum: return std::log(total);
    case ReduceFn::log_sum_exp: return shift + std::log(total);
    default: return total;
  }
}

size_t source_offset(const ReducePlan& plan, size_t output) {
  size_t offset = 0;
  for (size_t k = plan.kept.size(); k-- > 1;) {
    offset += output % plan.kept[k].size * plan.kept[k].stride;
    output /= plan.kept[k].size;
  }
  return plan.kept.empty() ? offset : offset + output * plan.kept[0].stride;
}

// Outputs [begin, end). Where `shifted`, dst holds what to subtract from their numbers.
template <class Op>
void reduce_rows(ReduceFn fn, const ReducePlan& plan, const float* src, float* dst, size_t begin, size_t end,
                 bool shifted) {
  const size_t axes = plan.reduced.size();
  const double count = static_cast<double>(plan.per_output);
  for (size_t o = begin; o < end; ++o) {
    RowVisitor<Op> visitor{axes == 0 ? 1 : plan.reduced[axes - 1].size, shifted ? finite_or_zero(dst[o]) : 0.0f};
    for_each_position(plan, axes == 0 ? 0 : axes - 1, src + source_offset(plan, o), visitor);
    dst[o] = static_cast<float>(finish(fn, visitor.total, static_cast<double>(visitor.shift), count));
  }
}

// Four vectors of columns.
template <class Op>
struct ColumnsVisitor {
  V shift0, shift1, shift2, shift3;
  V a, b, c, e;
  V total0, total1, total2, total3;
  size_t rows = 0;
  HWY_INLINE explicit ColumnsVisitor(const float* shift) {
    const D d;
    const size_t lanes = hn::Lanes(d);
    a = b = c = e = total0 = total1 = total2 = total3 = hn::Set(d, Op::kIdentity);
    shift0 = hn::LoadU(d, shift);
    shift1 = hn::LoadU(d, shift + lanes);
    shift2 = hn::LoadU(d, shift + 2 * lanes);
    shift3 = hn::LoadU(d, shift + 3 * lanes);
  }
  HWY_INLINE void flush() {
    total0 = Op::combine(total0, a);
    total1 = Op::combine(total1, b);
    total2 = Op::combine(total2, c);
    total3 = Op::combine(total3, e);
    a = b = c = e = hn::Set(D(), Op::kIdentity);
    rows = 0;
  }
  HWY_INLINE void operator()(const float* row) {
    const D d;
    const size_t lanes = hn::Lanes(d);
    a = Op::combine(a, Op::map(hn::LoadU(d, row), shift0));
    b = Op::combine(b, Op::map(hn::LoadU(d, row + lanes), shift1));
    c = Op::combine(c, Op::map(hn::LoadU(d, row + 2 * lanes), shift2));
    e = Op::combine(e, Op::map(hn::LoadU(d, row + 3 * lanes), shift3));
    if (++rows == kBlock) flush();
  }
  HWY_INLINE void store(float* dst) const {
    const D d;
    const size_t lanes = hn::Lanes(d);
    hn::StoreU(total0, d, dst);
    hn::StoreU(total1, d, dst + lanes);
    hn::StoreU(total2, d, dst + 2 * lanes);
    hn::StoreU(total3, d, dst + 3 * lanes);
  }
};

// At most one vector of columns.
template <class Op>
struct ColumnVisitor {
  size_t n;
  V shift;
  V a = hn::Set(D(), Op::kIdentity);
  V total = hn::Set(D(), Op::kIdentity);
  size_t rows = 0;
  HWY_INLINE void flush() {
    total = Op::combine(total, a);
    a = hn::Set(D(), Op::kIdentity);
    rows = 0;
  }
  HWY_INLINE void operator()(const float* row) {
    const D d;
    const V x = n == hn::Lanes(d) ? hn::LoadU(d, row) : load_partial(d, row, n);
    a = Op::combine(a, Op::map(x, shift));
    if (++rows == kBlock) flush();
  }
};

constexpr size_t kTile = 4 * hn::MaxLanes(D());

// At most kTile columns.
template <class Op>
void reduce_columns(const ReducePlan& plan, const float* src, size_t columns, const float* shift, float* dst) {
  const D d;
  const size_t lanes = hn::Lanes(d);
  if (columns == 4 * lanes) {
    ColumnsVisitor<Op> visitor(shift);
    for_each_position(plan, plan.reduced.size(), src, visitor);
    visitor.flush();
    visitor.store(dst);
    return;
  }
  for (size_t i = 0; i < columns; i += lanes) {
    const size_t n = std::min(lanes, columns - i);
    ColumnVisitor<Op> visitor{n, hn::LoadU(d, shift + i)};
    for_each_position(plan, plan.reduced.size(), src + i, visitor);
    visitor.flush();
    if (n == lanes) {
      hn::StoreU(visitor.total, d, dst + i);
    } else {
      store_partial(visitor.total, d, dst + i, n);
    }
  }
}

#define LINNET_REDUCE(call, ...)                                  \
  switch (fn) {                                                   \
    case ReduceFn::max: return call<Maximum>(__VA_ARGS__);        \
    case ReduceFn::min: return call<Minimum>(__VA_ARGS__);        \
    case ReduceFn::prod: return call<Product>(__VA_ARGS__);       \
    case ReduceFn::l1: return call<SumAbs>(__VA_ARGS__);          \
    case ReduceFn::sum_square:                                    \
    case ReduceFn::l2: return call<SumSquare>(__VA_ARGS__);       \
    case ReduceFn::log_sum_exp: return call<SumExp>(__VA_ARGS__); \
    default: return call<Sum>(__VA_ARGS__);                       \
  }
void rows_of(ReduceFn fn, const ReducePlan& plan, const float* src, float* dst, size_t begin, size_t end) {
  const bool shifted = fn == ReduceFn::log_sum_exp;
  if (shifted) reduce_rows<Maximum>(ReduceFn::max, plan, src, dst, begin, end, false);
  LINNET_REDUCE(reduce_rows, fn, plan, src, dst, begin, end, shifted)
}
void columns_of(ReduceFn fn, const ReducePlan& plan, const float* src, size_t n, const float* shift, float* dst) {
  LINNET_REDUCE(reduce_columns, plan, src, n, shift, dst)
}
#undef LINNET_REDUCE

void reduce_range_simd(ReduceFn fn, const ReducePlan& plan, const float* src, float* dst, size_t begin, size_t end) {
  if (plan.kept.empty() || plan.kept[plan.kept.size() - 1].stride != 1) return rows_of(fn, plan, src, dst, begin, end);
  const double count = static_cast<double>(plan.per_output);
  const float per = static_cast<float>(plan.per_output);
  const size_t columns = plan.kept[plan.kept.size() - 1].size;
  float shift[kTile] = {};
  for (size_t o = begin; o < end;) {
    const size_t n = std::min({kTile, end - o, columns - o % columns});
    const float* from = src + source_offset(plan, o);
    if (fn == ReduceFn::log_sum_exp) {
      columns_of(ReduceFn::max, plan, from, n, shift, dst + o);
      for (size_t i = 0; i < n; ++i) shift[i] = finite_or_zero(dst[o + i]);
    }
    columns_of(fn, plan, from, n, shift, dst + o);
    if (fn == ReduceFn::mean && static_cast<double>(per) == count) {  // a quotient of doubles rounds to the same float
      const D d;
      const V divisor = hn::Set(d, per);
      for (size_t i = 0; i < n; i += hn::Lanes(d)) {
        const size_t lanes = std::min(hn::Lanes(d), n - i);
        float* to = dst + o + i;
        if (lanes == hn::Lanes(d)) {
          hn::StoreU(hn::Div(hn::LoadU(d, to), divisor), d, to);
        } else {
          store_partial(hn::Div(load_partial(d, to, lanes), divisor), d, to, lanes);
        }
      }
    } else if (fn == ReduceFn::mean || fn >= ReduceFn::l2) {
      for (size_t i = 0; i < n; ++i)
        dst[o + i] =
            static_cast<float>(finish(fn, static_cast<double>(dst[o + i]), static_cast<double>(shift[i]), count));
    }
    o += n;
  }
}

// The first of n > 0 numbers that is `best`, which is among them; the first NaN where it is one.
size_t find_first(const float* row, size_t n, float best) {
  const D d;
  const V wanted = hn::Set(d, best);
  const bool nan = best != best;
  const auto matches = [&](V x) HWY_ATTR { return nan ? hn::IsNaN(x) : hn::Eq(x, wanted); };
  size_t i = 0;
  for (; i + hn::Lanes(d) <= n; i += hn::Lanes(d)) {
    const auto found = matches(hn::LoadU(d, row + i));
    if (!hn::AllFalse(d, found)) return i + static_cast<size_t>(hn::FindFirstTrue(d, found));
  }
  return i + static_cast<size_t>(hn::FindFirstTrue(d, matches(load_partial(d, row + i, n - i))));
}

void arg_reduce_rows_simd(const ArgReduce& what, const float* src, int64_t* dst, size_t begin, size_t end) {
  for (size_t o = begin; o < end; ++o) {
    const float* row = src + o * what.n;
    const float best =
        static_cast<float>(what.max ? reduce_row<Maximum>(row, what.n, 0.0f) : reduce_row<Minimum>(row, what.n, 0.0f));
    size_t i = what.n - 1;
    if (what.last) {
      while (!(best == best ? row[i] == best : row[i] != row[i])) --i;
    } else {
      i = find_first(row, what.n, best);
    }
    dst[o] = static_cast<int64_t>(i);
  }
}

}  // namespace
}  // namespace linnet::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
#include "kernels/dispatch.h"

namespace linnet {
namespace {

void no_reference(ReduceFn, const ReducePlan&, const float*, float*, size_t, size_t) {}
void no_arg_reference(const ArgReduce&, const float*, int64_t*, size_t, size_t) {}

}  // namespace

void reduce_range(ReduceFn fn, const ReducePlan& plan, const float* src, float* dst, size_t begin,
                  size_t end) noexcept {
  LINNET_DISPATCH(reduce_range_simd, no_reference)(fn, plan, src, dst, begin, end);
}

void arg_reduce_rows(const ArgReduce& what, const float* src, int64_t* dst, size_t begin, size_t end) noexcept {
  LINNET_DISPATCH(arg_reduce_rows_simd, no_arg_reference)(what, src, dst, begin, end);
}

}  // namespace linnet
#endif
