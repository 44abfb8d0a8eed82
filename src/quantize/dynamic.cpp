// Dynamic quantisation in the form that other tools write and runtimes fuse:
//
//   DynamicQuantizeLinear(x) -> MatMulInteger(., weight) -> Cast -> Mul(scale of x, scale of weight) [-> Add(bias)]
#include <algorithm>

#include "quantize/job.h"
#include "quantize/recurrent.h"
#include "quantize/replace.h"

namespace linnet {
namespace {

// Below this many elements what it takes to quantise the activation outweighs what is saved.
constexpr int64_t kLeastElements = 1024;
// A convolution of images with fewer weights has much to quantise and little to save.
constexpr int64_t kLeastImageFilterElements = 32768;
// Tables of positions, which are added as they are.
constexpr int64_t kLeastAddendElements = 8192;
constexpr std::string_view kRows = "rows";

class DynamicQuantizer {
 public:
  explicit DynamicQuantizer(QuantizeJob& job) : job_(job) {}

  static bool knows(const Graph& graph, const Node& node) {
    for (const std::string_view type : {"MatMul", "Gemm", "Conv", "LSTM", "GRU", "RNN"})
      if (node.is(type)) return true;
    return node.is("Attention", "com.microsoft") || (node.is("Gather") && is_table(graph, node, 0)) ||
           (node.is("Add") && addend(graph, node));
  }

  Status rewrite(Graph& graph, NodeId id, NodeReport& report) {
    const Node& node = graph.node(id);
    if (node.op_type == "Gather") return gather(graph, id, report);
    if (node.op_type == "Add") return add(graph, id, *addend(graph, node), report);
    if (node.op_type == "Conv") return conv(graph, id, report);
    if (node.op_type == "Attention") return attention(graph, id, report);
    if (node.op_type == "LSTM") return quantize_lstm(job_, graph, id, report);
    if (node.op_type == "GRU" || node.op_type == "RNN") return dequantize_recurrent(job_, graph, id, report);
    return product(graph, id, report);
  }

 private:
  struct Activation {
    ValueId codes, scale, zero_point;
  };

  static bool is_table(const Graph& graph, const Node& node, size_t input) {
    const Tensor* table = graph.constant(node.input(input));
    return table && is_float(table->dtype) && table->shape.rank() > 1;
  }

  // Which input of a sum is a table.
  static std::optional<size_t> addend(const Graph& graph, const Node& node) {
    for (const size_t input : {0, 1})
      if (is_table(graph, node, input) && graph.constant(node.input(input))->count() >= kLeastAddendElements)
        return input;
    return std::nullopt;
  }

  static bool too_small(const Graph& graph, ValueId weight, NodeReport& report, int64_t least = kLeastElements) {
    const ValueInfo& info = graph.value(weight).info;
    if (!info.concrete() || info.shape.values().count() >= least) return false;
    report.reason = "its weight is small";
    return true;
  }

  // The value as uint8 codes, made once for all who read it.
  Activation quantize(Replacement& to, ValueId value) {
    const auto [found, is_new] = activations_.try_emplace({&to.graph(), value});
    if (is_new) {
      Graph& graph = to.graph();
      const ValueId codes = to.add("DynamicQuantizeLinear", {to.cast(value, DType::f32)});
      const std::string name = graph.value(value).name;
      const ValueId scale = graph.add_value(name + "_scale"), zero_point = graph.add_value(name + "_zero_point");
      graph.set_outputs(graph.value(codes).producer, {codes, scale, zero_point});
      graph.value(codes).name = name + "_quantized";
      found->second = {codes, scale, zero_point};
    }
    return found->second;
  }

  // int32 sums, scaled to floats. `scale` may have been given a shape that broadcasts along the sums' axes.
  ValueId scaled(Replacement& to, ValueId sums, ValueId x_scale, ValueId w_scale, float factor = 1) {
    ValueId scale = to.add("Mul", {x_scale, w_scale});
    if (factor != 1) scale = to.add("Mul", {scale, to.number(factor)});
    const ValueId floats = to.add("Cast", {sums}, {{"to", static_cast<int64_t>(DType::f32)}});
    const ValueId result = to.add("Mul", {floats, scale});
    to.graph().value(result).info.dtype = DType::f32;
    return result;
  }

  // A zero point of 0 is the default.
  ValueId zero_point(const WeightScheme& scheme, const QuantizedValues& weight) {
    return scheme.symmetric && scheme.type == DType::i8 ? kNoValue : weight.zero_point;
  }

