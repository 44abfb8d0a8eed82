#include "quantize/calibration/gram.h"

#include <algorithm>

#include "base/checked.h"
#include "kernels/gemm/gemm.h"

namespace linnet {
namespace {

constexpr size_t kRows = 256;   // of the tensor at once: bounds the scratch memory
constexpr size_t kStrip = 256;  // rows of the sums, of which only the upper half is computed

}  // namespace

float* gemm_scratch(const GemmArgs& args, const Parallel& parallel, std::vector<float>& memory) {
  constexpr size_t kAlignment = 64;
  memory.resize((gemm_scratch_size(args, parallel.threads()) + kAlignment) / sizeof(float));
  return reinterpret_cast<float*>(round_up(reinterpret_cast<uintptr_t>(memory.data()), kAlignment));
}

void Gram::add(std::span<const float> elements, size_t channels, const Parallel& parallel) {
  if (elements.empty() || ragged_) return;
  if (sums_.empty()) {
    channels_ = channels;
    sums_.assign(channels * channels, 0.0f);
  }
  ragged_ = channels != channels_;
  if (ragged_) {
    sums_ = {};
    return;
  }
  const size_t rows = elements.size() / channels;
  rows_ += rows;
  std::vector<float> scratch;
  for (size_t row = 0; row < rows; row += kRows) {
    for (size_t i = 0; i < channels; i += kStrip) {
      GemmArgs g;
      g.m = std::min(kStrip, channels - i);
      g.n = channels - i;
      g.k = std::min(kRows, rows - row);
      g.a = elements.data() + row * channels + i;
      g.a_transposed = true;
      g.b = g.a;
      g.b_form = BForm::rows;
      g.lda = g.ldb = channels;
      g.c = sums_.data() + i * channels + i;
      g.addend = g.c;
      g.ldc = g.ld_addend = channels;
      g.scratch = gemm_scratch(g, parallel, scratch);
      gemm(g, parallel);
    }
  }
}

void Gram::add(const Gram& other) {
  if (other.sums_.empty() && !other.ragged_) return;
  if (sums_.empty() && !ragged_) {
    *this = other;
    return;
  }
  ragged_ |= other.ragged_ || channels_ != other.channels_;
  rows_ += other.rows_;
  if (ragged_) {
    sums_ = {};
    return;
  }
  for (size_t i = 0; i < sums_.size(); ++i) sums_[i] += other.sums_[i];
}

}  // namespace linnet
