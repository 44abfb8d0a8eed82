// Runs of elements picked by index. Indices count from the end when negative and have been checked by the caller.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "base/parallel.h"

namespace linnet {

// dst[o, k, :] = src[o, index[k], :] with src of outer x size x run, dst of outer x indices x run.
struct GatherSizes {
  size_t outer = 1;
  size_t size = 0;  // of the axis that is indexed
  size_t indices = 0;
  size_t unit = 0;  // bytes of a run
};

// The first index outside [-size, size), or nothing.
std::optional<int64_t> bad_index(std::span<const int32_t> indices, size_t size) noexcept;
std::optional<int64_t> bad_index(std::span<const int64_t> indices, size_t size) noexcept;

void gather(const GatherSizes& sizes, const int32_t* indices, const void* src, void* dst,
            const Parallel& parallel) noexcept;
void gather(const GatherSizes& sizes, const int64_t* indices, const void* src, void* dst,
            const Parallel& parallel) noexcept;

}  // namespace linnet
