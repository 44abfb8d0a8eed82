// Short ways to say things in tests of linnet.h.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "linnet/linnet.h"
#include "models.h"

struct Released {
  void operator()(void* handle) const { linnet_release(handle); }
};
template <class T>
using Owned = std::unique_ptr<T, Released>;

inline std::string take_message(linnet_status* status) {
  const Owned<linnet_status> owned(status);
  return linnet_status_message(status);
}
inline linnet_code take_code(linnet_status* status) {
  const Owned<linnet_status> owned(status);
  return linnet_status_code(status);
}
#define EXPECT_OK(call)                                            \
  do {                                                             \
    linnet_status* const status_ = (call);                         \
    EXPECT_EQ(status_, nullptr) << linnet_status_message(status_); \
    linnet_release(status_);                                       \
  } while (false)
#define EXPECT_CODE(code, call) EXPECT_EQ(code, take_code(call))

template <class T, class Make>
Owned<T> make(Make&& create) {
  T* handle = nullptr;
  EXPECT_OK(create(&handle));
  return Owned<T>(handle);
}

inline Owned<linnet_engine> engine_of(size_t threads = 1) {
  linnet_engine_options options{};
  options.struct_size = sizeof options;
  options.threads = threads;
  return make<linnet_engine>([&](linnet_engine** e) { return linnet_engine_create(&options, e); });
}

inline Owned<linnet_model> load(linnet_engine* engine, const models::Bytes& bytes,
                                const linnet_load_options* options = nullptr) {
  return make<linnet_model>(
      [&](linnet_model** m) { return linnet_model_load_bytes(engine, bytes.data(), bytes.size(), options, m); });
}

inline Owned<linnet_session> session_of(linnet_model* model) {
  return make<linnet_session>([&](linnet_session** s) { return linnet_session_create(nullptr, model, s); });
}

inline Owned<linnet_value> floats(std::vector<int64_t> shape, std::vector<float> elements) {
  auto value = make<linnet_value>(
      [&](linnet_value** v) { return linnet_value_create_tensor(LINNET_FLOAT, shape.data(), shape.size(), v); });
  linnet_view view{};
  view.struct_size = sizeof view;
  EXPECT_OK(linnet_value_view(value.get(), &view));
  EXPECT_EQ(view.bytes, elements.size() * sizeof(float));
  std::copy(elements.begin(), elements.end(), static_cast<float*>(view.data));
  return value;
}

inline linnet_view view_of(const linnet_value* value) {
  linnet_view view{};
  view.struct_size = sizeof view;
  EXPECT_OK(linnet_value_view(value, &view));
  return view;
}

inline std::vector<float> elements_of(const linnet_value* value) {
  const linnet_view view = view_of(value);
  EXPECT_EQ(view.dtype, LINNET_FLOAT);
  const auto* const data = static_cast<const float*>(view.data);
  return {data, data + view.count};
}

// An engine, a model on it and a session of that.
struct Loaded {
  Owned<linnet_engine> engine;
  Owned<linnet_model> model;
  Owned<linnet_session> session;
  explicit Loaded(const models::Bytes& bytes, const linnet_load_options* options = nullptr, size_t threads = 1)
      : engine(engine_of(threads)), model(load(engine.get(), bytes, options)), session(session_of(model.get())) {}

  // All outputs by position.
  linnet_status* run(std::vector<const linnet_value*> inputs, linnet_value** outputs, size_t output_count,
                     const linnet_run_options* options = nullptr) const {
    return linnet_session_run(session.get(), options, nullptr, inputs.data(), inputs.size(), nullptr, outputs,
                              output_count);
  }
};

inline linnet_run_options run_options() {
  linnet_run_options options{};
  options.struct_size = sizeof options;
  return options;
}
