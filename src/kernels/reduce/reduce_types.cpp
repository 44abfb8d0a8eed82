// Reductions for every type: one plain form, with the number of an output as the unit of work.
#include <algorithm>
#include <cmath>
#include <limits>
#include <type_traits>

#include "kernels/isa.h"
#include "kernels/number_types.h"
#include "kernels/reduce/reduce.h"
#include "kernels/reduce/short_rows.h"

namespace linnet {
namespace {

template <class T>
inline constexpr bool kReal = !std::is_integral_v<T>;

// Calls visit(x) for the numbers behind one output.
template <class T, class Visit>
void for_each_number(const ReducePlan& plan, size_t axis, const T* src, Visit& visit) noexcept {
  if (axis == plan.reduced.size()) return visit(*src);
  const ReduceAxis a = plan.reduced[axis];
  if (axis + 1 == plan.reduced.size()) {
    for (size_t i = 0; i < a.size; ++i) visit(src[i * a.stride]);
  } else {
    for (size_t i = 0; i < a.size; ++i) for_each_number(plan, axis + 1, src + i * a.stride, visit);
  }
}

template <class T>
size_t offset_of(const ReducePlan& plan, size_t output) noexcept {
  size_t offset = 0;
  for (size_t k = plan.kept.size(); k-- > 0;) {
    offset += output % plan.kept[k].size * plan.kept[k].stride;
    output /= plan.kept[k].size;
  }
  return offset;
}

template <class T>
double as_double(T x) noexcept {
  if constexpr (std::is_same_v<T, f16> || std::is_same_v<T, bf16>)
    return static_cast<double>(static_cast<float>(x));
  else
    return static_cast<double>(x);
}

template <class T>
T from_double(double x) noexcept {
  if constexpr (std::is_same_v<T, double>)
    return x;
  else if constexpr (kReal<T>)
    return T(static_cast<float>(x));
  else if (!(x > static_cast<double>(std::numeric_limits<T>::min())))
    return std::isnan(x) ? T{0} : std::numeric_limits<T>::min();
  else if (x >= static_cast<double>(std::numeric_limits<T>::max()))
    return std::numeric_limits<T>::max();
  else
    return static_cast<T>(x);
}

// The least and greatest of T, infinities where there are some.
template <class T>
T limit(bool greatest) noexcept {
  if constexpr (kReal<T>)
    return from_double<T>(greatest ? HUGE_VAL : -HUGE_VAL);
  else
    return greatest ? std::numeric_limits<T>::max() : std::numeric_limits<T>::lowest();
}

// Comparisons with NaN are false: a NaN once met stays.
template <class T>
T extreme(bool max, const ReducePlan& plan, const T* src) noexcept {
  T best = limit<T>(!max);
  auto visit = [&](T x) {
    if (max ? x > best : x < best) best = x;
    if constexpr (kReal<T>) {
      if (as_double(x) != as_double(x)) best = x;
    }
  };
  for_each_number(plan, 0, src, visit);
  return best;
}

template <class T>
T reduce_one(ReduceFn fn, const ReducePlan& plan, const T* src) noexcept {
  // Integers wrap in 64 bits, whose low bits are those of the narrower sum.
  using Sum = std::conditional_t<kReal<T>, double, uint64_t>;
  const auto number = [](T x) {
    if constexpr (kReal<T>)
      return as_double(x);
    else
      return static_cast<uint64_t>(x);
  };
  const auto total = [&](Sum initial, auto add) {
    auto visit = [&](T x) { initial = add(initial, x); };
    for_each_number(plan, 0, src, visit);
    return initial;
  };
  const auto real_total = [&](auto term) {
    double sum = 0.0;
    auto visit = [&](T x) { sum += term(as_double(x)); };
    for_each_number(plan, 0, src, visit);
    return sum;
  };
  const auto result = [](Sum sum) {
    if constexpr (kReal<T>)
      return from_double<T>(sum);
    else
      return static_cast<T>(sum);
  };
  switch (fn) {
    case ReduceFn::sum: return result(total(Sum{0}, [&](Sum s, T x) { return s + number(x); }));
    case ReduceFn::prod: return result(total(Sum{1}, [&](Sum s, T x) { return s * number(x); }));
    case ReduceFn::sum_square: return result(total(Sum{0}, [&](Sum s, T x) { return s + number(x) * number(x); }));
    case ReduceFn::l1:
      return result(total(Sum{0}, [&](Sum s, T x) { return as_double(x) < 0.0 ? s - number(x) : s + number(x); }));
    case ReduceFn::mean:
      if constexpr (kReal<T>) {
        return from_double<T>(total(0.0, [&](double s, T x) { return s + number(x); }) /
                              static_cast<double>(plan.per_output));
      } else {
        if (plan.per_output == 0) return 0;
        const uint64_t sum = total(0, [&](uint64_t s, T x) { return s + number(x); });
        if constexpr (std::is_signed_v<T>)
          return static_cast<T>(static_cast<int64_t>(sum) / static_cast<int64_t>(plan.per_output));
        else
          return static_cast<T>(sum / plan.per_output);
      }
    case ReduceFn::max: return extreme(true, plan, src);
    case ReduceFn::min: return extreme(false, plan, src);
    case ReduceFn::l2: return from_double<T>(std::sqrt(real_total([](double x) { return x * x; })));
    case ReduceFn::log_sum: return from_double<T>(std::log(real_total([](double x) { return x; })));
    case ReduceFn::log_sum_exp: {
      double shift = as_double(extreme(true, plan, src));
      if (!std::isfinite(shift) || plan.per_output == 0) shift = 0.0;
      return from_double<T>(shift + std::log(real_total([shift](double x) { return std::exp(x - shift); })));
    }
  }
  return T{};
}

// Several rows of neighbours, one behind the other, too short for vectors of their own.
bool has_short_rows(const ReducePlan& plan) noexcept {
  return plan.per_output <= kShortFloats && plan.reduced.size() == 1 && plan.reduced[0].stride == 1 &&
         plan.kept.size() == 1 && plan.kept[0].stride == plan.per_output;
}

}  // namespace

std::optional<ReducePlan> plan_reduce(std::span<const int64_t> shape, std::span<const bool> reduce) {
  ReducePlan plan;
  plan.outputs = plan.per_output = 1;
  size_t stride = 1;
  for (size_t i = shape.size(); i-- > 0;) {
    const size_t size = static_cast<size_t>(shape[i]);
    (reduce[i] ? plan.per_output : plan.outputs) *= size;
    auto& group = reduce[i] ? plan.reduced : plan.kept;
    if (size != 1) {
      if (!group.empty() && group.back().stride * group.back().size == stride) {
        group.back().size *= size;
      } else {
        if (group.size() == group.capacity()) return std::nullopt;
        group.push_back({size, stride});
      }
    }
    stride *= size;
  }
  std::reverse(plan.kept.begin(), plan.kept.end());
  std::reverse(plan.reduced.begin(), plan.reduced.end());
  return plan;
}

template <class T>
void reduce(ReduceFn fn, const ReducePlan& plan, const T* src, T* dst, const Parallel& parallel) noexcept {
  constexpr bool kFloat = std::is_same_v<T, float>;
  const double ns = (kFloat ? 0.2 : 1.5) * static_cast<double>(plan.per_output) + 5.0;
  parallel.for_range(plan.outputs, grain_for(ns), [&](size_t begin, size_t end, size_t) {
    if constexpr (kFloat) {
      if (plan.per_output != 0 && current_isa() != Isa::reference) {
        if (!has_short_rows(plan)) return reduce_range(fn, plan, src, dst, begin, end);
        return for_short_rows(src, plan.per_output, begin, end, [&](const float* tile, size_t row, size_t rows) {
          ReducePlan columns;
          columns.reduced.push_back({plan.per_output, rows});
          columns.kept.push_back({rows, 1});
          columns.outputs = rows;
          columns.per_output = plan.per_output;
          reduce_range(fn, columns, tile, dst + row, 0, rows);
        });
      }
    }
    for (size_t o = begin; o < end; ++o)  // src is null where there is nothing to reduce
      dst[o] = reduce_one(fn, plan, src ? src + offset_of<T>(plan, o) : src);
  });
}

#define LINNET_INSTANTIATE(T) \
  template void reduce<T>(ReduceFn, const ReducePlan&, const T*, T*, const Parallel&) noexcept;
LINNET_FOR_EACH_NUMBER_TYPE(LINNET_INSTANTIATE)
#undef LINNET_INSTANTIATE

}  // namespace linnet
