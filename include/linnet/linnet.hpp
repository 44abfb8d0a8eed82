// Linnet's C++ interface: RAII over linnet.h, header-only.
//
//   linnet::Model model("model.onnx");
//   auto outputs = model.run({{"x", linnet::Tensor::of<float>({1, 3}, {1, 2, 3})}});
//   std::span<const float> y = outputs.at("y").data<float>();
//
// Functions that can fail throw linnet::Error; the ones whose names start with try_ return the code instead and
// leave the message in linnet_last_error(). Objects are movable; models and sessions may be used from many threads at
// once.
#pragma once

#include <complex>
#include <cstring>
#include <initializer_list>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "linnet/linnet.h"

namespace linnet {
inline namespace cpp {  // so that these names never meet the engine's own in one program

class Error : public std::runtime_error {
 public:
  Error(linnet_code code, const std::string& message) : std::runtime_error(message), code_(code) {}
  linnet_code code() const noexcept { return code_; }

 private:
  linnet_code code_;
};

namespace detail {

inline void check(linnet_status* status) {
  if (!status) return;
  const Error error(linnet_status_code(status), linnet_status_message(status));
  linnet_status_release(status);
  throw error;
}

inline linnet_code code_of(linnet_status* status) noexcept {
  const linnet_code code = linnet_status_code(status);
  linnet_status_release(status);
  return code;
}

template <auto Release>
struct Deleter {
  template <class T>
  void operator()(T* object) const noexcept {
    Release(object);
  }
};
template <class T, auto Release>
using Handle = std::unique_ptr<T, Deleter<Release>>;

template <class T>
constexpr linnet_dtype dtype() {
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

}  // namespace detail

// A value of a model: a tensor, or a sequence, map or nothing. Sharing memory with copies is explicit: move or view.
class Tensor {
 public:
  Tensor() = default;
  explicit Tensor(linnet_value* value) noexcept : value_(value) {}  // takes it over

  // Zeroed memory of its own.
  static Tensor zeros(linnet_dtype dtype, std::span<const int64_t> shape) {
    linnet_value* value = nullptr;
    detail::check(linnet_value_create_tensor(dtype, shape.data(), shape.size(), &value));
    return Tensor(value);
  }
  // A copy of the elements.
  template <class T>
  static Tensor of(std::initializer_list<int64_t> shape, std::span<const std::type_identity_t<T>> elements) {
    Tensor tensor = zeros(detail::dtype<T>(), {shape.begin(), shape.size()});
    if (elements.size() != tensor.data<T>().size())
      throw Error(LINNET_INVALID_ARGUMENT, "the elements are not as many as the shape asks for");
    if (!elements.empty()) std::memcpy(linnet_value_data(tensor.get()), elements.data(), elements.size_bytes());
    return tensor;
  }
  template <class T>
  static Tensor of(std::initializer_list<int64_t> shape, std::initializer_list<T> elements) {
    return of<T>(shape, std::span<const T>(elements.begin(), elements.size()));
  }
  // A view of the caller's elements, which must outlive it.
  template <class T>
  static Tensor view(std::initializer_list<int64_t> shape, std::span<T> elements) {
    return view<T>(std::span<const int64_t>(shape.begin(), shape.size()), elements);
  }
  template <class T>
  static Tensor view(std::span<const int64_t> shape, std::span<T> elements) {
    linnet_value* value = nullptr;
    using Element = std::remove_const_t<T>;
    detail::check(linnet_value_borrow_tensor(detail::dtype<Element>(), shape.data(), shape.size(),
                                             const_cast<Element*>(elements.data()), elements.size_bytes(), &value));
    return Tensor(value);
  }
  static Tensor strings(std::initializer_list<int64_t> shape, const std::vector<std::string>& texts) {
    std::vector<const char*> pointers;
    for (const std::string& text : texts) pointers.push_back(text.c_str());
    int64_t count = 1;
    for (const int64_t size : shape) count *= size;
    if (count != static_cast<int64_t>(texts.size()))
      throw Error(LINNET_INVALID_ARGUMENT, "the texts are not as many as the shape asks for");
    linnet_value* value = nullptr;
    detail::check(linnet_value_create_strings(pointers.data(), std::data(shape), shape.size(), &value));
    return Tensor(value);
  }

  linnet_kind kind() const noexcept { return linnet_value_kind(get()); }
  linnet_dtype dtype() const noexcept { return linnet_value_dtype(get()); }
  std::span<const int64_t> shape() const noexcept { return {linnet_value_shape(get()), linnet_value_rank(get())}; }
  // The elements, without a copy. Throws when they are not of type T.
  template <class T>
  std::span<const T> data() const {
    if (kind() != LINNET_TENSOR || dtype() != detail::dtype<T>())
      throw Error(LINNET_INVALID_ARGUMENT, "the tensor's elements are of another type");
    return {static_cast<const T*>(linnet_value_data(get())), static_cast<size_t>(linnet_value_element_count(get()))};
  }
  template <class T>
  std::span<T> mutable_data() {
    const std::span<const T> elements = data<T>();
    return {const_cast<T*>(elements.data()), elements.size()};
  }
  std::string_view text(size_t i) const {
    size_t length = 0;
    const char* text = linnet_value_string(get(), i, &length);
    if (!text) throw Error(LINNET_INVALID_ARGUMENT, "there is no such string");
    return {text, length};
  }
  // Of a sequence; of a map its keys (0) and values (1).
  size_t length() const noexcept { return linnet_value_length(get()); }
  Tensor at(size_t i) const {
    linnet_value* element = nullptr;
    detail::check(linnet_value_at(get(), i, &element));
    return Tensor(element);
  }

  linnet_value* get() const noexcept { return value_.get(); }
  linnet_value* release() noexcept { return value_.release(); }

 private:
  detail::Handle<linnet_value, linnet_value_release> value_;
};

// Threads and memory limit, shared by the models that are given it.
class Engine {
 public:
  // 0: one thread for each core; no limit.
  explicit Engine(size_t threads = 0, size_t memory_limit = 0) {
    linnet_engine_options options{};
    options.struct_size = sizeof options;
    options.threads = threads;
    options.memory_limit = memory_limit;
    linnet_engine* engine = nullptr;
    detail::check(linnet_engine_create(&options, &engine));
    engine_.reset(engine, linnet_engine_release);
  }
  size_t threads() const noexcept { return linnet_engine_threads(get()); }
  void set_threads(size_t threads) noexcept { linnet_engine_set_threads(get(), threads); }
  void set_memory_limit(size_t bytes) noexcept { linnet_engine_set_memory_limit(get(), bytes); }
  linnet_engine* get() const noexcept { return engine_.get(); }

 private:
  std::shared_ptr<linnet_engine> engine_;
};

class LoadOptions {
 public:
  LoadOptions() : options_(linnet_load_options_create()) {
    if (!options_) throw std::bad_alloc();
  }
  LoadOptions& level(linnet_level level) { return linnet_load_options_set_level(get(), level), *this; }
  LoadOptions& disable_pass(const std::string& pass) {
    return linnet_load_options_disable_pass(get(), pass.c_str()), *this;
  }
  LoadOptions& fix_size(const std::string& name, int64_t size) {
    return linnet_load_options_fix_size(get(), name.c_str(), size), *this;
  }
  LoadOptions& replace_initializer(const std::string& name, const Tensor& tensor) {
    return linnet_load_options_replace_initializer(get(), name.c_str(), tensor.get()), *this;
  }
  LoadOptions& external_data(const std::string& location, std::span<const std::byte> bytes) {
    return linnet_load_options_supply_external_data(get(), location.c_str(), bytes.data(), bytes.size()), *this;
  }
  LoadOptions& add_output(const std::string& value) {
    return linnet_load_options_add_output(get(), value.c_str()), *this;
  }
  LoadOptions& copy_files(bool copy) { return linnet_load_options_set_copy_files(get(), copy), *this; }
  LoadOptions& seed(uint64_t seed) { return linnet_load_options_set_seed(get(), seed), *this; }
  linnet_load_options* get() const noexcept { return options_.get(); }

 private:
  detail::Handle<linnet_load_options, linnet_load_options_release> options_;
};

// Stops the runs that it is given to. Thread-safe.
class CancelToken {
 public:
  CancelToken() : cancel_(linnet_cancel_create(), linnet_cancel_release) {}
  void request() noexcept { linnet_cancel_request(get()); }
  linnet_cancel* get() const noexcept { return cancel_.get(); }

 private:
  std::shared_ptr<linnet_cancel> cancel_;
};

class Profile {
 public:
  Profile() : profile_(linnet_profile_create()) {}
  std::string chrome_trace() const { return linnet_profile_trace(get()); }
  linnet_profile* get() const noexcept { return profile_.get(); }

 private:
  detail::Handle<linnet_profile, linnet_profile_release> profile_;
};

struct RunOptions {
  const CancelToken* cancel = nullptr;
  int64_t timeout_ms = 0;  // 0: none
  Profile* profile = nullptr;

  linnet_run_options to_c() const noexcept {
    return {sizeof(linnet_run_options), cancel ? cancel->get() : nullptr, timeout_ms,
            profile ? profile->get() : nullptr};
  }
};

struct Port {
  std::string name;
  linnet_kind kind = LINNET_TENSOR;
  linnet_dtype dtype = LINNET_UNDEFINED;
  bool ranked = false;
  std::vector<int64_t> shape;           // -1: open
  std::vector<std::string> size_names;  // of symbolic sizes
};

// A loaded model with a session to run it in.
class Model {
 public:
  explicit Model(const std::string& path, const Engine& engine = Engine(), const LoadOptions& options = LoadOptions()) {
    linnet_model* model = nullptr;
    detail::check(linnet_model_load(engine.get(), path.c_str(), options.get(), &model));
    adopt(model, engine);
  }
  // From memory; the bytes are copied.
  static Model from_bytes(std::span<const std::byte> bytes, const Engine& engine = Engine(),
                          const LoadOptions& options = LoadOptions()) {
    linnet_model* model = nullptr;
    detail::check(linnet_model_load_bytes(engine.get(), bytes.data(), bytes.size(), 0, options.get(), &model));
    Model made;
    made.adopt(model, engine);
    return made;
  }

  const std::vector<Port>& inputs() const noexcept { return inputs_; }
  const std::vector<Port>& outputs() const noexcept { return outputs_; }
  std::optional<std::string> metadata(const std::string& key) const {
    const char* value = linnet_model_metadata(model_.get(), key.c_str());
    return value ? std::optional<std::string>(value) : std::nullopt;
  }

  // By name; all outputs, or those named (which may be inner values of the model).
  using NamedTensors = std::map<std::string, Tensor, std::less<>>;
  NamedTensors run(const NamedTensors& inputs, const std::vector<std::string>& output_names = {},
                   const RunOptions& options = {}) const {
    std::vector<std::pair<const char*, const linnet_value*>> in;
    for (const auto& [name, tensor] : inputs) in.emplace_back(name.c_str(), tensor.get());
    return run_named(in, output_names, options);
  }
  // The same from a list of inputs, which lets Tensors be made in place.
  NamedTensors run(std::initializer_list<std::pair<const char*, Tensor>> inputs) const {
    std::vector<std::pair<const char*, const linnet_value*>> in;
    for (const auto& [name, tensor] : inputs) in.emplace_back(name, tensor.get());
    return run_named(in, {}, {});
  }
  // By position, into `outputs`, whose tensors are written in place where type and shape agree.
  void run(std::span<const Tensor* const> inputs, std::vector<Tensor>& outputs, const RunOptions& options = {}) const {
    const linnet_code code = try_run(inputs, outputs, options);
    if (code != LINNET_OK) throw Error(code, linnet_last_error());
  }
  linnet_code try_run(std::span<const Tensor* const> inputs, std::vector<Tensor>& outputs,
                      const RunOptions& options = {}) const {
    std::vector<const linnet_value*> in;
    for (const Tensor* tensor : inputs) in.push_back(tensor->get());
    outputs.resize(outputs_.size());
    std::vector<linnet_value*> out;
    for (const Tensor& tensor : outputs) out.push_back(tensor.get());
    const linnet_run_options c = options.to_c();
    const linnet_code code =
        detail::code_of(linnet_session_run(session_.get(), &c, in.data(), in.size(), out.data(), out.size()));
    for (size_t i = 0; i < out.size(); ++i)
      if (!outputs[i].get()) outputs[i] = Tensor(out[i]);
    return code;
  }
  void trim() const noexcept { linnet_session_trim(session_.get()); }
  linnet_session* session() const noexcept { return session_.get(); }

 private:
  Model() = default;
  NamedTensors run_named(std::span<const std::pair<const char*, const linnet_value*>> inputs,
                         const std::vector<std::string>& output_names, const RunOptions& options) const {
    std::vector<const char*> in_names, out_names;
    std::vector<const linnet_value*> in;
    for (const auto& [name, value] : inputs) {
      in_names.push_back(name);
      in.push_back(value);
    }
    if (output_names.empty())
      for (const Port& port : outputs_) out_names.push_back(port.name.c_str());
    for (const std::string& name : output_names) out_names.push_back(name.c_str());
    std::vector<linnet_value*> out(out_names.size(), nullptr);
    const linnet_run_options c = options.to_c();
    detail::check(linnet_session_run_named(session_.get(), &c, in_names.data(), in.data(), in.size(), out_names.data(),
                                           out.data(), out.size()));
    NamedTensors named;
    for (size_t i = 0; i < out.size(); ++i) named.emplace(out_names[i], Tensor(out[i]));
    return named;
  }
  void adopt(linnet_model* model, const Engine& engine) {
    model_.reset(model);
    linnet_session* session = nullptr;
    detail::check(linnet_session_create(engine.get(), model, &session));
    session_.reset(session);
    const auto read = [&](auto get, size_t count, std::vector<Port>& ports) {
      for (size_t i = 0; i < count; ++i) {
        linnet_port p{};
        p.struct_size = sizeof p;
        detail::check(get(model, i, &p));
        Port port{p.name, p.kind, p.dtype, p.ranked != 0, {p.shape, p.shape + p.rank}, {}};
        for (size_t d = 0; d < p.rank; ++d) port.size_names.emplace_back(p.size_names[d]);
        ports.push_back(std::move(port));
      }
    };
    read(linnet_model_input, linnet_model_input_count(model), inputs_);
    read(linnet_model_output, linnet_model_output_count(model), outputs_);
  }

  detail::Handle<linnet_model, linnet_model_release> model_;
  detail::Handle<linnet_session, linnet_session_release> session_;
  std::vector<Port> inputs_, outputs_;
};

// Inputs and outputs that stay bound from run to run: a second run of the same shapes neither allocates nor copies.
class Binding {
 public:
  explicit Binding(const Model& model) {
    linnet_binding* binding = nullptr;
    detail::check(linnet_binding_create(model.session(), &binding));
    binding_.reset(binding);
  }
  // Views keep viewing: what is written to the tensor's memory is seen by the next run.
  void input(const std::string& name, const Tensor& tensor) {
    detail::check(linnet_binding_set_input(binding_.get(), name.c_str(), tensor.get()));
  }
  void output(const std::string& name, const Tensor& tensor) {
    detail::check(linnet_binding_set_output(binding_.get(), name.c_str(), tensor.get()));
  }
  void run(const RunOptions& options = {}) {
    const linnet_run_options c = options.to_c();
    detail::check(linnet_binding_run(binding_.get(), &c));
  }
  Tensor output(const std::string& name) const {
    linnet_value* value = nullptr;
    detail::check(linnet_binding_output(binding_.get(), name.c_str(), &value));
    return Tensor(value);
  }

 private:
  detail::Handle<linnet_binding, linnet_binding_release> binding_;
};

}  // namespace cpp
}  // namespace linnet
