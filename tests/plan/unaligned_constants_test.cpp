// Weights give the same results wherever they lie in the model's bytes.
#include <gtest/gtest.h>

#include <cstring>
#include <random>

#include "graph/export.h"
#include "load.h"
#include "onnx/writer.h"
#include "run/graph_model.h"
#include "tensor/alignment.h"

namespace linnet {
namespace {

Tensor random_tensor(DType type, const Shape& shape, unsigned seed = 0) {
  Tensor tensor = make_tensor(type, shape).value();
  std::mt19937 random(static_cast<unsigned>(shape.count()) + seed);
  for (int64_t i = 0; i < tensor.count(); ++i) {
    const float value = static_cast<float>(random()) / static_cast<float>(UINT32_MAX) - 0.5f;
    type == DType::f32 ? void(tensor.ptr<float>()[i] = value) : void(tensor.ptr<f16>()[i] = f16(value));
  }
  return tensor;
}

// Every way in which a constant is read: packed (plain, transposed, half, of a convolution, of its transpose, of a
// layer with states), put into another order, in place by row, by element, as a view of one row, and by a node that is
// folded.
std::vector<std::byte> model_bytes() {
  Graph graph;
  graph.opsets = {{"", 20}, {"com.microsoft.nchwc", 1}};
  const ValueId x = add_input(graph, "x", DType::f32, {Dim(2), Dim(160)});
  const ValueId ids = add_input(graph, "ids", DType::i64, {Dim(2)});
  const auto constant = [&](const char* name, DType type, const Shape& shape) {
    return graph.add_constant(name, random_tensor(type, shape));
  };
  add_output(graph, "product", add(graph, "MatMul", {x, constant("w", DType::f32, Shape{160, 131})}));
  add_output(graph, "turned",
             add(graph, "Gemm", {x, constant("v", DType::f32, Shape{131, 160})}, {{"transB", int64_t{1}}}));
  const ValueId half = add(graph, "Cast", {x}, {{"to", int64_t{10}}});
  add_output(graph, "half", add(graph, "MatMul", {half, constant("h", DType::f16, Shape{160, 270})}));
  const ValueId image = add(graph, "Reshape", {x, graph.add_ints("square", {2, 5, 32})});
  add_output(graph, "conv", add(graph, "Conv", {image, constant("k", DType::f32, Shape{1100, 5, 3})}));
  add_output(graph, "grouped",
             add(graph, "Conv", {image, constant("g", DType::f32, Shape{5000, 1, 4})}, {{"group", int64_t{5}}}));
  add_output(graph, "transposed",
             add(graph, "ConvTranspose", {image, constant("t", DType::f32, Shape{5, 1000, 4})},
                 {{"strides", std::vector<int64_t>{2}}}));
  const ValueId pixels = add(graph, "Reshape", {x, graph.add_ints("pixels", {1, 64, 1, 5})});
  const ValueId blocks = add(graph, "Conv", {pixels, constant("b", DType::f32, Shape{64, 64, 1, 5})}, {}, 1);
  graph.node(graph.value(blocks).producer).domain = "com.microsoft.nchwc";
  add_output(graph, "blocks", blocks);
  const ValueId steps = add(graph, "Reshape", {x, graph.add_ints("steps", {1, 2, 160})});
  const ValueId state =
      add(graph, "GRU",
          {steps, constant("gw", DType::f32, Shape{1, 120, 160}), constant("gr", DType::f32, Shape{1, 120, 40})},
          {{"hidden_size", int64_t{40}}});
  add_output(graph, "state", state);
  const ValueId table = constant("table", DType::f32, Shape{200, 160});
  add_output(graph, "rows", add(graph, "Gather", {table, ids}));
  add_output(graph, "scores", add(graph, "Gemm", {x, table}, {{"transB", int64_t{1}}}));
  const ValueId row = add(graph, "Gather", {table, graph.add_ints("row", {7})});
  add_output(graph, "moved", add(graph, "Add", {x, row}));
  add_output(graph, "sum", add(graph, "Add", {x, constant("a", DType::f32, Shape{130, 2, 160})}));
  const ValueId folded = add(graph, "Neg", {constant("n", DType::f32, Shape{160, 120})});
  add_output(graph, "folded", add(graph, "MatMul", {x, folded}));
  add_output(graph, "complex",
             add(graph, "Transpose", {graph.add_constant("z", make_tensor(DType::c64, Shape{3, 2}).value())}));
  SymbolTable symbols(true);
  EXPECT_TRUE(graph.sort().ok());
  return onnx::encode(export_model(graph, symbols)).value();
}

TEST(UnalignedConstants, GiveTheSameBits) {
  const std::vector<std::byte> bytes = model_bytes();
  const auto engine = std::make_shared<Engine>(1);
  const std::vector<Value> inputs = {Value(random_tensor(DType::f32, Shape{2, 160})),
                                     Value(tensor_of<int64_t>(Shape{2}, {3, 199}))};
  std::vector<Value> first;
  int tables_in_place = 0;
  for (const OptimizationLevel level : {OptimizationLevel::all, OptimizationLevel::none})
    for (size_t shift = 0; shift < 4; ++shift) {
      const auto buffer = std::make_shared<AlignedBuffer>(bytes.size() + shift);
      std::memcpy(buffer->data() + shift, bytes.data(), bytes.size());
      ModelSource source;
      source.bytes = {buffer->data() + shift, bytes.size()};
      source.owner = buffer;
      LoadOptions options;
      options.optimize.level = level;
      const auto model = load_model(*engine, source, options);
      ASSERT_TRUE(model.ok()) << model.status().message();
      for (const Slot& slot : (*model)->program->slots) {
        EXPECT_TRUE(!slot.constant || slot.name == "table" || is_aligned(*slot.constant)) << slot.name;
        tables_in_place += slot.constant && slot.name == "table" && !is_aligned(*slot.constant);
      }
      std::vector<Value> outputs((*model)->outputs.size());
      const Status status = Session(engine, *model).run(inputs, outputs);
      ASSERT_TRUE(status.ok()) << status.message();
      if (shift == 0) first = outputs;
      for (size_t i = 0; i < outputs.size(); ++i) {
        ASSERT_EQ(outputs[i].tensor.shape, first[i].tensor.shape);
        EXPECT_EQ(std::memcmp(outputs[i].tensor.data, first[i].tensor.data, first[i].tensor.bytes()), 0)
            << (*model)->outputs[i].name << " shifted by " << shift;
      }
    }
  EXPECT_EQ(tables_in_place, 6);  // the product has packed it, and rows are copied from wherever they lie
}

// Two constants of one shape, packed alike one after the other: the copy of the second may lie where that of the first
// did.
TEST(UnalignedConstants, AreNotTakenForEachOther) {
  const auto engine = std::make_shared<Engine>(1);
  for (int64_t hidden = 8; hidden <= 240; hidden += 8) {
    Graph graph;
    graph.opsets = {{"", 20}};
    const ValueId x = add_input(graph, "x", DType::f32, {Dim(2), Dim(1), Dim(hidden)});
    const Shape shape{1, hidden, hidden};
    const ValueId w = graph.add_constant("w", random_tensor(DType::f32, shape));
    const ValueId r = graph.add_constant("r", random_tensor(DType::f32, shape, 1));
    add_output(graph, "y", add(graph, "RNN", {x, w, r}, {{"hidden_size", hidden}}));
    SymbolTable symbols(true);
    ASSERT_TRUE(graph.sort().ok());
    const std::vector<std::byte> bytes = onnx::encode(export_model(graph, symbols)).value();
    const std::vector<Value> inputs = {Value(random_tensor(DType::f32, Shape{2, 1, hidden}))};
    Value first;
    for (size_t shift = 0; shift < 4; ++shift) {
      const auto buffer = std::make_shared<AlignedBuffer>(bytes.size() + shift);
      std::memcpy(buffer->data() + shift, bytes.data(), bytes.size());
      ModelSource source;
      source.bytes = {buffer->data() + shift, bytes.size()};
      source.owner = buffer;
      const auto model = load_model(*engine, source, {}).value();
      std::vector<Value> outputs(1);
      ASSERT_TRUE(Session(engine, model).run(inputs, outputs).ok());
      if (shift == 0) first = outputs[0];
      const Tensor &a = outputs[0].tensor, &b = first.tensor;
      ASSERT_EQ(std::memcmp(a.data, b.data, b.bytes()), 0) << hidden << ' ' << shift;
    }
  }
}

}  // namespace
}  // namespace linnet
