// Python objects as native values and back. Memory is lent in both directions: a buffer stays locked while Linnet has
// it, and an array keeps the value that it looks into.
#include <nanobind/ndarray.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <array>
#include <cstring>
#include <memory>
#include <optional>

#include "native.h"

namespace linnet_python {
namespace {

constexpr uint8_t kInt = 0, kUint = 1, kFloat = 2, kBfloat = 4, kComplex = 5, kBool = 6;  // DLDataTypeCode

constexpr std::array<ElementType, 27> kElementTypes{{
    {LINNET_UNDEFINED, "undefined", kNoDlpack, 0},
    {LINNET_FLOAT, "float", kFloat, 32},
    {LINNET_UINT8, "uint8", kUint, 8},
    {LINNET_INT8, "int8", kInt, 8},
    {LINNET_UINT16, "uint16", kUint, 16},
    {LINNET_INT16, "int16", kInt, 16},
    {LINNET_INT32, "int32", kInt, 32},
    {LINNET_INT64, "int64", kInt, 64},
    {LINNET_STRING, "string", kNoDlpack, 0},
    {LINNET_BOOL, "bool", kBool, 8},
    {LINNET_FLOAT16, "float16", kFloat, 16},
    {LINNET_DOUBLE, "double", kFloat, 64},
    {LINNET_UINT32, "uint32", kUint, 32},
    {LINNET_UINT64, "uint64", kUint, 64},
    {LINNET_COMPLEX64, "complex64", kComplex, 64},
    {LINNET_COMPLEX128, "complex128", kComplex, 128},
    {LINNET_BFLOAT16, "bfloat16", kBfloat, 16},
    {LINNET_FLOAT8E4M3FN, "float8e4m3fn", 10, 8},
    {LINNET_FLOAT8E4M3FNUZ, "float8e4m3fnuz", 11, 8},
    {LINNET_FLOAT8E5M2, "float8e5m2", 12, 8},
    {LINNET_FLOAT8E5M2FNUZ, "float8e5m2fnuz", 13, 8},
    {LINNET_UINT4, "uint4", kNoDlpack, 4},
    {LINNET_INT4, "int4", kNoDlpack, 4},
    {LINNET_FLOAT4E2M1, "float4e2m1", kNoDlpack, 4},
    {LINNET_FLOAT8E8M0, "float8e8m0", 14, 8},
    {LINNET_UINT2, "uint2", kNoDlpack, 2},
    {LINNET_INT2, "int2", kNoDlpack, 2},
}};

bool numpy_has(const ElementType& type) { return type.kind <= kFloat || type.kind == kComplex || type.kind == kBool; }

linnet_dtype dtype_of(uint8_t kind, size_t bits) {
  for (const ElementType& type : kElementTypes) {
    if (type.kind == kind && type.bits == bits) return type.dtype;
  }
  return LINNET_UNDEFINED;
}

// Of a format as the struct module has it, for native byte order; LINNET_UNDEFINED where it is none of ours.
linnet_dtype dtype_of_format(const char* format, size_t bytes) {
  if (!format) return LINNET_UINT8;
  if (*format == '@' || *format == '=') ++format;
  const bool complex = *format == 'Z';
  if (complex) ++format;
  if (!*format || format[1]) return LINNET_UNDEFINED;
  const char* const kinds = complex ? "fd" : "?bBhHiIlLqQefd";
  if (!std::strchr(kinds, *format)) return LINNET_UNDEFINED;
  const bool is_float = std::strchr("efd", *format) != nullptr;
  const uint8_t kind = complex ? kComplex : *format == '?' ? kBool : is_float ? kFloat : *format < 'a' ? kUint : kInt;
  return dtype_of(kind, bytes * 8);
}

// Runs `body` with the interpreter's lock, from any thread; not at all once the interpreter is gone.
template <class Body>
void with_interpreter(Body&& body) {
  if (!Py_IsInitialized()) return;
  const PyGILState_STATE state = PyGILState_Ensure();
  body();
  PyGILState_Release(state);
}

void release_buffer(void* user) {
  with_interpreter([&] {
    auto* const buffer = static_cast<Py_buffer*>(user);
    PyBuffer_Release(buffer);
    delete buffer;
  });
}

// A tensor over the memory of an object with the buffer protocol. Its elements are `dtype`, or what its format says.
// Empty where the object has no such memory: not contiguous, of another byte order, of a type that buffers lack.
Handle<linnet_value> borrow_buffer(nb::handle object, bool writable, linnet_dtype dtype = LINNET_UNDEFINED,
                                   const std::vector<int64_t>* given_shape = nullptr) {
  Handle<linnet_value> value;
  auto buffer = std::make_unique<Py_buffer>();
  if (PyObject_GetBuffer(object.ptr(), buffer.get(), PyBUF_ND | PyBUF_FORMAT | (writable ? PyBUF_WRITABLE : 0)) != 0) {
    PyErr_Clear();
    return value;
  }
  const auto item = static_cast<size_t>(buffer->itemsize);
  if (dtype == LINNET_UNDEFINED) dtype = dtype_of_format(buffer->format, item);
  const size_t alignment = item % 8 == 0 ? 8 : item;
  static char nothing[8];
  void* const data = buffer->buf ? buffer->buf : nothing;
  if (dtype == LINNET_UNDEFINED || !alignment || reinterpret_cast<uintptr_t>(data) % alignment != 0) {
    PyBuffer_Release(buffer.get());
    return value;
  }
  std::array<int64_t, PyBUF_MAX_NDIM> own_shape;
  const auto own_rank = static_cast<size_t>(buffer->ndim);
  for (size_t i = 0; i < own_rank; ++i) own_shape[i] = buffer->shape[i];
  linnet_status* const failed = linnet_value_borrow_tensor(
      dtype, given_shape ? given_shape->data() : own_shape.data(), given_shape ? given_shape->size() : own_rank, data,
      static_cast<size_t>(buffer->len), release_buffer, buffer.get(), value.out());
  if (failed) PyBuffer_Release(buffer.get());
  check(failed);
  buffer.release();
  return value;
}

// An array, or DLPack's capsule, over memory that lives as long as `owner`.
nb::object array_over(nb::handle owner, const linnet_view& view, uint8_t kind, uint8_t bits, bool as_capsule) {
  std::array<size_t, PyBUF_MAX_NDIM> shape;
  if (view.rank > shape.size()) throw nb::value_error("the tensor has more dimensions than numpy knows");
  for (size_t i = 0; i < view.rank; ++i) shape[i] = static_cast<size_t>(view.shape[i]);
  const nb::dlpack::dtype dtype{kind, bits, 1};
  if (as_capsule)
    return nb::cast(nb::ndarray<>(view.data, view.rank, shape.data(), owner, nullptr, dtype, nb::device::cpu::value));
  return nb::cast(
      nb::ndarray<nb::numpy>(view.data, view.rank, shape.data(), owner, nullptr, dtype, nb::device::cpu::value));
}

nb::tuple shape_of(const Value& value) {
  nb::list sizes;
  for (size_t i = 0; i < value.view().rank; ++i) sizes.append(value.view().shape[i]);
  return nb::tuple(sizes);
}

nb::object string_at(const Value& value, size_t i) {
  size_t length = 0;
  const char* const text = linnet_value_string(value.get(), i, &length);
  PyObject* const made = PyUnicode_DecodeUTF8(text ? text : "", static_cast<Py_ssize_t>(length), "surrogateescape");
  if (!made) throw nb::python_error();
  return nb::steal(made);
}

nb::list strings_of(const Value& value) {
  nb::list texts;
  for (size_t i = 0; i < static_cast<size_t>(value.view().count); ++i) texts.append(string_at(value, i));
  return texts;
}

Value value_at(const Value& value, size_t i) {
  Handle<linnet_value> element;
  check(linnet_value_at(value.get(), i, element.out()));
  return Value(std::move(element));
}

Value make_strings(const nb::list& texts, const std::vector<int64_t>& shape) {
  std::vector<nb::object> encoded;
  std::vector<const char*> pointers;
  std::vector<size_t> lengths;
  for (const nb::handle text : texts) {
    nb::object bytes = nb::borrow(text);
    if (PyUnicode_Check(text.ptr())) {
      bytes = nb::steal(PyUnicode_AsEncodedString(text.ptr(), "utf-8", "surrogateescape"));
      if (!bytes.is_valid()) throw nb::python_error();
    } else if (!PyBytes_Check(text.ptr())) {
      throw nb::type_error("the elements of a string tensor must be str or bytes");
    }
    pointers.push_back(PyBytes_AsString(bytes.ptr()));
    lengths.push_back(static_cast<size_t>(PyBytes_Size(bytes.ptr())));
    encoded.push_back(std::move(bytes));
  }
  Handle<linnet_value> value;
  check(linnet_value_create_strings(pointers.data(), lengths.data(), shape.data(), shape.size(), value.out()));
  return Value(std::move(value));
}

Value make_sequence(int dtype, const std::vector<const Value*>& elements) {
  std::vector<const linnet_value*> handles;
  for (const Value* element : elements) handles.push_back(element->get());
  Handle<linnet_value> value;
  check(linnet_value_create_sequence(static_cast<linnet_dtype>(dtype), handles.data(), handles.size(), value.out()));
  return Value(std::move(value));
}

Value make_map(const Value& keys, const Value& values) {
  Handle<linnet_value> value;
  check(linnet_value_create_map(keys.get(), values.get(), value.out()));
  return Value(std::move(value));
}

Value make_tensor(int dtype, const std::vector<int64_t>& shape) {
  Handle<linnet_value> value;
  check(linnet_value_create_tensor(static_cast<linnet_dtype>(dtype), shape.data(), shape.size(), value.out()));
  return Value(std::move(value));
}

// `array` is contiguous; its bytes are taken for elements of the type.
Value borrow_array(nb::handle array, int dtype, const std::vector<int64_t>& shape, bool writable) {
  Handle<linnet_value> value = borrow_buffer(array, writable, static_cast<linnet_dtype>(dtype), &shape);
  if (!value.get())
    throw nb::value_error(writable ? "the array is not contiguous or not writable" : "the array is not contiguous");
  return Value(std::move(value));
}

using ForeignArray = nb::ndarray<nb::ro, nb::c_contig, nb::device::cpu>;

Value from_dlpack(const ForeignArray& array) {
  const nb::dlpack::dtype type = array.dtype();
  const linnet_dtype dtype = type.lanes == 1 ? dtype_of(type.code, type.bits) : LINNET_UNDEFINED;
  if (dtype == LINNET_UNDEFINED) throw nb::type_error("ONNX has no such element type");
  std::vector<int64_t> shape(array.shape_ptr(), array.shape_ptr() + array.ndim());
  static char nothing[8];
  void* const data = array.nbytes() ? const_cast<void*>(array.data()) : nothing;
  auto kept = std::make_unique<ForeignArray>(array);
  Handle<linnet_value> value;
  check(linnet_value_borrow_tensor(
      dtype, shape.data(), shape.size(), data, array.nbytes(),
      [](void* user) { with_interpreter([&] { delete static_cast<ForeignArray*>(user); }); }, kept.get(), value.out()));
  kept.release();
  return Value(std::move(value));
}

// `self` is the Value, so that what is made of it keeps it.
nb::object dlpack(nb::handle self) {
  const linnet_view& view = nb::cast<const Value&>(self).view();
  if (view.kind != LINNET_TENSOR || element_type(view.dtype).kind == kNoDlpack)
    throw nb::buffer_error("DLPack has no such values");
  const ElementType& type = element_type(view.dtype);
  return array_over(self, view, type.kind, type.bits, true);
}

// The bytes of a tensor of numbers, for _convert.py.
nb::object bits_of(nb::handle self) {
  linnet_view view = nb::cast<const Value&>(self).view();
  if (view.kind != LINNET_TENSOR || view.dtype == LINNET_STRING) throw nb::type_error("no tensor of numbers");
  const auto count = static_cast<int64_t>(view.bytes);
  view.rank = 1;
  view.shape = &count;
  return array_over(self, view, kUint, 8, false);
}

nb::object numpy_of(nb::handle self) {
  const linnet_view& view = nb::cast<const Value&>(self).view();
  if (view.kind != LINNET_TENSOR || !numpy_has(element_type(view.dtype))) return convert("to_python")(self);
  return array_over(self, view, element_type(view.dtype).kind, element_type(view.dtype).bits, false);
}

}  // namespace

const ElementType& element_type(linnet_dtype dtype) {
  const auto i = static_cast<size_t>(dtype);
  if (i >= kElementTypes.size()) throw nb::value_error("no element type of ONNX");
  return kElementTypes[i];
}

Value::Value(Handle<linnet_value> handle) : handle_(std::move(handle)) {
  view_.struct_size = sizeof view_;
  check(linnet_value_view(handle_.get(), &view_));
}

nb::object to_python(Handle<linnet_value> handle) {
  if (!handle.get()) return nb::none();
  Value value(std::move(handle));
  const linnet_view view = value.view();
  if (view.kind == LINNET_NONE) return nb::none();
  if (view.kind == LINNET_TENSOR && numpy_has(element_type(view.dtype))) {
    const ElementType& type = element_type(view.dtype);
    const nb::capsule owner(value.release(), [](void* open) noexcept { linnet_release(open); });
    return array_over(owner, view, type.kind, type.bits, false);
  }
  return convert("to_python")(nb::cast(std::move(value)));
}

// Before a run does, in words that say how an array is converted.
static void check_type(const linnet_view& view, const Port* port) {
  if (!port || port->kind != LINNET_TENSOR || view.kind != LINNET_TENSOR) return;
  if (port->dtype != LINNET_UNDEFINED && view.dtype != port->dtype)
    convert("refuse_type")(port->name, static_cast<int>(port->dtype), static_cast<int>(view.dtype));
}

Argument::Argument(nb::handle object, const Port* port) {
  if (object.is_none()) return;
  if (nb::isinstance<Value>(object)) {
    kept_ = nb::borrow(object);
    borrowed_ = nb::cast<const Value&>(object).get();
    return;
  }
  if (PyObject_CheckBuffer(object.ptr()) && !(PyBytes_Check(object.ptr()) && port && port->dtype == LINNET_STRING)) {
    made_ = borrow_buffer(object, false);
    if (made_.get()) {
      linnet_view view{};
      view.struct_size = sizeof view;
      check(linnet_value_view(made_.get(), &view));
      check_type(view, port);
      return;
    }
  }
  const int kind = port ? static_cast<int>(port->kind == LINNET_OPTIONAL ? port->content : port->kind) : LINNET_TENSOR;
  kept_ = convert("to_value")(object, kind, port ? static_cast<int>(port->dtype) : 0,
                              port ? static_cast<int>(port->key_dtype) : 0);
  const Value& value = nb::cast<const Value&>(kept_);
  check_type(value.view(), port);
  borrowed_ = value.get();
}

linnet_value* Argument::share() const {
  linnet_value* shared = nullptr;
  if (get()) check(linnet_value_share(get(), &shared));
  return shared;
}

void bind_values(nb::module_& module) {
  nb::class_<Value>(module, "OrtValue",
                    "A tensor, a sequence, a map or nothing in native memory. The names are onnxruntime's.")
      .def_prop_ro("kind", [](const Value& v) { return static_cast<int>(v.view().kind); })
      .def_prop_ro(
          "dtype", [](const Value& v) { return static_cast<int>(v.view().dtype); },
          "The number of the element type in onnx.TensorProto.DataType.")
      .def("shape", [](const Value& v) { return nb::list(shape_of(v)); })
      .def("element_type", [](const Value& v) { return static_cast<int>(v.view().dtype); })
      .def("data_type",
           [](const Value& v) {
             const std::string name = std::string("tensor(") + element_type(v.view().dtype).name + ")";
             return v.view().kind == LINNET_SEQUENCE ? "seq(" + name + ")" : name;
           })
      .def("data_ptr", [](const Value& v) { return reinterpret_cast<uintptr_t>(v.view().data); })
      .def("tensor_size_in_bytes", [](const Value& v) { return v.view().bytes; })
      .def("device_name", [](const Value&) { return std::string("cpu"); })
      .def("has_value", [](const Value& v) { return v.view().kind != LINNET_NONE; })
      .def("is_tensor", [](const Value& v) { return v.view().kind == LINNET_TENSOR; })
      .def("is_tensor_sequence", [](const Value& v) { return v.view().kind == LINNET_SEQUENCE; })
      .def("numpy", &numpy_of,
           "An array over the value's memory; a list of a sequence, a dict of a map, None of nothing.")
      .def("__len__", [](const Value& v) { return static_cast<size_t>(v.view().count); })
      .def("__dlpack__", [](nb::handle self, nb::kwargs) { return dlpack(self); })
      .def("__dlpack_device__", [](const Value&) { return std::pair<int, int>(1, 0); })
      .def_static("from_dlpack", &from_dlpack, nb::arg("array"), "Shares the array's memory.")
      .def_static(
          "ortvalue_from_numpy",
          [](nb::handle array, const std::string&, int) { return convert("to_value")(array, 1, 0, 0); },
          nb::arg("array"), nb::arg("device_type") = "cpu", nb::arg("device_id") = 0,
          "Shares the array's memory where it is contiguous.")
      .def_static(
          "ortvalue_from_shape_and_type",
          [](const std::vector<int64_t>& shape, nb::handle type, const std::string&, int) {
            return make_tensor(nb::cast<int>(convert("dtype_number")(type)), shape);
          },
          nb::arg("shape"), nb::arg("element_type"), nb::arg("device_type") = "cpu", nb::arg("device_id") = 0,
          "A tensor of zeros with memory of its own.")
      .def("_strings", &strings_of)
      .def("_bits", &bits_of)
      .def("_at", &value_at, nb::arg("i"));
  module.def("make_strings", &make_strings, nb::arg("texts"), nb::arg("shape"));
  module.def("make_sequence", &make_sequence, nb::arg("dtype"), nb::arg("elements"));
  module.def("make_map", &make_map, nb::arg("keys"), nb::arg("values"));
  module.def("make_tensor", &make_tensor, nb::arg("dtype"), nb::arg("shape"));
  module.def("make_none", [] {
    Handle<linnet_value> value;
    check(linnet_value_create_none(value.out()));
    return Value(std::move(value));
  });
  module.def("borrow_array", &borrow_array, nb::arg("array"), nb::arg("dtype"), nb::arg("shape"),
             nb::arg("writable") = false);
  module.def("dtype_name", [](int dtype) { return std::string(element_type(static_cast<linnet_dtype>(dtype)).name); });
}

}  // namespace linnet_python
