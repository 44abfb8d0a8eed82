// DequantizeLinear, an operator, QuantizeLinear: the operator on the codes. A Relu or Clip before the QuantizeLinear is
// a bound on codes, since quantising keeps the order of numbers.
// https://onnx.ai/onnx/operators/onnx__QLinearConv.html, ...QLinearMatMul, and
// https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md#com.microsoft.QGemm, ...QLinearAdd
#include <algorithm>
#include <cmath>
#include <string>

#include "optimize/activations.h"
#include "optimize/match.h"
#include "optimize/optimizer.h"
#include "optimize/quantization.h"

namespace linnet {
namespace {

constexpr std::string_view kMicrosoft = "com.microsoft";

// The end of a group: the quantisation of its result, and what stands between.
struct Target {
  Quantized q;
  NodeId quantize = kNoNode;
  NodeId bound = kNoNode;  // Relu or Clip
  float low = 0, high = 0;
};

std::optional<Target> target_of(const Graph& graph, ValueId result) {
  Target t;
  NodeId user = sole_user(graph, result);
  if (user == kNoNode) return std::nullopt;
  if (const Node& node = graph.node(user); node.is("Relu") || node.is("Clip")) {
    const std::optional<FusedActivation> activation = as_activation(graph, node);
    if (!activation || node.inputs[0] != result) return std::nullopt;
    t.bound = user;
    t.low = node.is("Relu") ? 0.0f : activation->parameters[0];
    t.high = node.is("Relu") ? INFINITY : activation->parameters[1];
    if (!(t.low <= t.high)) return std::nullopt;
    user = sole_user(graph, node.outputs[0]);
    if (user == kNoNode || graph.node(user).input(0) != node.outputs[0]) return std::nullopt;
  }
  const std::optional<Quantized> q = as_quantize(graph, graph.node(user));
  if (!q || !q->is_byte()) return std::nullopt;
  t.q = *q;
  t.quantize = user;
  return t;
}

int32_t code_of(const Graph& graph, const Quantized& q, float x) {
  const float code = std::nearbyint(x / scale_of(graph, q)) + static_cast<float>(zero_of(graph, q));
  return static_cast<int32_t>(std::clamp(code, static_cast<float>(q.least()), static_cast<float>(q.greatest())));
}

class Fuser {
 public:
  Fuser(Graph& graph, const PassContext& context) : graph_(graph), context_(context) {}

  size_t run() {
    return rewrite_nodes(graph_, [&](NodeId id) {
      return graph_.node(id).domain.empty() && !graph_.node(id).outputs.empty() && visit(id);
    });
  }

 private:
  using Rule = bool (Fuser::*)(NodeId);

  bool visit(NodeId id) {
    static constexpr std::pair<std::string_view, Rule> kRules[] = {
        {"Conv", &Fuser::convolution},
        {"MatMul", &Fuser::product},
        {"Gemm", &Fuser::gemm},
        {"Add", &Fuser::binary},
        {"Mul", &Fuser::binary},
        {"Sigmoid", &Fuser::unary},
        {"LeakyRelu", &Fuser::unary},
        {"Softmax", &Fuser::unary},
        {"AveragePool", &Fuser::unary},
        {"GlobalAveragePool", &Fuser::unary},
        {"Concat", &Fuser::concatenation},
        {"Where", &Fuser::selection},
        {"Relu", &Fuser::bound},
        {"Clip", &Fuser::bound},
    };
    for (const auto& [type, rule] : kRules) {
      if (graph_.node(id).op_type != type) continue;
      reason_ = {};
      const Node& node = graph_.node(id);
      // A reader expects a fusion where an input is dequantised and the result quantised.
      const bool expected =
          dequantized(graph_, node.input(node.op_type == "Where" ? 1 : 0)) && is_quantized(node.outputs[0]);
      if ((this->*rule)(id)) return true;
      if (expected && !reason_.empty()) context_.miss(graph_, id, reason_);
      return false;
    }
    return false;
  }

  bool is_quantized(ValueId value) const {
    const std::vector<NodeId>& users = graph_.uses(value);
    return std::any_of(users.begin(), users.end(),
                       [&](NodeId user) { return graph_.node(user).op_type == "QuantizeLinear"; });
  }

