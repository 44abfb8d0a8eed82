// GPTQ: weights are rounded one column after the other, and the columns that are not yet rounded make up for the error,
// as far as the layer's inputs allow. E. Frantar et al.: GPTQ, 2022, https://arxiv.org/abs/2210.17323.
#pragma once

#include "quantize/blocks.h"
#include "quantize/calibration/gram.h"

namespace linnet {

struct GptqOptions {
  double percdamp = 0.05;  // what is added to the products' diagonal, as a part of its mean
  // Correlations count for as much as the number of samples lets them be trusted: with few, most of what weights could
  // make up for would be chance. J. Schäfer, K. Strimmer: A Shrinkage Approach to Large-Scale Covariance Matrix
  // Estimation, 2005.
  bool shrink = true;
  // Columns in the order of their inputs' magnitudes, not as they stand. Blocks stay where they are: their scales are
  // decided beforehand then.
  bool actorder = false;
  // Bytes that products of activations may take at a time. Beyond them samples are run again for the next nodes.
  size_t memory = size_t{256} << 20;
};

// Why nothing can be learnt of these products; empty when it can.
std::string complaint(const Gram& inputs);

// How columns make up for each other's errors.
struct GptqFactor {
  std::vector<size_t> order;  // of the columns
  bool reordered = false;
  std::vector<float> upper;  // U, with transposed(U) U the inverse of the products in this order
};
// `inputs`: of the vectors that the rows of a matrix are multiplied by, without a complaint. Once `parallel` is stopped
// the factor is anything.
GptqFactor make_gptq_factor(const Gram& inputs, const GptqOptions& options, const Parallel& parallel);

// Of a matrix as deep as the factor. The result does not depend on the number of threads; it is cancelled when
// `parallel` is stopped.
Result<QuantizedWeight> quantize_gptq(const MatrixView& matrix, const BlockScheme& scheme, const GptqFactor& factor,
                                      const Parallel& parallel);

}  // namespace linnet