  Status product(Graph& graph, NodeId id, NodeReport& report) {
    const Node& node = graph.node(id);
    const bool is_gemm = node.op_type == "Gemm";
    ValueId b = node.input(1);
    bool transposed = is_gemm && node.int_or("transB", 0) != 0;
    // A table that is also the transposed weight stays one table.
    if (const Node* turn = graph.producer(b); turn && turn->is("Transpose") && job_.has(graph, turn->input(0), kRows)) {
      b = turn->input(0);
      transposed = true;
    }
    if (too_small(graph, b, report)) return {};
    Replacement to(graph, id);
    QuantizedValues weight;
    WeightScheme scheme = job_.scheme(std::nullopt);
    if (transposed && job_.has(graph, b, kRows)) {
      scheme = row_scheme();
      LINNET_ASSIGN(const auto rows, quantize_rows(graph, b, report));
      weight = *rows;
      weight.codes = to.add("Transpose", {rows->codes}, {{"perm", std::vector<int64_t>{1, 0}}});
      weight.scale = to.add("Reshape", {rows->scale, graph.add_ints(node.name + "_shape", {-1})});
    } else {
      LINNET_ASSIGN(const auto found, quantize_matrix(graph, b, transposed, scheme, report));
      if (!found) return {};
      weight = *found;
    }
    ValueId a = to.node().input(0);
    if (is_gemm && to.node().int_or("transA", 0) != 0) {
      const DType type = graph.value(a).info.dtype;
      a = to.add("Transpose", {a}, {{"perm", std::vector<int64_t>{1, 0}}});
      graph.value(a).info.dtype = type;
    }
    const Activation x = quantize(to, a);
    const ValueId sums = to.add("MatMulInteger", {x.codes, weight.codes, x.zero_point, zero_point(scheme, weight)});
    ValueId result = scaled(to, sums, x.scale, weight.scale, is_gemm ? to.node().float_or("alpha", 1) : 1);
    if (is_gemm) result = to.scaled_sum(result, 1, to.node().input(2), to.node().float_or("beta", 1));
    to.finish(to.cast(result, to.type()));
    report.result = "MatMulInteger";
    return {};
  }

  // As [k][n]. Stacks of matrices have one scale.
  Result<std::optional<QuantizedValues>> quantize_matrix(Graph& graph, ValueId b, bool transposed, WeightScheme& scheme,
                                                         NodeReport& report) {
    const size_t rank = graph.value(b).info.shape.size();
    const bool by_column = job_.options().per_channel && rank == 2;
    if (!transposed) {
      if (by_column) scheme.axis = 1;
      return job_.quantize(graph, b, scheme, report);
    }
    if (by_column) scheme.axis = 0;
    return job_.quantize(graph, b, by_column ? "transposed by column" : "transposed", report,
                         [&](const Tensor& tensor) -> Result<QuantizedWeight> {
                           LINNET_ASSIGN(QuantizedWeight weight, quantize_weight(tensor, scheme));
                           LINNET_ASSIGN(weight.codes, transposed_codes(weight.codes));
                           return weight;
                         });
  }

  static WeightScheme row_scheme() { return {DType::i8, true, false, 0}; }

  // Codes by row; the scales are [rows][1].
  Result<std::optional<QuantizedValues>> quantize_rows(Graph& graph, ValueId table, NodeReport& report) {
    return job_.quantize(graph, table, kRows, report, [](const Tensor& tensor) -> Result<QuantizedWeight> {
      LINNET_ASSIGN(QuantizedWeight weight, quantize_weight(tensor, row_scheme()));
      weight.scale.shape = Shape{tensor.shape[0]};
      for (size_t a = 1; a < tensor.shape.rank(); ++a) weight.scale.shape.push_back(1);
      weight.zero_point = {};
      return weight;
    });
  }

  // Rows of codes and their scales are gathered alike.
  Status gather(Graph& graph, NodeId id, NodeReport& report) {
    const Node& node = graph.node(id);
    const size_t rank = graph.value(node.input(0)).info.shape.size();
    if (const auto axis = normalize_axis(node.int_or("axis", 0), rank); !axis || *axis != 0) {
      report.reason = "it gathers along an inner axis";
      return {};
    }
    if (too_small(graph, node.input(0), report)) return {};
    LINNET_ASSIGN(const auto table, quantize_rows(graph, node.input(0), report));
    if (!table) return {};
    Replacement to(graph, id);
    const ValueId indices = to.node().input(1);
    const ValueId codes = to.add("Gather", {table->codes, indices});
    const ValueId scale = to.add("Gather", {table->scale, indices});
    const ValueId floats = to.add("Cast", {codes}, {{"to", static_cast<int64_t>(DType::f32)}});
    const ValueId result = to.add("Mul", {floats, scale});
    graph.value(result).info.dtype = DType::f32;
    to.finish(to.cast(result, to.type()));
    report.result = "Gather";
    return {};
  }

