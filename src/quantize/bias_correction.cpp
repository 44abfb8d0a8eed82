#include "quantize/bias_correction.h"

#include "quantize/weight.h"

namespace linnet {

bool corrects_bias(const Graph& graph, const Node& node) noexcept {
  return (node.is("Conv") || (node.is("Gemm") && node.int_or("transA", 0) == 0)) && graph.constant(node.input(1));
}

std::vector<double> mean_shift(const Node& node, const Tensor& weight, const Tensor& codes, const Tensor& scale,
                               const Tensor& zero_point, std::span<const double> means) {
  const Result<Tensor> floats = as_float(weight);
  if (!floats.ok() || weight.shape.rank() < 2) return {};
  // The weight as [outputs][inputs of a group][taps], or with the first two swapped.
  const bool swapped = node.op_type == "Gemm" && node.int_or("transB", 0) == 0;
  const int64_t outputs = weight.shape[swapped ? 1 : 0], inputs = weight.shape[swapped ? 0 : 1];
  const int64_t taps = weight.shape.count(2, weight.shape.rank());
  const int64_t groups = node.op_type == "Conv" ? node.int_or("group", 1) : 1;
  if (groups < 1 || outputs % groups != 0 || static_cast<int64_t>(means.size()) != inputs * groups) return {};
  std::vector<double> shift(static_cast<size_t>(outputs), 0.0);
  for (int64_t o = 0; o < outputs; ++o) {
    const int64_t channel = scale.count() == 1 ? 0 : o;
    const double step = number_at(scale, channel), zero = number_at(zero_point, channel);
    for (int64_t i = 0; i < inputs; ++i) {
      double moved = 0;
      const int64_t first = (swapped ? i * outputs + o : o * inputs + i) * taps;
      for (int64_t t = first; t < first + taps; ++t)
        moved += (number_at(codes, t) - zero) * step - static_cast<double>(floats->ptr<float>()[t]);
      shift[static_cast<size_t>(o)] += moved * means[static_cast<size_t>(o / (outputs / groups) * inputs + i)];
    }
  }
  return shift;
}

}  // namespace linnet
