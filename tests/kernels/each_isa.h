// Runs a test body at every instruction set of this machine, the plain reference included.
#pragma once

#include <gtest/gtest.h>

#include "kernels/isa.h"

namespace linnet {

template <class Body>
void for_each_isa(Body body) {
  const Isa before = current_isa();
  for (int i = 0; i <= static_cast<int>(best_isa()); ++i) {
    set_isa(static_cast<Isa>(i));
    SCOPED_TRACE(isa_name(current_isa()));
    body();
  }
  set_isa(before);
}

}  // namespace linnet
