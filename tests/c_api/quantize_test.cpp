#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <mutex>
#include <stdexcept>
#include <thread>

#include "support.h"

namespace {

namespace fs = std::filesystem;

class Quantize : public ::testing::Test {
 protected:
  Quantize() {
    const std::string name = ::testing::UnitTest::GetInstance()->current_test_info()->name();
    folder_ = fs::path(::testing::TempDir()) / ("linnet_quantize_" + name);
    fs::create_directories(folder_);
    const models::Bytes bytes = models::product();
    std::ofstream(in(), std::ios::binary)
        .write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
    linnet_engine* engine = nullptr;
    EXPECT_OK(linnet_engine_create(nullptr, &engine));
    engine_.reset(engine);
  }
  ~Quantize() override { fs::remove_all(folder_); }

  std::string in() const { return (folder_ / "in.onnx").string(); }
  std::string out() const { return (folder_ / "out.onnx").string(); }
  linnet_status* quantize(const linnet_quantize_options* options, linnet_value** report = nullptr) {
    return linnet_quantize(engine_.get(), in().c_str(), nullptr, options, out().c_str(), report);
  }

  fs::path folder_;
  Owned<linnet_engine> engine_;
};

// A sample of what models::product() takes.
linnet_status* sample(void* user, size_t i, linnet_value** inputs, size_t count) {
  if (count != 1) return linnet_status_create(LINNET_INVALID_ARGUMENT, "one input");
  ++*static_cast<size_t*>(user);
  const int64_t shape[] = {2, 64};
  linnet_status* const failed = linnet_value_create_tensor(LINNET_FLOAT, shape, 2, &inputs[0]);
  if (failed) return failed;
  linnet_view view{};
  view.struct_size = sizeof view;
  linnet_release(linnet_value_view(inputs[0], &view));
  for (size_t k = 0; k < 128; ++k) static_cast<float*>(view.data)[k] = static_cast<float>((k * 7 + i) % 13) - 6;
  return nullptr;
}

TEST_F(Quantize, EveryScheme) {
  for (const auto& [scheme, expected] : {std::pair{LINNET_QUANTIZE_DYNAMIC, "MatMulInteger"},
                                         {LINNET_QUANTIZE_WEIGHTS, "MatMulNBits"},
                                         {LINNET_QUANTIZE_STATIC, "MatMul"}}) {
    size_t asked = 0;
    linnet_quantize_options options{};
    options.struct_size = sizeof options;
    options.scheme = scheme;
    if (scheme == LINNET_QUANTIZE_STATIC) {
      options.sample = sample;
      options.sample_count = 3;
      options.user = &asked;
    }
    linnet_value* report = nullptr;
    EXPECT_OK(quantize(&options, &report));
    const Owned<linnet_value> owned(report);
    const char* text = linnet_value_string(report, 0, nullptr);
    ASSERT_NE(text, nullptr);
    EXPECT_NE(std::string(text).find(expected), std::string::npos) << text;
    EXPECT_EQ(asked, scheme == LINNET_QUANTIZE_STATIC ? 3u : 0u);
    EXPECT_LT(fs::file_size(out()), fs::file_size(in()) / 2);
    linnet_model* model = nullptr;
    EXPECT_OK(linnet_model_load(engine_.get(), out().c_str(), nullptr, &model));
    linnet_release(model);
  }
}

TEST_F(Quantize, FromMemory) {
  const models::Bytes bytes = models::product();
  linnet_source source{};
  source.struct_size = sizeof source;
  source.data = bytes.data();
  source.size = bytes.size();
  size_t released = 0;
  source.user = &released;
  source.release = [](void* user) { ++*static_cast<size_t*>(user); };
  linnet_quantize_options options{};
  options.struct_size = sizeof options;
  options.source = &source;
  EXPECT_CODE(LINNET_INVALID_ARGUMENT, quantize(&options));  // a path, too
  EXPECT_EQ(released, 0u);
  EXPECT_OK(linnet_quantize(engine_.get(), nullptr, nullptr, &options, out().c_str(), nullptr));
  EXPECT_EQ(released, 1u);
  EXPECT_LT(fs::file_size(out()), bytes.size() / 2);
}

TEST_F(Quantize, DefaultsAndNames) {
  EXPECT_OK(quantize(nullptr));
  fs::remove(out());
  const char* wrong[] = {"Matmul"};
  linnet_quantize_options options{};
  options.struct_size = sizeof options;
  options.exclude = wrong;
  options.exclude_count = 1;
  linnet_status* status = quantize(&options);
  EXPECT_EQ(linnet_status_code(status), LINNET_NOT_FOUND);
  EXPECT_NE(take_message(status).find("did you mean 'MatMul'?"), std::string::npos);
  EXPECT_FALSE(fs::exists(out()));
}

TEST_F(Quantize, RefusesWhatMakesNoSense) {
  linnet_quantize_options options{};
  EXPECT_EQ(take_code(quantize(&options)), LINNET_INVALID_ARGUMENT);  // no struct_size
  options.struct_size = sizeof options;
  options.scheme = static_cast<linnet_quantize_scheme>(7);
  EXPECT_EQ(take_code(quantize(&options)), LINNET_INVALID_ARGUMENT);
  options.scheme = LINNET_QUANTIZE_WEIGHTS;
  options.bits = 5;
  EXPECT_EQ(take_code(quantize(&options)), LINNET_INVALID_ARGUMENT);
  options.scheme = LINNET_QUANTIZE_STATIC;
  options.calibration_method = "none";
  EXPECT_EQ(take_code(quantize(&options)), LINNET_INVALID_ARGUMENT);
  options.calibration_method = nullptr;  // and no samples
  EXPECT_EQ(take_code(quantize(&options)), LINNET_INVALID_ARGUMENT);
  EXPECT_EQ(take_code(linnet_quantize(engine_.get(), in().c_str(), nullptr, nullptr, in().c_str(), nullptr)),
            LINNET_INVALID_ARGUMENT);
  EXPECT_CODE(LINNET_INVALID_ARGUMENT,
              linnet_quantize(engine_.get(), nullptr, nullptr, nullptr, out().c_str(), nullptr));
  EXPECT_EQ(take_code(linnet_quantize(nullptr, in().c_str(), nullptr, nullptr, out().c_str(), nullptr)), LINNET_CLOSED);
}

TEST_F(Quantize, RefusesOptionsWithoutUse) {
  using Options = linnet_quantize_options;
  constexpr auto kDynamic = LINNET_QUANTIZE_DYNAMIC, kStatic = LINNET_QUANTIZE_STATIC,
                 kWeights = LINNET_QUANTIZE_WEIGHTS;
  const struct {
    linnet_quantize_scheme scheme;
    void (*set)(Options& options);
    const char* says;
  } cases[] = {
      {kDynamic, [](Options& o) { o.bits = 4; }, "bits has no use without LINNET_QUANTIZE_WEIGHTS"},
      {kStatic, [](Options& o) { o.block = 32; }, "block has no use"},
      {kDynamic, [](Options& o) { o.method = "gptq"; }, "method has no use"},
      {kDynamic, [](Options& o) { o.calibration_method = "mse"; }, "calibration_method has no use"},
      {kDynamic, [](Options& o) { o.activation_type = LINNET_UINT8; }, "activation_type has no use"},
      {kDynamic, [](Options& o) { o.smooth = 1; }, "smooth has no use"},
      {kStatic, [](Options& o) { o.smooth_alpha = 0.5; }, "smooth_alpha has no use without smooth"},
      {kStatic, [](Options& o) { o.percentile = 99; }, "percentile has no use"},
      {kStatic, [](Options& o) { o.num_bins = 64; }, "num_bins has no use"},
      {kStatic,
       [](Options& o) {
         o.calibration_method = "mse";
         o.moving_average = 1;
       },
       "moving_average has no use"},
      {kWeights, [](Options& o) { o.per_channel = 1; }, "per_channel has no use without LINNET_QUANTIZE_DYNAMIC or"},
      {kWeights, [](Options& o) { o.weight_type = LINNET_UINT8; }, "weight_type has no use"},
      {kWeights, [](Options& o) { o.damping = 0.1; }, "damping has no use without the method 'gptq'"},
      {kWeights,
       [](Options& o) {
         o.half_quadratic = 1;
         o.search_ranges = 1;
       },
       "search_ranges has no use"},
      {kWeights, [](Options& o) { o.accuracy_level = 2; }, "accuracy_level is 0 or 4, not 2"},
      {kDynamic,
       [](Options& o) {
         o.sample = sample;
         o.sample_count = 1;
       },
       "samples have no use"},
  };
  for (const auto& [scheme, set, says] : cases) {
    Options options{};
    options.struct_size = sizeof options;
    options.scheme = scheme;
    set(options);
    linnet_status* const status = quantize(&options);
    EXPECT_EQ(linnet_status_code(status), LINNET_INVALID_ARGUMENT) << says;
    const std::string message = take_message(status);
    EXPECT_NE(message.find(says), std::string::npos) << message;
  }
  linnet_optimize_options half{};
  half.struct_size = sizeof half;
  half.convert_io = 1;
  const std::string path = in();
  linnet_source source{};
  source.struct_size = sizeof source;
  source.path = path.c_str();
  EXPECT_CODE(LINNET_INVALID_ARGUMENT, linnet_optimize(&source, LINNET_LEVEL_BASIC, nullptr, &half, out().c_str()));
  EXPECT_FALSE(fs::exists(out()));
}

TEST_F(Quantize, StopsWhenAsked) {
  linnet_cancel* cancel = nullptr;
  EXPECT_OK(linnet_cancel_create(&cancel));
  const Owned<linnet_cancel> owned(cancel);
  linnet_cancel_request(cancel);
  linnet_quantize_options options{};
  options.struct_size = sizeof options;
  options.cancel = cancel;
  EXPECT_EQ(take_code(quantize(&options)), LINNET_CANCELLED);
  EXPECT_FALSE(fs::exists(out()));
}

// Samples whose number is not told, and how often they were begun.
struct Stream {
  size_t count, given = 0, passes = 0;
  linnet_quantize_options options() {
    linnet_quantize_options options{};
    options.struct_size = sizeof options;
    options.scheme = LINNET_QUANTIZE_STATIC;
    options.user = this;
    options.next = [](void* user, size_t pass, const char* const* names, linnet_value** inputs, size_t inputs_count,
                      int32_t* ended) {
      EXPECT_STREQ(names[0], "x");
      auto& self = *static_cast<Stream*>(user);
      if (pass == self.passes) {
        ++self.passes;
        self.given = 0;
      }
      *ended = self.given == self.count;
      if (*ended) return static_cast<linnet_status*>(nullptr);
      size_t index = self.given++;
      linnet_status* const failed = sample(&index, index, inputs, inputs_count);
      if (!failed) static_cast<float*>(view_of(inputs[0]).data)[0] = 60;  // far beyond the others
      return failed;
    };
    return options;
  }
};

TEST_F(Quantize, SamplesUntilThereAreNoMore) {
  Stream stream{3};
  linnet_quantize_options options = stream.options();
  EXPECT_OK(quantize(&options));
  EXPECT_EQ(stream.passes, 1u);
  options.smooth = 1;  // which runs the model on them before
  Stream twice{2};
  options.user = &twice;
  EXPECT_OK(quantize(&options));
  EXPECT_EQ(twice.passes, 2u);
  EXPECT_EQ(twice.given, 2u);
  Stream none{0};
  options.user = &none;
  EXPECT_NE(take_message(quantize(&options)).find("no sample was found"), std::string::npos);
}

TEST_F(Quantize, ExplainsWithSamplesUnderEveryScheme) {
  const int64_t labels[] = {3, 1, 2};
  for (const auto scheme : {LINNET_QUANTIZE_DYNAMIC, LINNET_QUANTIZE_STATIC, LINNET_QUANTIZE_WEIGHTS})
    for (const bool streamed : {false, true}) {
      Stream stream{3};
      size_t asked = 0;
      linnet_quantize_options options = stream.options();
      if (!streamed) {
        options.next = nullptr;
        options.sample = sample;
        options.sample_count = 3;
        options.user = &asked;
      }
      options.scheme = scheme;
      options.sensitivity = SIZE_MAX;
      linnet_value* told = nullptr;
      EXPECT_OK(quantize(&options, &told));
      const Owned<linnet_value> owned(told);
      const std::string report = linnet_value_string(told, 0, nullptr);
      EXPECT_NE(report.find("\"mean_cosine\""), std::string::npos) << report;
      EXPECT_NE(report.find("\"alone\""), std::string::npos) << report;
      EXPECT_EQ(stream.passes, streamed ? 1u : 0u);  // they are kept
    }
  linnet_quantize_options options{};
  options.struct_size = sizeof options;
  options.explain = 1;
  EXPECT_NE(take_message(quantize(&options)).find("takes samples"), std::string::npos);
  Stream stream{2};
  options.next = stream.options().next;
  options.user = &stream;
  options.labels = labels;
  options.label_count = 3;
  EXPECT_NE(take_message(quantize(&options)).find("3 labels for 2 samples"), std::string::npos);
  options.labels = nullptr;
  EXPECT_EQ(take_code(quantize(&options)), LINNET_INVALID_ARGUMENT);
  options.label_count = 0;
  options.label_output = "y";
  EXPECT_EQ(take_code(quantize(&options)), LINNET_INVALID_ARGUMENT);
  EXPECT_FALSE(fs::exists(out() + ".tmp"));
}

std::string content(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

TEST_F(Quantize, EverySettingOfTheRangesHasAnEffect) {
  Stream stream{3};
  const auto made_with = [&](auto&& set) {
    stream.passes = 0;
    linnet_quantize_options options = stream.options();
    set(options);
    EXPECT_OK(quantize(&options));
    return content(out());
  };
  using Options = linnet_quantize_options;
  const std::string plain = made_with([](Options&) {});
  EXPECT_TRUE(made_with([](Options& o) { o.calibration_method = "entropy"; }) == made_with([](Options& o) {
                o.calibration_method = "entropy";
                o.num_bins = o.num_quantized_bins = 128;
              }));
  EXPECT_FALSE(plain == made_with([](Options& o) { o.symmetric_range = 1; }));
  EXPECT_FALSE(plain == made_with([](Options& o) { o.smooth = 1; }));
  EXPECT_FALSE(made_with([](Options& o) { o.smooth = 1; }) == made_with([](Options& o) {
                 o.smooth = 1;
                 o.smooth_alpha = 0.9;
               }));
  EXPECT_FALSE(plain == made_with([](Options& o) {
                 o.calibration_method = "entropy";
                 o.num_bins = 2048;
                 o.num_quantized_bins = 16;
               }));
  Options wrong = stream.options();
  wrong.num_bins = -1;
  EXPECT_EQ(take_code(quantize(&wrong)), LINNET_INVALID_ARGUMENT);
  wrong.num_bins = 0;
  wrong.smooth = 1;
  wrong.smooth_alpha = 2;
  EXPECT_EQ(take_code(quantize(&wrong)), LINNET_INVALID_ARGUMENT);
}

TEST_F(Quantize, CancelledBetweenSamplesAndByTheLoadOptions) {
  struct Cancelling {
    linnet_cancel* cancel = nullptr;
    size_t told = 0;
  } user;
  EXPECT_OK(linnet_cancel_create(&user.cancel));
  const Owned<linnet_cancel> owned(user.cancel);
  const auto request = [](void* to, size_t done, size_t, const char* what) {
    auto& self = *static_cast<Cancelling*>(to);
    ++self.told;
    EXPECT_STRNE(what, "");
    if (done == 1) linnet_cancel_request(self.cancel);
  };
  size_t asked = 0;
  linnet_quantize_options options{};
  options.struct_size = sizeof options;
  options.scheme = LINNET_QUANTIZE_STATIC;
  options.sample = sample;
  options.sample_count = 100;
  options.user = &asked;
  const auto load = make<linnet_load_options>(linnet_load_options_create);
  EXPECT_OK(linnet_load_options_set_progress(load.get(), request, nullptr, &user));
  EXPECT_OK(linnet_load_options_set_cancel(load.get(), user.cancel));
  EXPECT_CODE(LINNET_CANCELLED,
              linnet_quantize(engine_.get(), in().c_str(), load.get(), &options, out().c_str(), nullptr));
  EXPECT_EQ(asked, 0u);
  EXPECT_EQ(user.told, 2u);
  EXPECT_CODE(LINNET_CLOSED, linnet_load_options_set_cancel(load.get(), reinterpret_cast<linnet_cancel*>(load.get())));
  EXPECT_FALSE(fs::exists(out()));

  Cancelling between;
  EXPECT_OK(linnet_cancel_create(&between.cancel));
  const Owned<linnet_cancel> owned_too(between.cancel);
  options.cancel = between.cancel;
  options.progress = request;
  options.user = &between;
  options.sample = [](void* to, size_t i, linnet_value** inputs, size_t count) {
    EXPECT_LT(i, 2u);
    size_t given = 0;
    static_cast<void>(to);
    return sample(&given, i, inputs, count);
  };
  EXPECT_CODE(LINNET_CANCELLED, quantize(&options));
  EXPECT_EQ(between.told, 2u);
  EXPECT_EQ(fs::exists(out()), false);
  EXPECT_EQ(std::distance(fs::directory_iterator(folder_), fs::directory_iterator()), 1);  // no other file is left
}

TEST_F(Quantize, FailuresOfTheCallersFunctionsEndIt) {
  linnet_quantize_options options{};
  options.struct_size = sizeof options;
  options.scheme = LINNET_QUANTIZE_STATIC;
  options.sample_count = 1;
  options.sample = [](void*, size_t, linnet_value**, size_t) -> linnet_status* { throw std::runtime_error("no disk"); };
  linnet_status* thrown = quantize(&options);
  EXPECT_EQ(linnet_status_code(thrown), LINNET_CALLBACK_FAILED);
  EXPECT_NE(take_message(thrown).find("no disk"), std::string::npos);
  options.sample = [](void*, size_t, linnet_value** inputs, size_t) -> linnet_status* {
    inputs[0] = reinterpret_cast<linnet_value*>(uintptr_t{12345});
    return nullptr;
  };
  EXPECT_CODE(LINNET_CLOSED, quantize(&options));
  options.progress = [](void*, size_t, size_t, const char*) { throw std::runtime_error("a progress that throws"); };
  size_t asked = 0;
  options.sample = sample;
  options.user = &asked;
  EXPECT_OK(quantize(&options));
}

// Stands for a port of Dart's: keeps what is posted.
struct Port {
  struct Value {
    int32_t type;
    union {
      int64_t number;
      const char* text;
      struct {
        intptr_t length;
        Value** values;
      } list;
    } value;
  };
  std::mutex mutex;
  std::condition_variable arrived;
  std::vector<std::vector<int64_t>> messages;  // a list's numbers; of one with a text, four elements
  std::string last_text;

  linnet_completion completion() {
    linnet_completion c{};
    c.struct_size = sizeof c;
    c.post = [](int64_t port, void* message) -> int8_t {
      Port& self = *reinterpret_cast<Port*>(static_cast<intptr_t>(port));
      const Value& value = *static_cast<Value*>(message);
      const std::lock_guard lock(self.mutex);
      std::vector<int64_t> numbers;
      if (value.type == 3) numbers.push_back(value.value.number);
      for (intptr_t i = 0; value.type == 6 && i < value.value.list.length; ++i) {
        const Value& element = *value.value.list.values[i];
        if (element.type == 5) self.last_text = element.value.text;
        numbers.push_back(element.type == 3 ? element.value.number : element.type == 6 ? element.value.list.length : 0);
      }
      self.messages.push_back(numbers);
      self.arrived.notify_all();
      return 1;
    };
    c.port = static_cast<int64_t>(reinterpret_cast<intptr_t>(this));
    c.message = 7;
    return c;
  }
  std::vector<int64_t> next(size_t length) {
    std::unique_lock lock(mutex);
    for (;;) {
      for (auto at = messages.begin(); at != messages.end(); ++at) {
        if (at->size() != length) continue;
        const std::vector<int64_t> found = *at;
        messages.erase(messages.begin(), at + 1);
        return found;
      }
      arrived.wait(lock);
    }
  }
};

linnet_source source_of(const std::string& path) {
  linnet_source source{};
  source.struct_size = sizeof source;
  source.path = path.c_str();
  return source;
}

TEST_F(Quantize, WeightsByEachMethod) {
  Stream stream{3};
  const auto made_with = [&](const char* method, auto&& set) {
    stream.passes = 0;
    linnet_quantize_options options = stream.options();
    options.scheme = LINNET_QUANTIZE_WEIGHTS;
    options.method = method;
    if (!method || std::strcmp(method, "gptq") != 0) options.next = nullptr;
    set(options);
    EXPECT_OK(quantize(&options));
    return content(out());
  };
  using Options = linnet_quantize_options;
  const auto nothing = [](Options&) {};
  const std::string nearest = made_with("nearest", nothing), gptq = made_with("gptq", nothing);
  EXPECT_EQ(stream.passes, 1u);
  EXPECT_TRUE(nearest == made_with(nullptr, nothing));
  EXPECT_TRUE(made_with("hqq", nothing) == made_with(nullptr, [](Options& o) { o.half_quadratic = 1; }));
  EXPECT_FALSE(nearest == gptq);
  EXPECT_FALSE(nearest == made_with("nearest", [](Options& o) { o.search_ranges = 1; }));
  EXPECT_FALSE(gptq == made_with("gptq", [](Options& o) { o.act_order = 1; }));
  EXPECT_FALSE(gptq == made_with("gptq", [](Options& o) { o.damping = 0.9; }));
  Options wrong = stream.options();
  wrong.scheme = LINNET_QUANTIZE_WEIGHTS;
  EXPECT_NE(take_message(quantize(&wrong)).find("samples have no use"), std::string::npos);
  wrong.method = "awq";
  EXPECT_CODE(LINNET_INVALID_ARGUMENT, quantize(&wrong));
  wrong.method = "gptq";
  wrong.next = nullptr;
  EXPECT_CODE(LINNET_INVALID_ARGUMENT, quantize(&wrong));
}

TEST_F(Quantize, TaskThatAsksForSamples) {
  Port port;
  const linnet_completion completion = port.completion();
  linnet_quantize_options options{};
  options.struct_size = sizeof options;
  options.scheme = LINNET_QUANTIZE_STATIC;
  options.smooth = 1;
  const std::string path = in();
  const linnet_source source = source_of(path);
  const auto task = make<linnet_task>([&](linnet_task** t) {
    return linnet_quantize_async(engine_.get(), &source, nullptr, &options, out().c_str(), &completion, t);
  });
  for (int64_t pass = 0; pass < 2; ++pass)
    for (size_t i = 0; i < 3; ++i) {
      EXPECT_EQ(port.next(3), (std::vector<int64_t>{7, pass, 1}));
      if (i == 2) {
        EXPECT_OK(linnet_task_give_sample(task.get(), nullptr, 0));
      } else {
        linnet_value* value = nullptr;
        size_t given = 0;
        EXPECT_OK(sample(&given, i, &value, 1));
        EXPECT_OK(linnet_task_give_sample(task.get(), &value, 1));
        linnet_release(value);
      }
    }
  EXPECT_EQ(port.next(1), (std::vector<int64_t>{7}));
  EXPECT_OK(linnet_task_result(task.get()));
  const auto report = make<linnet_value>([&](linnet_value** v) { return linnet_task_report(task.get(), v); });
  EXPECT_NE(std::string(linnet_value_string(report.get(), 0, nullptr)).find("MatMul"), std::string::npos);
  EXPECT_TRUE(fs::exists(out()));
  EXPECT_CODE(LINNET_INVALID_ARGUMENT, linnet_task_give_sample(task.get(), nullptr, 0));
  EXPECT_CODE(LINNET_CLOSED, linnet_task_give_sample(nullptr, nullptr, 0));
}

TEST_F(Quantize, TaskWhoseAskerIsGone) {
  linnet_quantize_options options{};
  options.struct_size = sizeof options;
  options.scheme = LINNET_QUANTIZE_STATIC;
  const std::string path = in();
  const linnet_source source = source_of(path);
  for (const bool cancels : {true, false}) {
    Port port;
    const linnet_completion completion = port.completion();
    auto task = make<linnet_task>([&](linnet_task** t) {
      return linnet_quantize_async(engine_.get(), &source, nullptr, &options, out().c_str(), &completion, t);
    });
    port.next(3);
    if (cancels) {
      linnet_task_cancel(task.get());
    } else {
      task.reset();
    }
    port.next(1);
    if (cancels) {
      EXPECT_CODE(LINNET_CANCELLED, linnet_task_result(task.get()));
    }
    EXPECT_FALSE(fs::exists(out()));
  }
}

TEST_F(Quantize, TaskThatTellsOfItsProgress) {
  Port port;
  linnet_completion completion = port.completion();
  completion.post_progress = 1;
  const std::string path = in();
  const linnet_source source = source_of(path);
  const auto task = make<linnet_task>([&](linnet_task** t) {
    return linnet_quantize_async(engine_.get(), &source, nullptr, nullptr, out().c_str(), &completion, t);
  });
  EXPECT_EQ(port.next(4)[0], 7);
  port.next(1);
  EXPECT_OK(linnet_task_result(task.get()));
  EXPECT_EQ(port.last_text, "writing");
  EXPECT_CODE(LINNET_CLOSED,
              linnet_quantize_async(nullptr, &source, nullptr, nullptr, out().c_str(), nullptr, nullptr));
  EXPECT_CODE(LINNET_INVALID_ARGUMENT,
              linnet_quantize_async(engine_.get(), nullptr, nullptr, nullptr, out().c_str(), nullptr, nullptr));
  EXPECT_CODE(LINNET_INVALID_ARGUMENT,
              linnet_quantize_async(engine_.get(), &source, nullptr, nullptr, "\xff", nullptr, nullptr));
}

TEST_F(Quantize, TaskThatWaitsForThoseWhomItTells) {
  const std::string path = in();
  const linnet_source source = source_of(path);
  for (const bool cancels : {false, true}) {
    Port port;
    linnet_completion completion = port.completion();
    completion.post_progress = LINNET_POST_AND_WAIT;
    const auto task = make<linnet_task>([&](linnet_task** t) {
      return linnet_quantize_async(engine_.get(), &source, nullptr, nullptr, out().c_str(), &completion, t);
    });
    while (port.next(4), port.last_text != "writing") {
      EXPECT_TRUE(port.messages.empty());
      linnet_task_continue(task.get());
    }
    int32_t ended = 1;
    EXPECT_OK(linnet_task_wait(task.get(), 30, &ended));
    EXPECT_EQ(ended, 0);
    if (cancels) linnet_task_cancel(task.get());
    linnet_task_continue(task.get());
    linnet_task_continue(nullptr);
    port.next(1);
    EXPECT_CODE(cancels ? LINNET_CANCELLED : LINNET_OK, linnet_task_result(task.get()));
    EXPECT_EQ(fs::exists(out()), !cancels);
    fs::remove(out());
  }
  Port port;
  linnet_completion completion = port.completion();
  completion.post_progress = LINNET_POST_AND_WAIT;
  auto task = make<linnet_task>([&](linnet_task** t) {
    return linnet_quantize_async(engine_.get(), &source, nullptr, nullptr, out().c_str(), &completion, t);
  });
  port.next(4);
  task.reset();  // nobody can answer any more
  port.next(1);
}

TEST_F(Quantize, OptionsOfOlderCallers) {
  linnet_quantize_options options{};
  std::memset(&options, 7, sizeof options);  // what such a caller has behind its struct
  std::memset(&options, 0, offsetof(linnet_quantize_options, next));
  options.struct_size = offsetof(linnet_quantize_options, next);
  EXPECT_OK(quantize(&options));
  EXPECT_TRUE(fs::exists(out()));
}

TEST_F(Quantize, TheProcessMayExitMeanwhile) {
  testing::GTEST_FLAG(death_test_style) = "threadsafe";
  const std::string path = in(), to = out();
  EXPECT_EXIT(
      {
        static Stream stream{SIZE_MAX};
        static const linnet_quantize_options options = stream.options();
        const linnet_source source = source_of(path);
        linnet_release(
            linnet_quantize_async(engine_.get(), &source, nullptr, &options, (to + "x").c_str(), nullptr, nullptr));
        Port& port = *new Port;  // destroyed at exit it would be gone before the task
        const linnet_completion completion = port.completion();
        linnet_quantize_options asking{};
        asking.struct_size = sizeof asking;
        asking.scheme = LINNET_QUANTIZE_STATIC;
        linnet_task* task = nullptr;
        linnet_release(linnet_quantize_async(engine_.get(), &source, nullptr, &asking, to.c_str(), &completion, &task));
        std::this_thread::sleep_for(std::chrono::milliseconds(20));
        std::exit(0);
      },
      testing::ExitedWithCode(0), "");
  EXPECT_FALSE(fs::exists(to));
}

}  // namespace