  bool refused(std::string_view reason) {
    reason_ = reason;
    return false;
  }
  static constexpr std::string_view
      kInputs = "not all of its inputs are dequantised from 8-bit codes of one scale",
      kTypes = "its inputs and its result are not quantised to one type of 8 bits, the result for one reader",
      kWeights =
          "its weights are not dequantised from constant 8-bit codes with scales for all or for "
          "each column",
      kSigns = "signed activations meet unsigned weights",
      kBias = "its bias is no row of constants that fits into sums of 32 bits";

  std::optional<Quantized> input(NodeId id, size_t i) const { return dequantized(graph_, graph_.node(id).input(i)); }
  // Codes of 8 bits with one scale.
  std::optional<Quantized> activation(NodeId id, size_t i) const {
    const std::optional<Quantized> q = input(id, i);
    return q && q->is_byte() && !q->by_axis ? q : std::nullopt;
  }
  void push(Node& node, const Quantized& q, bool codes = true) {
    if (codes) node.inputs.push_back(q.codes);
    node.inputs.push_back(q.scale);
    node.inputs.push_back(zero_value(graph_, q));
  }

  static Node start(const Node& from, std::string_view type, std::string_view domain, int version = 1) {
    Node node = from;
    node.op_type = type;
    node.domain = domain;
    node.version = version;
    node.inputs.clear();
    return node;
  }

  // The node in the place of the group that begins with `id`.
  void finish(NodeId id, const Target& t, Node node) {
    const ValueId out = t.q.codes;
    for (const NodeId part : {id, t.bound, t.quantize})
      if (part != kNoNode) graph_.remove_node(part);
    const int32_t low = t.bound == kNoNode ? t.q.least() : code_of(graph_, t.q, t.low),
                  high = t.bound == kNoNode ? t.q.greatest() : code_of(graph_, t.q, t.high);
    if (low == t.q.least() && high == t.q.greatest()) {
      node.outputs = {out};
      graph_.add_node(std::move(node));
      return;
    }
    const std::string name = node.name;
    Node clip;
    clip.op_type = "Clip";
    clip.version = 13;
    clip.name = name + "/bound";
    node.outputs.clear();
    clip.inputs = {graph_.add_node(std::move(node), name + "/codes", graph_.value(out).info), code(t.q.type, low),
                   code(t.q.type, high)};
    clip.outputs = {out};
    graph_.add_node(std::move(clip));
  }

  ValueId code(DType type, int32_t value) {
    Tensor tensor = make_tensor(type, Shape()).value();
    *static_cast<uint8_t*>(tensor.data) = static_cast<uint8_t>(value);
    return graph_.add_constant("code", std::move(tensor));
  }

  // The bias in units of a sum: int32, of scale x_scale w_scale. Nothing when it does not fit.
  std::optional<ValueId> bias_codes(ValueId bias, const Quantized& x, const Quantized& w, int64_t filters) {
    const std::optional<Quantized> q = dequantized(graph_, bias);
    const Tensor* given = graph_.constant(q ? q->codes : bias);
    if (!given || given->shape.rank() != 1 || given->count() != filters ||
        (q ? q->type != DType::i32 : given->dtype != DType::f32))
      return std::nullopt;
    Tensor codes = make_tensor(DType::i32, given->shape).value();
    bool same = q.has_value();
    for (int64_t i = 0; i < filters; ++i) {
      const double unit = static_cast<double>(scale_of(graph_, x)) * static_cast<double>(scale_of(graph_, w, i));
      double sum = number_at(*given, i);
      if (q) sum -= zero_of(graph_, *q, i);
      if (const double ratio = q ? static_cast<double>(scale_of(graph_, *q, i)) / unit : 1 / unit;
          !q || std::fabs(ratio - 1) > 1e-5) {
        sum = std::nearbyint(sum * ratio);
        same = false;
      }
      if (!(std::fabs(sum) < 2147483647.0)) return std::nullopt;
      codes.ptr<int32_t>()[i] = static_cast<int32_t>(sum);
    }
    if (same && q->zero == kNoValue) return q->codes;
    return graph_.add_constant(graph_.value(bias).name + "/codes", std::move(codes));
  }

