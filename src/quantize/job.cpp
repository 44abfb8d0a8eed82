#include "quantize/job.h"

#include <algorithm>

#include "optimize/evaluate.h"
#include "optimize/optimizer.h"
#include "quantize/node_names.h"
#include "save.h"

namespace linnet {
namespace {

constexpr size_t kFoldBytes = size_t{64} << 10;  // in total: shape arithmetic and small tables, not weights

// What the model's nodes may be quantised to needs this operator set.
constexpr int kLeastOpset = 13;

void raise_opset(Graph& graph) {
  int& version = graph.opsets[""];
  version = std::max(version, kLeastOpset);
  for (const NodeId id : graph.order())
    for (const auto& body : subgraphs_of(graph.node(id))) raise_opset(*body);
}

// A node that only this engine reads, as `optimize` writes at the level all; in an order of axes, too, which the
// schemes of 8 bits do not know.
bool is_own(const Node& node) {
  const bool standard = node.domain.empty() || node.is("FusedConv", "com.microsoft");
  return node.domain == "linnet" ||
         (standard && (node.int_or("channels_last", 0) != 0 || node.int_or("src_channels_first", 0) != 0));
}

size_t count_known(const Graph& graph, QuantizeJob::Knows knows) {
  size_t count = 0;
  for (const NodeId id : graph.order()) {
    count += knows(graph, graph.node(id));
    for (const auto& body : subgraphs_of(graph.node(id))) count += count_known(*body, knows);
  }
  return count;
}

// Operators with weights, and the commands that quantise them; MatMul, Gemm and tables are known to several schemes.
struct WeightOperator {
  std::string_view op_type, domain, taken;
};
constexpr WeightOperator kWeightOperators[] = {
    {"LSTM", "", "`quantize dynamic` does"},
    {"GRU", "", "`quantize dynamic` does"},
    {"RNN", "", "`quantize dynamic` does"},
    {"Attention", "com.microsoft", "`quantize dynamic` does"},
    {"Conv", "", "`quantize dynamic` and `quantize static` do"},
    {"ConvTranspose", "", "`quantize static` does"},
    {"DeformConv", "", "no scheme does"},
    {"Einsum", "", "no scheme does"},
    {"EmbedLayerNormalization", "com.microsoft", "no scheme does"},
    {"FusedConv", "com.microsoft", "no scheme does"},
    {"FusedGemm", "com.microsoft", "no scheme does"},
    {"FusedMatMul", "com.microsoft", "no scheme does"},
    {"MoE", "com.microsoft", "no scheme does"},
};

// Which commands take the node, if it holds weights; else nothing.
std::string_view who_takes(const Graph& graph, const Node& node) {
  const auto found = std::find_if(std::begin(kWeightOperators), std::end(kWeightOperators),
                                  [&](const WeightOperator& op) { return node.is(op.op_type, op.domain); });
  if (found == std::end(kWeightOperators)) return {};
  const bool holds = std::any_of(node.inputs.begin(), node.inputs.end(), [&](ValueId v) {
    const Tensor* tensor = graph.constant(v);
    return tensor && is_float(tensor->dtype) && tensor->shape.rank() >= 2;
  });
  return holds ? found->taken : std::string_view();
}

// The value as a constant, computed where nothing but constants stand behind it. Quantised ones are not computed.
bool fold_behind(Graph& graph, ValueId value) {
  if (graph.constant(value)) return true;
  const NodeId id = value == kNoValue ? kNoNode : graph.value(value).producer;
  if (id == kNoNode || graph.node(id).op_type == "DequantizeLinear") return false;
  const std::vector<ValueId> inputs = graph.node(id).inputs;
  for (const ValueId input : inputs)
    if (input != kNoValue && !fold_behind(graph, input)) return false;
  std::optional<std::vector<Tensor>> outputs = evaluate(graph, id, SIZE_MAX);
  if (!outputs || outputs->size() != 1) return false;
  graph.remove_node(id);
  graph.set_constant(value, std::move(outputs->front()));
  return true;
}

ValueId add_shared(Graph& graph, std::string name, const std::shared_ptr<const Tensor>& tensor) {
  if (!tensor) return kNoValue;
  SymShape shape;
  for (const int64_t size : tensor->shape) shape.push_back(size);
  const ValueId value = graph.add_value(std::move(name), ValueInfo::tensor(tensor->dtype, shape));
  graph.value(value).constant = tensor;
  return value;
}

std::string_view first_output(const Graph& graph, const Node& node) {
  for (const ValueId v : node.outputs)
    if (v != kNoValue) return graph.value(v).name;
  return {};
}

std::shared_ptr<const Tensor> share(Tensor&& tensor) {
  if (tensor.dtype == DType::undefined) return nullptr;
  return std::make_shared<const Tensor>(std::move(tensor));
}

}  // namespace

Status refuse_own_forms(const Graph& graph) {
  for (const NodeId id : graph.order()) {
    LINNET_REQUIRE(!is_own(graph.node(id)),
                   invalid_argument(graph.node_path(id), " is in a form of this engine alone, as `optimize` writes at ",
                                    "the level all: quantise the model's source"));
    for (const auto& body : subgraphs_of(graph.node(id))) LINNET_TRY(refuse_own_forms(*body));
  }
  return {};
}

bool QuantizeJob::Key::operator<(const Key& other) const noexcept {
  const std::owner_less<> less;
  if (less(weight, other.weight)) return true;
  return !less(other.weight, weight) && form < other.form;
}

Result<std::unique_ptr<QuantizeJob>> QuantizeJob::open(const ModelSource& source, const QuantizeOptions& options,
                                                       const std::filesystem::path& path) {
  std::unique_ptr<QuantizeJob> job(new QuantizeJob(options, path));
  LINNET_REQUIRE(options.weight_type == DType::i8 || options.weight_type == DType::u8,
                 invalid_argument("weights become int8 or uint8, not ", dtype_name(options.weight_type)));
  LINNET_TRY(require_folder_of(path));
  LINNET_ASSIGN(job->loaded_, load_graph(source, options.load));
  LINNET_REQUIRE(!job->loaded_.packed, invalid_argument("a compiled model cannot be quantised: quantise its source"));
  const auto& files = job->loaded_.model->files;
  for (const auto& file : files) {
    std::error_code failed;
    LINNET_REQUIRE(!std::filesystem::equivalent(file->path(), path, failed),
                   invalid_argument("the result would replace '", file->path().string(), "', which is read for it"));
    job->report_.bytes_before += file->identity().size;
  }
  if (source.path.empty()) job->report_.bytes_before += source.bytes.size();
  Graph& graph = *job->loaded_.graph;
  if (const auto unknown = unknown_operators(graph); !unknown.empty())
    return unsupported("the model uses an operator that is not supported: ", unknown.begin()->first, " at ",
                       unknown.begin()->second.front());
  name_nodes(graph);
  LINNET_ASSIGN(job->selection_, NodeSelection::make(graph, options.include, options.exclude));
  OptimizeOptions basic = options.load.optimize;
  basic.level = std::min(basic.level, OptimizationLevel::basic);
  basic.fold_bytes = kFoldBytes;
  LINNET_TRY(optimize(graph, *job->loaded_.symbols, basic).status());
  raise_opset(graph);
  return job;
}

std::string QuantizeJob::refusal(const Graph& graph, const Node& node) const {
  std::string words = selection_.refusal(node);
  return words.empty() && options_.leave ? options_.leave(first_output(graph, node)) : words;
}

NodeReport QuantizeJob::new_report(const Graph& graph, NodeId id) const {
  const Node& node = graph.node(id);
  NodeReport row;
  row.node = graph.node_path(id);
  row.name = node.name;
  row.output = first_output(graph, node);
  row.reason = refusal(graph, node);
  return row;
}

Status QuantizeJob::for_each_node(std::string_view scheme, Knows knows, Rewrite rewrite) {
  size_t done = 0;
  return visit(graph(), scheme, knows, rewrite, count_known(graph(), knows), done);
}

Status QuantizeJob::visit(Graph& graph, std::string_view scheme, Knows knows, Rewrite rewrite, size_t total,
                          size_t& done) {
  const std::vector<NodeId> order = graph.order();
  for (const NodeId id : order) {
    if (!graph.alive(id)) continue;  // a rewrite before this one may have folded it
    for (const auto& body : subgraphs_of(graph.node(id))) LINNET_TRY(visit(*body, scheme, knows, rewrite, total, done));
    if (!knows(graph, graph.node(id))) {
      const std::string_view taken = who_takes(graph, graph.node(id));
      if (taken.empty()) continue;
      NodeReport row = new_report(graph, id);
      if (row.reason.empty())
        row.reason = concat(graph.node(id).op_type, ": the ", scheme, " scheme does not take it; ", taken);
      report_.nodes.push_back(std::move(row));
      continue;
    }
    LINNET_REQUIRE(!options_.stop || !options_.stop->stopped(), error(Code::cancelled, "quantising was cancelled"));
    NodeReport row = new_report(graph, id);
    if (options_.progress) options_.progress(done, total, row.node);
    ++done;
    if (row.reason.empty()) {
      const std::vector<ValueId>& inputs = graph.node(id).inputs;
      const std::set<ValueId> before(inputs.begin(), inputs.end());
      if (Status status = rewrite(graph, id, row); !status.ok()) return std::move(status).at_node(row.node);
      LINNET_CHECK(row.result.empty() != row.reason.empty());
      if (!row.result.empty()) fix_defaults(graph, before);
      release(graph, before);
    }
    report_.nodes.push_back(std::move(row));
  }
  return graph.sort();
}

// An initializer that is also an input, its default, counts as a constant. Where it has become codes, a caller's would
// no longer count everywhere: it is no input any more.
void QuantizeJob::fix_defaults(const Graph& graph, const std::set<ValueId>& values) {
  std::erase_if(this->graph().overridable, [&](const GraphPort& port) {
    const Tensor* tensor = this->graph().constant(port.value);
    return std::any_of(values.begin(), values.end(), [&](ValueId v) { return tensor && graph.constant(v) == tensor; });
  });
}

// Constants that nothing uses any more go at once: with those of all nodes a whole float model would be in memory.
void QuantizeJob::release(Graph& graph, const std::set<ValueId>& values) {
  for (const ValueId v : values) {
    const Tensor* constant = graph.constant(v);
    if (!constant) continue;
    for (const auto& file : loaded_.model->files) file->discard({constant->ptr<std::byte>(), constant->bytes()});
    if (graph.use_count(v) == 0) graph.value(v).constant.reset();
  }
}

std::shared_ptr<const Tensor> QuantizeJob::float_constant(Graph& graph, ValueId value, NodeReport& report) {
  if (const Node* producer = value == kNoValue ? nullptr : graph.producer(value);
      producer && producer->op_type == "DequantizeLinear" && graph.constant(producer->input(0))) {
    report.reason = "its weight is quantised already";
  } else if (value == kNoValue || !fold_behind(graph, value)) {
    report.reason = "none of its inputs is a constant weight";
  } else if (!is_float(graph.constant(value)->dtype)) {
    report.reason = concat("its weight is of type ", dtype_name(graph.constant(value)->dtype));
  } else {
    return graph.value(value).constant;
  }
  return nullptr;
}

WeightScheme QuantizeJob::scheme(std::optional<size_t> axis) const noexcept {
  return {options_.weight_type, options_.weight_symmetric.value_or(options_.weight_type == DType::i8),
          options_.reduce_range, axis};
}

Result<std::optional<QuantizedValues>> QuantizeJob::quantize(Graph& graph, ValueId weight, const WeightScheme& scheme,
                                                             NodeReport& report) {
  const std::string form = concat(dtype_name(scheme.type), scheme.symmetric ? " symmetric" : "",
                                  scheme.reduced ? " reduced" : "", scheme.axis ? concat(" axis ", *scheme.axis) : "");
  return quantize(graph, weight, form, report, [&](const Tensor& tensor) { return quantize_weight(tensor, scheme); });
}

Result<std::optional<QuantizedValues>> QuantizeJob::quantize(Graph& graph, ValueId weight, std::string_view form,
                                                             NodeReport& report, Make make) {
  const std::shared_ptr<const Tensor> tensor = float_constant(graph, weight, report);
  if (!tensor) return std::optional<QuantizedValues>();
  auto found = made_.find({tensor, std::string(form)});
  if (found == made_.end()) {
    Result<QuantizedWeight> result = make(*tensor);
    if (!result.ok() && result.status().code() == Code::invalid_argument) {
      report.reason = result.status().message();
      return std::optional<QuantizedValues>();
    }
    LINNET_TRY(result.status());
    Made made{share(std::move(result->codes)),
              share(std::move(result->scale)),
              share(std::move(result->zero_point)),
              result->snr_db,
              {}};
    report.bytes_before += tensor->bytes();
    for (const auto& part : {made.codes, made.scale, made.zero_point}) report.bytes_after += part ? part->bytes() : 0;
    found = made_.emplace(Key{tensor, std::string(form)}, std::move(made)).first;
  }
  Made& made = found->second;
  report.weight_snr_db = std::min(report.weight_snr_db.value_or(made.snr_db), made.snr_db);
  const auto [values, is_new] = made.values.try_emplace(&graph);
  const std::string name = graph.value(weight).name;
  if (is_new)
    values->second = {add_shared(graph, name + "_quantized", made.codes),
                      add_shared(graph, name + "_scale", made.scale),
                      add_shared(graph, name + "_zero_point", made.zero_point)};
  return std::optional(values->second);
}

bool QuantizeJob::has(const Graph& graph, ValueId weight, std::string_view form) const {
  return graph.constant(weight) && made_.contains({graph.value(weight).constant, std::string(form)});
}

Result<QuantizeReport> QuantizeJob::write() {
  Graph& whole = graph();
  whole.remove_unused();
  make_names_unique(whole);  // other runtimes refuse two nodes of one name
  if (options_.take) {
    LINNET_TRY(options_.take(take()));
    return std::move(report_);
  }
  LINNET_TRY(options_.load.optimize.begin(0, 1, "writing"));
  LINNET_ASSIGN(report_.bytes_after, save_model(loaded_, path_));
  return std::move(report_);
}

}  // namespace linnet
