#include <chrono>
#include <thread>

#include "support.h"

namespace {

using Clock = std::chrono::steady_clock;

TEST(Run, ByPosition) {
  const Loaded loaded(models::sum());
  const auto a = floats({2, 2}, {1, 2, 3, 4}), b = floats({2, 2}, {10, 20, 30, 40});
  linnet_value* y = nullptr;
  EXPECT_OK(loaded.run({a.get(), b.get()}, &y, 1));
  EXPECT_EQ(elements_of(y), (std::vector<float>{22, 44, 66, 88}));
  linnet_release(y);
}

TEST(Run, ByNameAndInnerValues) {
  const Loaded loaded(models::sum());
  const auto a = floats({1, 2}, {1, 2}), b = floats({1, 2}, {10, 20});
  const char* const inputs[] = {"b", "a"};
  const linnet_value* const values[] = {b.get(), a.get()};
  const char* const outputs[] = {"inner", "y"};
  linnet_value* made[2] = {};
  EXPECT_OK(linnet_session_run(loaded.session.get(), nullptr, inputs, values, 2, outputs, made, 2));
  EXPECT_EQ(elements_of(made[0]), (std::vector<float>{11, 22}));
  EXPECT_EQ(elements_of(made[1]), (std::vector<float>{22, 44}));
  for (linnet_value* const value : made) linnet_release(value);
}

TEST(Run, WritesToTheCallersMemory) {
  const Loaded loaded(models::sum());
  const auto a = floats({2, 2}, {1, 2, 3, 4}), b = floats({2, 2}, {10, 20, 30, 40});
  float memory[4] = {};
  const int64_t shape[] = {2, 2};
  linnet_value* y = nullptr;
  EXPECT_OK(linnet_value_borrow_tensor(LINNET_FLOAT, shape, 2, memory, sizeof memory, nullptr, nullptr, &y));
  linnet_value* const given = y;
  EXPECT_OK(loaded.run({a.get(), b.get()}, &y, 1));
  EXPECT_EQ(y, given);
  EXPECT_EQ(memory[3], 88);
  linnet_release(y);

  linnet_value* other = floats({3}, {0, 0, 0}).release();
  const std::string message = take_message(loaded.run({a.get(), b.get()}, &other, 1));
  EXPECT_NE(message.find("output 'y' is float[2x2]"), std::string::npos) << message;
  EXPECT_EQ(elements_of(other), (std::vector<float>{0, 0, 0}));
  linnet_release(other);
}

TEST(Run, RefusesWrongInputs) {
  const Loaded loaded(models::sum());
  const auto a = floats({2, 2}, {1, 2, 3, 4}), flat = floats({4}, {1, 2, 3, 4}),
             wide = floats({2, 3}, {1, 2, 3, 4, 5, 6});
  const int64_t shape[] = {2, 2};
  const auto ints =
      make<linnet_value>([&](linnet_value** v) { return linnet_value_create_tensor(LINNET_INT32, shape, 2, v); });
  const auto none = make<linnet_value>(linnet_value_create_none);
  linnet_value* y = nullptr;
  EXPECT_CODE(LINNET_INVALID_ARGUMENT, loaded.run({a.get()}, &y, 1));
  EXPECT_CODE(LINNET_INVALID_ARGUMENT, loaded.run({a.get(), nullptr}, &y, 1));
  EXPECT_CODE(LINNET_INVALID_ARGUMENT, loaded.run({a.get(), none.get()}, &y, 1));
  EXPECT_CODE(LINNET_INVALID_ARGUMENT, loaded.run({a.get(), flat.get()}, &y, 1));
  EXPECT_CODE(LINNET_INVALID_ARGUMENT, loaded.run({a.get(), wide.get()}, &y, 1));
  EXPECT_CODE(LINNET_INVALID_ARGUMENT, loaded.run({a.get(), ints.get()}, &y, 1));
  EXPECT_CODE(LINNET_INVALID_ARGUMENT, loaded.run({a.get(), a.get()}, &y, 0));
  EXPECT_CODE(LINNET_INVALID_ARGUMENT,
              linnet_session_run(loaded.session.get(), nullptr, nullptr, nullptr, 2, nullptr, &y, 1));
  EXPECT_CODE(LINNET_INVALID_ARGUMENT,
              linnet_session_run(loaded.session.get(), nullptr, nullptr, nullptr, 0, nullptr, nullptr, 1));
  const char* const unknown[] = {"a", "c"};
  const char* const twice[] = {"a", "a"};
  const char* const missing[] = {"a", nullptr};
  const linnet_value* const values[] = {a.get(), a.get()};
  EXPECT_CODE(LINNET_NOT_FOUND, linnet_session_run(loaded.session.get(), nullptr, unknown, values, 2, nullptr, &y, 1));
  EXPECT_CODE(LINNET_INVALID_ARGUMENT,
              linnet_session_run(loaded.session.get(), nullptr, twice, values, 2, nullptr, &y, 1));
  EXPECT_CODE(LINNET_INVALID_ARGUMENT,
              linnet_session_run(loaded.session.get(), nullptr, missing, values, 2, nullptr, &y, 1));
  const char* const nowhere[] = {"nowhere"};
  EXPECT_CODE(LINNET_NOT_FOUND, linnet_session_run(loaded.session.get(), nullptr, nullptr, values, 2, nowhere, &y, 1));
  EXPECT_EQ(y, nullptr);
}

TEST(Run, NamesTheNodeThatFailed) {
  const Loaded loaded(models::reshaped());
  const auto x = floats({3}, {1, 2, 3});
  const int64_t two[] = {2};
  int64_t sizes[] = {2, 2};
  const auto shape = make<linnet_value>([&](linnet_value** v) {
    return linnet_value_borrow_tensor(LINNET_INT64, two, 1, sizes, sizeof sizes, nullptr, nullptr, v);
  });
  linnet_value* y = nullptr;
  const Owned<linnet_status> status(loaded.run({x.get(), shape.get()}, &y, 1));
  ASSERT_NE(status, nullptr);
  EXPECT_NE(std::string(linnet_status_node(status.get())).find("Reshape"), std::string::npos);
  EXPECT_EQ(std::string(linnet_status_inputs(status.get())), "float[3], int64[2]");
  EXPECT_NE(std::string(linnet_status_message(status.get())).find(linnet_status_node(status.get())), std::string::npos);
}

TEST(Run, OutputsDoNotShareInputs) {
  const Loaded loaded(models::reshaped());
  const auto x = floats({4}, {1, 2, 3, 4});
  const int64_t two[] = {2};
  int64_t sizes[] = {2, 2};
  const auto shape = make<linnet_value>([&](linnet_value** v) {
    return linnet_value_borrow_tensor(LINNET_INT64, two, 1, sizes, sizeof sizes, nullptr, nullptr, v);
  });
  linnet_value* y = nullptr;
  EXPECT_OK(loaded.run({x.get(), shape.get()}, &y, 1));
  static_cast<float*>(view_of(x.get()).data)[0] = 9;
  EXPECT_EQ(elements_of(y), (std::vector<float>{1, 2, 3, 4}));
  linnet_release(y);
}

TEST(Run, StringsSequencesMapsAndOptionals) {
  const char* const texts[] = {"one", "two"};
  const int64_t two[] = {2};
  const auto strings =
      make<linnet_value>([&](linnet_value** v) { return linnet_value_create_strings(texts, nullptr, two, 1, v); });
  linnet_value* y = nullptr;
  EXPECT_OK(Loaded(models::identity_of_strings()).run({strings.get()}, &y, 1));
  EXPECT_STREQ(linnet_value_string(y, 1, nullptr), "two");
  linnet_release(y);

  const auto a = floats({1}, {1}), b = floats({2}, {2, 3});
  linnet_value* s = nullptr;
  EXPECT_OK(Loaded(models::sequence()).run({a.get(), b.get()}, &s, 1));
  EXPECT_EQ(view_of(s).kind, LINNET_SEQUENCE);
  EXPECT_EQ(view_of(s).count, 2);
  y = nullptr;
  EXPECT_OK(Loaded(models::concatenation()).run({s}, &y, 1));
  EXPECT_EQ(elements_of(y), (std::vector<float>{1, 2, 3}));
  linnet_release(y);
  linnet_release(s);

  int64_t keys[] = {2, 1};
  const auto k = make<linnet_value>([&](linnet_value** v) {
    return linnet_value_borrow_tensor(LINNET_INT64, two, 1, keys, sizeof keys, nullptr, nullptr, v);
  });
  const auto map = make<linnet_value>([&](linnet_value** v) { return linnet_value_create_map(k.get(), b.get(), v); });
  y = nullptr;
  EXPECT_OK(Loaded(models::from_map()).run({map.get()}, &y, 1));
  EXPECT_EQ(elements_of(y), (std::vector<float>{3, 2}));
  linnet_release(y);

  const Loaded optional(models::optional());
  linnet_port port{};
  port.struct_size = sizeof port;
  EXPECT_OK(linnet_model_input(optional.model.get(), 0, &port));
  EXPECT_EQ(port.kind, LINNET_OPTIONAL);
  EXPECT_EQ(port.content, LINNET_TENSOR);
  const auto none = make<linnet_value>(linnet_value_create_none);
  for (const linnet_value* const given :
       {static_cast<const linnet_value*>(nullptr), static_cast<const linnet_value*>(none.get()),
        static_cast<const linnet_value*>(a.get())}) {
    y = nullptr;
    EXPECT_OK(optional.run({given}, &y, 1));
    EXPECT_EQ(*static_cast<const bool*>(view_of(y).data), given == a.get());
    linnet_release(y);
  }
}

TEST(Run, StopsAtTheDeadlineAndWhenCancelled) {
  const Loaded loaded(models::endless());
  const auto x = floats({1}, {1});
  linnet_value* y = nullptr;
  linnet_run_options options = run_options();
  options.timeout_ms = 50;
  const auto begin = Clock::now();
  EXPECT_CODE(LINNET_DEADLINE_EXCEEDED, loaded.run({x.get()}, &y, 1, &options));
  EXPECT_GE(Clock::now() - begin, std::chrono::milliseconds(50));
  options.timeout_ms = -1;
  EXPECT_CODE(LINNET_INVALID_ARGUMENT, loaded.run({x.get()}, &y, 1, &options));
  options.timeout_ms = 0;
  auto cancel = make<linnet_cancel>(linnet_cancel_create);
  options.cancel = cancel.get();
  std::thread canceller([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    linnet_cancel_request(options.cancel);
    cancel.reset();  // while the run has it
  });
  EXPECT_CODE(LINNET_CANCELLED, loaded.run({x.get()}, &y, 1, &options));
  canceller.join();
  EXPECT_EQ(y, nullptr);
}

TEST(Run, ProfilesSeveralRunsAtOnce) {
  const Loaded loaded(models::sum());
  const auto a = floats({2, 2}, {1, 2, 3, 4});
  const auto profile = make<linnet_profile>(linnet_profile_create);
  linnet_run_options options = run_options();
  options.profile = profile.get();
  std::vector<std::thread> threads;
  for (int t = 0; t < 3; ++t)
    threads.emplace_back([&] {
      linnet_value* y = nullptr;
      EXPECT_OK(loaded.run({a.get(), a.get()}, &y, 1, &options));
      linnet_release(y);
    });
  for (std::thread& thread : threads) thread.join();
  const auto json = make<linnet_value>([&](linnet_value** v) { return linnet_profile_trace(profile.get(), v); });
  const std::string text = linnet_value_string(json.get(), 0, nullptr);
  size_t found = 0;
  for (size_t at = text.find("\"ph\":\"X\""); at != std::string::npos; at = text.find("\"ph\":\"X\"", at + 1)) ++found;
  EXPECT_GE(found, 3u) << text;  // a step of each run at least
}

TEST(Run, ClosesEverythingInAnyOrder) {
  auto engine = engine_of(2);
  auto model = load(engine.get(), models::sum());
  auto session = session_of(model.get());
  engine.reset();
  model.reset();
  const auto a = floats({2, 2}, {1, 2, 3, 4});
  const linnet_value* const inputs[] = {a.get(), a.get()};
  linnet_value* y = nullptr;
  EXPECT_OK(linnet_session_run(session.get(), nullptr, nullptr, inputs, 2, nullptr, &y, 1));
  session.reset();
  EXPECT_EQ(elements_of(y), (std::vector<float>{4, 8, 12, 16}));
  linnet_release(y);
}

TEST(Run, ClosingTheSessionLetsRunsFinish) {
  Loaded loaded(models::endless());
  const auto x = floats({1}, {1});
  linnet_session* const session = loaded.session.get();
  std::thread closer([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    loaded.session.reset();
    loaded.model.reset();
    loaded.engine.reset();
  });
  const linnet_value* const inputs[] = {x.get()};
  linnet_value* y = nullptr;
  linnet_run_options options = run_options();
  options.timeout_ms = 100;
  EXPECT_CODE(LINNET_DEADLINE_EXCEEDED, linnet_session_run(session, &options, nullptr, inputs, 1, nullptr, &y, 1));
  closer.join();
  EXPECT_CODE(LINNET_CLOSED, linnet_session_run(session, &options, nullptr, inputs, 1, nullptr, &y, 1));
}

TEST(Run, MemoryLimitAndThreadsChangeAtAnyTime) {
  const Loaded loaded(models::sum());
  EXPECT_OK(linnet_engine_set_memory_limit(loaded.engine.get(), 1));
  std::vector<float> many(2 << 16, 1);
  const auto a = floats({1 << 16, 2}, many);
  linnet_value* y = nullptr;
  EXPECT_CODE(LINNET_OUT_OF_MEMORY, loaded.run({a.get(), a.get()}, &y, 1));
  EXPECT_OK(linnet_engine_set_memory_limit(loaded.engine.get(), 0));
  EXPECT_OK(linnet_engine_set_threads(loaded.engine.get(), 3));
  EXPECT_EQ(linnet_engine_threads(loaded.engine.get()), 3u);
  EXPECT_CODE(LINNET_INVALID_ARGUMENT, linnet_engine_set_threads(loaded.engine.get(), 1u << 20));
  EXPECT_OK(loaded.run({a.get(), a.get()}, &y, 1));
  EXPECT_GT(linnet_engine_memory_used(loaded.engine.get()), 0u);
  linnet_release(y);
  linnet_session_trim(loaded.session.get());
  EXPECT_EQ(linnet_engine_memory_used(loaded.engine.get()), 0u);
}

TEST(Binding, KeepsItsMemory) {
  const Loaded loaded(models::sum());
  const auto binding =
      make<linnet_binding>([&](linnet_binding** b) { return linnet_binding_create(loaded.session.get(), b); });
  const auto a = floats({1, 2}, {1, 2});
  EXPECT_CODE(LINNET_INVALID_ARGUMENT, linnet_binding_run(binding.get(), nullptr));  // nothing is bound
  EXPECT_CODE(LINNET_NOT_FOUND, linnet_binding_set_input(binding.get(), "c", a.get()));
  EXPECT_OK(linnet_binding_set_input(binding.get(), "a", a.get()));
  EXPECT_OK(linnet_binding_set_input(binding.get(), "b", a.get()));
  EXPECT_OK(linnet_binding_run(binding.get(), nullptr));
  const auto y = make<linnet_value>([&](linnet_value** v) { return linnet_binding_output(binding.get(), "y", v); });
  EXPECT_EQ(elements_of(y.get()), (std::vector<float>{4, 8}));
  static_cast<float*>(view_of(a.get()).data)[0] = 5;
  EXPECT_OK(linnet_binding_run(binding.get(), nullptr));
  EXPECT_EQ(elements_of(y.get()), (std::vector<float>{20, 8}));

  const auto target = floats({1, 2}, {0, 0}), narrow = floats({1, 1}, {0});
  EXPECT_OK(linnet_binding_set_output(binding.get(), "y", target.get()));
  EXPECT_OK(linnet_binding_run(binding.get(), nullptr));
  EXPECT_EQ(elements_of(target.get()), (std::vector<float>{20, 8}));
  EXPECT_OK(linnet_binding_set_output(binding.get(), "y", narrow.get()));
  for (int i = 0; i < 2; ++i) EXPECT_CODE(LINNET_INVALID_ARGUMENT, linnet_binding_run(binding.get(), nullptr));
  EXPECT_OK(linnet_binding_set_output(binding.get(), "y", nullptr));
  EXPECT_OK(linnet_binding_run(binding.get(), nullptr));
}

}  // namespace
