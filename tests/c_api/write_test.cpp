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

TEST_F(Write, ReportsAndFixesShapes) {
  const models::Bytes bytes = models::sum();
  const linnet_source source = source_of(bytes);
  const char* names[] = {"a"};
  const int64_t shape[] = {5, 2};
  const int64_t* shapes[] = {shape};
  const size_t ranks[] = {2};
  linnet_value* report = nullptr;
  linnet_optimize_options options{};
  options.struct_size = sizeof options;
  options.shaped_inputs = names;
  options.shapes = shapes;
  options.ranks = ranks;
  options.shape_count = 1;
  options.report = &report;
  EXPECT_OK(linnet_optimize(&source, LINNET_LEVEL_BASIC, nullptr, &options, path("fixed.onnx").c_str()));
  const Owned<linnet_value> owned(report);
  EXPECT_NE(std::string(linnet_value_string(report, 0, nullptr)).find("\"passes\": [{\"pass\": \""), std::string::npos);
  const auto engine = engine_of();
  const auto model = make<linnet_model>(
      [&](linnet_model** m) { return linnet_model_load(engine.get(), path("fixed.onnx").c_str(), nullptr, m); });
  linnet_port port{};
  port.struct_size = sizeof port;
  EXPECT_OK(linnet_model_input(model.get(), 0, &port));
  EXPECT_EQ(port.shape[0], 5);
  options.report = nullptr;
  names[0] = "q";
  EXPECT_CODE(LINNET_NOT_FOUND,
              linnet_optimize(&source, LINNET_LEVEL_BASIC, nullptr, &options, path("fixed.onnx").c_str()));
  options.shapes = nullptr;
  EXPECT_CODE(LINNET_INVALID_ARGUMENT,
              linnet_optimize(&source, LINNET_LEVEL_BASIC, nullptr, &options, path("fixed.onnx").c_str()));
}

// Requests the token when it has been told so often.
struct Patience {
  linnet_cancel* cancel;
  size_t left, told = 0;
  bool released = false;
  static void tell(void* user, size_t, size_t, const char*) {
    auto& self = *static_cast<Patience*>(user);
    if (++self.told == self.left) linnet_cancel_request(self.cancel);
  }
};

TEST_F(Write, CancelledAtEachStageWritesNothing) {
  const auto engine = engine_of();
  const models::Bytes bytes = models::sum();
  const linnet_source source = source_of(bytes);
  size_t stages = 0;
  for (size_t left = 1; left < 1000; ++left) {
    const auto cancel = make<linnet_cancel>(linnet_cancel_create);
    Patience patience{cancel.get(), left};
    auto load = make<linnet_load_options>(linnet_load_options_create);
    EXPECT_OK(linnet_load_options_set_cancel(load.get(), cancel.get()));
    EXPECT_OK(linnet_load_options_set_progress(
        load.get(), Patience::tell, [](void* user) { static_cast<Patience*>(user)->released = true; }, &patience));
    const linnet_code code = take_code(linnet_compile(engine.get(), &source, load.get(), path("x.linnet").c_str()));
    load.reset();
    EXPECT_TRUE(patience.released);
    if (code == LINNET_OK) {
      stages = patience.told;
      break;
    }
    EXPECT_EQ(code, LINNET_CANCELLED);
    EXPECT_EQ(patience.told, left);
    EXPECT_FALSE(fs::exists(path("x.linnet")));
  }
  EXPECT_GT(stages, 10u);
  EXPECT_TRUE(fs::exists(path("x.linnet")));
}

TEST_F(Write, AsTasks) {
  const auto engine = engine_of();
  const models::Bytes bytes = models::sum();
  const linnet_source source = source_of(bytes);
  const auto ended = [](linnet_task* task) {
    EXPECT_OK(linnet_task_wait(task, -1, nullptr));
    return linnet_task_result(task);
  };
  auto task = make<linnet_task>([&](linnet_task** t) {
    return linnet_optimize_async(engine.get(), &source, LINNET_LEVEL_BASIC, nullptr, nullptr, path("task.onnx").c_str(),
                                 nullptr, t);
  });
  EXPECT_OK(ended(task.get()));
  const auto report = make<linnet_value>([&](linnet_value** v) { return linnet_task_report(task.get(), v); });
  EXPECT_EQ(linnet_value_string(report.get(), 0, nullptr)[0], '{');
  EXPECT_EQ(sum_by(path("task.onnx")), (std::vector<float>{8, 12}));
  task = make<linnet_task>([&](linnet_task** t) {
    return linnet_compile_async(engine.get(), &source, nullptr, path("task.linnet").c_str(), nullptr, t);
  });
  EXPECT_OK(ended(task.get()));
  EXPECT_EQ(sum_by(path("task.linnet")), (std::vector<float>{8, 12}));
  linnet_value* none = nullptr;
  EXPECT_CODE(LINNET_INVALID_ARGUMENT, linnet_task_report(task.get(), &none));
  task = make<linnet_task>([&](linnet_task** t) {
    return linnet_compile_async(engine.get(), &source, nullptr, path("nowhere/x").c_str(), nullptr, t);
  });
  EXPECT_CODE(LINNET_IO, ended(task.get()));
  const auto cancel = make<linnet_cancel>(linnet_cancel_create);
  linnet_optimize_options options{};
  options.struct_size = sizeof options;
  options.cancel = cancel.get();
  linnet_cancel_request(cancel.get());
  task = make<linnet_task>([&](linnet_task** t) {
    return linnet_optimize_async(engine.get(), &source, LINNET_LEVEL_BASIC, nullptr, &options,
                                 path("never.onnx").c_str(), nullptr, t);
  });
  EXPECT_CODE(LINNET_CANCELLED, ended(task.get()));
  EXPECT_FALSE(fs::exists(path("never.onnx")));
  EXPECT_CODE(LINNET_INVALID_ARGUMENT,
              linnet_optimize_async(engine.get(), &source, static_cast<linnet_level>(9), nullptr, nullptr,
                                    path("never.onnx").c_str(), nullptr, nullptr));
  EXPECT_CODE(LINNET_CLOSED, linnet_compile_async(nullptr, &source, nullptr, path("x").c_str(), nullptr, nullptr));
}

}  // namespace
