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
  return {};
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
  if (is_integral(tensor.dtype)) return in(integers_, integer_at(tensor, i));
  const double key = number_at(tensor, i);
  return key == key ? in(floats_, key) : nan_;
}

Result<Tensor> label_tensor(const std::vector<std::string>& elements) { return owned(elements); }
Result<Tensor> label_tensor(const std::vector<int64_t>& elements) { return owned(elements); }
Result<Tensor> label_tensor(const std::vector<float>& elements) { return owned(elements); }

}  // namespace linnet
