// Random operators: the seed of the node, or else of the run, decides the numbers; threads do not.
#include <gtest/gtest.h>

#include <cstring>

#include "kernels/split_parallel.h"
#include "ops/run_node.h"

namespace linnet {
namespace {

Tensor probabilities() {
  Tensor t = make_tensor(DType::f32, Shape{40, 50}).value();
  for (int64_t i = 0; i < t.count(); ++i) t.ptr<float>()[i] = static_cast<float>(i % 10) / 10.0f;
  return t;
}

Attribute attribute(std::string name, decltype(Attribute::data) data) { return {std::move(name), std::move(data)}; }

NodeRun random(const std::string& op, uint64_t run_seed, std::optional<float> node_seed) {
  NodeRun node{op, {}};
  node.seed = run_seed;
  if (op == "RandomNormal" || op == "RandomUniform")
    node.attributes.push_back(attribute("shape", std::vector<int64_t>{40, 50}));
  else
    node.inputs.push_back(probabilities());
  if (op == "Multinomial") node.attributes.push_back(attribute("sample_size", int64_t{30}));
  if (node_seed) node.attributes.push_back(attribute("seed", *node_seed));
  return node;
}

std::vector<std::byte> bytes_of(const NodeRun& node, const Parallel& parallel = Parallel()) {
  const Result<std::vector<Value>> out = run_node(node, parallel);
  EXPECT_TRUE(out.ok()) << node.op_type << ": " << (out.ok() ? "" : out.status().message());
  if (!out.ok()) return {};
  const Tensor& t = (*out)[0].tensor;
  const auto* data = t.ptr<std::byte>();
  return {data, data + t.bytes()};
}

constexpr const char* kOps[] = {"RandomNormal",      "RandomUniform", "RandomNormalLike",
                                "RandomUniformLike", "Bernoulli",     "Multinomial"};

TEST(Random, TheRunsSeedDecides) {
  for (const char* op : kOps) {
    EXPECT_EQ(bytes_of(random(op, 7, {})), bytes_of(random(op, 7, {}))) << op;
    EXPECT_NE(bytes_of(random(op, 7, {})), bytes_of(random(op, 8, {}))) << op;
  }
}

TEST(Random, TheNodesSeedComesFirst) {
  for (const char* op : kOps) {
    EXPECT_EQ(bytes_of(random(op, 7, 3.0f)), bytes_of(random(op, 8, 3.0f))) << op;
    EXPECT_NE(bytes_of(random(op, 7, 3.0f)), bytes_of(random(op, 7, 4.0f))) << op;
  }
}

TEST(Random, ThreadsChangeNothing) {
  for (const char* op : kOps)
    EXPECT_EQ(bytes_of(random(op, 7, {})), bytes_of(random(op, 7, {}), SplitParallel(3))) << op;
}

// Means of many: within five standard errors.
TEST(Random, TheDistributionsAreThoseThatAreNamed) {
  const auto mean_of = [](const NodeRun& node) {
    const Tensor t = run_node(node).value()[0].tensor;
    double sum = 0;
    for (int64_t i = 0; i < t.count(); ++i) sum += number_at(t, i);
    return sum / static_cast<double>(t.count());
  };
  EXPECT_NEAR(mean_of(random("RandomNormal", 1, {})), 0.0, 5.0 / std::sqrt(2000.0));
  EXPECT_NEAR(mean_of(random("RandomUniform", 1, {})), 0.5, 5.0 * 0.29 / std::sqrt(2000.0));
  EXPECT_NEAR(mean_of(random("Bernoulli", 1, {})), 0.45, 5.0 * 0.5 / std::sqrt(2000.0));
}

}  // namespace
}  // namespace linnet
