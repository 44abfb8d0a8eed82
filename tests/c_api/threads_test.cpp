// Callers on four threads, on one engine: everything that loads, runs and writes models, at once.
#include <algorithm>
#include <atomic>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <functional>
#include <thread>

#include "linnet/linnet.hpp"
#include "support.h"

namespace {

namespace fs = std::filesystem;
using linnet::Tensor;

std::string content(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

std::function<std::vector<Tensor>(size_t)> three_samples() {
  return [given = 0](size_t) mutable {
    if (given++ == 3) return std::vector<Tensor>();
    std::vector<float> numbers(128);
    for (size_t i = 0; i < numbers.size(); ++i) numbers[i] = static_cast<float>((i * 7 + given) % 13) - 6;
    return std::vector<Tensor>{Tensor::of<float>({2, 64}, numbers)};
  };
}

// What a caller does: names of the files that it writes, but for those that tell times.
std::vector<std::string> write_all(const linnet::Engine& engine, const std::string& in, const std::string& to) {
  linnet::optimize(in, to + "_optimized.onnx");
  linnet::compile(engine, in, to + ".linnet");
  linnet::QuantizeOptions ranges;
  ranges.settings.scheme = LINNET_QUANTIZE_STATIC;
  ranges.settings.explain = 1;
  ranges.samples = three_samples();
  linnet::quantize(engine, in, to + "_static.onnx", ranges);
  linnet::TuneOptions tuning;
  tuning.samples = three_samples();
  tuning.settings.max_loss = 0.05;
  tuning.settings.prefer = "size";
  tuning.settings.budget_seconds = 60;
  linnet::tune(in, to, tuning);
  return {"_optimized.onnx", ".linnet", "_static.onnx", "/model.onnx"};
}

TEST(Threads, FourCallersOfEverythingAtOnce) {
  constexpr size_t kCallers = 4;
  const fs::path folder = fs::path(::testing::TempDir()) / "linnet_four_callers";
  fs::remove_all(folder);
  fs::create_directories(folder);
  const std::string in = (folder / "in.onnx").string(), alone = (folder / "alone").string();
  const models::Bytes bytes = models::product();
  std::ofstream(in, std::ios::binary)
      .write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
  linnet::Engine engine(2);
  const linnet::Model shared(in, engine);
  const Tensor x = three_samples()(0)[0];
  const Tensor expected = shared.run({{"x", x}}).at("y");
  const std::vector<std::string> names = write_all(engine, in, alone);

  const auto to = [&](size_t caller) { return (folder / ("caller" + std::to_string(caller))).string(); };
  std::atomic<size_t> ended{0};
  std::vector<std::thread> threads;
  for (size_t caller = 0; caller < kCallers; ++caller)
    threads.emplace_back([&, caller] {
      EXPECT_NO_THROW({
        write_all(engine, in, to(caller));
        const linnet::Model compiled(to(caller) + ".linnet", engine);
        const linnet::Model loaded(in, engine);
        for (const linnet::Model* model : {&shared, &loaded, &compiled}) {
          const Tensor y = model->run({{"x", x}}).at("y");
          EXPECT_TRUE(std::ranges::equal(y.data<float>(), expected.data<float>()));
          linnet::Task task = model->run_async(linnet::NamedTensors{{"x", x}});
          task.wait();
          EXPECT_TRUE(std::ranges::equal(task.output(0).data<float>(), expected.data<float>()));
        }
      });
      ++ended;
    });
  for (size_t count = 1; ended < kCallers; count = count % 3 + 1) {
    engine.set_threads(count);
    shared.session().trim();
    EXPECT_GE(engine.threads(), 1u);
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  for (std::thread& thread : threads) thread.join();
  for (size_t caller = 0; caller < kCallers; ++caller)
    for (const std::string& name : names) {
      if (name == "/model.onnx") {  // times may have chosen another one
        EXPECT_TRUE(fs::exists(to(caller) + name));
      } else {
        EXPECT_TRUE(content(to(caller) + name) == content(alone + name)) << caller << name;
      }
    }
  fs::remove_all(folder);
}

}  // namespace
