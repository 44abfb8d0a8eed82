// Branches of If that the shapes of a model rule out.
#include <gtest/gtest.h>

#include "graph_model.h"

namespace linnet {
namespace {

// What a branch does with its one capture, after which it has a Relu.
std::shared_ptr<Graph> branch(std::string_view type, std::vector<int64_t> operand) {
  auto body = std::make_shared<Graph>();
  const ValueId x = body->add_value("x");
  body->captures = {x};
  add_output(*body, "out", add(*body, "Relu", {add(*body, type, {x, body->add_ints("operand", std::move(operand))})}));
  return body;
}

struct Conditional {
  Conditional(std::shared_ptr<Graph> then_branch, std::shared_ptr<Graph> else_branch) {
    const ValueId taken = add_input(graph, "taken", DType::boolean, {});
    const ValueId x = add_input(graph, "x", DType::f32, {2, 3});
    Node node;
    node.op_type = "If";
    node.version = 20;
    node.inputs = {taken};
    node.captures = {x};
    node.attributes = {{"then_branch", std::move(then_branch)}, {"else_branch", std::move(else_branch)}};
    add_output(graph, "y", graph.add_node(std::move(node), "y"));
  }
  Status run(bool taken, Value& y) {
    LINNET_ASSIGN(std::shared_ptr<const Model> model, model_of(graph));
    Session session(std::make_shared<Engine>(1), std::move(model));
    return session.run(
        std::vector<Value>{Value(tensor_of<bool>({}, {taken})), Value(tensor_of<float>({2, 3}, {-1, 2, -3, 4, -5, 6}))},
        {&y, 1});
  }
  Graph graph;
};

TEST(Branch, OneThatSizesRuleOutIsNoErrorUntilItIsTaken) {
  for (const bool impossible : {true, false}) {
    auto squeeze = branch("Squeeze", {1}), reshape = branch("Reshape", {6});
    Conditional model(impossible ? squeeze : reshape, impossible ? reshape : squeeze);
    Value y;
    const Status run = model.run(!impossible, y);
    ASSERT_TRUE(run.ok()) << run.message();
    EXPECT_EQ(y.tensor.shape, (Shape{6}));
    EXPECT_EQ(y.tensor.as<float>()[5], 6.0f);
    const Status taken = model.run(impossible, y);
    ASSERT_FALSE(taken.ok());
    EXPECT_NE(std::string(taken.message()).find("Squeeze"), std::string::npos) << taken.message();
  }
}

TEST(Branch, OneThatSizesRuleOutHasTheTypesOfTheOther) {
  auto squeeze = branch("Squeeze", {1});
  Conditional model(squeeze, branch("Reshape", {6}));
  SymbolTable symbols(true);
  const auto facts = infer_graph(model.graph, symbols);
  ASSERT_TRUE(facts.ok()) << facts.status().message();
  const ValueInfo& info = squeeze->value(squeeze->outputs[0].value).info;
  EXPECT_EQ(info.dtype, DType::f32);
  EXPECT_FALSE(info.ranked);
}

TEST(Branch, TwoThatSizesRuleOutAreAnError) {
  Value y;
  const Status status = Conditional(branch("Squeeze", {0}), branch("Reshape", {7})).run(true, y);
  ASSERT_FALSE(status.ok());
  EXPECT_NE(std::string(status.message()).find("Squeeze"), std::string::npos) << status.message();
}

}  // namespace
}  // namespace linnet
