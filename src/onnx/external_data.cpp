#include "onnx/external_data.h"

#include <charconv>

#include "base/checked.h"
#include "onnx/path_resolver.h"

namespace linnet::onnx {
namespace {

std::string_view entry(const Tensor& tensor, std::string_view key) noexcept {
  for (const StringPair& pair : tensor.external_data)
    if (pair.key == key) return pair.value;
  return {};
}

Result<uint64_t> number(std::string_view text, uint64_t otherwise, std::string_view what) {
  if (text.empty()) return otherwise;
  uint64_t value = 0;
  const auto [end, failed] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (failed != std::errc() || end != text.data() + text.size())
    return invalid_model("external data has the ", what, " '", text, "', which is not a number of bytes");
  return value;
}

}  // namespace

Result<SharedBytes> ExternalData::payload(const Tensor& tensor, size_t size) {
  const std::string_view location = entry(tensor, "location");
  LINNET_REQUIRE(!location.empty(), invalid_model("external data without a location"));
  LINNET_ASSIGN(const uint64_t offset, number(entry(tensor, "offset"), 0, "offset"));
  LINNET_ASSIGN(const uint64_t length, number(entry(tensor, "length"), size, "length"));
  LINNET_REQUIRE(length == size, invalid_model("external data of ", length, " bytes for a tensor of ", size));
  LINNET_ASSIGN(SharedBytes found, content(location));
  const uint64_t available = found.bytes.size();
  LINNET_REQUIRE(offset <= available && size <= available - offset,
                 invalid_model("external data '", location, "' has ", available, " bytes, but ", size,
                               " are wanted from offset ", offset));
  found.bytes = found.bytes.subspan(static_cast<size_t>(offset), size);
  return found;
}

Result<SharedBytes> ExternalData::content(std::string_view location) {
  if (const auto known = contents_.find(location); known != contents_.end()) return known->second;
  if (open_) {
    LINNET_ASSIGN(SharedBytes opened, open_(location));
    contents_.emplace(location, opened);
    return opened;
  }
  LINNET_REQUIRE(!model_path_.empty(), error(Code::not_found, "the model refers to external data '", location,
                                             "', which has to be supplied with a model that is given as bytes"));
  LINNET_ASSIGN(const std::filesystem::path path, resolve_location(model_path_, location));
  LINNET_ASSIGN(std::shared_ptr<const MappedFile> file, MappedFile::open(path, mode_));
  SharedBytes opened{file->bytes(), file};
  contents_.emplace(location, opened);
  files_.push_back(std::move(file));
  return opened;
}

}  // namespace linnet::onnx
