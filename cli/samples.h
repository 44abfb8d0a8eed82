// Samples of a model's inputs in a folder.
#pragma once

#include <filesystem>
#include <span>
#include <vector>

#include "quantize/calibration/observe.h"

namespace linnet::cli {

// Each .npz archive and each subfolder holds one sample, with all inputs, as `linnet run --inputs` takes it; where the
// model has one input, each other tensor file or image is a sample, too. A folder with a file for each input is one
// sample itself. Of a folder that holds test_data_set_* folders, as ONNX's model tests do, those are the samples. Files
// are read when they are asked for, in the order of their names.
Result<Samples> find_samples(const std::filesystem::path& folder);

}  // namespace linnet::cli
