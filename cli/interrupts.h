// Ctrl-C, as commands of long work take it.
#pragma once

#include "base/parallel.h"

namespace linnet::cli {

// Stopped by the first interrupt or request to terminate after the first call; the second one ends the process.
const StopToken& stop_on_interrupt();

}  // namespace linnet::cli
