// Searches through the C and the C++ interface; what a search finds is tests/tune's.
#include <algorithm>
#include <atomic>
#include <filesystem>
#include <fstream>
#include <future>
#include <mutex>
#include <stdexcept>
#include <thread>

#include "linnet/linnet.hpp"
#include "support.h"

namespace {

namespace fs = std::filesystem;
using linnet::Tensor;

class Tune : public ::testing::Test {
 protected:
  Tune() {
    const std::string name = ::testing::UnitTest::GetInstance()->current_test_info()->name();
    folder_ = fs::path(::testing::TempDir()) / ("linnet_tune_" + name);
    fs::remove_all(folder_);
    fs::create_directories(folder_);
    const models::Bytes bytes = models::product();
    std::ofstream(in(), std::ios::binary)
        .write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
    options_.settings.budget_seconds = 20;
    options_.settings.max_loss = 0.05;
    options_.settings.prefer = "size";
    options_.samples = [this](size_t) {
      if (given_++ == 4) return std::vector<Tensor>();
      std::vector<float> numbers(128);
      for (size_t i = 0; i < numbers.size(); ++i) numbers[i] = static_cast<float>((i * 7 + given_) % 13) - 6;
      return std::vector<Tensor>{Tensor::of<float>({2, 64}, numbers)};
    };
  }
  ~Tune() override { fs::remove_all(folder_); }

  std::string in() const { return (folder_ / "in.onnx").string(); }
  std::string out() const { return (folder_ / "tuned").string(); }
  linnet_code code() const {
    const auto result = linnet::try_tune(in(), out(), options_);
    return result ? LINNET_OK : result.error().code();
  }

