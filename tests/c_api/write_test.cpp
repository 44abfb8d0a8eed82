// Models written through the C interface.
#include <filesystem>
#include <fstream>

#include "support.h"

namespace {

namespace fs = std::filesystem;

linnet_source source_of(const models::Bytes& bytes) {
  linnet_source source{};
  source.struct_size = sizeof source;
  source.data = bytes.data();
  source.size = bytes.size();
  return source;
}

std::vector<float> sum_by(const std::string& path) {
  const auto engine = engine_of();
  const auto model =
      make<linnet_model>([&](linnet_model** m) { return linnet_model_load(engine.get(), path.c_str(), nullptr, m); });
  const auto session = session_of(model.get());
  const auto a = floats({1, 2}, {1, 2}), b = floats({1, 2}, {3, 4});
  const linnet_value* inputs[] = {a.get(), b.get()};
  linnet_value* output = nullptr;
  EXPECT_OK(linnet_session_run(session.get(), nullptr, nullptr, inputs, 2, nullptr, &output, 1));
  const Owned<linnet_value> owned(output);
  return elements_of(output);
}

class Write : public testing::Test {
 protected:
  void SetUp() override { fs::create_directories(folder_); }
  void TearDown() override { fs::remove_all(folder_); }
  std::string path(const std::string& name) const { return (folder_ / name).string(); }

 private:
  fs::path folder_ = fs::path(testing::TempDir()) / "linnet_c_api_write";
};

TEST_F(Write, Optimized) {
  const models::Bytes bytes = models::sum();
  const linnet_source source = source_of(bytes);
  for (const linnet_level level : {LINNET_LEVEL_NONE, LINNET_LEVEL_BASIC, LINNET_LEVEL_EXTENDED, LINNET_LEVEL_ALL}) {
    EXPECT_OK(linnet_optimize(&source, level, nullptr, nullptr, path("out.onnx").c_str()));
    EXPECT_EQ(sum_by(path("out.onnx")), (std::vector<float>{8, 12}));
  }
  EXPECT_CODE(LINNET_INVALID_ARGUMENT,
              linnet_optimize(&source, static_cast<linnet_level>(9), nullptr, nullptr, path("out.onnx").c_str()));
  EXPECT_CODE(LINNET_INVALID_ARGUMENT, linnet_optimize(&source, LINNET_LEVEL_ALL, nullptr, nullptr, nullptr));
  EXPECT_CODE(LINNET_IO,
              linnet_optimize(&source, LINNET_LEVEL_ALL, nullptr, nullptr, path("nowhere/out.onnx").c_str()));
}

TEST_F(Write, HalfPrecisionWithCastsAtItsPorts) {
  const models::Bytes bytes = models::sum();
  const linnet_source source = source_of(bytes);
  linnet_optimize_options options{};
  options.struct_size = sizeof options;
  options.floats = LINNET_FLOAT16;
  EXPECT_OK(linnet_optimize(&source, LINNET_LEVEL_BASIC, nullptr, &options, path("half.onnx").c_str()));
  EXPECT_EQ(sum_by(path("half.onnx")), (std::vector<float>{8, 12}));
  const char* unknown[] = {"NoSuchOperator"};
  options.keep_float = unknown;
  options.keep_float_count = 1;
  EXPECT_CODE(LINNET_NOT_FOUND,
              linnet_optimize(&source, LINNET_LEVEL_BASIC, nullptr, &options, path("half.onnx").c_str()));
  options.floats = LINNET_INT8;
  EXPECT_CODE(LINNET_INVALID_ARGUMENT,
              linnet_optimize(&source, LINNET_LEVEL_BASIC, nullptr, &options, path("half.onnx").c_str()));
}

TEST_F(Write, CancelledWritesNothing) {
  const models::Bytes bytes = models::sum();
  const linnet_source source = source_of(bytes);
  const auto cancel = make<linnet_cancel>(linnet_cancel_create);
  linnet_cancel_request(cancel.get());
  linnet_optimize_options options{};
  options.struct_size = sizeof options;
  options.cancel = cancel.get();
  EXPECT_CODE(LINNET_CANCELLED,
              linnet_optimize(&source, LINNET_LEVEL_BASIC, nullptr, &options, path("never.onnx").c_str()));
  EXPECT_FALSE(fs::exists(path("never.onnx")));
}

TEST_F(Write, Compiled) {
  const auto engine = engine_of();
  const models::Bytes bytes = models::sum();
  const linnet_source source = source_of(bytes);
  EXPECT_OK(linnet_compile(engine.get(), &source, nullptr, path("out.linnet").c_str()));
  EXPECT_EQ(sum_by(path("out.linnet")), (std::vector<float>{8, 12}));
  linnet_source again{};
  again.struct_size = sizeof again;
  const std::string made = path("out.linnet");
  again.path = made.c_str();
  EXPECT_CODE(LINNET_INVALID_ARGUMENT, linnet_compile(engine.get(), &again, nullptr, path("twice.linnet").c_str()));
  EXPECT_CODE(LINNET_CLOSED, linnet_compile(nullptr, &source, nullptr, path("out.linnet").c_str()));
}

}  // namespace
