// Weights in blocks of few bits, activations as they are: MatMul and Gemm become MatMulNBits, tables that Gather reads
// GatherBlockQuantized.
#include <algorithm>
#include <bit>

#include "quantize/block_products.h"
#include "quantize/job.h"
#include "quantize/replace.h"

namespace linnet {
namespace {

constexpr std::string_view kMicrosoft = "com.microsoft";

class WeightQuantizer {
 public:
  WeightQuantizer(QuantizeJob& job, const WeightOptions& options, const Parallel& parallel, InputProducts* inputs,
                  const InputProducts::Source* source)
      : job_(job), options_(options), scheme_(options.blocks), parallel_(parallel), inputs_(inputs), source_(source) {}

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
  static bool is_table(const Graph& graph, ValueId weight) {
    const std::vector<NodeId>& uses = graph.uses(weight);
    return std::any_of(uses.begin(), uses.end(), [&](NodeId user) {
      return graph.node(user).is("Gather") && graph.node(user).input(0) == weight;
    });
  }

  Status product(Graph& graph, NodeId id, NodeReport& report) {
    const auto found = find_block_product(graph, graph.node(id), scheme_.block, report.reason);
    if (!found) return {};
    LINNET_ASSIGN(const auto weight, quantize(graph, found->weight, found->by_row, report));
    if (!weight) return {};
    if (inputs_ && !inputs_->knows(graph, found->weight, found->by_row))
      report.note = "rounded to nearest: the samples do not show its input";
    if (!options_.embeddings && is_table(graph, found->weight))
      report.note += concat(report.note.empty() ? "" : "; ",
                            "the floats stay for Gather: with --embeddings there is one table for both");
    const int64_t n = found->n, k = found->k;
    Replacement to(graph, id);
    const DType type = graph.value(to.node().input(0)).info.dtype;
    std::vector<Attribute> attributes{
        {"K", k}, {"N", n}, {"bits", int64_t{scheme_.bits}}, {"block_size", scheme_.block}};
    if (options_.accuracy_level != 0) attributes.push_back({"accuracy_level", int64_t{options_.accuracy_level}});
    ValueId result = to.add("MatMulNBits",
                            {to.cast(to.node().input(0), DType::f32), weight->codes, weight->scale, weight->zero_point},
                            std::move(attributes), kMicrosoft);
    graph.value(result).info.dtype = DType::f32;
    if (to.node().op_type == "Gemm")
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
    } else if (shape[1] < scheme_.block) {
      report.reason = concat("its rows of ", shape[1], " are shorter than a block of ", scheme_.block);
    }
    if (!report.reason.empty()) return {};
    LINNET_ASSIGN(const auto rows, quantize(graph, table, true, report));
    if (!rows) return {};
    // As the operator wants them: a row of the table is a row of codes.
    const int64_t blocks = ceil_div(shape[1], scheme_.block), width = blocks * scheme_.block,
                  per_byte = 8 / scheme_.bits;
    Replacement to(graph, id);
    const auto in_rows = [&](ValueId value, int64_t size) {
      if (value == kNoValue) return kNoValue;
      return to.add("Reshape", {value, graph.add_ints("rows", {shape[0], size})});
    };
    ValueId result = to.add("GatherBlockQuantized",
                            {in_rows(rows->codes, width / per_byte), to.node().input(1), in_rows(rows->scale, blocks),
                             in_rows(rows->zero_point, ceil_div(blocks, per_byte))},
                            {{"bits", int64_t{scheme_.bits}},
                             {"block_size", scheme_.block},
                             {"gather_axis", int64_t{0}},
                             {"quantize_axis", int64_t{1}}},
                            kMicrosoft);
    if (width != shape[1]) {  // the last block is not full
      const auto one = [&](std::string_view name, int64_t number) {
        return graph.add_ints(std::string(name), {number});
      };
      result = to.add("Slice", {result, one("begin", 0), one("end", shape[1]), one("axis", -1)});
    }
    graph.value(result).info.dtype = DType::f32;
    to.finish(to.cast(result, to.type()));
    report.result = "GatherBlockQuantized";
    return {};
  }

