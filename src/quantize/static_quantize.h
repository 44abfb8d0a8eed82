// Quantisation with ranges of activations that were measured beforehand.
#pragma once

#include <memory>
#include <utility>

#include "quantize/calibration/observe.h"
#include "quantize/calibration/range.h"
#include "quantize/quantize.h"

namespace linnet {

enum class StaticFormat : uint8_t {
  qdq,         // every operator stays, between QuantizeLinear and DequantizeLinear
  q_operator,  // operators on integers: QLinearConv, QLinearMatMul and those of com.microsoft
};

// By name, what samples told of values.
using RememberedValues = std::map<std::string, std::pair<Watch, Observer>>;

struct StaticOptions {
  StaticFormat format = StaticFormat::qdq;
  DType activation_type = DType::i8;  // or u8; with qdq also u16 and i16
  bool activation_symmetric = false;
  RangeOptions range;
  // Weights of Convs behind each other are scaled against each other first, so that their channels are alike.
  bool equalise = false;
  // Channels of what MatMul and Gemm read become alike first. It takes another run over the samples.
  bool smooth = false;
  double smooth_alpha = 0.5;  // how much of the activations' outliers goes into the weights
  // Biases of Conv and Gemm make up for what rounding the weights does to the mean of their results.
  bool bias_correction = true;
  std::function<void(size_t done, size_t total)> sample_progress;  // called before each sample; total 0: not known
  // Taken from and added to, where the same model is quantised again with the same options on the same samples, and
  // other nodes are chosen. Not with `smooth`, whose result depends on the choice.
  std::shared_ptr<RememberedValues> memory;
};

// Runs the model on the samples, and quantises weights and activations of Conv, ConvTranspose, Gemm, MatMul, Add, Mul,
// Concat, pools, activation functions and what merely moves elements. Memory does not depend on the number of samples.
Result<QuantizeReport> quantize_static(const std::shared_ptr<Engine>& engine, const ModelSource& source,
                                       const QuantizeOptions& options, const StaticOptions& how, const Samples& samples,
                                       const std::filesystem::path& path);

}  // namespace linnet
