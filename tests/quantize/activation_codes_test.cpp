#include "quantize/activation_codes.h"

#include <gtest/gtest.h>

#include "run/graph_model.h"

namespace linnet {
namespace {

// At some of these sizes the node that casts is the one for which the graph's values move.
TEST(ActivationCodes, NodesOfHalvesAreNamedAfterTheValueWhileTheGraphGrows) {
  for (int others = 0; others < 40; ++others) {
    Graph graph;
    graph.opsets = {{"", 20}};
    const ValueId x = add_input(graph, "x", DType::f16, {Dim(2)});
    for (int i = 0; i < others; ++i) add_input(graph, "other", DType::f32, {Dim(2)});
    ActivationCodes codes(graph, DType::u8, 20);
    codes.set_range(x, -1, 1, false);
    const auto maker = [&](ValueId value) { return graph.node(graph.value(value).producer).name; };
    EXPECT_EQ(maker(codes.codes(x, x)), "x_QuantizeLinear") << others;
    EXPECT_EQ(maker(codes.floats(x, x)), "x_DequantizeLinear") << others;
    EXPECT_EQ(maker(codes.cast(x, DType::f32)), "x_Cast") << others;
  }
}

}  // namespace
}  // namespace linnet
