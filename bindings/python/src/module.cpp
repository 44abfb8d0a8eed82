// The module linnet._native: what linnet.h offers, for the Python files beside it. Nothing here is public.
#include <nanobind/stl/string.h>

#include "native.h"

namespace linnet_python {
namespace {

// Python objects that live as long as the process: unloading order at exit is not defined.
nb::object& errors_module() {
  static auto* const module = new nb::object(nb::module_::import_("linnet._errors"));
  return *module;
}

}  // namespace

nb::object exception_of(linnet_status* status, Missing missing) {
  const Handle<linnet_status> owned(status);
  return errors_module().attr("of")(static_cast<int>(linnet_status_code(status)), linnet_status_message(status),
                                    linnet_status_node(status), linnet_status_inputs(status), missing == Missing::name);
}

void check(linnet_status* status, Missing missing) {
  if (!status) return;
  const nb::object exception = exception_of(status, missing);
  PyErr_SetObject(reinterpret_cast<PyObject*>(Py_TYPE(exception.ptr())), exception.ptr());
  throw nb::python_error();
}

nb::object convert(const char* function) {
  static auto* const module = new nb::object(nb::module_::import_("linnet._convert"));
  return module->attr(function);
}

}  // namespace linnet_python

NB_MODULE(_native, module) {
  namespace nb = nanobind;
  nb::set_leak_warnings(false);  // what the interpreter does not collect at exit is no leak of ours
  module.def("version", [] { return std::string(linnet_version()); });
  module.def("abi_version", &linnet_abi_version);
  module.def("has_feature", [](const std::string& name) { return linnet_has_feature(name.c_str()) != 0; });
  module.def("open_handles", &linnet_open_handles);
  module.def("code_name", [](int code) { return std::string(linnet_code_name(static_cast<linnet_code>(code))); });
  linnet_python::bind_values(module);
  linnet_python::bind_loading(module);
  linnet_python::bind_sessions(module);
  linnet_python::bind_writing(module);
}
