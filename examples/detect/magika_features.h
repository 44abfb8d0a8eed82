// What surrounds magika's model: from a file to the model's input, and from the model's output to a label.
// Follows version 1.0 of the Python package (https://github.com/google/magika), in its default mode "high confidence".
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace detect {

struct Config {
  size_t beg_size = 0, end_size = 0;  // bytes that the model sees of a file's beginning and end
  size_t block_size = 0;              // bytes read at each end, before whitespace is stripped
  size_t min_file_size = 0;           // below it the model is not asked
  int32_t padding_token = 0;
  double medium_confidence = 0;
  std::map<std::string, double> thresholds;      // of labels that need another confidence
  std::map<std::string, std::string> overwrite;  // labels reported as another
  std::vector<std::string> labels;               // by output of the model
  std::map<std::string, bool> is_text;           // of every label
  std::map<std::string, std::string> description;

  size_t input_size() const { return beg_size + end_size; }
};

// From the package's config.min.json and content_types_kb.min.json. Throws std::runtime_error when they are not that.
Config load_config(const std::filesystem::path& model_config, const std::filesystem::path& content_types);

struct Detection {
  std::string label;
  double score = 1;
};

// The first and the last bytes of a file, up to `block_size` each; they overlap in a small file.
struct Blocks {
  uint64_t file_size = 0;
  std::string beg, end;
};

using Features = std::vector<int32_t>;  // input_size() tokens, one row of the model's input

// The model's input, or the answer where the model is not needed: few bytes are "txt" or "unknown".
std::variant<Features, Detection> features_of(const Blocks& blocks, const Config& config);

// The same for a path; folders and special files have labels too. Throws std::runtime_error when it cannot be read.
std::variant<Features, Detection> features_of_path(const std::filesystem::path& path, const Config& config);

// `scores`: one row of the model's output, a score for each of config.labels. A label whose score is too low becomes
// "txt" or "unknown".
Detection detection_of(std::span<const float> scores, const Config& config);

}  // namespace detect
