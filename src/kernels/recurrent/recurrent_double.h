// The same layers in double precision, as plain loops over tensors as the standard has them.
#pragma once

#include "kernels/recurrent/recurrent.h"

namespace linnet {

// In place of the pointers of RecurrentArgs: w is [gates * hidden][input], r [gates * hidden][hidden].
struct DoubleTensors {
  const double *x = nullptr, *w = nullptr, *r = nullptr, *bias = nullptr, *peepholes = nullptr;
  const double *initial_h = nullptr, *initial_c = nullptr;
  double *y = nullptr, *y_h = nullptr, *y_c = nullptr;
  double* scratch = nullptr;
};

// Doubles of scratch memory.
size_t recurrent_double_scratch(const RecurrentArgs& args) noexcept;
// Sizes, strides, flags, activations, lengths and the clip of `args` count. Once parallel.stopped(), the outputs hold
// anything.
void recurrent_double(const RecurrentArgs& args, const DoubleTensors& tensors, const Parallel& parallel) noexcept;

}  // namespace linnet
