#include "samples.h"

#include <algorithm>

#include "files/tensor_file.h"
#include "inputs.h"

namespace linnet::cli {
namespace {

namespace fs = std::filesystem;

bool is_tensor_file(const fs::path& path) {
  return std::any_of(std::begin(kTensorExtensions), std::end(kTensorExtensions),
                     [&](const char* extension) { return path.extension() == extension; });
}

// What test data holds beside its inputs.
bool is_expected_output(const fs::path& path) { return path.filename().string().starts_with("output_"); }

// A folder of inputs and outputs beside a model, in the layout of ONNX's model tests.
bool is_test_data(const fs::path& path) { return path.filename().string().starts_with("test_data_set_"); }

// Whether the file is one of the model's inputs by its name, so that the folder is one sample.
bool is_one_of_several(const fs::path& path, const Model& model) {
  const std::string stem = path.stem().string();
  if (stem.starts_with("input_")) return model.inputs.size() > 1;
  return std::any_of(model.inputs.begin(), model.inputs.end(),
                     [&](const Model::Port& port) { return model.inputs.size() > 1 && port.name == stem; });
}

Result<std::vector<Value>> read(const fs::path& path, const fs::path& folder, const Model& model) {
  InputOptions options;
  if (!is_tensor_file(path)) {
    options.folder = path.string();
  } else if (is_one_of_several(path, model)) {
    options.folder = folder.string();
  } else {
    LINNET_REQUIRE(model.inputs.size() == 1,
                   invalid_argument("the model has ", model.inputs.size(), " inputs, so '", path.string(),
                                    "' alone is no sample: put the files of each sample into a folder or an .npz "
                                    "archive of its own"));
    options.files = {concat(model.inputs[0].name, "=", path.string())};
  }
  LINNET_ASSIGN(Inputs inputs, make_inputs(model.inputs, *model.program->symbols, options, 0));
  return std::move(inputs.values);
}

}  // namespace

Result<Samples> find_samples(const fs::path& folder) {
  std::error_code failed;
  std::vector<fs::path> paths;
  if (folder.extension() == ".npz" && fs::is_regular_file(folder, failed)) {
    paths.push_back(folder);
  } else {
    fs::directory_iterator entries(folder, failed);
    LINNET_REQUIRE(!failed, error(Code::not_found, "cannot read the folder '", folder.string(),
                                  "' with samples: ", failed.message()));
    bool test_data = false;
    for (const fs::directory_entry& entry : entries) {
      const fs::path& path = entry.path();
      test_data |= is_test_data(path) && entry.is_directory(failed);
      const bool archive = path.extension() == ".npz" && entry.is_regular_file(failed);
      const bool tensor = is_tensor_file(path) && entry.is_regular_file(failed) && !is_expected_output(path);
      if (archive || tensor || entry.is_directory(failed)) paths.push_back(path);
    }
    if (test_data) std::erase_if(paths, [](const fs::path& path) { return !is_test_data(path); });
  }
  LINNET_REQUIRE(!paths.empty(), error(Code::not_found, "there are no samples in '", folder.string(),
                                       "': it may hold .npz archives, folders with a file for each input, or tensor "
                                       "files (.npy, .pb, .json, images) of a model with one input"));
  std::sort(paths.begin(), paths.end());
  Samples samples;
  samples.count = paths.size();
  samples.name = [paths](size_t index) { return paths[index].string(); };
  samples.read = [paths, folder](size_t index, const Model& model) { return read(paths[index], folder, model); };
  return samples;
}

}  // namespace linnet::cli
