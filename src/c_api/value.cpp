#include <algorithm>

#include "c_api/handles.h"

using namespace linnet;
using c_api::guarded;
using c_api::require;

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

bool holds_numbers(const linnet_value* value) {
  return value && value->value.is_tensor() && value->value.tensor.dtype != DType::string;
}

}  // namespace

linnet_status* linnet_value_create_tensor(linnet_dtype dtype, const int64_t* shape, size_t rank, linnet_value** value) {
  return guarded([&]() -> Status {
    LINNET_TRY(require(value, "value"));
    LINNET_ASSIGN(const Shape checked, checked_shape(dtype, shape, rank));
    LINNET_ASSIGN(Tensor tensor, make_tensor(static_cast<DType>(dtype), checked));
    *value = new linnet_value{Value(std::move(tensor))};
    return {};
  });
}

linnet_status* linnet_value_borrow_tensor(linnet_dtype dtype, const int64_t* shape, size_t rank, void* data,
                                          size_t size, linnet_value** value) {
  return guarded([&]() -> Status {
    LINNET_TRY(require(value, "value"));
    LINNET_REQUIRE(dtype != LINNET_STRING,
                   invalid_argument("strings cannot be borrowed; use linnet_value_create_strings"));
    LINNET_ASSIGN(const Shape checked, checked_shape(dtype, shape, rank));
    Tensor tensor{static_cast<DType>(dtype), checked, data, nullptr};
    LINNET_REQUIRE(data || tensor.bytes() == 0, invalid_argument("data is NULL"));
    LINNET_REQUIRE(size >= tensor.bytes(), invalid_argument("a buffer of ", size, " bytes is too short for ", tensor,
                                                            ", which takes ", tensor.bytes()));
    const size_t alignment = is_packed(tensor.dtype) ? 1 : std::min<size_t>(element_size(tensor.dtype), 8);
    LINNET_REQUIRE(reinterpret_cast<uintptr_t>(data) % alignment == 0,
                   invalid_argument("data is not aligned for ", dtype_name(tensor.dtype)));
    alignas(64) static std::byte empty[64];
    if (!data) tensor.data = empty;
    *value = new linnet_value{Value(std::move(tensor))};
    return {};
  });
}

linnet_status* linnet_value_create_strings(const char* const* texts, const int64_t* shape, size_t rank,
                                           linnet_value** value) {
  return guarded([&]() -> Status {
    LINNET_TRY(require(value, "value"));
    LINNET_ASSIGN(const Shape checked, checked_shape(LINNET_STRING, shape, rank));
    LINNET_ASSIGN(Tensor tensor, make_tensor(DType::string, checked));
    for (int64_t i = 0; i < tensor.count(); ++i) {
      LINNET_REQUIRE(texts && texts[i], invalid_argument("text ", i, " is NULL"));
      tensor.ptr<std::string>()[i] = texts[i];
    }
    *value = new linnet_value{Value(std::move(tensor))};
    return {};
  });
}

linnet_status* linnet_value_create_sequence(linnet_dtype dtype, const linnet_value* const* elements, size_t count,
                                            linnet_value** value) {
  return guarded([&]() -> Status {
    LINNET_TRY(require(value, "value"));
    LINNET_REQUIRE(is_dtype(dtype), invalid_argument("there is no element type ", static_cast<int>(dtype)));
    auto sequence = std::make_shared<Sequence>();
    sequence->dtype = static_cast<DType>(dtype);
    for (size_t i = 0; i < count; ++i) {
      LINNET_REQUIRE(elements && elements[i] && elements[i]->value.is_tensor() &&
                         elements[i]->value.tensor.dtype == sequence->dtype,
                     invalid_argument("element ", i, " is no tensor of the sequence's type"));
      Value element = elements[i]->value;
      if (!element.tensor.owner) {
        LINNET_ASSIGN(element.tensor, clone(element.tensor));
      }
      sequence->values.push_back(std::move(element));
    }
    auto made = std::make_unique<linnet_value>();
    made->value.sequence = std::move(sequence);
    *value = made.release();
    return {};
  });
}

linnet_status* linnet_value_create_none(linnet_value** value) {
  return guarded([&]() -> Status {
    LINNET_TRY(require(value, "value"));
    *value = new linnet_value{};
    return {};
  });
}

void linnet_value_release(linnet_value* value) { delete value; }

linnet_kind linnet_value_kind(const linnet_value* value) {
  if (!value) return LINNET_NONE;
  if (value->value.is_sequence()) return LINNET_SEQUENCE;
  if (value->value.is_map()) return LINNET_MAP;
  return value->value.is_tensor() ? LINNET_TENSOR : LINNET_NONE;
}

linnet_dtype linnet_value_dtype(const linnet_value* value) {
  if (!value) return LINNET_UNDEFINED;
  const Value& v = value->value;
  return static_cast<linnet_dtype>(v.is_sequence() ? v.sequence->dtype
                                   : v.is_map()    ? v.map->values.dtype
                                                   : v.tensor.dtype);
}

size_t linnet_value_rank(const linnet_value* value) { return value ? value->value.tensor.shape.rank() : 0; }

const int64_t* linnet_value_shape(const linnet_value* value) {
  return value ? value->value.tensor.shape.data() : nullptr;
}

int64_t linnet_value_element_count(const linnet_value* value) {
  return value && value->value.is_tensor() ? value->value.tensor.count() : 0;
}

void* linnet_value_data(const linnet_value* value) { return holds_numbers(value) ? value->value.tensor.data : nullptr; }

size_t linnet_value_size(const linnet_value* value) { return holds_numbers(value) ? value->value.tensor.bytes() : 0; }

const char* linnet_value_string(const linnet_value* value, size_t i, size_t* length) {
  if (!value || !value->value.is_tensor() || value->value.tensor.dtype != DType::string ||
      i >= static_cast<size_t>(value->value.tensor.count()))
    return nullptr;
  const std::string& text = value->value.tensor.ptr<std::string>()[i];
  if (length) *length = text.size();
  return text.c_str();
}

size_t linnet_value_length(const linnet_value* value) {
  if (!value) return 0;
  return value->value.is_sequence() ? value->value.sequence->values.size() : value->value.is_map() ? 2 : 0;
}

linnet_status* linnet_value_at(const linnet_value* value, size_t i, linnet_value** element) {
  return guarded([&]() -> Status {
    LINNET_TRY(require(value, "value"));
    LINNET_TRY(require(element, "element"));
    LINNET_REQUIRE(i < linnet_value_length(value), invalid_argument("there is no element ", i));
    const Value& v = value->value;
    *element = new linnet_value{v.is_sequence() ? v.sequence->values[i] : Value(i == 0 ? v.map->keys : v.map->values)};
    return {};
  });
}
