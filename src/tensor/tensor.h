// Tensor: typed, dense, row-major memory with a shape. Value: what flows along an edge of a graph.
#pragma once

#include <cstddef>
#include <cstring>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "base/result.h"
#include "tensor/dtype.h"
#include "tensor/shape.h"

namespace linnet {

// `data` is borrowed unless `owner` holds it. Copying a Tensor copies the view, never the elements.
// String tensors hold std::string objects; types narrower than a byte are packed, low bits first.
struct Tensor {
  DType dtype = DType::undefined;
  Shape shape;
  void* data = nullptr;
  std::shared_ptr<void> owner;

  int64_t count() const noexcept { return shape.count(); }
  size_t bytes() const noexcept { return storage_size(dtype, count()).value_or(0); }

  // The elements as T. The caller has checked the type.
  template <class T>
  std::span<T> as() noexcept {
    return {static_cast<T*>(data), static_cast<size_t>(count())};
  }
  template <class T>
  std::span<const T> as() const noexcept {
    return {static_cast<const T*>(data), static_cast<size_t>(count())};
  }
  template <class T>
  T* ptr() noexcept {
    return static_cast<T*>(data);
  }
  template <class T>
  const T* ptr() const noexcept {
    return static_cast<const T*>(data);
  }

  // "float[2x3]".
  std::string to_string() const { return concat(dtype_name(dtype), "[", shape, "]"); }
};

// A tensor that owns zeroed (strings: empty), 64-byte aligned memory. Fails on an absurd shape or when memory is short.
Result<Tensor> make_tensor(DType dtype, const Shape& shape);
// The same without zeroing numbers.
Result<Tensor> make_tensor_uninitialized(DType dtype, const Shape& shape);
// A copy that owns its elements.
Result<Tensor> clone(const Tensor& tensor);
// Copies elements between tensors of one type and count; strings by value.
void copy_elements(const Tensor& from, Tensor& to);

// Element i of an integer or boolean tensor as int64. The caller has checked range and type (u64 wraps).
int64_t integer_at(const Tensor& tensor, int64_t i) noexcept;
// Element i of any numeric tensor but complex as double (packed and 8-bit types included).
double number_at(const Tensor& tensor, int64_t i) noexcept;

struct Sequence;
struct Map;

// A tensor, a sequence of values, a map, or nothing (an optional that holds nothing).
struct Value {
  Tensor tensor;                             // meaningful when neither of the others is set
  std::shared_ptr<const Sequence> sequence;  // shared and immutable: operators that change one make a new one
  std::shared_ptr<const Map> map;

  Value() = default;
  Value(Tensor t) : tensor(std::move(t)) {}  // NOLINT(google-explicit-constructor)

  bool is_tensor() const noexcept { return !sequence && !map && tensor.dtype != DType::undefined; }
  bool is_sequence() const noexcept { return sequence != nullptr; }
  bool is_map() const noexcept { return map != nullptr; }
  bool is_none() const noexcept { return !sequence && !map && tensor.dtype == DType::undefined; }
};

// The element values own their memory.
struct Sequence {
  DType dtype = DType::undefined;  // of tensor elements
  std::vector<Value> values;
};

// Keys are a 1-D int64 or string tensor, values a 1-D tensor of the same length (ai.onnx.ml's maps).
struct Map {
  Tensor keys;
  Tensor values;
};

}  // namespace linnet
