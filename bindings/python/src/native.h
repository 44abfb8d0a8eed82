// What the parts of linnet._native share: handles that close themselves, statuses as exceptions, values as Python
// objects.
#pragma once

#include <nanobind/nanobind.h>

#include <memory>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "handle.h"
#include "linnet/linnet.h"

namespace linnet_python {

using linnet_bindings::Handle;

namespace nb = nanobind;

// What LINNET_NOT_FOUND is about, which Python has different exceptions for.
enum class Missing { file, name };
// Takes the status. The exception of linnet/_errors.py for it.
nb::object exception_of(linnet_status* status, Missing missing = Missing::file);
// Takes the status and raises unless it is NULL.
void check(linnet_status* status, Missing missing = Missing::file);
// linnet._convert, where conversions that are no mere reinterpretation are written in Python.
nb::object convert(const char* function);

struct ElementType {
  linnet_dtype dtype;
  const char* name;  // as in onnxruntime's "tensor(float)"
  uint8_t kind;      // DLPack's type code; kNoDlpack: none
  uint8_t bits;
};
constexpr uint8_t kNoDlpack = 255;
const ElementType& element_type(linnet_dtype dtype);  // raises for a number that is no type

// A native value: tensor, sequence, map or nothing.
class Value {
 public:
  explicit Value(Handle<linnet_value> handle);

  linnet_value* get() const noexcept { return handle_.get(); }
  const linnet_view& view() const noexcept { return view_; }
  linnet_value* release() noexcept { return handle_.release(); }

 private:
  Handle<linnet_value> handle_;
  linnet_view view_{};
};

struct Port {
  std::string name;
  linnet_kind kind, content;
  linnet_dtype dtype, key_dtype;
  nb::object shape;  // list of int, str and None; None where the rank is not known
};

// An argument as the C interface takes it. What is borrowed stays locked until Linnet lets go of it.
class Argument {
 public:
  Argument(nb::handle object, const Port* port);
  const linnet_value* get() const noexcept { return borrowed_ ? borrowed_ : made_.get(); }
  // A handle of its own, for somebody who closes it; NULL for nothing.
  linnet_value* share() const;

 private:
  Handle<linnet_value> made_;
  nb::object kept_;
  const linnet_value* borrowed_ = nullptr;
};

// numpy arrays over the value's memory, lists, dicts, None.
nb::object to_python(Handle<linnet_value> value);

void bind_values(nb::module_& module);
void bind_loading(nb::module_& module);
void bind_sessions(nb::module_& module);
void bind_writing(nb::module_& module);

struct Engine {
  Handle<linnet_engine> handle;
};

struct LoadOptions {
  Handle<linnet_load_options> handle;
};

// Where a model comes from: a str, or what has a buffer, which stays locked until Linnet lets go of it.
class Source {
 public:
  explicit Source(nb::handle from);
  Source(const Source&) = delete;
  Source& operator=(const Source&) = delete;
  ~Source();
  const linnet_source& get() const noexcept { return source_; }
  // To be told how the call that took it ended; raises unless the status is NULL.
  void take(linnet_status* failed);

 private:
  std::string path_;
  std::unique_ptr<Py_buffer> buffer_;
  linnet_source source_{};
};

struct Model {
  Handle<linnet_model> handle;
  std::vector<Port> inputs, outputs;
};

}  // namespace linnet_python
