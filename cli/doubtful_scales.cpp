#include "doubtful_scales.h"

#include <cmath>
#include <cstdio>
#include <set>
#include <string_view>

#include "base/result.h"

namespace linnet::cli {
namespace {

struct Scales {
  std::string_view op_type;
  std::vector<size_t> inputs;
  bool quantizes;  // by the last of them
};

const Scales* scales_of(const Node& node) {
  static const Scales kScales[] = {{"QuantizeLinear", {1}, true},
                                   {"DequantizeLinear", {1}, false},
                                   {"QLinearConv", {1, 4, 6}, true},
                                   {"QLinearMatMul", {1, 4, 6}, true},
                                   {"QLinearAdd", {1, 4, 6}, true},
                                   {"QLinearMul", {1, 4, 6}, true},
                                   {"QLinearSigmoid", {1, 3}, true},
                                   {"QLinearLeakyRelu", {1, 3}, true},
                                   {"QLinearAveragePool", {1, 3}, true},
                                   {"QLinearGlobalAveragePool", {1, 3}, true},
                                   {"QGemm", {1, 4, 7}, true}};
  for (const Scales& scales : kScales)
    if (scales.op_type == node.op_type) return &scales;
  return nullptr;
}

void find(const Graph& graph, std::set<const Tensor*>& told, std::vector<std::string>& found) {
  for (const NodeId id : graph.order()) {
    const Node& node = graph.node(id);
    for (const auto& body : subgraphs_of(node)) find(*body, told, found);
    const Scales* const scales = scales_of(node);
    if (!scales) continue;
    for (const size_t input : scales->inputs) {
      const bool divides = scales->quantizes && input == scales->inputs.back();
      const Tensor* const scale = graph.constant(node.input(input));
      if (!scale || !is_float(scale->dtype)) continue;
      for (int64_t i = 0; i < scale->count(); ++i) {
        const double x = number_at(*scale, i);
        if (std::isfinite(x) && (x > 0 || !divides)) continue;
        char number[32];
        std::snprintf(number, sizeof number, "%.6g", x);
        if (told.insert(scale).second)
          found.push_back(concat(graph.node_path(id), ": ", scale->count() == 1 ? "" : concat("element ", i, " of "),
                                 "the scale '", graph.value(node.input(input)).name, "' is ", number,
                                 std::isfinite(x) ? ", not above 0" : "", "; what it scales means nothing"));
        break;
      }
    }
  }
}

}  // namespace

std::vector<std::string> doubtful_scales(const Graph& graph) {
  std::set<const Tensor*> told;
  std::vector<std::string> found;
  find(graph, told, found);
  return found;
}

}  // namespace linnet::cli