  fs::path folder_;
  linnet::TuneOptions options_;
  size_t given_ = 0;
};

TEST_F(Tune, WritesTheModelAndTellsHow) {
  size_t told = 0;
  options_.progress = [&](size_t, size_t, std::string_view) { ++told; };
  const std::string report = linnet::tune(in(), out(), options_);
  EXPECT_NE(report.find("\"chosen\""), std::string::npos) << report;
  EXPECT_EQ(given_, 5u);  // once each, and the end
  EXPECT_GT(told, 3u);
  EXPECT_TRUE(fs::exists(out() + "/manifest.json"));
  EXPECT_LT(fs::file_size(out() + "/model.onnx"), fs::file_size(in()) / 2);
  EXPECT_EQ(linnet::Model(out() + "/model.onnx").inputs()[0].name, "x");
}

TEST_F(Tune, NothingKeepsTheLimits) {
  options_.settings.max_bytes = 10;
  const std::string report = linnet::tune(in(), out(), options_);
  EXPECT_EQ(report.find("\"chosen\""), std::string::npos);
  EXPECT_NE(report.find("\"beyond\""), std::string::npos);
  EXPECT_FALSE(fs::exists(out() + "/model.onnx"));
}

TEST_F(Tune, NothingMayBeLost) {
  options_.settings.max_loss = 0;
  options_.settings.no_loss = 1;
  const std::string report = linnet::tune(in(), out(), options_);
  EXPECT_NE(report.find("\"loss\": 0,"), std::string::npos) << report.substr(0, 2000);
  EXPECT_EQ(report.find("\"loss\": 0.01"), std::string::npos);
}

TEST_F(Tune, OtherSamplesToCalibrateWith) {
  options_.settings.max_loss = 1;
  const auto sha256_of_static = [](const std::string& report) {
    const size_t at = report.find("\"static\"");
    const size_t hash = report.find("\"sha256\"", at);
    return at == std::string::npos ? std::string() : report.substr(hash, 80);
  };
  const std::string before = sha256_of_static(linnet::tune(in(), out(), options_));
  EXPECT_NE(before, "");
  given_ = 0;
  size_t calibrated = 0;
  options_.calibration = [&](size_t) {
    if (calibrated++ == 2) return std::vector<Tensor>();
    std::vector<float> numbers(128, static_cast<float>(calibrated) * 100);
    return std::vector<Tensor>{Tensor::of<float>({2, 64}, numbers)};
  };
  options_.settings.calibration_path = "folder/to/calibrate";
  options_.settings.sample_path = "folder/to/judge";
  size_t told = 0;
  options_.progress = [&](size_t, size_t, std::string_view what) {
    told += what.starts_with("reading calibration sample ");
  };
  const std::string report = linnet::tune(in(), out() + "2", options_);
  EXPECT_EQ(calibrated, 3u);  // once each, and the end
  EXPECT_EQ(told, 3u);
  EXPECT_NE(sha256_of_static(report), before);
  EXPECT_NE(report.find("folder/to/calibrate"), std::string::npos);
}

TEST_F(Tune, HandlesMayBeClosedMeanwhile) {
  linnet_engine* engine = nullptr;
  EXPECT_OK(linnet_engine_create(nullptr, &engine));
  struct Closing {
    linnet::TuneOptions* options = nullptr;
    std::promise<linnet_code> ended;
    std::atomic<bool> closed{false};
  } closing;
  closing.options = &options_;
  linnet_cancel* cancel = nullptr;
  EXPECT_OK(linnet_cancel_create(&cancel));
  linnet_tune_options options = options_.settings;
  options.struct_size = sizeof options;
  const std::string folder = out();
  options.folder = folder.c_str();
  options.user = &closing;
  options.cancel = cancel;
  options.next = [](void* user, size_t pass, const char* const*, linnet_value** inputs, size_t, int32_t* ended) {
    const auto& self = *static_cast<Closing*>(user);
    while (!self.closed) std::this_thread::yield();
    const std::vector<Tensor> sample = self.options->samples(pass);
    *ended = sample.empty();
    return sample.empty() ? nullptr : linnet_value_share(sample[0].get(), &inputs[0]);
  };
  linnet_completion completion{};
  completion.struct_size = sizeof completion;
  completion.user = &closing;
  completion.done = [](void* user, linnet_task* task) {
    linnet_status* const failed = linnet_task_result(task);
    static_cast<Closing*>(user)->ended.set_value(linnet_status_code(failed));
    linnet_release(failed);
  };
  linnet_task* task = nullptr;
  EXPECT_OK(linnet_tune_async(engine, in().c_str(), &options, &completion, &task));
  for (void* const handle : {static_cast<void*>(engine), static_cast<void*>(cancel), static_cast<void*>(task)})
    linnet_release(handle);
  closing.closed = true;
  EXPECT_EQ(closing.ended.get_future().get(), LINNET_OK);
  EXPECT_TRUE(fs::exists(out() + "/model.onnx"));
}

TEST_F(Tune, RefusesWhatMakesNoSense) {
  const auto refuses = [&](auto&& spoil) {
    linnet::TuneOptions whole = options_;
    spoil(options_);
    EXPECT_EQ(code(), LINNET_INVALID_ARGUMENT);
    options_ = std::move(whole);
    given_ = 0;
  };
  using Options = linnet::TuneOptions;
  refuses([](Options& o) { o.settings.max_loss = -1; });
  refuses([](Options& o) { o.settings.p95_ms = -1; });
  refuses([](Options& o) { o.settings.measure = "beauty"; });
  refuses([](Options& o) { o.settings.prefer = "cheap"; });
  refuses([](Options& o) { o.threads = {0}; });
  refuses([](Options& o) { o.labels = {1}; });  // of four samples
  refuses([](Options& o) { o.samples = {}; });
  refuses([](Options& o) { o.samples = [](size_t) { return std::vector<Tensor>(); }; });
  refuses([](Options& o) { o.settings.no_loss = 1; });  // and max_loss
  refuses([](Options& o) { o.settings.calibration_path = "folder"; });
  refuses([](Options& o) { o.calibration = [](size_t) { return std::vector<Tensor>(); }; });
  refuses([](Options& o) {
    o.labels = {1, 2, 3, 4};
    o.settings.measure = "top1";
  });
  EXPECT_FALSE(fs::exists(out()));
  options_.output = out() + "/no/such/model.onnx";
  EXPECT_EQ(code(), LINNET_NOT_FOUND);
  EXPECT_TRUE(fs::is_empty(out()));  // before the search, which takes long
  options_.output.clear();
  given_ = 0;
  options_.samples = [](size_t) -> std::vector<Tensor> { throw std::runtime_error("no samples today"); };
  EXPECT_EQ(code(), LINNET_CALLBACK_FAILED);
  EXPECT_CODE(LINNET_INVALID_ARGUMENT, linnet_tune(in().c_str(), nullptr, nullptr));
  linnet_tune_options empty{};
  EXPECT_CODE(LINNET_INVALID_ARGUMENT, linnet_tune(in().c_str(), &empty, nullptr));  // no struct_size
  EXPECT_CODE(LINNET_INVALID_ARGUMENT, linnet_tune(nullptr, &empty, nullptr));
}

TEST_F(Tune, CancelledInTheMiddle) {
  linnet::CancelToken token;
  options_.cancel = &token;
  options_.progress = [&](size_t, size_t, std::string_view what) {
    if (what.starts_with("trying")) token.request();
  };
  EXPECT_EQ(code(), LINNET_CANCELLED);
  EXPECT_FALSE(fs::exists(out() + "/model.onnx"));
  // Another search goes on where that ended.
  options_.cancel = nullptr;
  options_.progress = {};
  options_.settings.resume = 1;
  given_ = 0;
  linnet::tune(in(), out(), options_);
  EXPECT_TRUE(fs::exists(out() + "/model.onnx"));
}

TEST_F(Tune, CancelledWhileSamplesAreRead) {
  linnet::CancelToken token;
  options_.cancel = &token;
  options_.samples = [&](size_t) {
    if (++given_ == 3) token.request();
    if (given_ == 100) throw std::runtime_error("is asked for ever");
    return std::vector<Tensor>{Tensor::of<float>({2, 64}, std::vector<float>(128))};
  };
  size_t told = 0;
  options_.progress = [&](size_t, size_t, std::string_view what) { told += what.starts_with("reading sample "); };
  EXPECT_EQ(code(), LINNET_CANCELLED);
  EXPECT_EQ(given_, 3u);
  EXPECT_EQ(told, 3u);
  EXPECT_FALSE(fs::exists(out()));

  linnet::QuantizeOptions explaining;
  explaining.settings.explain = 1;
  explaining.samples = options_.samples;
  linnet::CancelToken another;
  explaining.cancel = &another;
  explaining.progress = [&](size_t done, size_t, std::string_view what) {
    if (what == "reading samples" && done == 2) another.request();
  };
  given_ = 10;
  const auto result = linnet::try_quantize(linnet::Engine(1), in(), out(), explaining);
  ASSERT_FALSE(result.ok());
  EXPECT_EQ(result.error().code(), LINNET_CANCELLED);
  EXPECT_EQ(given_, 13u);
  EXPECT_FALSE(fs::exists(out()));
}

TEST_F(Tune, AsATask) {
  linnet_engine_options one_runner{};
  one_runner.struct_size = sizeof one_runner;
  one_runner.threads = one_runner.runners = 1;
  const linnet::Engine engine(one_runner);
  // Nothing begins before this task has ended: what the call was given may be gone by then.
  std::promise<void> gone;
  linnet_tune_options waiting{};
  waiting.struct_size = sizeof waiting;
  const std::string unused = out() + "_unused";
  waiting.folder = unused.c_str();
  waiting.user = &gone;
  waiting.next = [](void* user, size_t, const char* const*, linnet_value**, size_t, int32_t*) {
    static_cast<std::promise<void>*>(user)->get_future().wait();
    return linnet_status_create(LINNET_NOT_FOUND, "no samples");
  };
  EXPECT_OK(linnet_tune_async(engine.get(), in().c_str(), &waiting, nullptr, nullptr));
  linnet_tune_options options{};
  options.struct_size = sizeof options;
  std::string folder = out(), sample_path = "folder/of/samples";
  options.folder = folder.c_str();
  options.sample_path = sample_path.c_str();
  options.budget_seconds = 20;
  options.user = &options_;
  options.next = [](void* user, size_t pass, const char* const*, linnet_value** inputs, size_t, int32_t* ended) {
    const std::vector<Tensor> sample = static_cast<linnet::TuneOptions*>(user)->samples(pass);
    *ended = sample.empty();
    return sample.empty() ? nullptr : linnet_value_share(sample[0].get(), &inputs[0]);
  };
  linnet_task* task = nullptr;
  EXPECT_OK(linnet_tune_async(engine.get(), in().c_str(), &options, nullptr, &task));
  std::fill(folder.begin(), folder.end(), 'x');
  std::fill(sample_path.begin(), sample_path.end(), 'x');
  gone.set_value();
  const Owned<linnet_task> owned(task);
  EXPECT_OK(linnet_task_wait(task, 60000, nullptr));
  EXPECT_OK(linnet_task_result(task));
  linnet_value* report = nullptr;
  EXPECT_OK(linnet_task_report(task, &report));
  const std::string told = linnet_value_string(report, 0, nullptr);
  EXPECT_NE(told.find("\"candidates\""), std::string::npos);
  EXPECT_NE(told.find("folder/of/samples"), std::string::npos) << told;
  linnet_release(report);
  EXPECT_TRUE(fs::exists(out() + "/model.onnx"));
}

// Counts a posted question by its pass, and answers it with `sample`, four times each.
TEST_F(Tune, ATaskAsksForSamplesToCalibrateWith) {
  struct Value {
    int32_t type;
    union {
      int64_t number;
      struct {
        intptr_t length;
        Value** values;
      } list;
    } value;
  };
  struct Port {
    std::mutex mutex;
    std::vector<int64_t> passes;
    bool ended = false;
  } port;
  linnet_completion completion{};
  completion.struct_size = sizeof completion;
  completion.port = static_cast<int64_t>(reinterpret_cast<intptr_t>(&port));
  completion.post = [](int64_t at, void* message) -> int8_t {
    auto& self = *reinterpret_cast<Port*>(static_cast<intptr_t>(at));
    const auto& posted = *static_cast<const Value*>(message);
    const std::lock_guard lock(self.mutex);
    if (posted.type != 6) self.ended = true;
    if (posted.type == 6) self.passes.push_back(posted.value.list.values[1]->value.number);
    return 1;
  };
  linnet_tune_options options = options_.settings;
  options.struct_size = sizeof options;
  options.post_calibration = 1;
  const std::string folder = out();
  options.folder = folder.c_str();
  const linnet::Engine engine(1);
  linnet_task* task = nullptr;
  EXPECT_OK(linnet_tune_async(engine.get(), in().c_str(), &options, &completion, &task));
  const Owned<linnet_task> owned(task);
  std::vector<int64_t> asked;
  for (bool ended = false; !ended; std::this_thread::sleep_for(std::chrono::milliseconds(1))) {
    std::vector<int64_t> questions;
    {
      const std::lock_guard lock(port.mutex);
      questions.swap(port.passes);
      ended = port.ended;
    }
    for (const int64_t pass : questions) {
      asked.push_back(pass);
      const std::vector<Tensor> sample = options_.samples(0);
      const linnet_value* const value = sample.empty() ? nullptr : sample[0].get();
      if (sample.empty()) given_ = 0;
      EXPECT_OK(linnet_task_give_sample(task, &value, sample.size()));
    }
  }
  EXPECT_OK(linnet_task_result(task));
  EXPECT_EQ(asked, (std::vector<int64_t>{0, 0, 0, 0, 0, -1, -1, -1, -1, -1}));
}

}  // namespace
