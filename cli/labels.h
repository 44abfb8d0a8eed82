// The right answers of samples in a text file.
#pragma once

#include <filesystem>
#include <vector>

#include "quantize/calibration/observe.h"

namespace linnet::cli {

// Lines "LABEL", in the order of the samples, or all of them "NAME LABEL", with a comma or blanks between; a name is a
// sample's file or folder, with or without its extension. Every sample has one.
Result<std::vector<int64_t>> read_labels(const std::filesystem::path& path, const Samples& samples);

}  // namespace linnet::cli
