#include "quantize/block_products.h"

#include <algorithm>
#include <set>

namespace linnet {
namespace {

// Inputs of a product of which calibration keeps what it wants whatever the memory limit.
constexpr int64_t kWidest = 16384;
constexpr size_t kNoGroup = SIZE_MAX - 1;

// Whether only constants stand behind the value, a few nodes away at most, and none that is quantised.
bool is_constant(const Graph& graph, ValueId value, int nodes = 4) {
  if (value == kNoValue || graph.constant(value)) return true;
  const Node* producer = graph.producer(value);
  return producer && nodes > 0 && producer->op_type != "DequantizeLinear" &&
         std::all_of(producer->inputs.begin(), producer->inputs.end(),
                     [&](ValueId v) { return is_constant(graph, v, nodes - 1); });
}

}  // namespace

std::optional<BlockProduct> find_block_product(const Graph& graph, const Node& node, int64_t block,
                                               std::string& reason) {
  const bool is_gemm = node.op_type == "Gemm";
  if (is_gemm && node.int_or("transA", 0) != 0) {
    reason = "MatMulNBits does not transpose its first input";
    return {};
  }
  BlockProduct product{node.input(0), node.input(1), is_gemm && node.int_or("transB", 0) != 0};
  // The table that is transposed, so that others who read it share what becomes of it.
  if (const Node* turn = graph.producer(product.weight); turn && turn->is("Transpose") &&
                                                         graph.constant(turn->input(0)) &&
                                                         graph.value(product.weight).info.shape.size() == 2) {
    const std::vector<int64_t>* order = turn->ints("perm");
    if (!order || (*order)[0] == 1) {
      product.weight = turn->input(0);
      product.by_row = !product.by_row;
    }
  }
  const ValueInfo& info = graph.value(product.weight).info;
  if (!info.concrete() || info.shape.size() != 2) {
    reason = graph.constant(product.weight) ? "its weight is no matrix" : "none of its inputs is a constant weight";
    return {};
  }
  const Shape shape = info.shape.values();
  product.n = shape[product.by_row ? 0 : 1];
  product.k = shape[product.by_row ? 1 : 0];
  if (product.k < block || product.n < 2) {
    reason = "its weight is small";
    return {};
  }
  return product;
}

InputProducts::InputProducts(Graph& graph, int64_t block, Wanted wanted, const GptqOptions& options,
                             const Parallel& parallel)
    : options_(options), parallel_(parallel) {
  for (const Graph* each : graphs_of(graph)) graphs_.emplace(each, graphs_.size());
  collect(graph, block, wanted);

  double bytes = 0;
  std::set<PlacedValue> in_group;
  for (Weight& weight : weights_) {
    if (weight.inputs.empty()) continue;
    const double each = static_cast<double>(weight.k) * static_cast<double>(weight.k) * sizeof(float);
    if (weight.k > kWidest && each > static_cast<double>(options.memory)) {
      weight.group = kNoGroup;
      continue;
    }
    const auto add = [&] {
      for (const PlacedValue& v : weight.inputs)
        if (in_group.insert(v).second) bytes += each;
    };
    add();
    if (groups_ == 0 || bytes > static_cast<double>(options.memory)) {
      ++groups_;
      bytes = 0;
      in_group.clear();
      add();
    }
    weight.group = groups_ - 1;
  }
}

// In the order in which nodes are rewritten.
void InputProducts::collect(const Graph& graph, int64_t block, Wanted wanted) {
  for (const NodeId id : graph.order()) {
    const Node& node = graph.node(id);
    for (const auto& body : subgraphs_of(node)) collect(*body, block, wanted);
    std::string reason;
    // A table may be a product's weight, too, which is then needed here first.
    if (const Tensor* table = node.is("Gather") ? graph.constant(node.input(0)) : nullptr;
        table && table->shape.rank() == 2)
      weight_of(graph, node.input(0), true, table->shape[1]);
    if ((!node.is("MatMul") && !node.is("Gemm")) || !wanted(graph, node)) continue;
    const auto product = find_block_product(graph, node, block, reason);
    if (!product || graph.constant(product->input) || !is_constant(graph, product->weight)) continue;
    std::vector<PlacedValue>& inputs = weight_of(graph, product->weight, product->by_row, product->k).inputs;
    const PlacedValue input{graphs_.at(&graph), product->input};
    if (std::find(inputs.begin(), inputs.end(), input) == inputs.end()) inputs.push_back(input);
  }
}

InputProducts::Weight& InputProducts::weight_of(const Graph& graph, ValueId value, bool by_row, int64_t k) {
  size_t at = weights_.size();
  if (const Tensor* constant = graph.constant(value))
    at = shared_.emplace(std::pair(constant, by_row), at).first->second;
  at = places_.emplace(std::tuple(&graph, value, by_row), at).first->second;
  if (at == weights_.size()) weights_.push_back({k, {}});
  return weights_[at];
}

bool InputProducts::knows(const Graph& graph, ValueId weight, bool by_row) const noexcept {
  const auto found = places_.find({&graph, weight, by_row});
  return found != places_.end() && !weights_[found->second].inputs.empty();
}

Result<const GptqFactor*> InputProducts::find(const Graph& graph, ValueId value, bool by_row, const Source& source,
                                              std::string& reason) {
  const Weight* const weight = &weights_[places_.at({&graph, value, by_row})];
  if (weight->group == kNoGroup) {
    reason = concat("what calibration keeps of ", weight->k, " inputs exceeds its memory limit");
    return nullptr;
  }
  if (observed_ != weight->group) {
    observations_.clear();
    observed_ = SIZE_MAX;
    std::map<PlacedValue, Watch> watched;
    for (const Weight& w : weights_)
      if (w.group == weight->group)
        for (const PlacedValue& v : w.inputs) watched[v].products = true;
    ObserveOptions options;
    options.stop = source.options.stop;
    if (source.options.progress)
      options.progress = [&](size_t done, size_t total) {
        source.options.progress(weight->group * total + done, groups_ * total);
      };
    LINNET_ASSIGN(LoadedGraph loaded, source.load());
    LINNET_ASSIGN(observations_, observe(source.engine, std::move(loaded), watched, source.samples, options));
    observed_ = weight->group;
  }
  if (factored_ != weight->inputs) {
    factored_ = weight->inputs;
    factor_ = GptqFactor();
    Gram sum;
    const Gram* products = &observations_.at(factored_[0]).products();
    if (factored_.size() > 1) {
      for (const PlacedValue& v : factored_) sum.add(observations_.at(v).products());
      products = &sum;
    }
    complaint_ = complaint(*products);
    if (complaint_.empty()) factor_ = make_gptq_factor(*products, options_, parallel_);
    LINNET_REQUIRE(!parallel_.stopped(), error(Code::cancelled, "quantising was cancelled"));
  }
  reason = complaint_;
  return reason.empty() ? &factor_ : nullptr;
}

}  // namespace linnet
