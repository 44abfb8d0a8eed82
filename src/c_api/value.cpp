#include <algorithm>

#include "c_api/handles.h"

using namespace linnet;
using c_api::guarded;
using c_api::make_handle;
using c_api::Pin;
using c_api::require;
using c_api::ValueObject;

namespace {

Result<Shape> checked_shape(linnet_dtype dtype, const int64_t* sizes, size_t rank) {
  LINNET_REQUIRE(is_dtype(dtype), invalid_argument("there is no element type ", static_cast<int>(dtype)));
  LINNET_REQUIRE(sizes || rank == 0, invalid_argument("shape is NULL"));
  LINNET_REQUIRE(rank <= 1024, invalid_argument("a tensor cannot have rank ", rank));
  Shape shape(std::span<const int64_t>(sizes, rank));
  const std::optional<int64_t> count = shape.checked_count();
  LINNET_REQUIRE(count && storage_size(static_cast<DType>(dtype), *count),
                 invalid_argument("shape ", shape, " is negative or too large"));
  return shape;
}

// The tensor, with memory that lasts as long as the copy.
Result<Tensor> kept(const Tensor& tensor) {
  if (tensor.owner) return tensor;
  return clone(tensor);
}

}  // namespace

Result<linnet_value*> c_api::text_value(std::string text) {
  LINNET_ASSIGN(Tensor tensor, make_tensor(DType::string, Shape()));
  *tensor.ptr<std::string>() = std::move(text);
  return make_handle<ValueObject>(Value(std::move(tensor)));
}

linnet_status* linnet_value_create_tensor(linnet_dtype dtype, const int64_t* shape, size_t rank, linnet_value** value) {
  return guarded([&]() -> Status {
    LINNET_TRY(require(value, "value"));
    LINNET_ASSIGN(const Shape checked, checked_shape(dtype, shape, rank));
    LINNET_ASSIGN(Tensor tensor, make_tensor(static_cast<DType>(dtype), checked));
    *value = make_handle<ValueObject>(Value(std::move(tensor)));
    return {};
  });
}

linnet_status* linnet_value_borrow_tensor(linnet_dtype dtype, const int64_t* shape, size_t rank, void* data,
                                          size_t bytes, void (*release)(void* user), void* user, linnet_value** value) {
  return guarded([&]() -> Status {
    LINNET_TRY(require(value, "value"));
    LINNET_REQUIRE(dtype != LINNET_STRING,
                   invalid_argument("strings cannot be borrowed; use linnet_value_create_strings"));
    LINNET_ASSIGN(const Shape checked, checked_shape(dtype, shape, rank));
    Tensor tensor{static_cast<DType>(dtype), checked, data, nullptr};
    LINNET_REQUIRE(data || tensor.bytes() == 0, invalid_argument("data is NULL"));
    LINNET_REQUIRE(bytes >= tensor.bytes(), invalid_argument("a buffer of ", bytes, " bytes is too short for ", tensor,
                                                             ", which takes ", tensor.bytes()));
    const size_t alignment = is_packed(tensor.dtype) ? 1 : std::min<size_t>(element_size(tensor.dtype), 8);
    LINNET_REQUIRE(reinterpret_cast<uintptr_t>(data) % alignment == 0,
                   invalid_argument("data is not aligned for ", dtype_name(tensor.dtype)));
    alignas(64) static std::byte empty[64];
    if (!data) tensor.data = empty;
    auto lent = std::make_shared<c_api::Lent>(release, user);
    tensor.owner = lent;
    *value = make_handle<ValueObject>(Value(std::move(tensor)));
    lent->accept();
    return {};
  });
}

linnet_status* linnet_value_create_strings(const char* const* texts, const size_t* lengths, const int64_t* shape,
                                           size_t rank, linnet_value** value) {
  return guarded([&]() -> Status {
    LINNET_TRY(require(value, "value"));
    LINNET_ASSIGN(const Shape checked, checked_shape(LINNET_STRING, shape, rank));
    LINNET_ASSIGN(Tensor tensor, make_tensor(DType::string, checked));
    for (int64_t i = 0; i < tensor.count(); ++i) {
      LINNET_REQUIRE(texts && (texts[i] || (lengths && lengths[i] == 0)), invalid_argument("text ", i, " is NULL"));
      std::string& text = tensor.ptr<std::string>()[i];
      if (!lengths) {
        text = texts[i];
      } else if (lengths[i] != 0) {
        text.assign(texts[i], lengths[i]);
      }
    }
    *value = make_handle<ValueObject>(Value(std::move(tensor)));
    return {};
  });
}

linnet_status* linnet_value_create_sequence(linnet_dtype dtype, const linnet_value* const* elements, size_t count,
                                            linnet_value** value) {
  return guarded([&]() -> Status {
    LINNET_TRY(require(value, "value"));
    LINNET_REQUIRE(is_dtype(dtype), invalid_argument("there is no element type ", static_cast<int>(dtype)));
    LINNET_REQUIRE(elements || count == 0, invalid_argument("elements are NULL"));
    auto sequence = std::make_shared<Sequence>();
    sequence->dtype = static_cast<DType>(dtype);
    for (size_t i = 0; i < count; ++i) {
      LINNET_ASSIGN(const Pin<ValueObject> pinned, c_api::use<ValueObject>(elements[i]));
      Value element = pinned->value;
      const DType within = element.is_map()      ? element.map->values.dtype
                           : element.is_tensor() ? element.tensor.dtype
                                                 : DType::undefined;
      LINNET_REQUIRE(within == sequence->dtype,
                     invalid_argument("element ", i, " is no tensor or map of the sequence's type, ",
                                      dtype_name(sequence->dtype)));
      LINNET_REQUIRE(i == 0 || element.is_map() == sequence->values[0].is_map(),
                     invalid_argument("a sequence cannot hold tensors and maps"));
      if (element.is_tensor()) {
        LINNET_ASSIGN(element.tensor, kept(element.tensor));
      }
      sequence->values.push_back(std::move(element));
    }
    Value made;
    made.sequence = std::move(sequence);
    *value = make_handle<ValueObject>(std::move(made));
    return {};
  });
}