  bool convolution(NodeId id) {
    const Node& conv = graph_.node(id);
    const std::optional<Quantized> x = activation(id, 0), w = input(id, 1);
    if (!x) return refused(kInputs);
    if (!w || !w->is_byte() || !graph_.constant(w->codes) || (w->by_axis && w->axis != 0)) return refused(kWeights);
    if (x->type == DType::i8 && w->type != DType::i8) return refused(kSigns);
    const std::optional<Target> t = target_of(graph_, conv.outputs[0]);
    if (!t || t->q.type != x->type) return refused(kTypes);
    Node node = start(conv, "QLinearConv", "", 10);
    push(node, *x);
    push(node, *w);
    push(node, t->q, false);
    if (conv.input(2) != kNoValue) {
      const std::optional<ValueId> bias = bias_codes(conv.inputs[2], *x, *w, graph_.constant(w->codes)->shape[0]);
      if (!bias) return refused(kBias);
      node.inputs.push_back(*bias);
    }
    finish(id, *t, std::move(node));
    return true;
  }

  // One scale for all of B, or one for each of its columns.
  static bool is_by_column(const Quantized& b, size_t rank, bool transposed) {
    return !b.by_axis || (rank == 2 && b.axis == (transposed ? 0 : 1));
  }

  bool product(NodeId id) {
    const Node& matmul = graph_.node(id);
    const std::optional<Quantized> a = activation(id, 0), b = input(id, 1);
    if (!a) return refused(kInputs);
    if (!b || !b->is_byte()) return refused(kWeights);
    if (a->type == DType::i8 && b->type != DType::i8) return refused(kSigns);
    const ValueInfo &a_info = graph_.value(a->codes).info, &b_info = graph_.value(b->codes).info;
    if (!a_info.ranked || !b_info.ranked || a_info.shape.size() < 2 || b_info.shape.size() < 2 ||
        !is_by_column(*b, b_info.shape.size(), false))
      return refused(kWeights);
    if (const std::optional<Target> t = target_of(graph_, matmul.outputs[0]); t && t->q.type == a->type) {
      Node node = start(matmul, "QLinearMatMul", "", 10);
      push(node, *a);
      push(node, *b);
      push(node, t->q, false);
      finish(id, *t, std::move(node));
      return true;
    }
    if (is_scores(matmul)) return false;
    Node node = start(matmul, "MatMulIntegerToFloat", kMicrosoft);
    node.inputs = {a->codes, b->codes, a->scale, b->scale, zero_value(graph_, *a), zero_value(graph_, *b)};
    graph_.remove_node(id);
    graph_.add_node(std::move(node));
    return true;
  }

  // Products of queries and keys whose softmax stays in floats: fuse_attention takes them with it.
  bool is_scores(const Node& matmul) const {
    ValueId value = matmul.outputs[0];
    if (graph_.constant(dequantized(graph_, matmul.inputs[1])->codes) || !shape_of(graph_, value, 4)) return false;
    for (NodeId user = sole_user(graph_, value); user != kNoNode; user = sole_user(graph_, value)) {
      const Node& node = graph_.node(user);
      if (node.outputs.empty()) return false;
      value = node.outputs[0];
      if (node.is("Softmax")) return !is_quantized(value);
      if (!node.is("Mul") && !node.is("Div") && !node.is("Add") && !node.is("Where")) return false;
    }
    return false;
  }

  bool gemm(NodeId id) {
    const Node& gemm = graph_.node(id);
    const std::optional<Quantized> a = activation(id, 0), b = input(id, 1);
    const bool transposed = gemm.int_or("transB", 0) != 0;
    if (!a) return refused(kInputs);
    const Tensor* weights = b ? graph_.constant(b->codes) : nullptr;
    if (!weights || !b->is_byte() || weights->shape.rank() != 2 || !is_by_column(*b, 2, transposed))
      return refused(kWeights);
    if (a->type == DType::i8 && b->type != DType::i8) return refused(kSigns);
    if (gemm.float_or("alpha", 1.0f) != 1.0f) return refused("its alpha is not 1");
    const std::optional<Target> t = target_of(graph_, gemm.outputs[0]);
    if (t && t->q.type != a->type) return refused(kTypes);
    Node node = start(gemm, "QGemm", kMicrosoft);
    node.erase("beta");
    push(node, *a);
    push(node, *b);
    node.inputs.push_back(kNoValue);
    if (gemm.input(2) != kNoValue) {
      if (gemm.float_or("beta", 1.0f) != 1.0f) return refused("its beta is not 1");
      const std::optional<ValueId> bias = bias_codes(gemm.inputs[2], *a, *b, weights->shape[transposed ? 0 : 1]);
      if (!bias) return refused(kBias);
      node.inputs.back() = *bias;
    }
    if (t) {
      push(node, t->q, false);
      finish(id, *t, std::move(node));
    } else {
      while (node.inputs.back() == kNoValue) node.inputs.pop_back();
      graph_.remove_node(id);
      graph_.add_node(std::move(node));
    }
    return true;
  }

