// Counts every allocation of the program it is linked into.
#pragma once

#include <atomic>
#include <cstddef>

extern std::atomic<size_t> allocations;
