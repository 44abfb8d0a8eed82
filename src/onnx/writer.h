// Writes ONNX messages: the inverse of reader.h, to files and to memory.
#pragma once

#include <filesystem>
#include <functional>

#include "base/result.h"
#include "onnx/model.h"

namespace linnet::onnx {

// The bytes of one message. Protobuf ends at 2 GB: greater models need external data.
Result<std::vector<std::byte>> encode(const Model& model);
Result<std::vector<std::byte>> encode(const Tensor& tensor);
Result<std::vector<std::byte>> encode(const SequenceValue& sequence);
Result<std::vector<std::byte>> encode(const MapValue& map);
Result<std::vector<std::byte>> encode(const OptionalValue& optional);

struct WriteOptions {
  // Initializers of at least so many bytes go to one file beside the model; none do without it.
  std::optional<size_t> external_threshold;
  // Name of that file; empty: the model's with ".data" appended.
  std::string external_name;
  // Told of payloads that have been written and will not be read again.
  std::function<void(Bytes)> written;
};

// Writes the file, and that of external data, whole or not at all.
Status write_model(const std::filesystem::path& path, Model model, const WriteOptions& options = {});

}  // namespace linnet::onnx
