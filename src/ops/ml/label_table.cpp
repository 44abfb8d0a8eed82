#include "ops/ml/label_table.h"

#include <algorithm>

namespace linnet {
namespace {

template <class T>
Result<Tensor> owned(const std::vector<T>& elements) {
  LINNET_ASSIGN(Tensor tensor, make_tensor(dtype_of<T>, Shape{static_cast<int64_t>(elements.size())}));
  std::copy(elements.begin(), elements.end(), tensor.ptr<T>());
  return tensor;
}

bool is_integral(DType dtype) noexcept { return is_integer(dtype) || dtype == DType::boolean; }

}  // namespace

Status KeyIndex::build(Tensor keys) {
  LINNET_REQUIRE(keys.shape.rank() <= 1, invalid_model("the keys are of shape ", keys.shape));
  LINNET_REQUIRE(keys.dtype == DType::string || is_integral(keys.dtype) || is_float(keys.dtype),
                 unsupported("keys of type ", dtype_name(keys.dtype), " are not supported"));
  keys_ = std::move(keys);
  for (int64_t i = 0; i < keys_.count(); ++i) {
    const size_t position = static_cast<size_t>(i);
    if (keys_.dtype == DType::string) {
      strings_[keys_.ptr<std::string>()[i]] = position;
    } else if (is_integral(keys_.dtype)) {
      integers_[integer_at(keys_, i)] = position;
    } else if (const double key = number_at(keys_, i); key == key) {
      floats_[key] = position;
    } else {
      nan_ = position;
    }
  }
  index_densely();
  return {};
}

void KeyIndex::index_densely() {
  if (integers_.empty()) return;
  const auto less = [](const auto& a, const auto& b) { return a.first < b.first; };
  const auto [least, greatest] = std::minmax_element(integers_.begin(), integers_.end(), less);
  const uint64_t span = static_cast<uint64_t>(greatest->first) - static_cast<uint64_t>(least->first);
  if (span >= 8 * integers_.size()) return;
  least_ = least->first;
  dense_.assign(static_cast<size_t>(span) + 1, kAbsent);
  for (const auto& [key, position] : integers_) dense_[static_cast<size_t>(key - least_)] = position;
  integers_.clear();
}

bool KeyIndex::accepts(DType dtype) const noexcept {
  if (keys_.dtype == DType::string || dtype == DType::string) return keys_.dtype == dtype;
  return is_integral(keys_.dtype) ? is_integral(dtype) : is_float(dtype);
}

size_t KeyIndex::find(const Tensor& tensor, int64_t i) const noexcept {
  const auto in = [](const auto& map, const auto& key) {
    const auto found = map.find(key);
    return found == map.end() ? kAbsent : found->second;
  };
  if (tensor.dtype == DType::string) return in(strings_, std::string_view(tensor.ptr<std::string>()[i]));
  if (is_integral(tensor.dtype)) {
    const int64_t key = tensor.dtype == DType::i64 ? tensor.ptr<int64_t>()[i] : integer_at(tensor, i);
    if (dense_.empty()) return in(integers_, key);
    const uint64_t at = static_cast<uint64_t>(key) - static_cast<uint64_t>(least_);
    return at < dense_.size() ? dense_[static_cast<size_t>(at)] : kAbsent;
  }
  const double key = number_at(tensor, i);
  return key == key ? in(floats_, key) : nan_;
}

Result<Tensor> label_tensor(const std::vector<std::string>& elements) { return owned(elements); }
Result<Tensor> label_tensor(const std::vector<int64_t>& elements) { return owned(elements); }
Result<Tensor> label_tensor(const std::vector<float>& elements) { return owned(elements); }

}  // namespace linnet
