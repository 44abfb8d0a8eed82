// Writing files whole.
#pragma once

#include <cstddef>
#include <filesystem>
#include <span>

#include "base/result.h"

namespace linnet {

// Writes the pieces one after the other to a new file beside `path`, then renames it: readers see the old file or the
// whole new one. On failure nothing is left behind.
Status write_file(const std::filesystem::path& path, std::span<const std::span<const std::byte>> pieces);
Status write_file(const std::filesystem::path& path, std::span<const std::byte> bytes);

}  // namespace linnet
