// Engines, load options and models.
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <memory>

#include "native.h"

namespace linnet_python {
namespace {

Engine make_engine(size_t threads, size_t memory_limit, size_t runners) {
  linnet_engine_options options{};
  options.struct_size = sizeof options;
  options.threads = threads;
  options.memory_limit = memory_limit;
  options.runners = runners;
  Engine engine;
  check(linnet_engine_create(&options, engine.handle.out()));
  return engine;
}

LoadOptions make_load_options() {
  LoadOptions options;
  check(linnet_load_options_create(options.handle.out()));
  return options;
}

void release_object(void* user) {
  if (!Py_IsInitialized()) return;
  const PyGILState_STATE state = PyGILState_Ensure();
  Py_DECREF(static_cast<PyObject*>(user));
  PyGILState_Release(state);
}

void log_to(void* user, linnet_severity severity, const char* text) {
  if (!Py_IsInitialized()) return;
  const nb::gil_scoped_acquire lock;
  try {
    nb::borrow(static_cast<PyObject*>(user))(static_cast<int>(severity), text);
  } catch (nb::python_error& error) {
    error.discard_as_unraisable("linnet's log");
  }
}

using ReadPort = linnet_status* (*)(const linnet_model*, size_t, linnet_port*);

std::vector<Port> ports_of(const linnet_model* model, size_t count, ReadPort read) {
  std::vector<Port> ports;
  for (size_t i = 0; i < count; ++i) {
    linnet_port port{};
    port.struct_size = sizeof port;
    check(read(model, i, &port));
    nb::object shape = nb::none();
    if (port.ranked) {
      nb::list sizes;
      for (size_t d = 0; d < port.rank; ++d) {
        if (port.shape[d] >= 0) {
          sizes.append(port.shape[d]);
        } else if (*port.size_names[d]) {
          sizes.append(port.size_names[d]);
        } else {
          sizes.append(nb::none());
        }
      }
      shape = std::move(sizes);
    }
    ports.push_back({port.name, port.kind, port.content, port.dtype, port.key_dtype, std::move(shape)});
  }
  return ports;
}

Model load(const Engine& engine, nb::handle from, const LoadOptions& options) {
  Model model;
  Source source(from);
  linnet_status* failed = nullptr;
  {
    const nb::gil_scoped_release unlocked;
    failed = linnet_model_load_source(engine.handle.get(), &source.get(), options.handle.get(), model.handle.out());
  }
  source.take(failed);
  const linnet_model* const handle = model.handle.get();
  model.inputs = ports_of(handle, linnet_model_input_count(handle), linnet_model_input);
  model.outputs = ports_of(handle, linnet_model_output_count(handle), linnet_model_output);
  return model;
}

nb::dict metadata_of(const Model& model) {
  nb::dict metadata;
  for (size_t i = 0; i < linnet_model_metadata_count(model.handle.get()); ++i) {
    const char* const key = linnet_model_metadata_key(model.handle.get(), i);
    const char* const text = linnet_model_metadata(model.handle.get(), key);
    metadata[key] = text ? text : "";
  }
  return metadata;
}

}  // namespace

Source::Source(nb::handle from) {
  source_.struct_size = sizeof source_;
  if (PyUnicode_Check(from.ptr())) {
    path_ = nb::cast<std::string>(from);
    source_.path = path_.c_str();
    return;
  }
  buffer_ = std::make_unique<Py_buffer>();
  if (PyObject_GetBuffer(from.ptr(), buffer_.get(), PyBUF_SIMPLE) != 0) {
    buffer_.reset();
    throw nb::python_error();
  }
  static char nothing;
  source_.data = buffer_->buf ? buffer_->buf : &nothing;
  source_.size = static_cast<size_t>(buffer_->len);
  source_.user = buffer_.get();
  source_.release = [](void* user) {
    if (!Py_IsInitialized()) return;
    const nb::gil_scoped_acquire lock;
    auto* const held = static_cast<Py_buffer*>(user);
    PyBuffer_Release(held);
    delete held;
  };
}

Source::~Source() {
  if (buffer_) PyBuffer_Release(buffer_.get());
}

void Source::take(linnet_status* failed) {
  if (!failed) buffer_.release();
  check(failed);
}

void bind_loading(nb::module_& module) {
  nb::class_<Engine>(module, "Engine", "Threads and a memory limit, which models may share.")
      .def(
          "__init__",
          [](Engine* self, size_t threads, size_t memory_limit, size_t runners) {
            new (self) Engine(make_engine(threads, memory_limit, runners));
          },
          nb::arg("threads") = 0, nb::arg("memory_limit") = 0, nb::arg("runners") = 0,
          "threads: that compute, 0 for one a core. memory_limit: bytes for what runs allocate, 0 for none. runners: "
          "most threads for asynchronous runs, 0 for one a core.")
      .def_prop_rw(
          "threads", [](const Engine& e) { return linnet_engine_threads(e.handle.get()); },
          [](Engine& e, size_t threads) {
            linnet_status* failed = nullptr;
            {
              const nb::gil_scoped_release unlocked;
              failed = linnet_engine_set_threads(e.handle.get(), threads);
            }
            check(failed);
          })
      .def(
          "set_memory_limit",
          [](Engine& e, size_t bytes) { check(linnet_engine_set_memory_limit(e.handle.get(), bytes)); },
          nb::arg("bytes"))
      .def_prop_ro("memory_used", [](const Engine& e) { return linnet_engine_memory_used(e.handle.get()); });

  nb::class_<LoadOptions>(module, "LoadOptions")
      .def("__init__", [](LoadOptions* self) { new (self) LoadOptions(make_load_options()); })
      .def("set_level",
           [](LoadOptions& o, int level) {
             check(linnet_load_options_set_level(o.handle.get(), static_cast<linnet_level>(level)));
           })
      .def("disable_pass",
           [](LoadOptions& o, const std::string& pass) {
             check(linnet_load_options_disable_pass(o.handle.get(), pass.c_str()));
           })
      .def("fix_size", [](LoadOptions& o, const std::string& name,
                          int64_t size) { check(linnet_load_options_fix_size(o.handle.get(), name.c_str(), size)); })
      .def("replace_initializer",
           [](LoadOptions& o, const std::string& name, const Value& tensor) {
             check(linnet_load_options_replace_initializer(o.handle.get(), name.c_str(), tensor.get()));
           })
      .def("supply_external_data",
           [](LoadOptions& o, const std::string& location, const nb::bytes& data) {
             nb::object kept = nb::borrow(data);
             check(linnet_load_options_supply_external_data(o.handle.get(), location.c_str(), data.c_str(), data.size(),
                                                            release_object, kept.ptr()));
             kept.release();
           })
      .def("add_output",
           [](LoadOptions& o, const std::string& value) {
             check(linnet_load_options_add_output(o.handle.get(), value.c_str()));
           })
      .def("set_copy_files",
           [](LoadOptions& o, bool copy) { check(linnet_load_options_set_copy_files(o.handle.get(), copy)); })
      .def("set_seed", [](LoadOptions& o, uint64_t seed) { check(linnet_load_options_set_seed(o.handle.get(), seed)); })
      .def("set_cache_folder",
           [](LoadOptions& o, const std::string& folder) {
             check(linnet_load_options_set_cache_folder(o.handle.get(), folder.c_str()));
           })
      .def("set_log", [](LoadOptions& o, const nb::callable& log) {
        nb::object kept = nb::borrow(log);
        check(linnet_load_options_set_log(o.handle.get(), log_to, release_object, kept.ptr()));
        kept.release();
      });

  nb::class_<Port>(module, "Port")
      .def_prop_ro("name", [](const Port& p) { return p.name; })
      .def_prop_ro("kind", [](const Port& p) { return static_cast<int>(p.kind); })
      .def_prop_ro("content", [](const Port& p) { return static_cast<int>(p.content); })
      .def_prop_ro("dtype", [](const Port& p) { return static_cast<int>(p.dtype); })
      .def_prop_ro("key_dtype", [](const Port& p) { return static_cast<int>(p.key_dtype); })
      .def_prop_ro("shape", [](const Port& p) { return p.shape; });

  nb::class_<Model>(module, "Model")
      .def_ro("inputs", &Model::inputs)
      .def_ro("outputs", &Model::outputs)
      .def_prop_ro("metadata", &metadata_of)
      .def_prop_ro("bytes", [](const Model& m) { return linnet_model_bytes(m.handle.get()); });
  module.def("load", &load, nb::arg("engine"), nb::arg("source"), nb::arg("options"));
}

}  // namespace linnet_python
