#include "files/tensor_file.h"

#include "base/file.h"
#include "base/mapped_file.h"
#include "codecs/format.h"
#include "files/image.h"
#include "files/json_tensor.h"
#include "files/npy.h"
#include "files/store_number.h"
#include "onnx/value_data.h"

namespace linnet::cli {
namespace {

// A tensor of the type the model wants, where the file holds the wider type that stands for it in a .npy file.
Result<Tensor> narrowed(Tensor tensor, DType wanted) {
  const bool stands_for =
      (tensor.dtype == DType::f32 && (wanted == DType::bf16 || is_float8(wanted) || wanted == DType::f4e2m1)) ||
      ((tensor.dtype == DType::i8 || tensor.dtype == DType::u8) && is_packed(wanted) && wanted != DType::f4e2m1);
  if (!stands_for) return tensor;
  LINNET_ASSIGN(Tensor out, make_tensor(wanted, tensor.shape));
  for (int64_t i = 0; i < tensor.count(); ++i) {
    LINNET_REQUIRE(store_number(out, i, number_at(tensor, i)),
                   invalid_argument("element ", i, " is out of range for ", dtype_name(wanted)));
  }
  return out;
}

std::string_view text_of(const MappedFile& file) {
  return {reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size()};
}

Result<Tensor> parse_tensor(const std::shared_ptr<const MappedFile>& file, const std::filesystem::path& path,
                            const TensorSpec& spec) {
  const std::string_view bytes = text_of(*file);
  const std::filesystem::path extension = path.extension();
  if (extension == ".npy") {
    LINNET_ASSIGN(Tensor tensor, parse_npy(bytes, file));
    return narrowed(std::move(tensor), spec.dtype);
  }
  if (extension == ".json") return parse_json_tensor(bytes, spec);
  if (extension == ".pb") {
    LINNET_ASSIGN(onnx::NamedValue value, onnx::decode_value(file->bytes(), onnx::ElementKind::tensor, file));
    return std::move(value.value.tensor);
  }
  if (codecs::format_of(bytes) != codecs::Format::none) return image_tensor(bytes, spec);
  return unsupported("neither .npy, .json, .pb nor an image (PNG, JPEG, JPEG 2000, WebP, TIFF, BMP or PNM)");
}

}  // namespace

Result<Tensor> read_tensor_file(const std::filesystem::path& path, const TensorSpec& spec) {
  LINNET_ASSIGN(const std::shared_ptr<const MappedFile> file, MappedFile::open(path, MappedFile::Mode::copy));
  Result<Tensor> tensor = parse_tensor(file, path, spec);
  if (!tensor.ok()) return std::move(tensor).status().within(path.string());
  return tensor;
}

Result<std::vector<NamedTensor>> read_tensor_archive(const std::filesystem::path& path) {
  LINNET_ASSIGN(const std::shared_ptr<const MappedFile> file, MappedFile::open(path, MappedFile::Mode::copy));
  Result<std::vector<NamedTensor>> tensors = parse_npz(text_of(*file));
  if (!tensors.ok()) return std::move(tensors).status().within(path.string());
  return tensors;
}

Status write_tensor_file(const std::filesystem::path& path, const Tensor& tensor, std::string_view name) {
  if (path.extension() == ".pb") {
    LINNET_ASSIGN(const std::vector<std::byte> bytes, onnx::encode_value(tensor, name, onnx::ElementKind::tensor));
    return write_file(path, bytes);
  }
  Result<std::string> bytes = path.extension() == ".json" ? json_text(tensor) : npy_bytes(tensor);
  if (!bytes.ok()) return std::move(bytes).status().within(path.string());
  return write_file(path, std::as_bytes(std::span(*bytes)));
}

Status write_tensor_archive(const std::filesystem::path& path, const std::vector<NamedTensor>& tensors) {
  Result<std::string> bytes = npz_bytes(tensors);
  if (!bytes.ok()) return std::move(bytes).status().within(path.string());
  return write_file(path, std::as_bytes(std::span(*bytes)));
}

std::string file_name_of(std::string_view tensor_name) {
  std::string name(tensor_name);
  for (char& c : name) {
    const bool kept =
        (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '_' || c == '-';
    if (!kept) c = '_';
  }
  return name;
}

}  // namespace linnet::cli
