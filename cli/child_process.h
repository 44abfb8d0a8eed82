// This program in a process of its own: what it measures there is nobody else's.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"

namespace linnet::cli {

// Runs `linnet ARGUMENTS`, waits for it and returns what it wrote to stdout; an error unless its exit code is 0.
// Unsupported where the system has no way to do so.
Result<std::string> run_linnet(const std::vector<std::string>& arguments);

}  // namespace linnet::cli
