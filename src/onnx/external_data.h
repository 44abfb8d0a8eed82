// The files and buffers that a model keeps its weights in: https://onnx.ai/onnx/repo-docs/ExternalData.html
#pragma once

#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/mapped_file.h"
#include "onnx/model.h"

namespace linnet::onnx {

// Bytes and what keeps them alive; without an owner they must be copied to be kept.
struct SharedBytes {
  Bytes bytes;
  std::shared_ptr<const void> owner;
};

// Opens each location once, so that all tensors of one file share its mapping. For one thread.
class ExternalData {
 public:
  // Nothing but what is supplied: for a model that came as bytes.
  ExternalData() = default;
  // Files are looked for relative to the model's folder (see path_resolver.h).
  explicit ExternalData(std::filesystem::path model_path, MappedFile::Mode mode = MappedFile::Mode::map)
      : model_path_(std::move(model_path)), mode_(mode) {}

  // Further locations come from `open` instead of files.
  using Open = std::function<Result<SharedBytes>(std::string_view location)>;
  explicit ExternalData(Open open) : open_(std::move(open)) {}

  // Gives the content of a location, which is then never looked for in files.
  void supply(std::string location, SharedBytes content) { contents_[std::move(location)] = std::move(content); }

  // The files that have been opened.
  const std::vector<std::shared_ptr<const MappedFile>>& files() const noexcept { return files_; }

  // The payload of an external tensor, all of `size` bytes that its type and shape ask for.
  Result<SharedBytes> payload(const Tensor& tensor, size_t size);

 private:
  Result<SharedBytes> content(std::string_view location);

  std::filesystem::path model_path_;
  MappedFile::Mode mode_ = MappedFile::Mode::map;
  Open open_;
  std::map<std::string, SharedBytes, std::less<>> contents_;
  std::vector<std::shared_ptr<const MappedFile>> files_;
};

}  // namespace linnet::onnx
