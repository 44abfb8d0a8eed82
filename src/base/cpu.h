// Facts about the machine.
#pragma once

#include <cstddef>

namespace linnet {

// Cores that this process may run on; at least 1.
size_t available_cores() noexcept;

}  // namespace linnet