  Status add(Graph& graph, NodeId id, size_t input, NodeReport& report) {
    const ValueId table = graph.node(id).input(input);
    const DType type = graph.constant(table)->dtype;
    const size_t axis = graph.constant(table)->shape.rank() - 2;
    LINNET_ASSIGN(const auto weight, job_.quantize(graph, table, WeightScheme{DType::i8, true, false, axis}, report));
    if (!weight) return {};
    Replacement to(graph, id);
    const ValueId floats =
        to.add("DequantizeLinear", {weight->codes, weight->scale}, {{"axis", static_cast<int64_t>(axis)}});
    graph.value(floats).info.dtype = DType::f32;
    graph.set_input(id, input, to.cast(floats, type));
    report.result = "DequantizeLinear";
    return {};
  }

  Status conv(Graph& graph, NodeId id, NodeReport& report) {
    const Node& node = graph.node(id);
    if (node.int_or("group", 1) != 1) {
      report.reason = "convolutions in groups are faster as floats";
      return {};
    }
    const ValueId w = node.input(1), bias = node.input(2);
    const size_t rank = graph.value(w).info.shape.size();
    if (too_small(graph, w, report, rank > 3 ? kLeastImageFilterElements : kLeastElements)) return {};
    if (bias != kNoValue && !graph.constant(bias)) {
      report.reason = "its bias is not constant";
      return {};
    }
    WeightScheme scheme = job_.scheme(std::nullopt);
    if (job_.options().per_channel) scheme.axis = 0;
    Shape along(rank - 1);  // of what is given by filter: broadcasts along the spatial axes
    for (int64_t& size : along) size = 1;
    const auto form = concat("filters ", scheme.axis.has_value());
    LINNET_ASSIGN(const auto weight,
                  job_.quantize(graph, w, form, report, [&](const Tensor& tensor) -> Result<QuantizedWeight> {
                    LINNET_ASSIGN(QuantizedWeight made, quantize_weight(tensor, scheme));
                    along[0] = made.scale.count();
                    if (scheme.axis) made.scale.shape = along;
                    return made;
                  }));
    if (!weight) return {};
    Replacement to(graph, id);
    const Activation x = quantize(to, to.node().input(0));
    const ValueId sums = to.add("ConvInteger", {x.codes, weight->codes, x.zero_point, zero_point(scheme, *weight)},
                                to.node().attributes);
    ValueId result = scaled(to, sums, x.scale, weight->scale);
    if (bias != kNoValue) {
      Tensor reshaped = *graph.constant(bias);
      along[0] = reshaped.count();
      reshaped.shape = along;
      const ValueId constant = graph.add_constant(graph.value(bias).name + "_reshaped", std::move(reshaped));
      result = to.add("Add", {result, to.cast(constant, DType::f32)});
      graph.value(result).info.dtype = DType::f32;
    }
    to.finish(to.cast(result, to.type()));
    report.result = "ConvInteger";
    return {};
  }

  // QAttention, which has neither an attention bias nor widths of its own for queries, keys and values.
  Status attention(Graph& graph, NodeId id, NodeReport& report) {
    const Node& node = graph.node(id);
    if (node.find("qkv_hidden_sizes") || node.input(5) != kNoValue || node.input(6) != kNoValue ||
        node.input(2) == kNoValue) {
      report.reason = "QAttention has no such inputs or attributes";
      return {};
    }
    WeightScheme scheme = job_.scheme(std::nullopt);
    if (job_.options().per_channel) scheme.axis = 1;
    LINNET_ASSIGN(const auto weight, job_.quantize(graph, node.input(1), scheme, report));
    if (!weight) return {};
    Replacement to(graph, id);
    const Activation x = quantize(to, node.input(0));
    graph.set_inputs(id, {x.codes, weight->codes, node.input(2), x.scale, weight->scale, node.input(3), x.zero_point,
                          weight->zero_point, node.input(4)});
    graph.node(id).op_type = "QAttention";
    to.widen();
    report.result = "QAttention";
    return {};
  }

  QuantizeJob& job_;
  std::map<std::pair<const Graph*, ValueId>, Activation> activations_;
};

}  // namespace

Result<QuantizeReport> quantize_dynamic(const ModelSource& source, const QuantizeOptions& options,
                                        const std::filesystem::path& path) {
  LINNET_ASSIGN(const auto job, QuantizeJob::open(source, options, path));
  LINNET_TRY(refuse_own_forms(job->graph()));
  DynamicQuantizer quantizer(*job);
  const auto knows = [](const Graph& graph, const Node& node) { return DynamicQuantizer::knows(graph, node); };
  const auto rewrite = [&](Graph& graph, NodeId id, NodeReport& row) { return quantizer.rewrite(graph, id, row); };
  LINNET_TRY(job->for_each_node("dynamic", knows, rewrite));
  return job->write();
}

}  // namespace linnet
