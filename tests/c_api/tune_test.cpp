// Searches through the C and the C++ interface; what a search finds is tests/tune's.
#include <filesystem>
#include <fstream>
#include <stdexcept>

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
  EXPECT_FALSE(fs::exists(out()));
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

TEST_F(Tune, AsATask) {
  const linnet::Engine engine(1);
  linnet_tune_options options{};
  options.struct_size = sizeof options;
  const std::string folder = out();
  options.folder = folder.c_str();
  options.budget_seconds = 20;
  options.user = &options_;
  options.next = [](void* user, size_t pass, const char* const*, linnet_value** inputs, size_t, int32_t* ended) {
    const std::vector<Tensor> sample = static_cast<linnet::TuneOptions*>(user)->samples(pass);
    *ended = sample.empty();
    return sample.empty() ? nullptr : linnet_value_share(sample[0].get(), &inputs[0]);
  };
  linnet_task* task = nullptr;
  EXPECT_OK(linnet_tune_async(engine.get(), in().c_str(), &options, nullptr, &task));
  const Owned<linnet_task> owned(task);
  EXPECT_OK(linnet_task_wait(task, 60000, nullptr));
  EXPECT_OK(linnet_task_result(task));
  linnet_value* report = nullptr;
  EXPECT_OK(linnet_task_report(task, &report));
  EXPECT_NE(std::string(linnet_value_string(report, 0, nullptr)).find("\"candidates\""), std::string::npos);
  linnet_release(report);
  EXPECT_TRUE(fs::exists(out() + "/model.onnx"));
}

}  // namespace
