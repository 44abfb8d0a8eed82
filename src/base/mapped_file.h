// A file's bytes in memory, read-only: mapped where the system can, else read whole.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>

#include "base/result.h"

namespace linnet {

// What tells a file from another, or from itself at another time, without reading it.
struct FileIdentity {
  uint64_t size = 0;
  int64_t modified_ns = 0;
  uint64_t inode = 0;  // 0 where there are none

  friend bool operator==(const FileIdentity&, const FileIdentity&) = default;
};
Result<FileIdentity> file_identity(const std::filesystem::path& path);

class MappedFile {
 public:
  enum class Mode {
    map,   // the pages of the file; truncating the file while it is mapped is outside the contract
    copy,  // memory of our own, for files that others may write meanwhile
  };

  // Regular files only: a directory, device or pipe is refused. An empty file has an empty span.
  static Result<std::shared_ptr<const MappedFile>> open(const std::filesystem::path& path, Mode mode = Mode::map);

  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;
  ~MappedFile();

  // Says that a part of the file is not needed in memory for now: whole pages within it go, and come back when touched.
  // Does nothing for bytes that are not of this file or not mapped.
  void discard(std::span<const std::byte> part) const noexcept;

  const std::filesystem::path& path() const noexcept { return path_; }
  // Of the file that was opened.
  const FileIdentity& identity() const noexcept { return identity_; }

  // At least 64-byte aligned.
  std::span<const std::byte> bytes() const noexcept { return {data_, size_}; }

 private:
  MappedFile(std::filesystem::path path, const FileIdentity& identity, const std::byte* data, size_t size, bool mapped)
      : data_(data), size_(size), mapped_(mapped), path_(std::move(path)), identity_(identity) {}

  const std::byte* data_;
  size_t size_;
  bool mapped_;
  std::filesystem::path path_;
  FileIdentity identity_;
};

}  // namespace linnet
