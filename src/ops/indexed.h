// Places that an index tensor names in a data tensor: what the Gather and Scatter families share.
#pragma once

#include "ops/element_types.h"

namespace linnet {

// GatherElements and ScatterElements: calls f(position, place) for each element of rows [begin, end) of a tensor of
// indices, which index[position] reads, with the place in `data` where the index replaces the coordinate of `axis`. The
// sizes of the index tensor off the axis are at most the data's. Returns the first index that is out of range, for
// which f is not called; it ends there.
template <class Index, class F>
std::optional<int64_t> for_each_element_index(const Shape& data, size_t axis, const Shape& indices, Index index,
                                              int64_t begin, int64_t end, F f) {
  const Shape strides = strides_of(data);
  const size_t last = data.rank() - 1;
  const int64_t size = data[axis], row = indices[last];
  for (int64_t r = begin; r < end; ++r) {
    int64_t place = 0, rest = r;  // without the coordinate of `axis`
    for (size_t a = last; a-- > 0; rest /= indices[a])
      if (a != axis) place += rest % indices[a] * strides[a];
    const auto visit = [&](auto step, auto stride) -> std::optional<int64_t> {
      for (int64_t position = r * row; position < (r + 1) * row; ++position, place += step) {
        int64_t k = index[position];
        k += k < 0 ? size : 0;
        if (static_cast<uint64_t>(k) >= static_cast<uint64_t>(size)) return index[position];
        f(position, place + k * stride);
      }
      return std::nullopt;
    };
    using Zero = std::integral_constant<int64_t, 0>;
    using One = std::integral_constant<int64_t, 1>;
    const auto bad = axis == last ? visit(Zero(), One()) : visit(One(), strides[axis]);
    if (bad) return bad;
  }
  return std::nullopt;
}
// Indices of either type, for loops that are not worth compiling twice.
class AnyIndices {
 public:
  explicit AnyIndices(const Tensor& indices) noexcept : data_(indices.data), narrow_(indices.dtype == DType::i32) {}
  int64_t operator[](int64_t i) const noexcept {
    return narrow_ ? static_cast<const int32_t*>(data_)[i] : static_cast<const int64_t*>(data_)[i];
  }

 private:
  const void* data_;
  bool narrow_;
};
inline int64_t rows_of_indices(const Tensor& indices) { return indices.shape.count(0, indices.shape.rank() - 1); }

// GatherND and ScatterND: `indices` is [..., m], each row naming a slice of data after `batch` shared axes. Writes the
// number of the slice, counted over the first batch + m axes of data, for each row. Returns the first bad index.
inline std::optional<int64_t> slice_numbers(const Shape& data, size_t batch, const Tensor& indices, int64_t* numbers) {
  const size_t m = static_cast<size_t>(indices.shape[indices.shape.rank() - 1]);
  const int64_t rows = indices.shape.count(0, indices.shape.rank() - 1);
  const int64_t batches = data.count(0, batch);
  const int64_t rows_per_batch = batches ? rows / batches : 0;
  const int64_t slices_per_batch = data.count(batch, batch + m);
  const int64_t* index = indices.ptr<int64_t>();
  for (int64_t r = 0; r < rows; ++r) {
    int64_t number = 0;
    for (size_t j = 0; j < m; ++j, ++index) {
      const int64_t size = data[batch + j];
      const int64_t k = *index < 0 ? *index + size : *index;
      if (k < 0 || k >= size) return *index;
      number = number * size + k;
    }
    numbers[r] = r / rows_per_batch * slices_per_batch + number;
  }
  return std::nullopt;
}

// The shape rules of GatherElements and ScatterElements; inputs 0 and 1 have ranks.
inline Status check_element_indices(const InferContext& context, int64_t axis) {
  const SymShape &data = context.shape(0), &indices = context.shape(1);
  LINNET_REQUIRE(
      data.size() == indices.size() && !data.empty(),
      invalid_argument("data of rank ", data.size(), " and indices of rank ", indices.size(), " do not match"));
  const std::optional<size_t> normal = normalize_axis(axis, data.size());
  LINNET_REQUIRE(normal, invalid_argument("axis ", axis, " is out of range for rank ", data.size()));
  for (size_t a = 0; a < data.size(); ++a)
    LINNET_REQUIRE(
        a == *normal || !data[a].known() || !indices[a].known() || indices[a].value() <= data[a].value(),
        invalid_argument("indices have size ", indices[a].value(), " on axis ", a, ", data only ", data[a].value()));
  return {};
}

inline Status index_out_of_range(int64_t index, int64_t size) {
  return invalid_argument("index ", index, " is out of range for an axis of size ", size);
}

}  // namespace linnet