linnet_status* linnet_value_create_map(const linnet_value* keys, const linnet_value* values, linnet_value** value) {
  return guarded([&]() -> Status {
    LINNET_TRY(require(value, "value"));
    LINNET_ASSIGN(const Pin<ValueObject> k, c_api::use<ValueObject>(keys));
    LINNET_ASSIGN(const Pin<ValueObject> v, c_api::use<ValueObject>(values));
    const Tensor &key = k->value.tensor, &entry = v->value.tensor;
    LINNET_REQUIRE(
        k->value.is_tensor() && (key.dtype == DType::i64 || key.dtype == DType::string) && key.shape.rank() == 1,
        invalid_argument("the keys of a map are a 1-D tensor of int64 or strings"));
    LINNET_REQUIRE(v->value.is_tensor() && entry.shape == key.shape,
                   invalid_argument("the values of a map are a 1-D tensor, as long as the keys"));
    auto map = std::make_shared<Map>();
    LINNET_ASSIGN(map->keys, kept(key));
    LINNET_ASSIGN(map->values, kept(entry));
    Value made;
    made.map = std::move(map);
    *value = make_handle<ValueObject>(std::move(made));
    return {};
  });
}

linnet_status* linnet_value_create_none(linnet_value** value) {
  return guarded([&]() -> Status {
    LINNET_TRY(require(value, "value"));
    *value = make_handle<ValueObject>(Value());
    return {};
  });
}

namespace linnet::c_api {

linnet_view view_of(const Value& value) noexcept {
  linnet_view view{};
  if (value.is_sequence()) {
    view.kind = LINNET_SEQUENCE;
    view.dtype = static_cast<linnet_dtype>(value.sequence->dtype);
    view.count = static_cast<int64_t>(value.sequence->values.size());
  } else if (value.is_map()) {
    view.kind = LINNET_MAP;
    view.dtype = static_cast<linnet_dtype>(value.map->values.dtype);
    view.count = value.map->keys.count();
  } else if (value.is_tensor()) {
    const Tensor& tensor = value.tensor;
    view.kind = LINNET_TENSOR;
    view.dtype = static_cast<linnet_dtype>(tensor.dtype);
    view.rank = tensor.shape.rank();
    view.shape = tensor.shape.data();
    view.count = tensor.count();
    if (tensor.dtype != DType::string) {
      view.data = tensor.data;
      view.bytes = tensor.bytes();
    }
  }
  return view;
}

}  // namespace linnet::c_api

linnet_status* linnet_value_share(const linnet_value* value, linnet_value** shared) {
  return guarded([&]() -> Status {
    LINNET_ASSIGN(const Pin<ValueObject> pinned, c_api::use<ValueObject>(value));
    LINNET_TRY(require(shared, "shared"));
    *shared = make_handle<ValueObject>(pinned->value);
    return {};
  });
}

linnet_status* linnet_value_view(const linnet_value* value, linnet_view* view) {
  return guarded([&]() -> Status {
    LINNET_ASSIGN(const Pin<ValueObject> pinned, c_api::use<ValueObject>(value));
    return c_api::write_struct(c_api::view_of(pinned->value), view, "view");
  });
}

const char* linnet_value_string(const linnet_value* value, size_t i, size_t* length) {
  const Pin<ValueObject> pinned(value);
  if (!pinned || !pinned->value.is_tensor()) return nullptr;
  const Tensor& tensor = pinned->value.tensor;
  if (tensor.dtype != DType::string || i >= static_cast<size_t>(tensor.count())) return nullptr;
  const std::string& text = tensor.ptr<std::string>()[i];
  if (length) *length = text.size();
  return text.c_str();
}

linnet_status* linnet_value_at(const linnet_value* value, size_t i, linnet_value** element) {
  return guarded([&]() -> Status {
    LINNET_ASSIGN(const Pin<ValueObject> pinned, c_api::use<ValueObject>(value));
    LINNET_TRY(require(element, "element"));
    const Value& v = pinned->value;
    LINNET_REQUIRE(v.is_sequence() || v.is_map(),
                   invalid_argument(v.is_tensor() ? "the value is a tensor, not a sequence or map: linnet_value_view "
                                                    "gives its elements"
                                                  : "the value holds nothing"));
    const size_t count = v.is_sequence() ? v.sequence->values.size() : 2;
    LINNET_REQUIRE(i < count, invalid_argument("there is no element ", i, ": the ",
                                               v.is_map() ? "map has its keys (0) and values (1)" : "sequence has ",
                                               v.is_map() ? "" : std::to_string(count)));
    *element =
        make_handle<ValueObject>(v.is_sequence() ? v.sequence->values[i] : Value(i == 0 ? v.map->keys : v.map->values));
    return {};
  });
}
