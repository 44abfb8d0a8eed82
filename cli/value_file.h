// Values of a model's inputs and outputs in files: tensors in any format of tensor_file.h, everything else as the
// messages of onnx-data.proto.
#pragma once

#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "run/session.h"

namespace linnet::cli {

// A value of the kind that the port takes. A .pb file is a TensorProto, SequenceProto, OptionalProto or MapProto
// accordingly; an optional may be the TensorProto of what it holds.
Result<Value> read_value_file(const std::filesystem::path& path, const Model::Port& port);

// Test data: <prefix>0.pb, <prefix>1.pb, ... by position or, where all files carry names of ports, by name.
// Nothing for a port without a file.
Result<std::vector<std::optional<Value>>> read_value_set(const std::filesystem::path& folder, const std::string& prefix,
                                                         std::span<const Model::Port> ports);

// NAME.npy in the folder, or NAME.pb for what is no tensor.
std::filesystem::path value_path(const std::filesystem::path& folder, std::string_view name, const Value& value);
Status write_value_file(const std::filesystem::path& path, std::string_view name, const Value& value);

}  // namespace linnet::cli
