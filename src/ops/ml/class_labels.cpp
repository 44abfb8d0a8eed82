#include "ops/ml/class_labels.h"

namespace linnet {

Status ClassLabels::parse(NodeReader& reader, std::string_view integers_name, std::string_view strings_name) {
  integers = reader.integers(integers_name);
  strings = reader.texts(strings_name);
  LINNET_REQUIRE(integers.empty() != strings.empty(),
                 invalid_model("needs either '", integers_name, "' or '", strings_name, "'"));
  return {};
}

void ClassLabels::write(Tensor& labels, size_t row, size_t index) const {
  if (strings.empty()) {
    labels.ptr<int64_t>()[row] = integers[index];
  } else {
    labels.ptr<std::string>()[row] = strings[index];
  }
}

void ClassLabels::write_sign(Tensor& labels, size_t row, bool positive) const {
  if (strings.empty()) {
    labels.ptr<int64_t>()[row] = positive ? 1 : 0;
  } else {
    labels.ptr<std::string>()[row] = positive ? "1" : "0";
  }
}

}  // namespace linnet