  bool binary(NodeId id) {
    const Node& op = graph_.node(id);
    const std::optional<Quantized> a = activation(id, 0), b = activation(id, 1);
    const std::optional<Target> t = target_of(graph_, op.outputs[0]);
    if (!a || !b) return refused(kInputs);
    if (!t || a->type != b->type || a->type != t->q.type) return refused(kTypes);
    Node node = start(op, "QLinear" + op.op_type, kMicrosoft);
    push(node, *a);
    push(node, *b);
    push(node, t->q, false);
    finish(id, *t, std::move(node));
    return true;
  }

  bool unary(NodeId id) {
    const Node& op = graph_.node(id);
    if (op.op_type == "Softmax" && !softmax_axis(graph_, op)) return refused("it is over several axes");
    const std::optional<Quantized> x = activation(id, 0);
    const std::optional<Target> t = target_of(graph_, op.outputs[0]);
    if (!x) return refused(kInputs);
    if (!t || x->type != t->q.type) return refused(kTypes);
    Node node = start(op, "QLinear" + op.op_type, kMicrosoft);
    if (op.op_type == "Softmax") {
      node.set("opset", int64_t{13});
      node.set("axis", *softmax_axis(graph_, op));
    }
    if (op.op_type == "GlobalAveragePool") node.set("channels_last", int64_t{0});
    if (const std::vector<int64_t>* dilations = op.ints("dilations")) {
      if (std::any_of(dilations->begin(), dilations->end(), [](int64_t d) { return d != 1; }))
        return refused("its window is dilated");
      node.erase("dilations");
    }
    push(node, *x);
    push(node, t->q, false);
    finish(id, *t, std::move(node));
    return true;
  }

  bool concatenation(NodeId id) {
    const Node& op = graph_.node(id);
    const std::optional<Target> t = target_of(graph_, op.outputs[0]);
    if (!t) return refused(kTypes);
    Node node = start(op, "QLinearConcat", kMicrosoft);
    push(node, t->q, false);
    for (size_t i = 0; i < op.inputs.size(); ++i) {
      const std::optional<Quantized> x = activation(id, i);
      if (!x) return refused(kInputs);
      if (x->type != t->q.type) return refused(kTypes);
      push(node, *x);
    }
    finish(id, *t, std::move(node));
    return true;
  }

  bool selection(NodeId id) {
    const Node& op = graph_.node(id);
    const std::optional<Quantized> x = activation(id, 1), y = activation(id, 2);
    const std::optional<Target> t = target_of(graph_, op.outputs[0]);
    if (!x || !y) return refused(kInputs);
    if (!t || x->type != y->type || x->type != t->q.type) return refused(kTypes);
    Node node = start(op, "QLinearWhere", kMicrosoft);
    node.inputs = {op.inputs[0]};
    push(node, *x);
    push(node, *y);
    push(node, t->q, false);
    finish(id, *t, std::move(node));
    return true;
  }

  // Relu or Clip of codes whose quantisation stays.
  bool bound(NodeId id) {
    const Node& op = graph_.node(id);
    const std::optional<Quantized> x = activation(id, 0);
    const NodeId user = sole_user(graph_, op.outputs[0]);
    const std::optional<FusedActivation> limits = as_activation(graph_, op);
    if (!x || user == kNoNode || !limits) return false;
    const std::optional<Quantized> y = as_quantize(graph_, graph_.node(user));
    if (!y || !same_quantization(graph_, *x, *y)) return false;
    const bool relu = op.op_type == "Relu";
    const float low = relu ? 0.0f : limits->parameters[0], high = relu ? INFINITY : limits->parameters[1];
    if (!(low <= high)) return false;
    Node clip = start(op, "Clip", "", 13);
    clip.inputs = {x->codes, code(x->type, code_of(graph_, *x, low)), code(x->type, code_of(graph_, *x, high))};
    clip.outputs = {y->codes};
    graph_.remove_node(id);
    graph_.remove_node(user);
    graph_.add_node(std::move(clip));
    return true;
  }

  Graph& graph_;
  const PassContext& context_;
  std::string_view reason_;  // why the last rule did not fit
};

}  // namespace

Result<size_t> fuse_qdq(Graph& graph, PassContext& context) { return Fuser(graph, context).run(); }

}  // namespace linnet
