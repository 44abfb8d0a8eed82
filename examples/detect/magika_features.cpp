#include "magika_features.h"

#include <algorithm>
#include <fstream>
#include <nlohmann/json.hpp>
#include <stdexcept>

namespace detect {
namespace {

using Json = nlohmann::json;
namespace fs = std::filesystem;

constexpr std::string_view kWhitespace(" \t\n\r\v\f");  // what Python's bytes.strip() takes off

Json read_json(const fs::path& path) {
  std::ifstream file(path);
  Json document = Json::parse(file, nullptr, /*allow_exceptions=*/false);
  if (!document.is_object())
    throw std::runtime_error(path.string() + ": not the JSON object that the magika package has there");
  return document;
}

// Python's strict decoder: no longer forms than needed, no surrogates, nothing past U+10FFFF.
bool is_utf8(std::string_view text) {
  for (size_t i = 0; i < text.size();) {
    const auto byte = [&](size_t k) { return i + k < text.size() ? static_cast<uint8_t>(text[i + k]) : uint8_t{0}; };
    const uint8_t lead = byte(0);
    const size_t length = lead < 0x80 ? 1 : lead < 0xc2 ? 0 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : lead < 0xf5 ? 4 : 0;
    if (length == 0) return false;
    for (size_t k = 1; k < length; ++k) {
      if ((byte(k) & 0xc0) != 0x80) return false;
    }
    if ((lead == 0xe0 && byte(1) < 0xa0) || (lead == 0xed && byte(1) > 0x9f) || (lead == 0xf0 && byte(1) < 0x90) ||
        (lead == 0xf4 && byte(1) > 0x8f)) {
      return false;
    }
    i += length;
  }
  return true;
}

Detection from_few_bytes(std::string_view bytes) { return {is_utf8(bytes) ? "txt" : "unknown", 1}; }

int32_t token(char c) { return static_cast<uint8_t>(c); }

std::string read_at(std::ifstream& file, uint64_t offset, size_t size) {
  std::string bytes(size, '\0');
  file.seekg(static_cast<std::streamoff>(offset));
  file.read(bytes.data(), static_cast<std::streamsize>(size));
  return bytes;
}

}  // namespace

Config load_config(const fs::path& model_config, const fs::path& content_types) try {
  const Json document = read_json(model_config);
  Config config;
  config.beg_size = document.at("beg_size");
  config.end_size = document.at("end_size");
  config.block_size = document.at("block_size");
  config.min_file_size = document.at("min_file_size_for_dl");
  config.padding_token = document.at("padding_token");
  config.medium_confidence = document.at("medium_confidence_threshold");
  config.thresholds = document.at("thresholds");
  config.overwrite = document.at("overwrite_map");
  config.labels = document.at("target_labels_space");
  if (document.at("mid_size") != 0 || document.at("use_inputs_at_offsets") != false) {
    throw std::runtime_error("the model wants inputs that this example does not make");
  }
  if (config.min_file_size == 0 || config.min_file_size > config.beg_size || config.beg_size > config.block_size ||
      config.end_size > config.block_size || config.block_size > (1u << 20)) {
    throw std::runtime_error("the sizes contradict each other");
  }
  const Json types = read_json(content_types);
  for (const auto& [label, facts] : types.items()) {
    config.is_text[label] = facts.at("is_text");
    const Json& description = facts.at("description");
    config.description[label] = description.is_string() ? description.get<std::string>() : label;
  }
  return config;
} catch (const Json::exception& e) {
  throw std::runtime_error(model_config.string() + ": " + e.what());
}

std::variant<Features, Detection> features_of(const Blocks& blocks, const Config& config) {
  if (blocks.file_size == 0) return Detection{"empty"};
  if (blocks.file_size < config.min_file_size) return from_few_bytes(blocks.beg);

  std::string_view beg = blocks.beg, end = blocks.end;
  beg.remove_prefix(std::min(beg.find_first_not_of(kWhitespace), beg.size()));
  end = end.substr(0, end.find_last_not_of(kWhitespace) + 1);
  if (beg.size() < config.min_file_size) return from_few_bytes(blocks.beg);
  beg = beg.substr(0, config.beg_size);
  end.remove_prefix(end.size() - std::min(end.size(), config.end_size));

  Features features(config.input_size(), config.padding_token);
  std::transform(beg.begin(), beg.end(), features.begin(), token);
  std::transform(end.begin(), end.end(), features.end() - static_cast<std::ptrdiff_t>(end.size()), token);
  return features;
}

std::variant<Features, Detection> features_of_path(const fs::path& path, const Config& config) {
  const fs::file_status status = fs::status(path);
  if (!fs::exists(status)) throw std::runtime_error(path.string() + ": there is no such file");
  if (fs::is_directory(status)) return Detection{"directory"};
  if (!fs::is_regular_file(status)) return Detection{"unknown"};
  std::ifstream file(path, std::ios::binary);
  Blocks blocks;
  file.seekg(0, std::ios::end);
  blocks.file_size = static_cast<uint64_t>(std::max(std::streamoff{0}, static_cast<std::streamoff>(file.tellg())));
  const size_t size = static_cast<size_t>(std::min<uint64_t>(config.block_size, blocks.file_size));
  blocks.beg = read_at(file, 0, size);
  blocks.end = read_at(file, blocks.file_size - size, size);
  if (!file) throw std::runtime_error(path.string() + ": cannot be read");
  return features_of(blocks, config);
}

Detection detection_of(std::span<const float> scores, const Config& config) {
  if (scores.size() != config.labels.size())
    throw std::runtime_error("the model and its configuration differ in labels");
  const size_t best = static_cast<size_t>(std::max_element(scores.begin(), scores.end()) - scores.begin());
  const double score = scores[best];
  const std::string& seen = config.labels[best];
  const auto overwritten = config.overwrite.find(seen);
  const std::string& label = overwritten == config.overwrite.end() ? seen : overwritten->second;
  const auto own = config.thresholds.find(seen);
  if (score >= (own == config.thresholds.end() ? config.medium_confidence : own->second)) return {label, score};
  return {config.is_text.at(label) ? "txt" : "unknown", score};
}

}  // namespace detect
