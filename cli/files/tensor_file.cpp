#include "files/tensor_file.h"

#include <fstream>

#include "files/image.h"
#include "files/json_tensor.h"
#include "files/npy.h"
#include "files/store_number.h"

namespace linnet::cli {
namespace {

// A tensor of the type the model wants, where the file holds the wider type that stands for it in a .npy file.
Result<Tensor> narrowed(Tensor tensor, DType wanted) {
  const bool stands_for = (tensor.dtype == DType::f32 && (wanted == DType::bf16 || is_float8(wanted) || wanted == DType::f4e2m1)) ||
                          ((tensor.dtype == DType::i8 || tensor.dtype == DType::u8) && is_packed(wanted) && wanted != DType::f4e2m1);
  if (!stands_for) return tensor;
  LINNET_ASSIGN(Tensor out, make_tensor(wanted, tensor.shape));
  for (int64_t i = 0; i < tensor.count(); ++i) {
    LINNET_REQUIRE(store_number(out, i, number_at(tensor, i)),
                   invalid_argument("element ", i, " is out of range for ", dtype_name(wanted)));
  }
  return out;
}

Result<Tensor> parse_tensor(const std::string& bytes, const std::filesystem::path& path, const TensorSpec& spec) {
  const std::filesystem::path extension = path.extension();
  if (extension == ".npy") {
    LINNET_ASSIGN(Tensor tensor, parse_npy(bytes));
    return narrowed(std::move(tensor), spec.dtype);
  }
  if (extension == ".json") return parse_json_tensor(bytes, spec);
  if (is_image(bytes)) return image_tensor(bytes, spec);
  return unsupported("neither .npy, .json nor a PNG, JPEG or PNM image");
}

}  // namespace

Result<std::string> read_file(const std::filesystem::path& path) {
  std::error_code failure;
  const std::filesystem::file_status status = std::filesystem::status(path, failure);
  if (!std::filesystem::exists(status)) return error(Code::not_found, path.string(), ": there is no such file");
  if (std::filesystem::is_directory(status)) return error(Code::io, path.string(), ": is a folder, not a file");
  std::ifstream file(path, std::ios::binary);
  std::string bytes;
  if (std::filesystem::is_regular_file(status)) {
    bytes.resize(static_cast<size_t>(std::filesystem::file_size(path, failure)));
    file.read(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  } else {  // a pipe has no size
    bytes.assign(std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>());
  }
  if (!file) return error(Code::io, path.string(), ": cannot be read");
  return bytes;
}

Status write_file(const std::filesystem::path& path, std::string_view bytes) {
  std::ofstream file(path, std::ios::binary);
  file.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  file.close();
  if (!file) return error(Code::io, path.string(), ": cannot be written");
  return {};
}

Result<Tensor> read_tensor_file(const std::filesystem::path& path, const TensorSpec& spec) {
  LINNET_ASSIGN(const std::string bytes, read_file(path));
  Result<Tensor> tensor = parse_tensor(bytes, path, spec);
  if (!tensor.ok()) return std::move(tensor).status().within(path.string());
  return tensor;
}

Result<std::vector<NamedTensor>> read_tensor_archive(const std::filesystem::path& path) {
  LINNET_ASSIGN(const std::string bytes, read_file(path));
  Result<std::vector<NamedTensor>> tensors = parse_npz(bytes);
  if (!tensors.ok()) return std::move(tensors).status().within(path.string());
  return tensors;
}

Status write_tensor_file(const std::filesystem::path& path, const Tensor& tensor) {
  Result<std::string> bytes = path.extension() == ".json" ? json_text(tensor) : npy_bytes(tensor);
  if (!bytes.ok()) return std::move(bytes).status().within(path.string());
  return write_file(path, *bytes);
}

std::string file_name_of(std::string_view tensor_name) {
  std::string name(tensor_name);
  for (char& c : name) {
    const bool kept = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '_' || c == '-';
    if (!kept) c = '_';
  }
  return name;
}

}  // namespace linnet::cli