  // `by_row`: the matrix is [n][k], else [k][n].
  Result<std::optional<QuantizedValues>> quantize(Graph& graph, ValueId weight, bool by_row, NodeReport& report) {
    const std::string_view form = by_row ? "blocks by row" : "blocks by column";
    const GptqFactor* factor = nullptr;
    std::string reason;
    if (inputs_ && inputs_->knows(graph, weight, by_row) && !job_.has(graph, weight, form)) {
      LINNET_ASSIGN(factor, inputs_->find(graph, weight, by_row, *source_, reason));
    }
    const auto make = [&](const Tensor& tensor) -> Result<QuantizedWeight> {
      const int64_t m = tensor.shape[0], n = tensor.shape[1];
      const MatrixView view = by_row ? MatrixView{tensor.data, m, n, n, 1, tensor.dtype}
                                     : MatrixView{tensor.data, n, m, 1, n, tensor.dtype};
      if (factor) return quantize_gptq(view, scheme_, *factor, parallel_);
      if (!reason.empty()) report.note = concat("rounded to nearest: ", reason);
      return quantize_blocks(view, scheme_, parallel_);
    };
    return job_.quantize(graph, weight, form, report, make);
  }

  QuantizeJob& job_;
  const WeightOptions& options_;
  const BlockScheme scheme_;
  const Parallel& parallel_;
  InputProducts* inputs_;  // of gptq alone
  const InputProducts::Source* source_;
};

Status check(const WeightOptions& options) {
  const BlockScheme& blocks = options.blocks;
  LINNET_REQUIRE(blocks.bits == 4 || blocks.bits == 8,
                 invalid_argument("weights of ", blocks.bits, " bits: 4 or 8 are possible"));
  LINNET_REQUIRE(blocks.block >= 16 && blocks.block <= 256 && std::has_single_bit(static_cast<uint64_t>(blocks.block)),
                 invalid_argument("blocks of ", blocks.block, ": 16, 32, 64, 128 and 256 are possible"));
  const bool is_gptq = blocks.method == BlockMethod::gptq;
  LINNET_REQUIRE(!is_gptq || options.samples, invalid_argument("the method gptq wants calibration data"));
  LINNET_REQUIRE(!is_gptq || options.samples->count != 0,
                 invalid_argument("there is no calibration data: no sample was found"));
  LINNET_REQUIRE(options.gptq.percdamp >= 0 && options.gptq.percdamp <= 1,
                 invalid_argument("percdamp has to be from 0 to 1"));
  return {};
}

}  // namespace

Result<QuantizeReport> quantize_weights(Engine& engine, const ModelSource& source, const WeightOptions& options,
                                        const std::filesystem::path& path) {
  LINNET_TRY(check(options));
  LINNET_ASSIGN(const auto job, QuantizeJob::open(source, options, path));
  const RunParallel parallel(engine.pool(), engine.executor(), options.stop);
  const bool is_gptq = options.blocks.method == BlockMethod::gptq;
  const std::shared_ptr<Engine> shared(std::shared_ptr<void>(), &engine);  // the caller's
  const auto load = [&]() -> Result<LoadedGraph> {
    LINNET_ASSIGN(const auto again, QuantizeJob::open(source, options, path));
    return again->take();
  };
  const ObserveOptions observing{options.stop, options.sample_progress};
  const Samples none;
  const InputProducts::Source calibration{shared, is_gptq ? *options.samples : none, load, observing};
  std::optional<InputProducts> inputs;
  if (is_gptq)
    inputs.emplace(
        job->graph(), options.blocks.block,
        [&](const Graph& graph, const Node& node) { return job->refusal(graph, node).empty(); }, options.gptq,
        parallel);
  WeightQuantizer quantizer(*job, options, parallel, inputs ? &*inputs : nullptr, &calibration);
  const auto knows = [](const Graph& graph, const Node& node) { return WeightQuantizer::knows(graph, node); };
  const auto rewrite = [&](Graph& graph, NodeId id, NodeReport& row) { return quantizer.rewrite(graph, id, row); };
  LINNET_TRY(job->for_each_node("weights", knows, rewrite));
  return job->write();
}

}  // namespace linnet
