// Values of models in C++, and what calls give instead of them: tensors, errors and results. linnet.hpp includes this.
#pragma once

#if (defined(_MSVC_LANG) ? _MSVC_LANG : __cplusplus) <= 201703L
#error "Linnet's C++ interface needs C++20: compile with -std=c++20"
#endif

#include <complex>
#include <cstddef>
#include <cstring>
#include <initializer_list>
#include <iterator>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include "linnet/linnet.h"

namespace linnet {
inline namespace cpp {  // so that these names never meet the engine's own in one program

class Error : public std::runtime_error {
 public:
  Error(linnet_code code, const std::string& message, std::string node = {}, std::string inputs = {})
      : std::runtime_error(message), code_(code), node_(std::move(node)), inputs_(std::move(inputs)) {}
  linnet_code code() const noexcept { return code_; }
  // The path of the node that failed and its inputs' types and shapes; empty when no node did.
  const std::string& node() const noexcept { return node_; }
  const std::string& inputs() const noexcept { return inputs_; }

 private:
  linnet_code code_;
  std::string node_, inputs_;
};

// A value or the error that stood in its way.
template <class T>
class [[nodiscard]] Result {
 public:
  Result(T value) : state_(std::in_place_index<0>, std::move(value)) {}      // NOLINT(google-explicit-constructor)
  Result(Error error) : state_(std::in_place_index<1>, std::move(error)) {}  // NOLINT(google-explicit-constructor)

  bool ok() const noexcept { return state_.index() == 0; }
  explicit operator bool() const noexcept { return ok(); }
  // Throws the error when there is no value.
  T& value() & { return ok() ? *std::get_if<0>(&state_) : throw error(); }
  const T& value() const& { return ok() ? *std::get_if<0>(&state_) : throw error(); }
  T value() && { return ok() ? std::move(*std::get_if<0>(&state_)) : throw error(); }
  T& operator*() & { return value(); }
  T* operator->() { return &value(); }
  const Error& error() const { return std::get<1>(state_); }

 private:
  std::variant<T, Error> state_;
};

template <>
class [[nodiscard]] Result<void> {
 public:
  Result() = default;
  Result(Error error) : error_(std::move(error)) {}  // NOLINT(google-explicit-constructor)
  bool ok() const noexcept { return !error_; }
  explicit operator bool() const noexcept { return ok(); }
  void value() const {
    if (error_) throw *error_;
  }
  const Error& error() const { return error_.value(); }

 private:
  std::optional<Error> error_;
};

namespace detail {

struct Release {
  template <class T>
  void operator()(T* handle) const noexcept {
    linnet_release(handle);
  }
};
template <class T>
using Handle = std::unique_ptr<T, Release>;

inline Error error_of(linnet_status* status) {
  const Handle<linnet_status> owned(status);
  return {linnet_status_code(status), linnet_status_message(status), linnet_status_node(status),
          linnet_status_inputs(status)};
}
inline Result<void> result_of(linnet_status* status) {
  if (status) return error_of(status);
  return {};
}
// The handle that `make(&handle)` gives.
template <class T, class Make>
Result<Handle<T>> made(Make&& make) {
  T* handle = nullptr;
  if (linnet_status* const failed = make(&handle)) return error_of(failed);
  return Handle<T>(handle);
}

template <class T>
constexpr linnet_dtype dtype() noexcept {
  if constexpr (std::is_same_v<T, float>)
    return LINNET_FLOAT;
  else if constexpr (std::is_same_v<T, double>)
    return LINNET_DOUBLE;
  else if constexpr (std::is_same_v<T, bool>)
    return LINNET_BOOL;
  else if constexpr (std::is_same_v<T, int8_t>)
    return LINNET_INT8;
  else if constexpr (std::is_same_v<T, uint8_t>)
    return LINNET_UINT8;
  else if constexpr (std::is_same_v<T, int16_t>)
    return LINNET_INT16;
  else if constexpr (std::is_same_v<T, uint16_t>)
    return LINNET_UINT16;
  else if constexpr (std::is_same_v<T, int32_t>)
    return LINNET_INT32;
  else if constexpr (std::is_same_v<T, uint32_t>)
    return LINNET_UINT32;
  else if constexpr (std::is_same_v<T, int64_t>)
    return LINNET_INT64;
  else if constexpr (std::is_same_v<T, uint64_t>)
    return LINNET_UINT64;
  else if constexpr (std::is_same_v<T, std::complex<float>>)
    return LINNET_COMPLEX64;
  else if constexpr (std::is_same_v<T, std::complex<double>>)
    return LINNET_COMPLEX128;
  else
    return LINNET_UNDEFINED;
}

// As ONNX names them.
inline std::string name_of(linnet_dtype dtype) {
  constexpr const char* kNames[] = {
      "undefined", "float",      "uint8",      "int8",         "uint16",         "int16",      "int32",
      "int64",     "string",     "bool",       "float16",      "double",         "uint32",     "uint64",
      "complex64", "complex128", "bfloat16",   "float8e4m3fn", "float8e4m3fnuz", "float8e5m2", "float8e5m2fnuz",
      "uint4",     "int4",       "float4e2m1", "float8e8m0",   "uint2",          "int2"};
  const size_t i = static_cast<size_t>(dtype);
  return i < std::size(kNames) ? kNames[i] : "type " + std::to_string(i);
}

// Why a value's elements are not read as `wanted`, and what reads them.
inline Error unreadable(const linnet_view& view, linnet_dtype wanted) {
  const auto said = [](const std::string& text) { return Error(LINNET_INVALID_ARGUMENT, text); };
  const std::string count = std::to_string(view.count);
  switch (view.kind) {
    case LINNET_SEQUENCE:
      return said("the value is a sequence of " + count + ", not a tensor: at(i) gives its elements");
    case LINNET_MAP:
      return said("the value is a map of " + count + ", not a tensor: at(0) gives its keys, at(1) its values");
    case LINNET_TENSOR: break;
    default: return said("there is no tensor: the value holds nothing");
  }
  if (view.dtype == LINNET_STRING) return said("the tensor's elements are strings, which text(i) reads");
  if (wanted == LINNET_UNDEFINED)
    return said("the tensor's elements are " + name_of(view.dtype) + ", and raw() reads what C++ has no name for");
  return said("the tensor's elements are " + name_of(view.dtype) + ", not " + name_of(wanted));
}

// Deletes a std::shared_ptr<const void> on the heap: what keeps borrowed memory or functions.
inline void release_owner(void* owner) { delete static_cast<std::shared_ptr<const void>*>(owner); }

// The status that a callback gives for what it threw.
template <class Body>
linnet_status* status_of(Body&& body) noexcept {
  try {
    body();
    return nullptr;
  } catch (const Error& e) {
    return linnet_status_create(e.code(), e.what());
  } catch (const std::exception& e) {
    return linnet_status_create(LINNET_CALLBACK_FAILED, e.what());
  } catch (...) {
    return linnet_status_create(LINNET_CALLBACK_FAILED, "a callback threw");
  }
}

}  // namespace detail

using Shape = std::span<const int64_t>;

// A value of a model: a tensor, or a sequence, map or nothing. Copies share its memory.
class Tensor {
 public:
  Tensor() = default;                   // no value at all: an output that is still to be made
  explicit Tensor(linnet_value* value)  // takes it over
      : value_(value, detail::Release()) {
    view_.struct_size = sizeof view_;
    linnet_release(linnet_value_view(value, &view_));
  }

  // Zeroed memory of its own.
  static Result<Tensor> try_zeros(linnet_dtype dtype, Shape shape) {
    return make([&](linnet_value** v) { return linnet_value_create_tensor(dtype, shape.data(), shape.size(), v); });
  }
  static Tensor zeros(linnet_dtype dtype, Shape shape) { return try_zeros(dtype, shape).value(); }

  // A copy of the elements.
  template <class T>
  static Result<Tensor> try_of(Shape shape, std::span<const T> elements) {
    Result<Tensor> made = try_zeros(detail::dtype<T>(), shape);
    if (!made) return made;
    if (made->view_.bytes != elements.size_bytes())
      return Error(LINNET_INVALID_ARGUMENT, "the elements are not as many as the shape asks for");
    if (!elements.empty()) std::memcpy(made->view_.data, elements.data(), elements.size_bytes());
    return made;
  }
  template <class T>
  static Tensor of(std::initializer_list<int64_t> shape, std::span<const std::type_identity_t<T>> elements) {
    return try_of<T>({shape.begin(), shape.size()}, elements).value();
  }
  template <class T>
  static Tensor of(std::initializer_list<int64_t> shape, std::initializer_list<T> elements) {
    return try_of<T>({shape.begin(), shape.size()}, {elements.begin(), elements.size()}).value();
  }

  // A view of the caller's elements, which must outlive its last use, unless `owner` keeps them.
  template <class T>
  static Result<Tensor> try_view(Shape shape, std::span<T> elements, std::shared_ptr<const void> owner = {}) {
    using Element = std::remove_const_t<T>;
    auto kept = std::make_unique<std::shared_ptr<const void>>(std::move(owner));
    Result<Tensor> made = make([&](linnet_value** v) {
      return linnet_value_borrow_tensor(detail::dtype<Element>(), shape.data(), shape.size(),
                                        const_cast<Element*>(elements.data()), elements.size_bytes(),
                                        detail::release_owner, kept.get(), v);
    });
    if (made) static_cast<void>(kept.release());
    return made;
  }
  template <class T>
  static Tensor view(Shape shape, std::span<T> elements, std::shared_ptr<const void> owner = {}) {
    return try_view(shape, elements, std::move(owner)).value();
  }
  template <class T>
  static Tensor view(std::initializer_list<int64_t> shape, std::span<T> elements,
                     std::shared_ptr<const void> owner = {}) {
    return view(Shape(shape.begin(), shape.size()), elements, std::move(owner));
  }

  static Result<Tensor> try_strings(Shape shape, const std::vector<std::string>& texts) {
    std::vector<const char*> pointers;
    std::vector<size_t> lengths;
    for (const std::string& text : texts) {
      pointers.push_back(text.data());
      lengths.push_back(text.size());
    }
    int64_t count = 1;
    for (const int64_t size : shape) count *= size;
    if (count != static_cast<int64_t>(texts.size()))
      return Error(LINNET_INVALID_ARGUMENT, "the texts are not as many as the shape asks for");
    return make([&](linnet_value** v) {
      return linnet_value_create_strings(pointers.data(), lengths.data(), shape.data(), shape.size(), v);
    });
  }
  static Tensor strings(std::initializer_list<int64_t> shape, const std::vector<std::string>& texts) {
    return try_strings({shape.begin(), shape.size()}, texts).value();
  }

  // Of tensors of this type, or of maps whose values are.
  static Result<Tensor> try_sequence(linnet_dtype dtype, std::span<const Tensor> elements) {
    std::vector<const linnet_value*> handles;
    for (const Tensor& element : elements) handles.push_back(element.get());
    return make(
        [&](linnet_value** v) { return linnet_value_create_sequence(dtype, handles.data(), handles.size(), v); });
  }
  static Tensor sequence(linnet_dtype dtype, std::span<const Tensor> elements) {
    return try_sequence(dtype, elements).value();
  }
  static Result<Tensor> try_map(const Tensor& keys, const Tensor& values) {
    return make([&](linnet_value** v) { return linnet_value_create_map(keys.get(), values.get(), v); });
  }
  static Tensor map(const Tensor& keys, const Tensor& values) { return try_map(keys, values).value(); }
  // An optional without content.
  static Result<Tensor> try_none() { return make(linnet_value_create_none); }
  static Tensor none() { return try_none().value(); }

  linnet_kind kind() const noexcept { return view_.kind; }
  linnet_dtype dtype() const noexcept { return view_.dtype; }
  Shape shape() const noexcept { return {view_.shape, view_.rank}; }
  // Elements of a tensor or sequence, entries of a map.
  int64_t count() const noexcept { return view_.count; }
  // All of it, for types that C++ has no name for.
  const linnet_view& raw() const noexcept { return view_; }

  // The elements, without a copy.
  template <class T>
  Result<std::span<const T>> try_data() const {
    if (kind() != LINNET_TENSOR || dtype() != detail::dtype<T>()) return detail::unreadable(view_, detail::dtype<T>());
    return std::span<const T>(static_cast<const T*>(view_.data), static_cast<size_t>(view_.count));
  }
  template <class T>
  std::span<const T> data() const {
    return try_data<T>().value();
  }
  template <class T>
  std::span<T> mutable_data() {
    const std::span<const T> elements = data<T>();
    return {const_cast<T*>(elements.data()), elements.size()};
  }
  Result<std::string_view> try_text(size_t i) const {
    size_t length = 0;
    const char* const text = linnet_value_string(get(), i, &length);
    if (text) return std::string_view(text, length);
    if (kind() != LINNET_TENSOR || dtype() != LINNET_STRING) return detail::unreadable(view_, LINNET_STRING);
    return Error(LINNET_INVALID_ARGUMENT,
                 "there is no string " + std::to_string(i) + ": the tensor has " + std::to_string(count()));
  }
  std::string_view text(size_t i) const { return try_text(i).value(); }
  // Element of a sequence; of a map its keys (0) and values (1).
  Result<Tensor> try_at(size_t i) const {
    return make([&](linnet_value** v) { return linnet_value_at(get(), i, v); });
  }
  Tensor at(size_t i) const { return try_at(i).value(); }

  explicit operator bool() const noexcept { return value_ != nullptr; }
  linnet_value* get() const noexcept { return value_.get(); }

 private:
  template <class Make>
  static Result<Tensor> make(Make&& create) {
    linnet_value* value = nullptr;
    if (linnet_status* const failed = create(&value)) return detail::error_of(failed);
    return Tensor(value);
  }
  std::shared_ptr<linnet_value> value_;
  linnet_view view_{};
};

using NamedTensors = std::map<std::string, Tensor, std::less<>>;

}  // namespace cpp
}  // namespace linnet
