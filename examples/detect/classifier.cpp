#include "classifier.h"

#include <stdexcept>

#include "load.h"

namespace detect {
namespace {

void check(const linnet::Status& status) {
  if (!status.ok()) throw std::runtime_error(std::string(status.message()));
}

}  // namespace

struct Classifier::State {
  std::shared_ptr<linnet::Engine> engine = std::make_shared<linnet::Engine>();
  std::unique_ptr<linnet::Session> session;
};

Classifier::Classifier(const std::filesystem::path& path) : state_(std::make_unique<State>()) {
  auto model = linnet::load_model(*state_->engine, {path, {}, nullptr}, {});
  check(model.status());
  state_->session = std::make_unique<linnet::Session>(state_->engine, *model);
}

Classifier::~Classifier() = default;

std::vector<float> Classifier::scores(std::span<const int32_t> tokens, size_t rows) {
  const linnet::Shape shape{static_cast<int64_t>(rows), static_cast<int64_t>(tokens.size() / rows)};
  linnet::Value input(linnet::Tensor{linnet::DType::i32, shape, const_cast<int32_t*>(tokens.data()), nullptr}), output;
  check(state_->session->run({&input, 1}, {&output, 1}));
  const std::span<const float> scores = std::as_const(output.tensor).as<float>();
  return {scores.begin(), scores.end()};
}

}  // namespace detect
