#include <atomic>
#include <chrono>
#include <cstdlib>
#include <stdexcept>
#include <thread>

#include "support.h"

namespace {

// Counts what it is told; outlives everything that tells it.
struct Listener {
  std::atomic<int> done{0}, released{0}, posted{0};
  std::atomic<linnet_code> code{LINNET_OK};
  bool throws = false;

  linnet_completion completion() {
    linnet_completion c{};
    c.struct_size = sizeof c;
    c.user = this;
    c.done = [](void* user, linnet_task* task) {
      auto& listener = *static_cast<Listener*>(user);
      listener.code = take_code(linnet_task_result(task));
      ++listener.done;
      if (listener.throws) throw std::runtime_error("a completion that throws");
    };
    c.release = [](void* user) { ++static_cast<Listener*>(user)->released; };
    return c;
  }
  void wait_released(int count) const {
    while (released < count) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
};

linnet_status* start(const Loaded& loaded, std::vector<const linnet_value*> inputs, const linnet_completion* completion,
                     linnet_task** task, const linnet_run_options* options = nullptr) {
  return linnet_session_run_async(loaded.session.get(), options, nullptr, inputs.data(), inputs.size(), nullptr,
                                  nullptr, 1, completion, task);
}

TEST(Async, RunsAndTells) {
  const Loaded loaded(models::sum());
  auto a = floats({1, 2}, {1, 2});
  Listener listener;
  const linnet_completion completion = listener.completion();
  linnet_task* task = nullptr;
  EXPECT_OK(start(loaded, {a.get(), a.get()}, &completion, &task));
  a.reset();
  int32_t ended = 0;
  EXPECT_OK(linnet_task_wait(task, -1, &ended));
  EXPECT_EQ(ended, 1);
  EXPECT_OK(linnet_task_result(task));
  const auto y = make<linnet_value>([&](linnet_value** v) { return linnet_task_output(task, 0, v); });
  EXPECT_EQ(elements_of(y.get()), (std::vector<float>{4, 8}));
  linnet_value* none = nullptr;
  linnet_model* no_model = nullptr;
  EXPECT_CODE(LINNET_INVALID_ARGUMENT, linnet_task_output(task, 1, &none));
  EXPECT_CODE(LINNET_INVALID_ARGUMENT, linnet_task_model(task, &no_model));
  listener.wait_released(1);
  EXPECT_EQ(listener.done, 1);
  EXPECT_EQ(listener.code, LINNET_OK);
  linnet_release(task);
}

TEST(Async, ReportsFailures) {
  const Loaded loaded(models::sum());
  const auto wrong = floats({4}, {1, 2, 3, 4});
  Listener listener;
  listener.throws = true;
  const linnet_completion completion = listener.completion();
  EXPECT_OK(start(loaded, {wrong.get(), wrong.get()}, &completion, nullptr));
  listener.wait_released(1);
  EXPECT_EQ(listener.code, LINNET_INVALID_ARGUMENT);
  EXPECT_CODE(LINNET_INVALID_ARGUMENT, linnet_session_run_async(loaded.session.get(), nullptr, nullptr, nullptr, 2,
                                                                nullptr, nullptr, 1, &completion, nullptr));
  EXPECT_EQ(listener.released, 1);  // what did not start does not release
}

TEST(Async, IsCancelledAndTimesOut) {
  const Loaded loaded(models::endless());
  const auto x = floats({1}, {1});
  linnet_task* task = nullptr;
  EXPECT_OK(start(loaded, {x.get()}, nullptr, &task));
  int32_t ended = 1;
  EXPECT_OK(linnet_task_wait(task, 20, &ended));
  EXPECT_EQ(ended, 0);
  EXPECT_CODE(LINNET_INVALID_ARGUMENT, linnet_task_result(task));
  linnet_task_cancel(task);
  EXPECT_OK(linnet_task_wait(task, -1, &ended));
  EXPECT_CODE(LINNET_CANCELLED, linnet_task_result(task));
  linnet_release(task);

  linnet_run_options options = run_options();
  options.timeout_ms = 20;
  EXPECT_OK(start(loaded, {x.get()}, nullptr, &task, &options));
  EXPECT_OK(linnet_task_wait(task, -1, &ended));
  EXPECT_CODE(LINNET_DEADLINE_EXCEEDED, linnet_task_result(task));
  linnet_release(task);

  const auto cancel = make<linnet_cancel>(linnet_cancel_create);
  options.timeout_ms = 0;
  options.cancel = cancel.get();
  EXPECT_OK(start(loaded, {x.get()}, nullptr, &task, &options));
  linnet_cancel_request(cancel.get());
  EXPECT_OK(linnet_task_wait(task, -1, &ended));
  EXPECT_CODE(LINNET_CANCELLED, linnet_task_result(task));
  linnet_release(task);
}

TEST(Async, OutlivesEveryHandle) {
  Listener listener;
  {
    const linnet_completion completion = listener.completion();
    Loaded loaded(models::sum(), nullptr, 2);
    const auto a = floats({1, 2}, {1, 2});
    for (int i = 0; i < 50; ++i) {
      linnet_task* task = nullptr;
      EXPECT_OK(start(loaded, {a.get(), a.get()}, &completion, i % 2 ? &task : nullptr));
      linnet_release(task);
    }
  }
  listener.wait_released(50);
  EXPECT_EQ(listener.done, 50);
  EXPECT_EQ(listener.code, LINNET_OK);
}

TEST(Async, FromManyThreadsWhileTheSessionCloses) {
  for (int round = 0; round < 5; ++round) {
    Loaded loaded(models::sum(), nullptr, 2);
    linnet_session* const session = loaded.session.get();
    const auto a = floats({1, 2}, {1, 2});
    Listener listener;
    const linnet_completion completion = listener.completion();
    std::atomic<int> started{0};
    std::vector<std::thread> threads;
    for (int t = 0; t < 4; ++t)
      threads.emplace_back([&] {
        const linnet_value* const inputs[] = {a.get(), a.get()};
        for (int i = 0; i < 50; ++i) {
          linnet_status* const failed =
              linnet_session_run_async(session, nullptr, nullptr, inputs, 2, nullptr, nullptr, 1, &completion, nullptr);
          if (!failed) {
            ++started;
          } else {
            EXPECT_EQ(linnet_status_code(failed), LINNET_CLOSED);
          }
          linnet_release(failed);
          linnet_value* y = nullptr;
          linnet_status* const refused = linnet_session_run(session, nullptr, nullptr, inputs, 2, nullptr, &y, 1);
          EXPECT_TRUE(!refused || linnet_status_code(refused) == LINNET_CLOSED);
          linnet_release(refused);
          linnet_release(y);
        }
      });
    std::this_thread::sleep_for(std::chrono::milliseconds(3));
    loaded.session.reset();
    loaded.model.reset();
    loaded.engine.reset();
    for (std::thread& thread : threads) thread.join();
    listener.wait_released(started);
    EXPECT_EQ(listener.done, started);
  }
}

TEST(Async, LoadsModels) {
  const auto engine = engine_of();
  const models::Bytes bytes = models::sum();
  std::atomic<int> released{0};
  linnet_source source{};
  source.struct_size = sizeof source;
  source.data = bytes.data();
  source.size = bytes.size();
  source.user = &released;
  source.release = [](void* user) { ++*static_cast<std::atomic<int>*>(user); };
  linnet_task* task = nullptr;
  EXPECT_OK(linnet_model_load_async(engine.get(), &source, nullptr, nullptr, &task));
  EXPECT_OK(linnet_task_wait(task, -1, nullptr));
  auto model = make<linnet_model>([&](linnet_model** m) { return linnet_task_model(task, m); });
  linnet_release(task);
  EXPECT_EQ(linnet_model_input_count(model.get()), 2u);
  EXPECT_EQ(released, 0);
  model.reset();
  while (released == 0) std::this_thread::yield();  // the runner may still hold it
  source.data = nullptr;
  source.path = "/no/such/model.onnx";
  EXPECT_OK(linnet_model_load_async(engine.get(), &source, nullptr, nullptr, &task));
  EXPECT_OK(linnet_task_wait(task, -1, nullptr));
  EXPECT_CODE(LINNET_NOT_FOUND, linnet_task_result(task));
  linnet_model* none = nullptr;
  EXPECT_CODE(LINNET_NOT_FOUND, linnet_task_model(task, &none));
  linnet_release(task);
}

TEST(Async, BindingsRefuseASecondRun) {
  const Loaded loaded(models::endless());
  const auto binding =
      make<linnet_binding>([&](linnet_binding** b) { return linnet_binding_create(loaded.session.get(), b); });
  const auto x = floats({1}, {1});
  EXPECT_OK(linnet_binding_set_input(binding.get(), "x", x.get()));
  linnet_task* task = nullptr;
  EXPECT_OK(linnet_binding_run_async(binding.get(), nullptr, nullptr, &task));
  linnet_value* none = nullptr;
  EXPECT_CODE(LINNET_INVALID_ARGUMENT, linnet_binding_run(binding.get(), nullptr));
  EXPECT_CODE(LINNET_INVALID_ARGUMENT, linnet_binding_set_input(binding.get(), "x", x.get()));
  EXPECT_CODE(LINNET_INVALID_ARGUMENT, linnet_binding_output(binding.get(), "y", &none));
  linnet_task_cancel(task);
  EXPECT_OK(linnet_task_wait(task, -1, nullptr));
  EXPECT_OK(linnet_binding_set_input(binding.get(), "x", x.get()));
  linnet_release(task);
}

// A port as Dart's: the message is an integer object.
int8_t post(int64_t port, void* message) {
  struct Object {
    int32_t type;
    union {
      int64_t integer;
      void* words[5];
    } value;
  };
  const auto& object = *static_cast<Object*>(message);
  EXPECT_EQ(object.type, 3);
  EXPECT_EQ(object.value.integer, int64_t{1} << 40);
  ++*reinterpret_cast<std::atomic<int>*>(port);
  return 1;
}

TEST(Async, PostsToAPort) {
  const Loaded loaded(models::sum());
  const auto a = floats({1, 2}, {1, 2});
  std::atomic<int> posted{0};
  linnet_completion completion{};
  completion.struct_size = sizeof completion;
  completion.post = post;
  completion.port = reinterpret_cast<int64_t>(&posted);
  completion.message = int64_t{1} << 40;
  linnet_task* task = nullptr;
  EXPECT_OK(start(loaded, {a.get(), a.get()}, &completion, &task));
  while (posted == 0) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  EXPECT_OK(linnet_task_result(task));
  linnet_release(task);
}

TEST(Async, TheLastHandleIsClosedOnARunner) {
  struct Everything {
    Loaded loaded{models::sum(), nullptr, 2};
    std::atomic<bool>* gone;
  };
  std::atomic<bool> gone{false};
  auto* const everything = new Everything{.gone = &gone};
  const auto a = floats({1, 2}, {1, 2});
  linnet_completion completion{};
  completion.struct_size = sizeof completion;
  completion.user = everything;
  completion.release = [](void* user) {
    auto* const e = static_cast<Everything*>(user);
    std::atomic<bool>* const flag = e->gone;
    delete e;
    flag->store(true);
  };
  EXPECT_OK(start(everything->loaded, {a.get(), a.get()}, &completion, nullptr));
  while (!gone) std::this_thread::sleep_for(std::chrono::milliseconds(1));
}

TEST(AsyncDeathTest, TheProcessMayExitDuringRuns) {
  testing::GTEST_FLAG(death_test_style) = "threadsafe";
  EXPECT_EXIT(
      {
        static const Loaded loaded(models::endless(), nullptr, 2);  // destroyed while the process exits
        const auto x = floats({1}, {1});
        for (int i = 0; i < 3; ++i) static_cast<void>(start(loaded, {x.get()}, nullptr, nullptr));
        std::this_thread::sleep_for(std::chrono::milliseconds(20));
        std::exit(0);
      },
      testing::ExitedWithCode(0), "");
}

// A host's threads that misbehave: whatever they do, every part is computed once.
TEST(Executor, MayThrowLeaveOutAndRepeatParts) {
  linnet_engine_options options{};
  options.struct_size = sizeof options;
  options.threads = 4;
  int calls = 0, released = 0;
  struct Host {
    int* calls;
    int* released;
  } host{&calls, &released};
  options.executor = [](void* user, size_t parts, void (*part)(void*, size_t), void* context) {
    ++*static_cast<Host*>(user)->calls;
    std::thread other([&] { part(context, parts - 1); });
    part(context, 1);
    part(context, 1);
    part(context, parts + 100);
    other.join();
    throw std::runtime_error("an executor that throws");
  };
  options.executor_user = &host;
  options.executor_release = [](void* user) { ++*static_cast<Host*>(user)->released; };
  {
    const auto engine = make<linnet_engine>([&](linnet_engine** e) { return linnet_engine_create(&options, e); });
    const auto model = load(engine.get(), models::sum());
    const auto session = session_of(model.get());
    std::vector<float> many(2 << 18, 1);
    const auto a = floats({1 << 18, 2}, many);
    const linnet_value* const inputs[] = {a.get(), a.get()};
    linnet_value* y = nullptr;
    EXPECT_OK(linnet_session_run(session.get(), nullptr, nullptr, inputs, 2, nullptr, &y, 1));
    for (const float element : elements_of(y)) ASSERT_EQ(element, 4);
    linnet_release(y);
    EXPECT_GT(calls, 0);
    EXPECT_EQ(released, 0);
  }
  EXPECT_EQ(released, 1);
}

}  // namespace
