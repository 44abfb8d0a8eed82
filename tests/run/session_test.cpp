// What runs promise: no allocation in a second run, the same bits for every thread count, limits, cancellation.
#include "run/session.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <cstring>
#include <ctime>
#include <random>
#include <thread>

#include "counted_allocations.h"
#include "graph_model.h"

namespace linnet {
namespace {

std::shared_ptr<Session> session_of(Graph& graph, size_t threads = 1) {
  Result<std::shared_ptr<const Model>> model = model_of(graph);
  EXPECT_TRUE(model.ok()) << model.status().message();
  return std::make_shared<Session>(std::make_shared<Engine>(threads), std::move(*model));
}

// y = softmax(relu(x w + b) transposed ...): a few families, an alias and shape arithmetic in between.
void build_mixed(Graph& graph) {
  SymbolTable names(true);
  const ValueId x = add_input(graph, "x", DType::f32, {Dim(), Dim(64)});
  std::mt19937 random(7);
  Tensor weights = make_tensor(DType::f32, Shape{64, 48}).value();
  for (float& w : weights.as<float>()) w = static_cast<float>(random()) / static_cast<float>(UINT32_MAX) - 0.5f;
  const ValueId product = add(graph, "MatMul", {x, graph.add_constant("w", weights)});
  const ValueId active = add(graph, "Relu", {product});
  const ValueId shape = add(graph, "Shape", {active});
  const ValueId batch = add(graph, "Gather", {shape, graph.add_ints("zero", {0})}, {{"axis", int64_t{0}}});
  const ValueId target = add(graph, "Concat", {batch, graph.add_ints("rest", {6, 8})}, {{"axis", int64_t{0}}});
  const ValueId cube = add(graph, "Reshape", {active, target});
  const ValueId turned = add(graph, "Transpose", {cube}, {{"perm", std::vector<int64_t>{0, 2, 1}}});
  add_output(graph, "y", add(graph, "Softmax", {turned}, {{"axis", int64_t{-1}}}));
}

Tensor random_input(int64_t rows) {
  Tensor x = make_tensor(DType::f32, Shape{rows, 64}).value();
  std::mt19937 random(static_cast<unsigned>(rows));
  for (float& v : x.as<float>()) v = static_cast<float>(random()) / static_cast<float>(UINT32_MAX);
  return x;
}

TEST(Session, SecondRunAllocatesNothing) {
  Graph graph;
  build_mixed(graph);
  const auto session = session_of(graph);
  const std::vector<Value> in = {Value(random_input(5))};
  std::vector<Value> out(1);
  ASSERT_TRUE(session->run(in, out).ok());
  ASSERT_TRUE(session->run(in, out).ok());
  const size_t before = allocations;
  for (int i = 0; i < 10; ++i) ASSERT_TRUE(session->run(in, out).ok());
  EXPECT_EQ(allocations - before, 0u);
}

TEST(Session, ReturningToAnEarlierShapeAllocatesNothing) {
  Graph graph;
  build_mixed(graph);
  const auto session = session_of(graph);
  std::vector<Value> small_out(1), large_out(1);
  const std::vector<Value> small = {Value(random_input(2))}, large = {Value(random_input(9))};
  for (int i = 0; i < 2; ++i) {
    ASSERT_TRUE(session->run(small, small_out).ok());
    ASSERT_TRUE(session->run(large, large_out).ok());
  }
  const size_t before = allocations;
  for (int i = 0; i < 5; ++i) {
    ASSERT_TRUE(session->run(small, small_out).ok());
    ASSERT_TRUE(session->run(large, large_out).ok());
  }
  EXPECT_EQ(allocations - before, 0u);
}

TEST(Session, WritesBoundOutputsInPlace) {
  Graph graph;
  build_mixed(graph);
  const auto session = session_of(graph);
  Tensor mine = make_tensor(DType::f32, Shape{3, 8, 6}).value();
  std::vector<Value> out = {Value(mine)};
  ASSERT_TRUE(session->run(std::vector<Value>{Value(random_input(3))}, out).ok());
  EXPECT_EQ(out[0].tensor.data, mine.data);
  float sum = 0;
  for (int i = 0; i < 6; ++i) sum += mine.ptr<float>()[i];
  EXPECT_NEAR(sum, 1.0f, 1e-5f);
}

TEST(Session, SameBitsForEveryThreadCount) {
  std::vector<Value> reference(1);
  for (const size_t threads : {1, 2, 3, 4}) {
    Graph graph;
    build_mixed(graph);
    const auto session = session_of(graph, threads);
    std::vector<Value> out(1);
    for (int i = 0; i < 3; ++i) ASSERT_TRUE(session->run(std::vector<Value>{Value(random_input(700))}, out).ok());
    if (threads == 1) {
      reference = out;
    } else {
      EXPECT_EQ(std::memcmp(out[0].tensor.data, reference[0].tensor.data, out[0].tensor.bytes()), 0) << threads;
    }
  }
}

TEST(Session, RunsFromManyThreadsAtOnce) {
  Graph graph;
  build_mixed(graph);
  const auto session = session_of(graph, 2);
  std::vector<Value> expected(1);
  const std::vector<Value> in = {Value(random_input(33))};
  ASSERT_TRUE(session->run(in, expected).ok());
  std::atomic<int> wrong{0};
  std::vector<std::thread> callers;
  for (int c = 0; c < 4; ++c)
    callers.emplace_back([&] {
      for (int i = 0; i < 50; ++i) {
        std::vector<Value> out(1);
        if (!session->run(in, out).ok() ||
            std::memcmp(out[0].tensor.data, expected[0].tensor.data, out[0].tensor.bytes()) != 0)
          ++wrong;
      }
    });
  for (int i = 0; i < 20; ++i) session->engine().set_threads(1 + static_cast<size_t>(i) % 3);
  for (std::thread& t : callers) t.join();
  EXPECT_EQ(wrong, 0);
}

// Loops for ever: the body hands its condition on.
void build_endless(Graph& graph) {
  auto body = std::make_shared<Graph>();
  add_input(*body, "i", DType::i64, {});
  const ValueId go = add_input(*body, "go", DType::boolean, {});
  const ValueId state = add_input(*body, "state", DType::f32, {Dim(4)});
  add_output(*body, "go_out", add(*body, "Identity", {go}));
  add_output(*body, "state_out", add(*body, "Add", {state, state}));
  ASSERT_TRUE(body->sort().ok());
  const ValueId x = add_input(graph, "x", DType::f32, {Dim(4)});
  const ValueId yes = graph.add_constant("yes", tensor_of<bool>({}, {true}));
  add_output(graph, "y", add(graph, "Loop", {kNoValue, yes, x}, {{"body", body}}));
}

TEST(Session, CancelsAnEndlessLoop) {
  Graph graph;
  build_endless(graph);
  const auto session = session_of(graph);
  StopToken stop;
  RunOptions options;
  options.stop = &stop;
  std::thread canceller([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(30));
    stop.request_stop();
  });
  std::vector<Value> out(1);
  const Status status = session->run(std::vector<Value>{Value(tensor_of<float>({4}, {1, 2, 3, 4}))}, out, options);
  canceller.join();
  EXPECT_EQ(status.code(), Code::cancelled);
}

TEST(Session, KeepsADeadline) {
  Graph graph;
  build_endless(graph);
  const auto session = session_of(graph);
  RunOptions options;
  options.deadline = StopToken::Clock::now() + std::chrono::milliseconds(20);
  std::vector<Value> out(1);
  const Status status = session->run(std::vector<Value>{Value(tensor_of<float>({4}, {1, 2, 3, 4}))}, out, options);
  EXPECT_EQ(status.code(), Code::deadline_exceeded);
}

TEST(Session, RefusesToPassTheMemoryLimit) {
  Graph graph;
  build_mixed(graph);
  const auto session = session_of(graph);
  session->engine().memory()->set(1 << 20);
  std::vector<Value> out(1);
  const Status status = session->run(std::vector<Value>{Value(random_input(100000))}, out);
  EXPECT_EQ(status.code(), Code::out_of_memory);
  EXPECT_NE(status.message().find("limit"), std::string_view::npos) << status.message();
  std::vector<Value> small(1);
  EXPECT_TRUE(session->run(std::vector<Value>{Value(random_input(4))}, small).ok());
}

TEST(Session, ReadsAConstantWithoutElements) {
  Graph graph;
  const ValueId x = add_input(graph, "x", DType::string, {Dim(), Dim(1)});
  const ValueId none = graph.add_constant("none", make_tensor(DType::string, Shape{2, 0}).value());
  add_output(graph, "y", add(graph, "Concat", {x, none}, {{"axis", int64_t{1}}}));
  const auto session = session_of(graph);
  std::vector<Value> out(1);
  ASSERT_TRUE(session->run(std::vector<Value>{Value(tensor_of<std::string>({2, 1}, {"a", "b"}))}, out).ok());
  EXPECT_EQ(out[0].tensor.shape, (Shape{2, 1}));
}

TEST(Session, NamesWhatIsWrongWithAnInput) {
  Graph graph;
  build_mixed(graph);
  const auto session = session_of(graph);
  std::vector<Value> out(1);
  const auto message = [&](Value value) {
    return std::string(session->run(std::vector<Value>{std::move(value)}, out).message());
  };
  EXPECT_NE(message(Value()).find("'x' is missing"), std::string::npos);
  EXPECT_NE(message(Value(tensor_of<int64_t>({1, 64}, {}))).find("must be of type float"), std::string::npos);
  EXPECT_NE(message(Value(tensor_of<float>({64}, {}))).find("must be of shape"), std::string::npos);
  EXPECT_EQ(session->run({}, out).code(), Code::invalid_argument);
}

TEST(Session, LeavesTheThreadIdleAfterARun) {
  Graph graph;
  build_mixed(graph);
  const auto session = session_of(graph, 2);
  std::vector<Value> out(1);
  ASSERT_TRUE(session->run(std::vector<Value>{Value(random_input(2000))}, out).ok());
  const auto cpu = [] { return static_cast<double>(std::clock()) / CLOCKS_PER_SEC; };
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  const double before = cpu();
  std::this_thread::sleep_for(std::chrono::milliseconds(200));
  EXPECT_LT(cpu() - before, 0.02);
}

TEST(Session, AnswersFromAHostsExecutor) {
  class Host final : public Executor {
   public:
    size_t threads() const override { return 3; }
    void run(size_t parts, FunctionRef<void(size_t)> part) override {
      ++regions;
      for (size_t i = parts; i-- > 0;) part(i);
    }
    std::atomic<int> regions{0};
  } host;
  Graph first, second;
  build_mixed(first);
  build_mixed(second);
  const auto own = session_of(first);
  const auto hosted = std::make_shared<Session>(std::make_shared<Engine>(host), *model_of(second));
  std::vector<Value> a(1), b(1);
  const std::vector<Value> in = {Value(random_input(3000))};
  ASSERT_TRUE(own->run(in, a).ok());
  ASSERT_TRUE(hosted->run(in, b).ok());
  EXPECT_GT(host.regions, 0);
  EXPECT_EQ(std::memcmp(a[0].tensor.data, b[0].tensor.data, a[0].tensor.bytes()), 0);
}

}  // namespace
}  // namespace linnet
