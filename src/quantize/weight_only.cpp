// Weights in blocks of few bits, activations as they are: MatMul and Gemm become MatMulNBits, tables that Gather reads
// GatherBlockQuantized.
#include <bit>

#include "quantize/job.h"
#include "quantize/replace.h"

namespace linnet {
namespace {

constexpr std::string_view kMicrosoft = "com.microsoft";

class WeightQuantizer {
 public:
  WeightQuantizer(QuantizeJob& job, const WeightOptions& options, const Parallel& parallel)
      : job_(job), options_(options), scheme_(options.blocks), parallel_(parallel) {}

  static bool knows(const Graph& graph, const Node& node) {
    if (node.is("MatMul") || node.is("Gemm")) return true;
    return node.is("Gather") && graph.constant(node.input(0)) && is_float(graph.constant(node.input(0))->dtype) &&
           graph.constant(node.input(0))->shape.rank() == 2;
  }

  Status rewrite(Graph& graph, NodeId id, NodeReport& report) {
    if (graph.node(id).op_type == "Gather") return gather(graph, id, report);
    return product(graph, id, report);
  }

 private:
  Status product(Graph& graph, NodeId id, NodeReport& report) {
    const Node& node = graph.node(id);
    const bool is_gemm = node.op_type == "Gemm";
    if (is_gemm && node.int_or("transA", 0) != 0) {
      report.reason = "MatMulNBits does not transpose its first input";
      return {};
    }
    ValueId b = node.input(1);
    bool by_row = is_gemm && node.int_or("transB", 0) != 0;
    // The table that is transposed, so that others who read it share what becomes of it.
    if (const Node* turn = graph.producer(b);
        turn && turn->is("Transpose") && graph.constant(turn->input(0)) && graph.value(b).info.shape.size() == 2) {
      const std::vector<int64_t>* order = turn->ints("perm");
      if (!order || (*order)[0] == 1) {
        b = turn->input(0);
        by_row = !by_row;
      }
    }
    const ValueInfo& info = graph.value(b).info;
    if (!info.concrete() || info.shape.size() != 2) {
      report.reason = graph.constant(b) ? "its weight is no matrix" : "none of its inputs is a constant weight";
      return {};
    }
    const Shape shape = info.shape.values();
    const int64_t n = shape[by_row ? 0 : 1], k = shape[by_row ? 1 : 0];
    if (k < scheme_.block || n < 2) {
      report.reason = "its weight is small";
      return {};
    }
    LINNET_ASSIGN(const auto weight, quantize(graph, b, by_row, report));
    if (!weight) return {};
    Replacement to(graph, id);
    const DType type = graph.value(to.node().input(0)).info.dtype;
    std::vector<Attribute> attributes{
        {"K", k}, {"N", n}, {"bits", int64_t{scheme_.bits}}, {"block_size", scheme_.block}};
    if (options_.accuracy_level != 0) attributes.push_back({"accuracy_level", int64_t{options_.accuracy_level}});
    ValueId result = to.add("MatMulNBits",
                            {to.cast(to.node().input(0), DType::f32), weight->codes, weight->scale, weight->zero_point},
                            std::move(attributes), kMicrosoft);
    graph.value(result).info.dtype = DType::f32;
    if (is_gemm)
      result = to.scaled_sum(result, to.node().float_or("alpha", 1), to.node().input(2), to.node().float_or("beta", 1));
    to.finish(to.cast(result, type));
    report.result = "MatMulNBits";
    return {};
  }

  Status gather(Graph& graph, NodeId id, NodeReport& report) {
    const ValueId table = graph.node(id).input(0);
    const Shape shape = graph.constant(table)->shape;
    if (!options_.embeddings) {
      report.reason = "tables of embeddings stay unless they are asked for";
    } else if (const int64_t axis = graph.node(id).int_or("axis", 0); axis != 0 && axis != -2) {
      report.reason = "it gathers along an inner axis";
    } else if (shape[1] % scheme_.block != 0) {
      report.reason = concat("its rows of ", shape[1], " do not consist of blocks of ", scheme_.block);
    }
    if (!report.reason.empty()) return {};
    LINNET_ASSIGN(const auto rows, quantize(graph, table, true, report));
    if (!rows) return {};
    // As the operator wants them: a row of the table is a row of codes.
    const int64_t blocks = shape[1] / scheme_.block, per_byte = 8 / scheme_.bits;
    Replacement to(graph, id);
    const auto in_rows = [&](ValueId value, int64_t width) {
      if (value == kNoValue) return kNoValue;
      return to.add("Reshape", {value, graph.add_ints("rows", {shape[0], width})});
    };
    const ValueId result = to.add("GatherBlockQuantized",
                                  {in_rows(rows->codes, shape[1] / per_byte), to.node().input(1),
                                   in_rows(rows->scale, blocks), in_rows(rows->zero_point, ceil_div(blocks, per_byte))},
                                  {{"bits", int64_t{scheme_.bits}},
                                   {"block_size", scheme_.block},
                                   {"gather_axis", int64_t{0}},
                                   {"quantize_axis", int64_t{1}}},
                                  kMicrosoft);
    graph.value(result).info.dtype = DType::f32;
    to.finish(to.cast(result, to.type()));
    report.result = "GatherBlockQuantized";
    return {};
  }

  // `by_row`: the matrix is [n][k], else [k][n].
  Result<std::optional<QuantizedValues>> quantize(Graph& graph, ValueId weight, bool by_row, NodeReport& report) {
    const auto make = [&](const Tensor& tensor) -> Result<QuantizedWeight> {
      LINNET_ASSIGN(const Tensor floats, as_float(tensor));
      const int64_t m = tensor.shape[0], n = tensor.shape[1];
      const MatrixView view =
          by_row ? MatrixView{floats.ptr<float>(), m, n, n, 1} : MatrixView{floats.ptr<float>(), n, m, 1, n};
      return quantize_blocks(view, scheme_, parallel_);
    };
    return job_.quantize(graph, weight, by_row ? "blocks by row" : "blocks by column", report, make);
  }

  QuantizeJob& job_;
  const WeightOptions& options_;
  const BlockScheme scheme_;
  const Parallel& parallel_;
};

}  // namespace

Result<QuantizeReport> quantize_weights(Engine& engine, const ModelSource& source, const WeightOptions& options,
                                        const std::filesystem::path& path) {
  const BlockScheme& blocks = options.blocks;
  LINNET_REQUIRE(blocks.bits == 4 || blocks.bits == 8,
                 invalid_argument("weights of ", blocks.bits, " bits: 4 or 8 are possible"));
  LINNET_REQUIRE(blocks.block >= 16 && blocks.block <= 256 && std::has_single_bit(static_cast<uint64_t>(blocks.block)),
                 invalid_argument("blocks of ", blocks.block, ": 16, 32, 64, 128 and 256 are possible"));
  LINNET_ASSIGN(const auto job, QuantizeJob::open(source, options, path));
  const RunParallel parallel(engine.pool(), engine.executor(), nullptr);
  WeightQuantizer quantizer(*job, options, parallel);
  const auto knows = [](const Graph& graph, const Node& node) { return WeightQuantizer::knows(graph, node); };
  const auto rewrite = [&](Graph& graph, NodeId id, NodeReport& row) { return quantizer.rewrite(graph, id, row); };
  LINNET_TRY(job->for_each_node(knows, rewrite));
  return job->write();
}

}  // namespace linnet
