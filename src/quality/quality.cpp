#include "quality/quality.h"

#include <algorithm>
#include <cmath>

#include "base/json_text.h"
#include "base/nearest_name.h"

namespace linnet {
namespace {

constexpr double kLeastProbability = 1e-12;
constexpr double kSumTolerance = 5e-3;  // of probabilities, which may come from half precision

void flatten(const Value& value, std::vector<Tensor>& tensors) {
  if (value.is_sequence()) {
    for (const Value& element : value.sequence->values) flatten(element, tensors);
  } else if (value.is_map()) {
    tensors.push_back(value.map->keys);
    tensors.push_back(value.map->values);
  } else if (value.is_tensor()) {
    tensors.push_back(value.tensor);
  }
}

bool without_numbers(const std::vector<Tensor>& tensors) {
  bool any = false;
  for (const Tensor& tensor : tensors) {
    if (!has_float_elements(tensor) || tensor.count() == 0) continue;
    if (!linnet::without_numbers(tensor)) return false;
    any = true;
  }
  return any;
}

int64_t row_length(const Tensor& tensor) { return tensor.shape.rank() == 0 ? 1 : tensor.shape.sizes().back(); }

int64_t count_equal(const Tensor& a, const Tensor& b) {
  int64_t equal = 0;
  const int bits = dtype_bits(a.dtype);
  for (int64_t i = 0; i < a.count(); ++i) {
    if (a.dtype == DType::string) {
      equal += a.ptr<std::string>()[i] == b.ptr<std::string>()[i];
    } else if (bits >= 8) {
      const auto size = static_cast<size_t>(bits / 8), at = static_cast<size_t>(i) * size;
      equal += std::memcmp(a.ptr<char>() + at, b.ptr<char>() + at, size) == 0;
    } else {
      equal += integer_at(a, i) == integer_at(b, i);
    }
  }
  return equal;
}

bool is_distribution(std::span<const double> row) {
  double sum = 0;
  for (const double x : row) {
    if (!(x >= 0 && x <= 1 + kSumTolerance)) return false;
    sum += x;
  }
  return std::fabs(sum - 1) <= kSumTolerance;
}

// What x - log_sum(row) is the logarithm of a probability for; NaN where there is no such number.
double log_sum(std::span<const double> row) {
  const double greatest = *std::max_element(row.begin(), row.end());
  double sum = 0;
  for (const double x : row) sum += std::exp(x - greatest);
  return greatest + std::log(sum);
}

double divergence(std::span<const double> reference, std::span<const double> other, bool probabilities) {
  const double floor = std::log(kLeastProbability);
  double total = 0;
  double shift = 0, other_shift = 0;
  if (probabilities) {
    for (const double x : other) other_shift += std::max(x, 0.0);
    other_shift = std::log(other_shift);
  } else {
    shift = log_sum(reference);
    other_shift = log_sum(other);
  }
  if (!std::isfinite(shift) || !std::isfinite(other_shift)) {
    const auto same = [](double a, double b) { return a == b || (std::isnan(a) && std::isnan(b)); };
    return std::equal(reference.begin(), reference.end(), other.begin(), same) ? 0 : -floor;
  }
  for (size_t i = 0; i < reference.size(); ++i) {
    const double log_p = probabilities ? std::log(reference[i]) : reference[i] - shift;
    const double p = probabilities ? reference[i] : std::exp(log_p);
    if (p <= kLeastProbability) continue;
    const double q = (probabilities ? std::log(std::max(other[i], 0.0)) : other[i]) - other_shift;
    total += p * (log_p - std::max(q, floor));
  }
  return std::isnan(total) ? -floor : std::max(total, 0.0);
}

// The index of the greatest element; nothing where one is no number.
std::optional<size_t> greatest(std::span<const double> row) {
  if (std::any_of(row.begin(), row.end(), [](double x) { return std::isnan(x); })) return std::nullopt;
  return static_cast<size_t>(std::max_element(row.begin(), row.end()) - row.begin());
}

bool agree(std::span<const double> reference, std::span<const double> other) {
  const std::optional<size_t> a = greatest(reference), b = greatest(other);
  return a && b ? reference[*a] == reference[*b] : a == b;
}

bool is_row(const Value& value) {
  return value.is_tensor() && has_float_elements(value.tensor) && row_length(value.tensor) >= 2 &&
         value.tensor.count() == row_length(value.tensor);
}

bool is_integer_answer(const Value& value) {
  return value.is_tensor() && is_integer(value.tensor.dtype) && value.tensor.count() == 1;
}

std::optional<int64_t> answer(const Value& value) {
  if (is_integer_answer(value)) return integer_at(value.tensor, 0);
  if (!is_row(value)) return std::nullopt;
  std::vector<double> row(static_cast<size_t>(value.tensor.count()));
  read_floats(value.tensor, 0, row);
  const std::optional<size_t> index = greatest(row);
  if (!index) return std::nullopt;
  return static_cast<int64_t>(*index);
}

void worst(std::optional<double>& all, const std::optional<double>& one, bool least) {
  if (!one) return;
  all = !all ? *one : least ? std::min(*all, *one) : std::max(*all, *one);
}

void append_field(std::string& out, std::string_view name, const std::optional<double>& value) {
  if (!value) return;
  out += concat(", \"", name, "\": ");
  append_json(out, *value);
}

}  // namespace

bool without_numbers(std::span<const Value> values) {
  std::vector<Tensor> tensors;
  for (const Value& value : values) flatten(value, tensors);
  return without_numbers(tensors);
}

std::string list_of_names(std::span<const std::string> names) {
  constexpr size_t kMost = 3;
  std::string out;
  for (size_t i = 0; i < names.size() && i < kMost; ++i)
    out += concat(i == 0 ? "'" : i + 1 == names.size() ? " and '" : ", '", names[i], "'");
  return names.size() > kMost ? concat(out, " and ", names.size() - kMost, " more") : out;
}

QualityMeter::QualityMeter(std::vector<std::string> names, std::vector<int64_t> labels, std::string labelled)
    : names_(std::move(names)), sums_(names_.size()), labels_(std::move(labels)), labelled_(std::move(labelled)) {}

Status QualityMeter::add(std::span<const Value> reference, std::span<const Value> other) {
  LINNET_REQUIRE(reference.size() == names_.size() && other.size() == names_.size(),
                 invalid_argument("one model has ", reference.size(), " outputs, the other ", other.size()));
  if (!labels_.empty()) LINNET_TRY(add_answers(reference, other));
  for (size_t i = 0; i < names_.size(); ++i) add(reference[i], other[i], sums_[i]);
  ++samples_;
  return {};
}

Status QualityMeter::find_answering(std::span<const Value> reference) {
  if (!answering_) {
    if (!labelled_.empty()) {
      const auto at = std::find(names_.begin(), names_.end(), labelled_);
      const std::vector<std::string_view> names(names_.begin(), names_.end());
      LINNET_REQUIRE(at != names_.end(),
                     invalid_argument("the model has no output '", labelled_, "' to compare with labels",
                                      nearest_or_all(labelled_, names)));
      answering_ = static_cast<size_t>(at - names_.begin());
    } else {
      auto at = std::find_if(reference.begin(), reference.end(), is_row);
      if (at == reference.end()) at = std::find_if(reference.begin(), reference.end(), is_integer_answer);
      LINNET_REQUIRE(at != reference.end(),
                     invalid_argument("no output is one row of scores or one integer, as labels need it"));
      answering_ = static_cast<size_t>(at - reference.begin());
    }
  }
  const Value& expected = reference[*answering_];
  LINNET_REQUIRE(is_row(expected) || is_integer_answer(expected),
                 invalid_argument("output '", names_[*answering_],
                                  "' is not one row of scores or one integer a sample, as labels need it"));
  return {};
}

Status QualityMeter::check_label(const Value& expected, size_t sample) const {
  const int64_t label = labels_[sample];
  LINNET_REQUIRE(
      !is_row(expected) || (label >= 0 && label < expected.tensor.count()),
      invalid_argument("the label of sample ", sample + 1, " is ", label, ", but output '", names_[*answering_],
                       "' has scores of ", expected.tensor.count(), " classes, counted from 0"));
  return {};
}

Status QualityMeter::check_labels(std::span<const Value> reference) {
  if (labels_.empty()) return {};
  LINNET_TRY(find_answering(reference));
  for (size_t i = 0; i < labels_.size(); ++i) LINNET_TRY(check_label(reference[*answering_], i));
  return {};
}

Status QualityMeter::add_answers(std::span<const Value> reference, std::span<const Value> other) {
  LINNET_REQUIRE(samples_ < labels_.size(),
                 invalid_argument("there are ", labels_.size(), " labels, but more samples: each needs one"));
  LINNET_TRY(find_answering(reference));
  const Value& expected = reference[*answering_];
  LINNET_TRY(check_label(expected, samples_));
  const int64_t label = labels_[samples_];
  reference_right_ += answer(expected) == label;
  right_ += answer(other[*answering_]) == label;
  return {};
}

void QualityMeter::add(const Value& reference, const Value& other, Sums& sums) {
  std::vector<Tensor> expected, actual;
  flatten(reference, expected);
  flatten(other, actual);
  const bool nothing = without_numbers(expected);
  bool floats = false;
  FloatErrors errors;
  errors.comparable = expected.size() == actual.size();
  for (size_t i = 0; i < expected.size(); ++i) {
    const Tensor& r = expected[i];
    const bool is_float = has_float_elements(r);
    if (is_float && nothing) continue;
    const bool fits = i < actual.size() && r.shape == actual[i].shape &&
                      (is_float ? has_float_elements(actual[i]) : r.dtype == actual[i].dtype);
    floats = floats || is_float;
    errors.comparable = errors.comparable && fits;
    if (is_float) {
      if (fits) {
        add_rows(r, actual[i], errors, sums);
      } else if (row_length(r) >= 2) {
        const int64_t rows = r.count() / row_length(r);
        sums.rows += rows;
        sums.divergence -= static_cast<double>(rows) * std::log(kLeastProbability);
      }
    } else {
      sums.elements += r.count();
      if (fits) sums.equal += count_equal(r, actual[i]);
    }
  }
  sums.not_comparable += !errors.comparable;
  sums.without_numbers += nothing;
  if (!floats) return;
  const double cosine = errors.cosine();
  ++sums.samples;
  sums.cosines += cosine;
  sums.least_cosine = std::min(sums.least_cosine, cosine);
  sums.errors.add(errors);
}

void QualityMeter::add_rows(const Tensor& reference, const Tensor& other, FloatErrors& errors, Sums& sums) {
  const int64_t length = row_length(reference);
  if (length < 2) return errors.add(reference, other);
  const int64_t count = reference.count();
  reference_row_.resize(static_cast<size_t>(length));
  row_.resize(static_cast<size_t>(length));
  bool probabilities = true;
  for (int64_t at = 0; at < count && probabilities; at += length) {
    read_floats(reference, at, reference_row_);
    probabilities = is_distribution(reference_row_);
  }
  for (int64_t at = 0; at < count; at += length) {
    read_floats(reference, at, reference_row_);
    read_floats(other, at, row_);
    errors.add(std::span<const double>(reference_row_), row_);
    ++sums.rows;
    sums.agreeing += agree(reference_row_, row_);
    sums.divergence += divergence(reference_row_, row_, probabilities);
  }
}

Quality QualityMeter::result() const {
  Quality quality;
  quality.samples = samples_;
  OutputQuality& overall = quality.overall;
  for (size_t i = 0; i < names_.size(); ++i) {
    const Sums& sums = sums_[i];
    OutputQuality& out = quality.outputs.emplace_back();
    out.name = names_[i];
    out.not_comparable = sums.not_comparable;
    out.without_numbers = sums.without_numbers;
    if (sums.samples != 0) {
      out.mean_cosine = sums.cosines / static_cast<double>(sums.samples);
      out.least_cosine = sums.least_cosine;
    }
    if (sums.samples > sums.not_comparable) {
      out.snr_db = sums.errors.snr_db();
      out.max_abs_error = sums.errors.max_abs;
    }
    if (sums.rows != 0) {
      out.kl_divergence = sums.divergence / static_cast<double>(sums.rows);
      out.top1_agreement = static_cast<double>(sums.agreeing) / static_cast<double>(sums.rows);
    }
    if (sums.elements != 0) out.equal = static_cast<double>(sums.equal) / static_cast<double>(sums.elements);
    overall.not_comparable = std::max(overall.not_comparable, out.not_comparable);
    overall.without_numbers = std::max(overall.without_numbers, out.without_numbers);
    worst(overall.mean_cosine, out.mean_cosine, true);
    worst(overall.least_cosine, out.least_cosine, true);
    worst(overall.snr_db, out.snr_db, true);
    worst(overall.max_abs_error, out.max_abs_error, false);
    worst(overall.kl_divergence, out.kl_divergence, false);
    worst(overall.top1_agreement, out.top1_agreement, true);
    worst(overall.equal, out.equal, true);
  }
  if (answering_ && samples_ != 0) {
    const auto all = static_cast<double>(samples_);
    quality.task = {names_[*answering_], static_cast<double>(reference_right_) / all,
                    static_cast<double>(right_) / all};
  }
  return quality;
}

std::string OutputQuality::to_json() const {
  std::string out = "{";
  if (!name.empty()) {
    out += "\"name\": ";
    append_json(out, name);
    out += ", ";
  }
  out += concat("\"not_comparable\": ", not_comparable);
  if (without_numbers != 0) out += concat(", \"without_numbers\": ", without_numbers);
  append_field(out, "mean_cosine", mean_cosine);
  append_field(out, "least_cosine", least_cosine);
  append_field(out, "snr_db", snr_db);
  append_field(out, "max_abs_error", max_abs_error);
  append_field(out, "kl_divergence", kl_divergence);
  append_field(out, "top1_agreement", top1_agreement);
  append_field(out, "equal", equal);
  return out + '}';
}

std::string Quality::to_json() const {
  std::string out = concat("{\"samples\": ", samples, ", \"overall\": ", overall.to_json(), ", \"outputs\": [");
  for (const OutputQuality& output : outputs) out += concat(&output == outputs.data() ? "" : ", ", output.to_json());
  out += ']';
  if (task) {
    out += ", \"task\": {\"output\": ";
    append_json(out, task->output);
    append_field(out, "reference_accuracy", task->reference_accuracy);
    append_field(out, "accuracy", task->accuracy);
    out += '}';
  }
  return out + '}';
}

}  // namespace linnet
