// Writing files whole.
#pragma once

#include <cstddef>
#include <filesystem>
#include <functional>
#include <span>

#include "base/result.h"

namespace linnet {

// A written file that waits to take the place of another: readers see the old one or the whole new one. What has not
// been committed is gone when this is destroyed and, where the system can, when the process ends in between.
class PendingFile {
 public:
  using Bytes = std::span<const std::byte>;

  // Writes the pieces one after the other to a new file in the folder of `path`. `written`, when set, is told of parts
  // that will not be read again.
  static Result<PendingFile> write(std::filesystem::path path, std::span<const Bytes> pieces,
                                   const std::function<void(Bytes)>& written = nullptr);
  Status commit();

  PendingFile(PendingFile&& other) noexcept { *this = std::move(other); }
  PendingFile& operator=(PendingFile&& other) noexcept;
  ~PendingFile() { discard(); }

 private:
  PendingFile() = default;
  void discard() noexcept;

  std::filesystem::path path_, temporary_;  // no temporary name: the file has none yet
  int descriptor_ = -1;
};

Status write_file(const std::filesystem::path& path, std::span<const std::span<const std::byte>> pieces);
Status write_file(const std::filesystem::path& path, std::span<const std::byte> bytes);

}  // namespace linnet
