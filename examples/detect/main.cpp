// detect MODEL_FOLDER [--json] FILE...: what is in these files?
#include <algorithm>
#include <cstdio>
#include <cstring>
#include <exception>
#include <linnet/linnet.hpp>
#include <nlohmann/json.hpp>

#include "magika_features.h"

namespace {

namespace fs = std::filesystem;

constexpr char kUsage[] =
    "usage: detect MODEL_FOLDER [--json] FILE...\n"
    "Tells the type of each file from its content.\n"
    "MODEL_FOLDER holds magika's model.onnx, config.min.json and content_types_kb.min.json (see fetch_model.py).\n";

constexpr size_t kRowsPerRun = 16;  // enough to keep every core busy, little memory

struct Answer {
  std::string path;
  detect::Detection detection;
  std::string failure;  // why there is no detection
};

std::vector<Answer> detect_all(const fs::path& folder, std::span<char* const> paths, const detect::Config& config) {
  std::vector<Answer> answers;
  std::vector<int32_t> tokens;
  std::vector<size_t> asked;           // the answers that wait for the rows of `tokens`
  std::optional<linnet::Model> model;  // loaded when the first file needs it
  const auto run = [&] {
    if (asked.empty()) return;
    if (!model) model.emplace((folder / "model.onnx").string());
    const int64_t rows = static_cast<int64_t>(asked.size()), width = static_cast<int64_t>(config.input_size());
    const auto outputs = model->run({{"bytes", linnet::Tensor::view<int32_t>({rows, width}, tokens)}});
    const std::span<const float> scores = outputs.at("target_label").data<float>();
    const size_t labels = config.labels.size();
    if (scores.size() != asked.size() * labels)
      throw std::runtime_error("the model and its configuration differ in labels");
    for (size_t row = 0; row < asked.size(); ++row) {
      answers[asked[row]].detection = detect::detection_of(scores.subspan(row * labels, labels), config);
    }
    asked.clear();
    tokens.clear();
  };
  for (const char* path : paths) {
    Answer answer{path, {}, {}};
    try {
      const std::variant<detect::Features, detect::Detection> seen = detect::features_of_path(path, config);
      if (const auto* features = std::get_if<detect::Features>(&seen)) {
        tokens.insert(tokens.end(), features->begin(), features->end());
        asked.push_back(answers.size());
      } else {
        answer.detection = std::get<detect::Detection>(seen);
      }
    } catch (const std::runtime_error& e) {
      answer.failure = e.what();
    }
    answers.push_back(std::move(answer));
    if (asked.size() == kRowsPerRun) run();
  }
  run();
  return answers;
}

void print_json(const std::vector<Answer>& answers) {
  nlohmann::json out = nlohmann::json::array();
  for (const Answer& a : answers) {
    if (a.failure.empty()) {
      out.push_back({{"path", a.path}, {"label", a.detection.label}, {"score", a.detection.score}});
    } else {
      out.push_back({{"path", a.path}, {"error", a.failure}});
    }
  }
  std::printf("%s\n", out.dump(1, ' ', false, nlohmann::json::error_handler_t::replace).c_str());
}

void print_table(const std::vector<Answer>& answers, const detect::Config& config) {
  size_t width = 0;
  for (const Answer& a : answers) width = std::max(width, a.path.size());
  for (const Answer& a : answers) {
    if (!a.failure.empty()) {
      std::fprintf(stderr, "%s\n", a.failure.c_str());
      continue;
    }
    const auto description = config.description.find(a.detection.label);
    std::printf("%-*s  %-14s %5.1f %%  %s\n", static_cast<int>(width), a.path.c_str(), a.detection.label.c_str(),
                100 * a.detection.score, description == config.description.end() ? "" : description->second.c_str());
  }
}

}  // namespace

int main(int argc, char** argv) try {
  std::vector<char*> paths(argv + std::min(argc, 1), argv + argc);
  const auto remove = [&](const char* option) {
    return std::erase_if(paths, [&](const char* p) { return std::strcmp(p, option) == 0; }) != 0;
  };
  if (remove("--help")) {
    std::fputs(kUsage, stdout);
    return 0;
  }
  const bool json = remove("--json");
  if (paths.size() < 2) {
    std::fputs(kUsage, stderr);
    return 2;
  }
  const fs::path folder = paths.front();
  const detect::Config config = detect::load_config(folder / "config.min.json", folder / "content_types_kb.min.json");
  const std::vector<Answer> answers = detect_all(folder, std::span(paths).subspan(1), config);
  if (json) {
    print_json(answers);
  } else {
    print_table(answers, config);
  }
  return std::any_of(answers.begin(), answers.end(), [](const Answer& a) { return !a.failure.empty(); }) ? 1 : 0;
} catch (const std::exception& e) {
  std::fprintf(stderr, "detect: %s\n", e.what());
  return 1;
}
