// How near the outputs of a model are to those of another one on the same inputs: what quantising or tuning costs.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "quality/errors.h"

namespace linnet {

struct OutputQuality {
  std::string name;
  // Samples in which the two cannot be compared: other shapes or types, or elements that are infinite or no numbers in
  // one alone. They count as cosine 0, as rows that do not agree, as no element equal.
  size_t not_comparable = 0;
  // Samples for which the reference has floats but no finite number: of these nothing is measured.
  size_t without_numbers = 0;
  // Of floats. Each sample has a cosine; the others are over all elements that can be compared.
  std::optional<double> mean_cosine, least_cosine, snr_db, max_abs_error;
  // Of floats whose last axis, a row, has two elements or more. Divergence: the mean of KL(reference || other) in nats,
  // of rows as they are where those of the reference are probabilities, else of their softmax; probabilities below
  // 1e-12 count as that. Agreement: the share of rows whose greatest element is a greatest one of the reference, too.
  std::optional<double> kl_divergence, top1_agreement;
  // Of all others, strings included: the share of equal elements.
  std::optional<double> equal;

  std::string to_json() const;  // an object on one line; null for what is infinite
};

// Of samples with a known answer.
struct TaskQuality {
  std::string output;
  double reference_accuracy = 0, accuracy = 0;  // shares of right answers
};

struct Quality {
  size_t samples = 0;
  OutputQuality overall;  // the worst of the outputs, by each measure
  std::vector<OutputQuality> outputs;
  std::optional<TaskQuality> task;

  std::string to_json() const;
};

// Whether these have floats, and no finite number among them.
bool without_numbers(std::span<const Value> values);
// For sentences: "'a', 'b', 'c' and 5 more".
std::string list_of_names(std::span<const std::string> names);

// Adds up samples. Its memory does not depend on their number. Elements of sequences and maps count like tensors of one
// output.
class QualityMeter {
 public:
  // `labels`: the right answer of each sample, if known. It is compared with the output `labelled`, which must be an
  // integer or one row of floats, whose greatest element's index is the answer; without a name, with the first output
  // that is such a row, or else such an integer.
  explicit QualityMeter(std::vector<std::string> names, std::vector<int64_t> labels = {}, std::string labelled = {});

  // Whether every label is one of the classes that a sample's outputs, by position, have scores of.
  Status check_labels(std::span<const Value> reference);
  // A sample's outputs, by position.
  Status add(std::span<const Value> reference, std::span<const Value> other);
  Quality result() const;

 private:
  struct Sums {
    size_t samples = 0, not_comparable = 0, without_numbers = 0;  // samples: with finite floats
    double cosines = 0, least_cosine = 1;
    FloatErrors errors;
    int64_t rows = 0, agreeing = 0, elements = 0, equal = 0;
    double divergence = 0;
  };

  void add(const Value& reference, const Value& other, Sums& sums);
  void add_rows(const Tensor& reference, const Tensor& other, FloatErrors& errors, Sums& sums);
  Status find_answering(std::span<const Value> reference);
  Status check_label(const Value& expected, size_t sample) const;
  Status add_answers(std::span<const Value> reference, std::span<const Value> other);

  std::vector<std::string> names_;
  std::vector<Sums> sums_;  // by output
  std::vector<int64_t> labels_;
  std::string labelled_;
  std::optional<size_t> answering_;  // an output
  size_t samples_ = 0, right_ = 0, reference_right_ = 0;
  std::vector<double> reference_row_, row_;
};

}  // namespace linnet
