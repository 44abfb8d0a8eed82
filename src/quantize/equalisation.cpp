#include "quantize/equalisation.h"

#include <algorithm>
#include <cmath>
#include <map>

#include "quantize/weight.h"

namespace linnet {
namespace {

constexpr int kRounds = 20;
constexpr double kSettled = 1e-3;  // factors this near to 1 change nothing

struct Pair {
  ValueId weight, bias, next_weight;  // the bias may be kNoValue
  int64_t next_groups;
};

// What a factor above zero on a channel passes through.
bool lets_factors_through(const Node& node) {
  for (const std::string_view type : {"Relu", "LeakyRelu", "MaxPool", "AveragePool", "GlobalAveragePool"})
    if (node.is(type)) return true;
  return false;
}

class Equaliser {
 public:
  explicit Equaliser(Graph& graph) : graph_(graph) {}

  Result<size_t> run() {
    for (const NodeId id : graph_.order()) LINNET_TRY(find_pair(graph_.node(id)));
    double most = 1;
    for (int round = 0; round < kRounds && most > kSettled; ++round) {
      most = 0;
      for (const Pair& pair : pairs_) most = std::max(most, equalise(pair));
    }
    for (auto& [value, tensor] : tensors_) {
      LINNET_ASSIGN(graph_.value(value).constant, share_as(std::move(tensor), graph_.constant(value)->dtype));
    }
    return pairs_.size();
  }

 private:
  bool is_own(ValueId v) const {
    const Tensor* constant = graph_.constant(v);
    return constant && is_float(constant->dtype) && dtype_bits(constant->dtype) <= 32 && graph_.use_count(v) == 1;
  }

  Status find_pair(const Node& conv) {
    if (!conv.is("Conv") || !is_own(conv.input(1)) || (conv.input(2) != kNoValue && !is_own(conv.input(2)))) return {};
    ValueId v = conv.outputs[0];
    const Node* next = nullptr;
    for (;;) {
      if (graph_.use_count(v) != 1 || graph_.is_output(v)) return {};
      next = &graph_.node(graph_.uses(v)[0]);
      if (!lets_factors_through(*next) || next->outputs.size() != 1) break;
      v = next->outputs[0];
    }
    if (!next->is("Conv") || next->inputs[0] != v || !is_own(next->input(1))) return {};
    const Pair pair{conv.inputs[1], conv.input(2), next->inputs[1], next->int_or("group", 1)};
    const Shape &weight = graph_.constant(pair.weight)->shape, &after = graph_.constant(pair.next_weight)->shape;
    if (weight.rank() < 3 || after.rank() < 3 || pair.next_groups < 1 || after[1] * pair.next_groups != weight[0] ||
        after[0] % pair.next_groups != 0)
      return {};
    for (const ValueId own : {pair.weight, pair.bias, pair.next_weight}) {
      if (own == kNoValue || tensors_.contains(own)) continue;
      LINNET_ASSIGN(Tensor copy, copy_as_float(*graph_.constant(own)));
      tensors_.emplace(own, std::move(copy));
    }
    pairs_.push_back(pair);
    return {};
  }

  // The elements of the second weight that read a channel of the first, as runs of `taps`.
  template <class Function>
  void for_readers(const Pair& pair, int64_t channel, Function function) {
    Tensor& weight = tensors_.at(pair.next_weight);
    const int64_t inputs = weight.shape[1], taps = weight.shape.count(2, weight.shape.rank());
    const int64_t outputs = weight.shape[0] / pair.next_groups, group = channel / inputs;
    for (int64_t o = group * outputs; o < (group + 1) * outputs; ++o)
      function(std::span(weight.ptr<float>() + (o * inputs + channel % inputs) * taps, static_cast<size_t>(taps)));
  }

  // Returns how far the factors were from 1.
  double equalise(const Pair& pair) {
    Tensor& weight = tensors_.at(pair.weight);
    float* bias = pair.bias == kNoValue ? nullptr : tensors_.at(pair.bias).ptr<float>();
    const int64_t row = weight.shape.count(1, weight.shape.rank());
    double most = 0;
    for (int64_t c = 0; c < weight.shape[0]; ++c) {
      const std::span own(weight.ptr<float>() + c * row, static_cast<size_t>(row));
      float here = 0, there = 0;
      for (const float w : own) here = std::max(here, std::fabs(w));
      for_readers(pair, c, [&](std::span<float> run) {
        for (const float w : run) there = std::max(there, std::fabs(w));
      });
      if (!(here > 0 && there > 0 && std::isfinite(here) && std::isfinite(there))) continue;
      const float factor = std::sqrt(there / here);
      for (float& w : own) w *= factor;
      if (bias) bias[c] *= factor;
      for_readers(pair, c, [&](std::span<float> run) {
        for (float& w : run) w /= factor;
      });
      most = std::max(most, std::fabs(static_cast<double>(factor) - 1));
    }
    return most;
  }

  Graph& graph_;
  std::vector<Pair> pairs_;
  std::map<ValueId, Tensor> tensors_;
};

}  // namespace

Result<size_t> equalise_layers(Graph& graph) { return Equaliser(graph).run(); }

}  // namespace linnet
