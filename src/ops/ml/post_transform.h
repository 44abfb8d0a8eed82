// The post_transform attribute of ai.onnx.ml: what happens to the scores of a row.
// https://onnx.ai/onnx/operators/onnx_aionnxml_LinearClassifier.html
#pragma once

#include <span>

#include "ops/op.h"

namespace linnet {

enum class PostTransform : uint8_t { none, softmax, logistic, softmax_zero, probit };

Result<PostTransform> parse_post_transform(NodeReader& reader);

float logistic(float x) noexcept;

// In place. One score alone is only changed by probit: there is nothing for it to be weighed against.
void post_transform(PostTransform transform, std::span<float> scores) noexcept;
void post_transform(PostTransform transform, std::span<double> scores) noexcept;

// How one score becomes those of two classes: what it lacks to 1, or its negative, and itself.
enum class SecondClass : uint8_t { complement, opposite };
// scores[0] is the score, scores[1] is to be filled. Logistic takes that of the negative and of the score; probit that
// of the score, and leaves the other 0.
void add_second_class(PostTransform transform, SecondClass kind, float* scores) noexcept;

}  // namespace linnet
