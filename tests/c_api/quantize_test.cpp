#include <filesystem>
#include <fstream>

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
    options.sample = sample;
    options.sample_count = 3;
    options.user = &asked;
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
  EXPECT_EQ(take_code(linnet_quantize(nullptr, in().c_str(), nullptr, nullptr, out().c_str(), nullptr)), LINNET_CLOSED);
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

}  // namespace
