#include "ops/ml/post_transform.h"

#include <cmath>

namespace linnet {
namespace {

// Winitzki's approximation of the inverse error function, with the constants that runtimes agree on.
float inverse_erf(float x) noexcept {
  const float sign = x < 0 ? -1.0f : 1.0f;
  const float log = std::log((1 - x) * (1 + x));
  const float v = 2 / (3.14159f * 0.147f) + 0.5f * log;
  return sign * std::sqrt(-v + std::sqrt(v * v - 1 / 0.147f * log));
}

float probit(float x) noexcept { return 1.41421356f * inverse_erf(2 * x - 1); }

template <class T>
void softmax(std::span<T> scores, bool skip_zero) noexcept {
  T most = scores[0];
  for (const T s : scores) most = std::max(most, s);
  const T at_zero = skip_zero ? std::exp(-most) : T(0);
  T sum = 0;
  for (T& s : scores) {
    if (skip_zero && s <= T(1e-7f) && s >= T(-1e-7f)) {
      s *= at_zero;
    } else {
      s = std::exp(s - most);
      sum += s;
    }
  }
  for (T& s : scores) s /= sum;
}

template <class T>
void transform_all(PostTransform transform, std::span<T> scores) noexcept {
  switch (transform) {
    case PostTransform::none: return;
    case PostTransform::probit:
      for (T& s : scores) s = probit(static_cast<float>(s));
      return;
    case PostTransform::logistic:
      if (scores.size() < 2) return;
      for (T& s : scores) s = logistic(static_cast<float>(s));
      return;
    case PostTransform::softmax:
    case PostTransform::softmax_zero:
      if (scores.size() < 2) return;
      softmax(scores, transform == PostTransform::softmax_zero);
      return;
  }
}

}  // namespace

Result<PostTransform> parse_post_transform(NodeReader& reader) {
  const std::string name = reader.text("post_transform", "NONE");
  if (name == "NONE") return PostTransform::none;
  if (name == "SOFTMAX") return PostTransform::softmax;
  if (name == "LOGISTIC") return PostTransform::logistic;
  if (name == "SOFTMAX_ZERO") return PostTransform::softmax_zero;
  if (name == "PROBIT") return PostTransform::probit;
  return invalid_model("post_transform '", name, "' is not known");
}

float logistic(float x) noexcept {
  const float v = 1 / (1 + std::exp(-std::abs(x)));
  return x < 0 ? 1 - v : v;
}

void post_transform(PostTransform transform, std::span<float> scores) noexcept { transform_all(transform, scores); }
void post_transform(PostTransform transform, std::span<double> scores) noexcept { transform_all(transform, scores); }

void add_second_class(PostTransform transform, SecondClass kind, float* scores) noexcept {
  const float s = scores[0];
  if (transform == PostTransform::probit) {
    scores[0] = probit(s);
    scores[1] = 0;
  } else if (transform == PostTransform::logistic) {
    scores[0] = logistic(-s);
    scores[1] = logistic(s);
  } else {
    scores[0] = kind == SecondClass::complement ? 1 - s : -s;
    scores[1] = s;
  }
}

}  // namespace linnet
