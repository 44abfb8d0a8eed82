// Models that ONNX Runtime has laid out for the machine that saved them: com.microsoft.nchwc's operators work on images
// whose channels lie in blocks of 8 or 16, filled up with zeros, and on weights in blocks likewise. Here the images
// keep the standard's order with the channels filled up, the weights are put back into it, and all become standard
// operators. The weights' order is that of
// https://github.com/microsoft/onnxruntime/blob/main/onnxruntime/core/mlas/lib/reorder.cpp.
#include "kernels/isa.h"
#include "ops/upgrade/upgrade.h"
#include "tensor/alignment.h"

namespace linnet {
namespace {

constexpr std::string_view kDomain = "com.microsoft.nchwc";
constexpr int64_t kSmallBlock = 8, kLargeBlock = 16;

Node node_of(std::string_view op_type, int version, std::string name, std::vector<ValueId> inputs) {
  Node node;
  node.op_type = op_type;
  node.version = version;
  node.name = std::move(name);
  node.inputs = std::move(inputs);
  return node;
}

const Tensor* filters_of(const Graph& graph, const Node& node) {
  const Tensor* w = node.domain == kDomain && node.op_type == "Conv" ? graph.constant(node.input(1)) : nullptr;
  return w && w->shape.rank() == 4 && w->dtype == DType::f32 ? w : nullptr;
}

// No file tells the width of its blocks. Numbers of channels that fit only one width decide; without any, it is that of
// this machine, as for ONNX Runtime itself.
int64_t block_of(const Graph& graph) {
  bool large = false;
  for (NodeId id = 0; id < graph.node_count(); ++id) {
    const Tensor* w = graph.alive(id) ? filters_of(graph, graph.node(id)) : nullptr;
    if (!w) continue;
    if (w->shape[0] % kLargeBlock != 0) return kSmallBlock;
    if (w->shape[1] > kSmallBlock && w->shape[1] < kLargeBlock) large = true;  // fewer than a block: not in blocks
    if (w->shape[1] > kLargeBlock && w->shape[1] % kLargeBlock != 0) return kSmallBlock;
  }
  return large || best_isa() >= Isa::avx512 ? kLargeBlock : kSmallBlock;
}

Status conv(Graph& graph, NodeId id, int64_t block) {
  const Tensor* w = filters_of(graph, graph.node(id));
  LINNET_REQUIRE(w, invalid_model("the weights must be a float constant of four axes"));
  const int64_t out = w->shape[0], in = w->shape[1], taps = w->shape[2] * w->shape[3];
  // Depthwise convolutions and those that read an image of few channels have blocks of filters only.
  const int64_t in_block = in < block ? 1 : block;
  LINNET_REQUIRE(out % block == 0 && in % in_block == 0,
                 invalid_model("weights of shape ", w->shape, " are not in blocks of ", block));
  LINNET_ASSIGN(const Tensor blocks, aligned(*w));
  LINNET_ASSIGN(Tensor plain, make_tensor_uninitialized(DType::f32, w->shape));
  for (int64_t o = 0; o < out; ++o)
    for (int64_t i = 0; i < in; ++i)
      for (int64_t t = 0; t < taps; ++t)
        plain.ptr<float>()[(o * in + i) * taps + t] =
            blocks.ptr<float>()[(((o / block * (in / in_block) + i / in_block) * taps + t) * in_block + i % in_block) *
                                    block +
                                o % block];
  const std::string name = graph.value(graph.node(id).input(1)).name + "/in_order";
  graph.set_input(id, 1, graph.add_constant(name, std::move(plain)));
  const bool fused = graph.node(id).find("activation") || graph.node(id).input(3) != kNoValue;
  graph.node(id).domain = fused ? "com.microsoft" : "";
  graph.node(id).op_type = fused ? "FusedConv" : "Conv";
  return {};
}

// Fills the channels up to whole blocks.
Status reorder_input(Graph& graph, NodeId id, int64_t block) {
  const std::string name = graph.node(id).name;
  LINNET_REQUIRE(graph.node(id).input(0) != kNoValue, invalid_model("lacks its input"));
  ValueId x = graph.node(id).input(0);
  if (graph.node(id).int_or("channels_last", 0) != 0) {
    Node turn = node_of("Transpose", 13, name + "/channels_first", {x});
    turn.set("perm", std::vector<int64_t>{0, 3, 1, 2});
    x = graph.add_node(std::move(turn), name + "/channels_first");
  }
  Node size = node_of("Shape", 15, name + "/channels", {x});
  size.set("start", int64_t{1});
  size.set("end", int64_t{2});
  const ValueId channels = graph.add_node(std::move(size), name + "/channels");
  const ValueId less = graph.add_node(node_of("Neg", 13, name + "/less", {channels}), name + "/less");
  const ValueId width = graph.add_ints(name + "/block", {block});
  const ValueId missing = graph.add_node(node_of("Mod", 13, name + "/missing", {less, width}), name + "/missing");
  Node both = node_of("Concat", 13, name + "/pads", {graph.add_ints(name + "/none", {0}), missing});
  both.set("axis", int64_t{0});
  const ValueId pads = graph.add_node(std::move(both), name + "/pads");
  const ValueId axis = graph.add_ints(name + "/axis", {1});
  graph.node(id).attributes.clear();
  graph.set_inputs(id, {x, pads, kNoValue, axis});
  graph.node(id).domain = "";
  graph.node(id).op_type = "Pad";
  return {};
}

// Leaves only the channels that are meant.
Status reorder_output(Graph& graph, NodeId id, int64_t) {
  const std::string name = graph.node(id).name;
  const int64_t channels = graph.node(id).int_or("channels", 0);
  LINNET_REQUIRE(channels > 0 && graph.node(id).input(0) != kNoValue && graph.node(id).outputs.size() == 1,
                 invalid_model("channels is ", channels, "; it must be positive"));
  if (graph.node(id).int_or("channels_last", 0) != 0) {
    const std::vector<ValueId> outputs = graph.node(id).outputs;
    const ValueId kept = graph.add_value(name + "/kept");
    graph.set_outputs(id, {kept});
    Node turn = node_of("Transpose", 13, name + "/channels_last", {kept});
    turn.set("perm", std::vector<int64_t>{0, 2, 3, 1});
    turn.outputs = outputs;
    graph.add_node(std::move(turn));
  }
  const ValueId start = graph.add_ints(name + "/start", {0}), end = graph.add_ints(name + "/end", {channels}),
                axis = graph.add_ints(name + "/axis", {1});
  graph.node(id).attributes.clear();
  graph.set_inputs(id, {graph.node(id).input(0), start, end, axis});
  graph.node(id).domain = "";
  graph.node(id).op_type = "Slice";
  return {};
}

// Here `scales` are whole numbers, one for each axis.
Status upsample(Graph& graph, NodeId id, int64_t) {
  const std::vector<int64_t>* scales = graph.node(id).ints("scales");
  LINNET_REQUIRE(scales && scales->size() == 4, invalid_model("scales must be four numbers"));
  auto owner = std::make_shared<std::vector<float>>(scales->begin(), scales->end());
  const ValueId constant =
      graph.add_constant(graph.node(id).name + "/scales", Tensor{DType::f32, Shape{4}, owner->data(), owner});
  graph.node(id).erase("scales");
  graph.node(id).set("nearest_mode", std::string("floor"));
  graph.set_inputs(id, {graph.node(id).input(0), kNoValue, constant});
  graph.node(id).domain = "";
  graph.node(id).op_type = "Resize";
  return {};
}

// Each channel by itself: the blocks do not matter.
Status pool(Graph& graph, NodeId id, int64_t) {
  graph.node(id).domain = "";
  return {};
}

struct Rewrite {
  std::string_view name;
  int version;  // of the standard operator
  Status (*rewrite)(Graph& graph, NodeId id, int64_t block);
};
constexpr Rewrite kRewrites[] = {
    {"Conv", 11, conv},
    {"ReorderInput", 18, reorder_input},
    {"ReorderOutput", 13, reorder_output},
    {"Upsample", 13, upsample},
    {"MaxPool", 12, pool},
    {"AveragePool", 11, pool},
    {"GlobalMaxPool", 2, pool},
    {"GlobalAveragePool", 2, pool},
};

// All of the graph's at once, for they must agree on the width of a block.
Status rewrite_all(Graph& graph, NodeId) {
  const int64_t block = block_of(graph);
  const size_t count = graph.node_count();
  for (NodeId id = 0; id < count; ++id) {
    if (!graph.alive(id) || graph.node(id).domain != kDomain) continue;
    for (const Rewrite& r : kRewrites) {
      if (graph.node(id).op_type != r.name) continue;
      LINNET_TRY(r.rewrite(graph, id, block));
      graph.node(id).version = r.version;
      break;
    }
  }
  return {};
}

constexpr Upgrade kUpgrades[] = {
    {kDomain, "Conv", 11, rewrite_all},          {kDomain, "ReorderInput", 18, rewrite_all},
    {kDomain, "ReorderOutput", 13, rewrite_all}, {kDomain, "Upsample", 13, rewrite_all},
    {kDomain, "MaxPool", 12, rewrite_all},       {kDomain, "AveragePool", 11, rewrite_all},
    {kDomain, "GlobalMaxPool", 2, rewrite_all},  {kDomain, "GlobalAveragePool", 2, rewrite_all},
};

}  // namespace

extern const std::span<const Upgrade> kNchwcUpgrades = kUpgrades;

}  // namespace linnet
