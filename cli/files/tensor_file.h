// Tensors in files, by the file's name and first bytes.
#pragma once

#include <filesystem>
#include <string>

#include "base/result.h"
#include "files/npz.h"
#include "files/tensor_spec.h"
#include "tensor/tensor.h"

namespace linnet::cli {

// Of files that may be a tensor.
inline constexpr const char* kTensorExtensions[] = {".npy",  ".json", ".pb",   ".png", ".jpg", ".jpeg", ".jp2",
                                                    ".webp", ".tif",  ".tiff", ".bmp", ".pgm", ".ppm"};

// One tensor of a .npy, .json, .pb (TensorProto) or image file, read as `spec` says. An array
// whose type NumPy has no name for may come as the wider type that npy_bytes() writes.
Result<Tensor> read_tensor_file(const std::filesystem::path& path, const TensorSpec& spec);

// The tensors of a .npz archive by name.
Result<std::vector<NamedTensor>> read_tensor_archive(const std::filesystem::path& path);

// .npy, .json or .pb by the path's extension; `name` goes into a .pb.
Status write_tensor_file(const std::filesystem::path& path, const Tensor& tensor, std::string_view name = {});
Status write_tensor_archive(const std::filesystem::path& path, const std::vector<NamedTensor>& tensors);

// The name of a tensor as the name of a file: characters other than letters, digits, '.', '_' and '-' become '_'.
std::string file_name_of(std::string_view tensor_name);

}  // namespace linnet::cli
