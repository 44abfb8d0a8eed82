// Splits every range as a pool of that many threads could, but runs the parts one after another, the last one first.
#pragma once

#include <algorithm>
#include <vector>

#include "base/parallel.h"

namespace linnet {

class SplitParallel : public Parallel {
 public:
  // Parts may be smaller than the grain asked for, if there is more than one grain.
  explicit SplitParallel(size_t threads, const StopToken* stop = nullptr) : Parallel(stop) { set_threads(threads); }

 protected:
  void dispatch(size_t count, size_t, Body body) const override {
    for (size_t t = threads(); t-- > 0;) {
      const size_t begin = count * t / threads();
      const size_t end = count * (t + 1) / threads();
      if (begin < end) body(begin, end, t);
    }
  }
};

}  // namespace linnet
