// Explaining with a scheme made up for it, whose nodes are known to be fast or slow.
#include "quantize/explain.h"

#include <gtest/gtest.h>

#include <random>

#include "graph/export.h"
#include "onnx/writer.h"
#include "quantize/job.h"
#include "quantize/replace.h"
#include "run/graph_model.h"

namespace linnet {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kSize = 96;

Tensor ramp(float scale) {
  Tensor t = make_tensor(DType::f32, Shape{kSize, kSize}).value();
  for (int64_t i = 0; i < t.count(); ++i) t.ptr<float>()[i] = scale * std::sin(static_cast<float>(i) * 0.7f);
  return t;
}

class Explain : public testing::Test {
 protected:
  // y = Relu(x fast) slow
  Explain() : folder_(fs::temp_directory_path() / ("linnet_explain_" + std::to_string(std::random_device()()))) {
    fs::create_directories(folder_);
    Graph graph;
    graph.name = "main";
    graph.opsets = {{"", 20}};
    const ValueId x = add_input(graph, "x", DType::f32, {Dim(kSize), Dim(kSize)});
    const ValueId h = add(graph, "MatMul", {x, graph.add_constant("w", ramp(1))});
    const ValueId r = add(graph, "Relu", {h});
    const ValueId y = add(graph, "MatMul", {r, graph.add_constant("v", ramp(0.5f))});
    for (const auto& [value, name] : {std::pair{h, "fast"}, {r, "relu"}, {y, "slow"}}) {
      graph.node(graph.value(value).producer).name = name;
      graph.value(value).name = std::string(name) + "_out";
    }
    add_output(graph, "y", y);
    SymbolTable symbols(true);
    EXPECT_TRUE(graph.sort().ok());
    EXPECT_TRUE(onnx::write_model(folder_ / "in.onnx", export_model(graph, symbols)).ok());
    samples_.count = 3;
    samples_.name = [](size_t index) { return "sample " + std::to_string(index); };
    samples_.read = [](size_t index, const Model&) -> Result<std::vector<Value>> {
      return std::vector<Value>{ramp(1 + static_cast<float>(index))};
    };
    how_.only_faster = true;
  }
  ~Explain() override { fs::remove_all(folder_); }

  // Products become elementwise ones; "slow" gets many more steps.
  Result<QuantizeReport> scheme(const QuantizeOptions& options, const fs::path& path) const {
    LINNET_ASSIGN(const auto job, QuantizeJob::open({folder_ / "in.onnx", {}, nullptr}, options, path));
    LINNET_TRY(job->for_each_node(
        "test", [](const Graph&, const Node& node) { return node.is("MatMul"); },
        [](Graph& graph, NodeId id, NodeReport& report) {
          Replacement to(graph, id);
          ValueId value = to.add("Mul", {to.node().inputs[0], to.node().inputs[1]});
          for (int i = 0; i < 40 && to.node().name == "slow"; ++i)
            value = to.add("MatMul", {value, to.node().inputs[1]});
          to.finish(value);
          report.result = "Fake";
          return Status();
        }));
    return job->write();
  }

  Result<QuantizeReport> explain() const {
    return quantize_and_explain(
        std::make_shared<Engine>(1), {folder_ / "in.onnx", {}, nullptr}, options_, how_, samples_, folder_ / "out.onnx",
        [this](const QuantizeOptions& options, const fs::path& path) { return scheme(options, path); });
  }

  fs::path folder_;
  QuantizeOptions options_;
  ExplainOptions how_;
  Samples samples_;
};

TEST_F(Explain, LeavesWhatWouldBeSlower) {
  const Result<QuantizeReport> report = explain();
  ASSERT_TRUE(report.ok()) << report.status().message();
  ASSERT_EQ(report->nodes.size(), 2u);
  EXPECT_EQ(report->nodes[0].result, "Fake");
  EXPECT_LT(*report->nodes[0].milliseconds_after, *report->nodes[0].milliseconds_before);
  EXPECT_EQ(report->nodes[1].result, "");
  EXPECT_TRUE(report->nodes[1].reason.starts_with("slower as Fake: ")) << report->nodes[1].reason;
  EXPECT_LT(report->explanation->milliseconds_after, report->explanation->milliseconds_before);
  EXPECT_EQ(report->explanation->quality.samples, 3u);
}

TEST_F(Explain, WithoutBeingAskedQuantisesWhatIsSlowerToo) {
  how_.only_faster = false;
  const Result<QuantizeReport> report = explain();
  ASSERT_TRUE(report.ok()) << report.status().message();
  EXPECT_EQ(report->quantized(), 2u);
  EXPECT_GT(*report->nodes[1].milliseconds_after, *report->nodes[1].milliseconds_before);
}

TEST_F(Explain, KeepsToWhatTheCallerLeaves) {
  options_.leave = [](std::string_view output) { return std::string(output == "fast_out" ? "by hand" : ""); };
  const Result<QuantizeReport> report = explain();
  ASSERT_TRUE(report.ok()) << report.status().message();
  EXPECT_EQ(report->nodes[0].reason, "by hand");
  EXPECT_TRUE(report->nodes[1].reason.starts_with("slower as ")) << report->nodes[1].reason;
  // Then the models are the same, which exact numbers tell.
  EXPECT_EQ(*report->explanation->quality.overall.max_abs_error, 0);
  EXPECT_EQ(*report->nodes[1].activation_snr_db, std::numeric_limits<double>::infinity());
}

TEST_F(Explain, NodesAloneAreThoseOfTheReport) {
  how_.only_faster = false;
  how_.sensitivity = 2;
  const Result<QuantizeReport> report = explain();
  ASSERT_TRUE(report.ok()) << report.status().message();
  for (size_t i = 0; i < 2; ++i) {
    ASSERT_TRUE(report->nodes[i].alone);
    options_.leave = [&](std::string_view output) {
      return std::string(output == report->nodes[i].output ? "" : "another");
    };
    how_.sensitivity = 0;
    const Result<QuantizeReport> one = explain();
    ASSERT_TRUE(one.ok()) << one.status().message();
    EXPECT_EQ(*one->explanation->quality.overall.mean_cosine, *report->nodes[i].alone->mean_cosine);
  }
}

TEST_F(Explain, CanBeCancelledAtAnyStage) {
  how_.sensitivity = 2;
  std::set<std::string> stages;
  ASSERT_TRUE([&] {
    how_.progress = [&](std::string_view doing, size_t, size_t) { stages.emplace(doing); };
    return explain().ok();
  }());
  EXPECT_GE(stages.size(), 5u);
  for (const std::string& stage : stages) {
    StopToken stop;
    options_.stop = &stop;
    how_.progress = [&](std::string_view doing, size_t, size_t) {
      if (doing == stage) stop.request_stop();
    };
    const Result<QuantizeReport> report = explain();
    ASSERT_FALSE(report.ok()) << stage;
    EXPECT_EQ(report.status().code(), Code::cancelled) << stage;
  }
}

TEST_F(Explain, SaysWhichSampleFails) {
  samples_.read = [](size_t index, const Model&) -> Result<std::vector<Value>> {
    if (index == 0) return std::vector<Value>{ramp(1)};
    return std::vector<Value>{Value(make_tensor(DType::f32, Shape{2, 2}).value())};
  };
  const Result<QuantizeReport> report = explain();
  ASSERT_FALSE(report.ok());
  EXPECT_TRUE(report.status().message().starts_with("sample ")) << report.status().message();
}

}  // namespace
}  // namespace linnet
