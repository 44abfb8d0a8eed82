// What the attention operators share: heads inside tensors, and the cache of keys or values.
#pragma once

#include "kernels/attention/attention.h"
#include "ops/float_scratch.h"

namespace linnet {

// Strides of [batch][row][heads][size] and of [batch][heads][row][size], rows `row` apart in the former.
inline HeadStrides rows_first(size_t rows, size_t row, size_t size) noexcept { return {rows * row, size, row}; }
inline HeadStrides heads_first(size_t heads, size_t rows, size_t size) noexcept {
  return {heads * rows * size, rows * size, size};
}

// A cache [batch][heads][capacity][size] with new rows behind the old ones, and zeros behind those in a new buffer.
struct CacheAppend {
  size_t batch = 0, heads = 0, size = 0;  // elements of a row
  size_t width = 0;                       // bytes of an element
  const void* past = nullptr;             // or null
  size_t past_capacity = 0;
  const void* fresh = nullptr;  // the new rows
  HeadStrides fresh_strides;
  size_t fresh_rows = 0;
  const int64_t* fresh_rows_of = nullptr;  // for each batch item, at most fresh_rows; or all of them
  void* present = nullptr;                 // may be `past` when the capacities are the same
  size_t capacity = 0;
  // Rows that the past has: for each batch item, or for all.
  const int64_t* past_rows_of = nullptr;
  size_t past_rows = 0;
};
// The caller has checked that past and new rows fit into the capacity.
void append_to_cache(const CacheAppend& append, const Parallel& parallel);

}  // namespace linnet
