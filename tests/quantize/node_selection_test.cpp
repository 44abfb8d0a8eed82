#include "quantize/node_selection.h"

#include <gtest/gtest.h>

#include "run/graph_model.h"

namespace linnet {
namespace {

TEST(MatchesPattern, LikeNamesOfFiles) {
  EXPECT_TRUE(matches_pattern("*", ""));
  EXPECT_TRUE(matches_pattern("/layer.*/MatMul", "/layer.0/attention/MatMul"));
  EXPECT_TRUE(matches_pattern("a*b*c", "aXbXbc"));
  EXPECT_TRUE(matches_pattern("MatMul_?", "MatMul_1"));
  EXPECT_FALSE(matches_pattern("MatMul_?", "MatMul_12"));
  EXPECT_FALSE(matches_pattern("MatMul", "MatMul_1"));
  EXPECT_FALSE(matches_pattern("*x", "xy"));
  EXPECT_FALSE(matches_pattern("", "x"));
}

class Selection : public ::testing::Test {
 protected:
  Selection() {
    const ValueId x = add_input(graph_, "x", DType::f32, {Dim(2), Dim(2)});
    for (const char* name : {"/encoder/MatMul", "/head/MatMul"}) {
      add_output(graph_, name, add(graph_, "MatMul", {x, x}));
      graph_.node(static_cast<NodeId>(graph_.node_count() - 1)).name = name;
    }
    EXPECT_TRUE(graph_.sort().ok());
  }
  std::string chosen(std::vector<std::string> include, std::vector<std::string> exclude) {
    const auto selection = NodeSelection::make(graph_, std::move(include), std::move(exclude)).value();
    std::string out;
    for (const NodeId id : graph_.order()) out += selection.refusal(graph_.node(id)).empty() ? '+' : '-';
    return out;
  }
  Graph graph_;
};

TEST_F(Selection, ByNameTypeAndPattern) {
  EXPECT_EQ(chosen({}, {}), "++");
  EXPECT_EQ(chosen({"/head/MatMul"}, {}), "-+");
  EXPECT_EQ(chosen({"MatMul"}, {"/enc*"}), "-+");
  EXPECT_EQ(chosen({}, {"Conv"}), "++");  // an operator, though the model has none
  EXPECT_EQ(chosen({}, {"*"}), "--");
}

TEST_F(Selection, UnknownNamesAreErrorsThatSuggestTheNearest) {
  const Status name = NodeSelection::make(graph_, {}, {"/encoder/Matmul"}).status();
  EXPECT_EQ(name.code(), Code::not_found);
  EXPECT_NE(name.message().find("did you mean '/encoder/MatMul'?"), std::string::npos) << name.message();
  const Status absent = NodeSelection::make(graph_, {"LSTM"}, {}).status();
  EXPECT_EQ(absent.code(), Code::not_found);
  EXPECT_NE(absent.message().find("no node or operator named 'LSTM'"), std::string::npos) << absent.message();
  EXPECT_FALSE(NodeSelection::make(graph_, {"/decoder/*"}, {}).ok());
  const Status far = NodeSelection::make(graph_, {"zzzzzzzzzzzzzzzzzz"}, {}).status();
  EXPECT_EQ(far.message().find("did you mean"), std::string::npos) << far.message();
}

}  // namespace
}  // namespace linnet
