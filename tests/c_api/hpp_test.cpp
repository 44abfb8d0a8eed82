// linnet.hpp as a program would use it: nothing of the engine is included here.
#include "linnet/linnet.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <stdexcept>
#include <thread>

#include "models.h"

namespace {

using linnet::Engine;
using linnet::LoadOptions;
using linnet::Model;
using linnet::Source;
using linnet::Tensor;

std::vector<float> floats(const Tensor& tensor) {
  const std::span<const float> data = tensor.data<float>();
  return {data.begin(), data.end()};
}

TEST(Hpp, RunsByName) {
  const Model model(Source::copy(models::sum()));
  ASSERT_EQ(model.inputs().size(), 2u);
  EXPECT_EQ(model.inputs()[0].size_names[0], "n");
  EXPECT_EQ(model.metadata("author"), "somebody");
  EXPECT_EQ(model.metadata("nobody"), std::nullopt);
  const auto outputs = model.run({{"a", Tensor::of<float>({1, 2}, {1, 2})}, {"b", Tensor::of<float>({1, 2}, {3, 4})}});
  EXPECT_EQ(floats(outputs.at("y")), (std::vector<float>{8, 12}));

  const linnet::NamedTensors inputs = {{"a", Tensor::of<float>({1, 2}, {1, 2})},
                                       {"b", Tensor::of<float>({1, 2}, {3, 4})}};
  EXPECT_EQ(floats(model.run(inputs, {"inner"}).at("inner")), (std::vector<float>{4, 6}));
}

TEST(Hpp, BothFormsOfErrors) {
  const Model model(Source::copy(models::sum()));
  const auto failed = model.try_run(linnet::NamedTensors{{"c", Tensor::of<float>({1}, {1})}});
  ASSERT_FALSE(failed);
  EXPECT_EQ(failed.error().code(), LINNET_NOT_FOUND);
  EXPECT_THROW(model.run({{"c", Tensor::of<float>({1}, {1})}}), linnet::Error);
  EXPECT_EQ(Model::try_load("/no/such.onnx", Engine()).error().code(), LINNET_NOT_FOUND);
  EXPECT_THROW(Model("/no/such.onnx"), linnet::Error);
  EXPECT_THROW(Tensor::zeros(LINNET_UNDEFINED, {}), linnet::Error);
  EXPECT_FALSE(Tensor::of<float>({1}, {1}).try_data<int64_t>());
  EXPECT_THROW(static_cast<void>(Tensor::of<float>({2}, {1})), linnet::Error);
  EXPECT_FALSE(Engine::try_create(size_t{1} << 30));
  LoadOptions options;
  options.level(static_cast<linnet_level>(9)).seed(3);
  EXPECT_EQ(Model::try_load(Source::copy(models::sum()), Engine(), options).error().code(), LINNET_INVALID_ARGUMENT);

  const Model reshape(Source::copy(models::reshaped()));
  try {
    reshape.run({{"x", Tensor::of<float>({3}, {1, 2, 3})}, {"shape", Tensor::of<int64_t>({2}, {2, 2})}});
    FAIL();
  } catch (const linnet::Error& e) {
    EXPECT_NE(e.node().find("Reshape"), std::string::npos);
    EXPECT_EQ(e.inputs(), "float[3], int64[2]");
  }
}

TEST(Hpp, WritesIntoTensorsByPosition) {
  const Model model(Source::copy(models::sum()));
  std::vector<float> memory(2);
  const std::vector<Tensor> inputs(2, Tensor::of<float>({1, 2}, {1, 2}));
  std::vector<Tensor> outputs = {Tensor::view<float>({1, 2}, memory)};
  model.run(inputs, outputs);
  EXPECT_EQ(memory, (std::vector<float>{4, 8}));
  outputs.clear();
  model.run(inputs, outputs);
  EXPECT_EQ(floats(outputs.at(0)), (std::vector<float>{4, 8}));
}

TEST(Hpp, ValuesOfEveryKind) {
  EXPECT_EQ(Tensor::strings({2}, {"a", "b"}).text(1), "b");
  const auto keys = Tensor::of<int64_t>({2}, {1, 2});
  const auto values = Tensor::of<float>({2}, {3, 4});
  const Tensor map = Tensor::map(keys, values);
  EXPECT_EQ(map.kind(), LINNET_MAP);
  EXPECT_EQ(floats(map.at(1)), (std::vector<float>{3, 4}));
  const Tensor sequence = Tensor::sequence(LINNET_FLOAT, std::vector<Tensor>{values, values});
  EXPECT_EQ(sequence.count(), 2);
  EXPECT_EQ(Tensor::none().kind(), LINNET_NONE);

  const auto says = [](const auto& result) { return std::string(result.ok() ? "" : result.error().what()); };
  EXPECT_EQ(says(sequence.try_data<float>()), "the value is a sequence of 2, not a tensor: at(i) gives its elements");
  EXPECT_EQ(says(map.try_data<float>()),
            "the value is a map of 2, not a tensor: at(0) gives its keys, at(1) its values");
  EXPECT_EQ(says(Tensor::none().try_data<float>()), "there is no tensor: the value holds nothing");
  EXPECT_EQ(says(Tensor().try_data<float>()), "there is no tensor: the value holds nothing");
  EXPECT_EQ(says(keys.try_data<float>()), "the tensor's elements are int64, not float");
  EXPECT_EQ(says(keys.try_text(0)), "the tensor's elements are int64, not string");
  const Tensor strings = Tensor::strings({2}, {"a", "b"});
  EXPECT_EQ(says(strings.try_data<float>()), "the tensor's elements are strings, which text(i) reads");
  EXPECT_EQ(says(strings.try_text(2)), "there is no string 2: the tensor has 2");
  EXPECT_EQ(says(Tensor::zeros(LINNET_INT2, std::vector<int64_t>{1}).try_data<int8_t>()),
            "the tensor's elements are int2, not int8");
  EXPECT_EQ(says(sequence.try_at(2)), "there is no element 2: the sequence has 2");
  EXPECT_EQ(says(map.try_at(2)), "there is no element 2: the map has its keys (0) and values (1)");
  EXPECT_EQ(says(values.try_at(0)),
            "the value is a tensor, not a sequence or map: linnet_value_view gives its elements");
  EXPECT_EQ(floats(Model(Source::copy(models::from_map())).run({{"m", map}}).at("y")), (std::vector<float>{3, 4}));

  auto owner = std::make_shared<std::vector<float>>(2, 7.0f);
  const std::weak_ptr<std::vector<float>> watch = owner;
  {
    const std::span<float> elements(*owner);
    const Tensor view = Tensor::view<float>({2}, elements, std::exchange(owner, nullptr));
    EXPECT_EQ(floats(view), (std::vector<float>{7, 7}));
    EXPECT_FALSE(watch.expired());
  }
  EXPECT_TRUE(watch.expired());
}

TEST(Hpp, TasksAndBindings) {
  const Engine engine(2);
  linnet::Task loading = Model::load_async(Source::copy(models::sum()), engine);
  EXPECT_TRUE(loading.wait());
  const Model model = loading.model();
  const Tensor a = Tensor::of<float>({1, 2}, {1, 2});
  std::atomic<bool> told{false};
  linnet::Task task = model.run_async(linnet::NamedTensors{{"a", a}, {"b", a}}, std::vector<std::string>{},
                                      linnet::RunOptions{}, [&](linnet::Task& t) {
                                        EXPECT_TRUE(t.result());
                                        told = true;
                                      });
  EXPECT_TRUE(task.wait());
  EXPECT_EQ(floats(task.output(0)), (std::vector<float>{4, 8}));
  while (!told) std::this_thread::yield();

  linnet::Binding binding(model);
  binding.set_input("a", a);
  binding.set_input("b", a);
  binding.run();
  linnet::Task bound = binding.run_async();
  EXPECT_TRUE(bound.wait());
  EXPECT_EQ(floats(binding.output("y")), (std::vector<float>{4, 8}));

  const Model endless(Source::copy(models::endless()), engine);
  linnet::CancelToken cancel;
  linnet::Profile profile;
  linnet::Task never = endless.run_async(linnet::NamedTensors{{"x", Tensor::of<float>({1}, {1})}},
                                         std::vector<std::string>{}, linnet::RunOptions{&cancel, 0, &profile});
  EXPECT_FALSE(never.wait(10));
  cancel.request();
  EXPECT_TRUE(never.wait());
  EXPECT_EQ(never.result().error().code(), LINNET_CANCELLED);
  EXPECT_NE(profile.chrome_trace(), "");
}

TEST(Hpp, ReadsModelsThroughFunctions) {
  const models::Bytes bytes = models::external();
  const float weights[] = {10, 20};
  const auto content = [&](const std::string& name) -> std::span<const std::byte> {
    if (name == "weights.bin") return std::as_bytes(std::span(weights));
    if (!name.empty()) throw linnet::Error(LINNET_NOT_FOUND, "no " + name);
    return bytes;
  };
  Source::Reader reader;
  reader.length = [&](const std::string& name) { return content(name).size(); };
  reader.read = [&](const std::string& name, uint64_t offset, std::span<std::byte> to) {
    std::memcpy(to.data(), content(name).data() + offset, to.size());
  };
  const Model model{Source(reader)};
  EXPECT_EQ(floats(model.run({{"x", Tensor::of<float>({2}, {1, 2})}}).at("y")), (std::vector<float>{11, 22}));
  reader.length = [](const std::string&) -> uint64_t { throw linnet::Error(LINNET_IO, "no key"); };
  EXPECT_EQ(Model::try_load(Source(reader), Engine()).error().code(), LINNET_IO);
}

struct Scale final : linnet::OpNode {
  explicit Scale(int64_t f) : factor(static_cast<float>(f)) {}
  void infer(linnet::OpContext& context) override {
    const linnet_view x = context.input(0);
    context.set_output(0, x.dtype, {x.shape, x.rank});
  }
  void compute(linnet::OpContext& context) override {
    const linnet_view x = context.input(0), y = context.output(0);
    if (x.count == 13) throw std::runtime_error("thirteen");
    context.parallel(static_cast<size_t>(x.count), 1, [&](size_t begin, size_t end) {
      for (size_t i = begin; i < end; ++i)
        static_cast<float*>(y.data)[i] = static_cast<const float*>(x.data)[i] * factor;
    });
  }
  float factor;
};

TEST(Hpp, CustomOperators) {
  LoadOptions options;
  options.add_operator({.domain = "mine", .name = "Scale", .create = [](linnet::OpContext& context) {
                          EXPECT_EQ(context.attribute("text").text(0), "hi");
                          return std::make_unique<Scale>(context.attribute("factor").data<int64_t>()[0]);
                        }});
  const Model model(Source::copy(models::custom("Scale")), Engine(2), options);
  EXPECT_EQ(floats(model.run({{"x", Tensor::of<float>({2}, {1, 2})}}).at("y")), (std::vector<float>{3, 6}));
  const auto failed = model.try_run(linnet::NamedTensors{{"x", Tensor::zeros(LINNET_FLOAT, std::vector<int64_t>{13})}});
  ASSERT_FALSE(failed);
  EXPECT_EQ(failed.error().code(), LINNET_CALLBACK_FAILED);
  EXPECT_NE(std::string(failed.error().what()).find("thirteen"), std::string::npos);
}

TEST(Hpp, WritesModels) {
  namespace fs = std::filesystem;
  const fs::path folder = fs::path(testing::TempDir()) / "linnet_hpp_writes";
  fs::create_directories(folder);
  const auto path = [&](const char* name) { return (folder / name).string(); };
  const models::Bytes product = models::product();
  std::ofstream(path("in.onnx"), std::ios::binary)
      .write(reinterpret_cast<const char*>(product.data()), static_cast<std::streamsize>(product.size()));
  const Engine engine(1);
  linnet::OptimizeOptions half;
  half.floats = LINNET_FLOAT16;
  half.shapes["x"] = {2, 64};
  size_t told = 0;
  LoadOptions load;
  load.progress([&](size_t, size_t total, std::string_view) { told += total != 0; });
  EXPECT_NE(linnet::optimize(path("in.onnx"), path("half.onnx"), half, load).find("passes"), std::string::npos);
  EXPECT_GT(told, 10u);
  linnet::compile(engine, path("half.onnx"), path("half.linnet"));
  EXPECT_EQ(Model(path("half.linnet"), engine).inputs()[0].shape, (std::vector<int64_t>{2, 64}));

  linnet::QuantizeOptions options;
  options.settings.scheme = LINNET_QUANTIZE_STATIC;
  const std::vector<float> numbers(128, 0.5F);
  size_t given = 0;
  options.samples = [&](size_t) {
    if (given++ == 3) return std::vector<Tensor>();
    return std::vector<Tensor>{Tensor::view({2, 64}, std::span(numbers))};
  };
  EXPECT_NE(linnet::quantize(engine, path("in.onnx"), path("int8.onnx"), options).find("MatMul"), std::string::npos);
  EXPECT_EQ(given, 4u);
  options.samples = [](size_t) -> std::vector<Tensor> { throw std::runtime_error("no samples today"); };
  const auto failed = linnet::try_quantize(engine, path("in.onnx"), path("int8.onnx"), options);
  ASSERT_FALSE(failed);
  EXPECT_EQ(failed.error().code(), LINNET_CALLBACK_FAILED);
  linnet::CancelToken token;
  token.request();
  options.cancel = &token;
  options.settings.scheme = LINNET_QUANTIZE_DYNAMIC;
  options.samples = nullptr;
  EXPECT_EQ(linnet::try_quantize(engine, path("in.onnx"), path("never.onnx"), options).error().code(),
            LINNET_CANCELLED);
  EXPECT_FALSE(fs::exists(path("never.onnx")));
  fs::remove_all(folder);
}

}  // namespace
