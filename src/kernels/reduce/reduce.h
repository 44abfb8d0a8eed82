// Reductions over any set of axes. For one output the order of the operations is fixed: it depends on the shape and the
// instruction set, never on the number of threads.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "base/fixed_vector.h"
#include "base/half.h"
#include "base/parallel.h"

namespace linnet {

enum class ReduceFn : int { sum, mean, max, min, prod, sum_square, l1, l2, log_sum, log_sum_exp };

struct ReduceAxis {
  size_t size = 1;
  size_t stride = 0;  // in elements of the source
};

// The axes of a shape in two groups, each from the slowest, neighbours of the same group merged, sizes of 1 left out.
struct ReducePlan {
  FixedVector<ReduceAxis, 8> kept;
  FixedVector<ReduceAxis, 8> reduced;
  size_t outputs = 0;     // product of the kept sizes
  size_t per_output = 0;  // product of the reduced sizes
};

// `reduce[i]` says whether axis i goes. The caller has checked that the sizes' product fits into size_t.
// Nothing when more than 8 axes of a group remain after merging.
std::optional<ReducePlan> plan_reduce(std::span<const int64_t> shape, std::span<const bool> reduce);

// T: float, double, f16, bf16, every integer type. Integer sums and products wrap; integer means truncate; roots and
// logarithms of integers are computed in double and truncated. max and min return NaN when a NaN is among the numbers.
// Without numbers: sum 0, prod 1, mean NaN (integers 0), max the least and min the greatest of T, logarithms -infinity.
template <class T>
void reduce(ReduceFn fn, const ReducePlan& plan, const T* src, T* dst, const Parallel& parallel) noexcept;

// The float form of the SIMD instruction sets, for outputs [begin, end); per_output > 0.
void reduce_range(ReduceFn fn, const ReducePlan& plan, const float* src, float* dst, size_t begin, size_t end) noexcept;

// src [outer, n, inner] to indices [outer, inner] of the greatest (least) number, the first or the last of equal ones.
// A NaN is greater (less) than all. n > 0.
struct ArgReduce {
  size_t outer, n, inner;
  bool max = true;
  bool last = false;
};
template <class T>
void arg_reduce(const ArgReduce& what, const T* src, int64_t* dst, const Parallel& parallel) noexcept;

// The float form of the SIMD instruction sets, for rows [begin, end) of inner = 1.
void arg_reduce_rows(const ArgReduce& what, const float* src, int64_t* dst, size_t begin, size_t end) noexcept;

// Running sums or products along the middle axis of [outer, n, inner]. `dst` may be `src`.
struct Cumulative {
  size_t outer, n, inner;
  bool product = false;
  bool exclusive = false;
  bool reverse = false;
};
template <class T>
void cumulate(const Cumulative& what, const T* src, T* dst, const Parallel& parallel) noexcept;

}  // namespace linnet
