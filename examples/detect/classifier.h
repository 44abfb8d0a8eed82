// The model itself, run by Linnet.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <vector>

namespace detect {

class Classifier {
 public:
  // Throws where the model cannot be loaded.
  explicit Classifier(const std::filesystem::path& model);
  ~Classifier();

  // `tokens`: `rows` rows of features, one after the other. Returns as many rows of scores.
  std::vector<float> scores(std::span<const int32_t> tokens, size_t rows);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace detect
