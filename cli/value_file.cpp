#include "value_file.h"

#include <algorithm>

#include "base/file.h"
#include "base/mapped_file.h"
#include "files/tensor_file.h"
#include "onnx/value_data.h"

namespace linnet::cli {
namespace {

namespace fs = std::filesystem;

onnx::ElementKind kind_of(const ValueInfo& info) {
  switch (info.kind) {
    case ValueKind::sequence: return onnx::ElementKind::sequence;
    case ValueKind::optional: return onnx::ElementKind::optional;
    case ValueKind::map: return onnx::ElementKind::map;
    default: return onnx::ElementKind::tensor;
  }
}

onnx::ElementKind kind_of(const Value& value) {
  if (value.is_sequence()) return onnx::ElementKind::sequence;
  if (value.is_map()) return onnx::ElementKind::map;
  return value.is_tensor() ? onnx::ElementKind::tensor : onnx::ElementKind::optional;
}

Result<onnx::NamedValue> read_message(const fs::path& path, const ValueInfo& info) {
  LINNET_ASSIGN(const auto file, MappedFile::open(path, MappedFile::Mode::copy));
  Result<onnx::NamedValue> value = onnx::decode_value(file->bytes(), kind_of(info), file);
  if (info.kind == ValueKind::optional && (!value.ok() || value->value.is_none())) {
    // No optional without content is a tensor with elements: it has no field for them.
    Result<onnx::NamedValue> held = onnx::decode_value(file->bytes(), onnx::ElementKind::tensor, file);
    if (held.ok() && (!value.ok() || held->value.tensor.count() > 0)) return held;
  }
  if (!value.ok()) return std::move(value).status().within(path.string());
  return value;
}

TensorSpec spec_of(const Model::Port& port) {
  TensorSpec spec{port.name, port.info.dtype, {}, !port.info.ranked};
  for (const Dim& d : port.info.shape) spec.shape.push_back(d.known() ? d.value() : -1);
  return spec;
}

}  // namespace

Result<Value> read_value_file(const fs::path& path, const Model::Port& port) {
  if (path.extension() == ".pb") {
    LINNET_ASSIGN(onnx::NamedValue named, read_message(path, port.info));
    return std::move(named.value);
  }
  LINNET_ASSIGN(Tensor tensor, read_tensor_file(path, spec_of(port)));
  return Value(std::move(tensor));
}

Result<std::vector<std::optional<Value>>> read_value_set(const fs::path& folder, const std::string& prefix,
                                                         std::span<const Model::Port> ports) {
  const auto path_of = [&](size_t i) { return folder / concat(prefix, i, ".pb"); };
  if (fs::exists(path_of(ports.size())))
    return invalid_argument(folder.string(), " holds more values than the model has: ", prefix, ports.size(), ".pb");
  std::vector<std::pair<size_t, onnx::NamedValue>> found;
  for (size_t i = 0; i < ports.size(); ++i) {
    if (!fs::exists(path_of(i))) continue;
    LINNET_ASSIGN(onnx::NamedValue value, read_message(path_of(i), ports[i].info));
    found.emplace_back(i, std::move(value));
  }
  std::vector<size_t> at;
  for (const auto& [i, v] : found) {
    const auto port = std::find_if(ports.begin(), ports.end(), [&](const Model::Port& p) { return p.name == v.name; });
    if (port != ports.end()) at.push_back(static_cast<size_t>(port - ports.begin()));
  }
  const bool by_name = at.size() == found.size();
  std::vector<std::optional<Value>> values(ports.size());
  for (size_t k = 0; k < found.size(); ++k) values[by_name ? at[k] : found[k].first] = std::move(found[k].second.value);
  return values;
}

fs::path value_path(const fs::path& folder, std::string_view name, const Value& value) {
  return folder / (file_name_of(name) + (value.is_tensor() ? ".npy" : ".pb"));
}

Status write_value_file(const fs::path& path, std::string_view name, const Value& value) {
  if (value.is_tensor()) return write_tensor_file(path, value.tensor, name);
  LINNET_ASSIGN(const std::vector<std::byte> bytes, onnx::encode_value(value, name, kind_of(value)));
  return write_file(path, bytes);
}

}  // namespace linnet::cli
