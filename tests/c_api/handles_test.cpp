// Handles that are NULL, closed, foreign or of another kind, in every function that takes one.
#include <atomic>
#include <thread>

#include "support.h"

namespace {

template <class T>
T* as(const void* pointer) {
  return static_cast<T*>(const_cast<void*>(pointer));
}

// Calls every function with `bad` in the place of a handle.
void call_everything(const void* bad) {
  linnet_view view{};
  view.struct_size = sizeof view;
  linnet_port port{};
  port.struct_size = sizeof port;
  const int64_t shape[] = {1};
  const char* const names[] = {"x"};
  linnet_value* value = nullptr;
  linnet_model* model = nullptr;
  linnet_session* session = nullptr;
  linnet_binding* binding = nullptr;
  linnet_task* task = nullptr;
  int32_t ended = 0;
  size_t length = 0;

  auto* const e = as<linnet_engine>(bad);
  EXPECT_CODE(LINNET_CLOSED, linnet_engine_set_threads(e, 1));
  EXPECT_CODE(LINNET_CLOSED, linnet_engine_set_memory_limit(e, 1));
  EXPECT_EQ(linnet_engine_threads(e), 0u);
  EXPECT_EQ(linnet_engine_memory_used(e), 0u);
  EXPECT_CODE(LINNET_CLOSED, linnet_model_load(e, "model.onnx", nullptr, &model));
  EXPECT_CODE(LINNET_CLOSED, linnet_model_load_bytes(e, shape, 1, nullptr, &model));
  linnet_source source{};
  source.struct_size = sizeof source;
  source.path = "model.onnx";
  EXPECT_CODE(LINNET_CLOSED, linnet_model_load_source(e, &source, nullptr, &model));
  EXPECT_CODE(LINNET_CLOSED, linnet_model_load_async(e, &source, nullptr, nullptr, &task));
  EXPECT_CODE(LINNET_CLOSED, linnet_compile(e, &source, nullptr, "to"));
  EXPECT_CODE(LINNET_CLOSED, linnet_compile_async(e, &source, nullptr, "to", nullptr, &task));
  EXPECT_CODE(LINNET_CLOSED,
              linnet_optimize_async(e, &source, LINNET_LEVEL_ALL, nullptr, nullptr, "to", nullptr, &task));
  EXPECT_CODE(LINNET_CLOSED, linnet_quantize(e, "model.onnx", nullptr, nullptr, "to", &value));
  EXPECT_CODE(LINNET_CLOSED, linnet_quantize_async(e, &source, nullptr, nullptr, "to", nullptr, &task));
  EXPECT_CODE(LINNET_CLOSED, linnet_tune_async(e, "model.onnx", nullptr, nullptr, &task));

  auto* const v = as<linnet_value>(bad);
  EXPECT_CODE(LINNET_CLOSED, linnet_value_view(v, &view));
  EXPECT_EQ(linnet_value_string(v, 0, &length), nullptr);
  EXPECT_CODE(LINNET_CLOSED, linnet_value_at(v, 0, &value));
  EXPECT_CODE(LINNET_CLOSED, linnet_value_share(v, &value));
  EXPECT_CODE(LINNET_CLOSED, linnet_value_create_map(v, v, &value));
  EXPECT_CODE(LINNET_CLOSED, linnet_value_create_sequence(LINNET_FLOAT, &v, 1, &value));

  auto* const o = as<linnet_load_options>(bad);
  EXPECT_CODE(LINNET_CLOSED, linnet_load_options_set_level(o, LINNET_LEVEL_ALL));
  EXPECT_CODE(LINNET_CLOSED, linnet_load_options_disable_pass(o, "p"));
  EXPECT_CODE(LINNET_CLOSED, linnet_load_options_fix_size(o, "n", 1));
  EXPECT_CODE(LINNET_CLOSED, linnet_load_options_replace_initializer(o, "n", nullptr));
  EXPECT_CODE(LINNET_CLOSED, linnet_load_options_supply_external_data(o, "n", shape, 1, nullptr, nullptr));
  EXPECT_CODE(LINNET_CLOSED, linnet_load_options_add_output(o, "n"));
  EXPECT_CODE(LINNET_CLOSED, linnet_load_options_set_copy_files(o, 1));
  EXPECT_CODE(LINNET_CLOSED, linnet_load_options_set_seed(o, 1));
  EXPECT_CODE(LINNET_CLOSED, linnet_load_options_set_cache_folder(o, nullptr));
  EXPECT_CODE(LINNET_CLOSED, linnet_load_options_set_log(o, nullptr, nullptr, nullptr));
  EXPECT_CODE(LINNET_CLOSED, linnet_load_options_add_operator(o, nullptr));
  EXPECT_CODE(LINNET_CLOSED, linnet_load_options_set_cancel(o, nullptr));
  EXPECT_CODE(LINNET_CLOSED, linnet_load_options_set_progress(o, nullptr, nullptr, nullptr));
  if (bad) {  // NULL stands for the defaults
    EXPECT_CODE(LINNET_CLOSED, linnet_optimize(&source, LINNET_LEVEL_ALL, o, nullptr, "to"));
  }

  auto* const m = as<linnet_model>(bad);
  EXPECT_EQ(linnet_model_input_count(m), 0u);
  EXPECT_EQ(linnet_model_output_count(m), 0u);
  EXPECT_CODE(LINNET_CLOSED, linnet_model_input(m, 0, &port));
  EXPECT_CODE(LINNET_CLOSED, linnet_model_output(m, 0, &port));
  EXPECT_EQ(linnet_model_metadata(m, "domain"), nullptr);
  EXPECT_EQ(linnet_model_metadata_count(m), 0u);
  EXPECT_EQ(linnet_model_metadata_key(m, 0), nullptr);
  EXPECT_EQ(linnet_model_bytes(m), 0u);
  EXPECT_CODE(LINNET_CLOSED, linnet_session_create(nullptr, m, &session));

  auto* const s = as<linnet_session>(bad);
  EXPECT_CODE(LINNET_CLOSED, linnet_session_run(s, nullptr, nullptr, nullptr, 0, nullptr, nullptr, 0));
  EXPECT_CODE(LINNET_CLOSED, linnet_session_run(s, nullptr, names, nullptr, 0, names, nullptr, 0));
  EXPECT_CODE(LINNET_CLOSED,
              linnet_session_run_async(s, nullptr, nullptr, nullptr, 0, nullptr, nullptr, 0, nullptr, &task));
  linnet_session_trim(s);
  EXPECT_CODE(LINNET_CLOSED, linnet_binding_create(s, &binding));

  auto* const b = as<linnet_binding>(bad);
  EXPECT_CODE(LINNET_CLOSED, linnet_binding_set_input(b, "x", nullptr));
  EXPECT_CODE(LINNET_CLOSED, linnet_binding_set_output(b, "x", nullptr));
  EXPECT_CODE(LINNET_CLOSED, linnet_binding_run(b, nullptr));
  EXPECT_CODE(LINNET_CLOSED, linnet_binding_run_async(b, nullptr, nullptr, &task));
  EXPECT_CODE(LINNET_CLOSED, linnet_binding_output(b, "x", &value));

  linnet_cancel_request(as<linnet_cancel>(bad));
  if (bad) {
    const auto options = make<linnet_load_options>(linnet_load_options_create);
    EXPECT_CODE(LINNET_CLOSED, linnet_load_options_set_cancel(options.get(), as<linnet_cancel>(bad)));
    linnet_optimize_options optimizing{};
    optimizing.struct_size = sizeof optimizing;
    optimizing.cancel = as<linnet_cancel>(bad);
    EXPECT_CODE(LINNET_CLOSED, linnet_optimize(&source, LINNET_LEVEL_ALL, nullptr, &optimizing, "to"));
  }
  EXPECT_CODE(LINNET_CLOSED, linnet_profile_trace(as<linnet_profile>(bad), &value));

  auto* const t = as<linnet_task>(bad);
  EXPECT_CODE(LINNET_CLOSED, linnet_task_wait(t, 0, &ended));
  linnet_task_cancel(t);
  linnet_task_continue(t);
  EXPECT_CODE(LINNET_CLOSED, linnet_task_result(t));
  EXPECT_CODE(LINNET_CLOSED, linnet_task_output(t, 0, &value));
  EXPECT_CODE(LINNET_CLOSED, linnet_task_model(t, &model));
  EXPECT_CODE(LINNET_CLOSED, linnet_task_report(t, &value));
  EXPECT_CODE(LINNET_CLOSED, linnet_task_give_sample(t, nullptr, 0));

  auto* const c = as<linnet_op_context>(bad);
  EXPECT_EQ(linnet_op_input_count(c), 0u);
  EXPECT_EQ(linnet_op_output_count(c), 0u);
  EXPECT_CODE(LINNET_CLOSED, linnet_op_attribute(c, "a", &value));
  EXPECT_CODE(LINNET_CLOSED, linnet_op_input(c, 0, &view));
  EXPECT_CODE(LINNET_CLOSED, linnet_op_output(c, 0, &view));
  EXPECT_CODE(LINNET_CLOSED, linnet_op_set_output(c, 0, LINNET_FLOAT, shape, 1));
  EXPECT_CODE(LINNET_CLOSED, linnet_op_set_output_kind(c, 0, LINNET_SEQUENCE, LINNET_FLOAT));
  EXPECT_CODE(LINNET_CLOSED, linnet_op_input_value(c, 0, &value));
  EXPECT_CODE(LINNET_CLOSED, linnet_op_set_output_value(c, 0, nullptr));
  EXPECT_CODE(LINNET_CLOSED, linnet_op_parallel(c, 1, 1, nullptr, nullptr));
  EXPECT_EQ(linnet_op_stopped(c), 0);

  EXPECT_EQ(linnet_status_code(as<linnet_status>(bad)), bad ? LINNET_CLOSED : LINNET_OK);
  EXPECT_STREQ(linnet_status_message(as<linnet_status>(bad)), "");
  EXPECT_STREQ(linnet_status_node(as<linnet_status>(bad)), "");
  EXPECT_STREQ(linnet_status_inputs(as<linnet_status>(bad)), "");
  linnet_release(const_cast<void*>(bad));
}

TEST(Handles, Null) { call_everything(nullptr); }

TEST(Handles, Closed) {
  const Owned<linnet_value> value = floats({1}, {1});
  void* const closed = value.get();
  linnet_release(closed);
  call_everything(closed);
}

TEST(Handles, Foreign) {
  int here = 0;
  call_everything(&here);
  call_everything("text");
  for (const uintptr_t bits :
       {uintptr_t{1}, uintptr_t{3}, uintptr_t{0xffff}, ~uintptr_t{0}, ~uintptr_t{0} >> 1, uintptr_t{0x12345671}})
    call_everything(reinterpret_cast<const void*>(bits));
}

TEST(Handles, OfAnotherKind) {
  // No function takes a cancel token but linnet_cancel_request and runs' options.
  const auto token = make<linnet_cancel>(linnet_cancel_create);
  auto* const other = reinterpret_cast<linnet_value*>(token.get());
  linnet_value* made = nullptr;
  EXPECT_CODE(LINNET_CLOSED, linnet_value_at(other, 0, &made));
  linnet_run_options options = run_options();
  const Owned<linnet_value> value = floats({1}, {1});
  options.cancel = reinterpret_cast<linnet_cancel*>(value.get());
  const Loaded loaded(models::relu());
  EXPECT_CODE(LINNET_CLOSED, loaded.run({value.get()}, &made, 1, &options));
}

TEST(Handles, SayWhatIsWrong) {
  linnet_view view{};
  view.struct_size = sizeof view;
  EXPECT_EQ(take_message(linnet_value_view(nullptr, &view)), "the value is NULL");
  Owned<linnet_value> value = floats({1}, {1});
  linnet_release(value.get());
  EXPECT_EQ(take_message(linnet_value_view(value.get(), &view)), "the value is closed, or no handle of a value");
}

TEST(Handles, DoubleCloseLeavesLaterOnesAlone) {
  const size_t before = linnet_open_handles();
  std::vector<linnet_value*> closed;
  for (int i = 0; i < 3000; ++i) closed.push_back(floats({1}, {1}).get());  // closed at once
  const Owned<linnet_value> value = floats({2}, {3, 4});
  for (linnet_value* const handle : closed) linnet_release(handle);
  EXPECT_EQ(elements_of(value.get()), (std::vector<float>{3, 4}));
  EXPECT_EQ(linnet_open_handles(), before + 1);
}

TEST(Handles, AreClosedWhileOthersUseThem) {
  for (int round = 0; round < 20; ++round) {
    linnet_value* const value = floats({64}, std::vector<float>(64, 1)).release();
    std::atomic<int> seen{0};
    std::vector<std::thread> threads;
    for (int t = 0; t < 4; ++t)
      threads.emplace_back([&] {
        for (int i = 0; i < 200; ++i) {
          linnet_view view{};
          view.struct_size = sizeof view;
          linnet_status* const status = linnet_value_view(value, &view);
          if (!status) seen.fetch_add(view.count == 64);
          linnet_release(status);
        }
        linnet_release(value);
      });
    for (std::thread& thread : threads) thread.join();
    EXPECT_GT(seen.load(), 0);
  }
}

TEST(Handles, StatusesAreMadeByCallers) {
  EXPECT_EQ(linnet_status_create(LINNET_OK, "fine"), nullptr);
  const Owned<linnet_status> status(linnet_status_create(LINNET_IO, "the disk is full"));
  EXPECT_EQ(linnet_status_code(status.get()), LINNET_IO);
  EXPECT_STREQ(linnet_status_message(status.get()), "the disk is full");
  EXPECT_STREQ(linnet_code_name(LINNET_IO), "input/output error");
  EXPECT_STREQ(linnet_code_name(static_cast<linnet_code>(999)), "unknown");
}

TEST(Library, TellsWhatItIs) {
  EXPECT_EQ(linnet_abi_version(), static_cast<uint32_t>(LINNET_ABI_VERSION));
  EXPECT_NE(std::string(linnet_version()), "");
  EXPECT_EQ(linnet_has_feature("device:cpu"), 1);
  EXPECT_EQ(linnet_has_feature("op:ai.onnx.Conv"), 1);
  EXPECT_EQ(linnet_has_feature("op:com.microsoft.FusedMatMul"), 1);
  for (const char* const name : {"device:gpu", "op:ai.onnx.Nonsense", "op:Conv", "", "nonsense"})
    EXPECT_EQ(linnet_has_feature(name), 0) << name;
  EXPECT_EQ(linnet_has_feature(nullptr), 0);
}

}  // namespace
