#include "base/file.h"

#include <atomic>
#include <chrono>
#include <fstream>
#include <string>

namespace linnet {
namespace {

// Unlike any name that another thread or process is likely to choose at the same time.
std::filesystem::path temporary_beside(const std::filesystem::path& path) {
  static std::atomic<unsigned> counter{0};
  const auto now = std::chrono::steady_clock::now().time_since_epoch().count();
  std::filesystem::path name = path;
  name += concat(".", now, ".", counter.fetch_add(1), ".tmp");
  return name;
}

bool write_all(const std::filesystem::path& path, std::span<const std::span<const std::byte>> pieces) {
  std::ofstream out(path, std::ios::binary | std::ios::trunc);
  for (const std::span<const std::byte> piece : pieces)
    out.write(reinterpret_cast<const char*>(piece.data()), static_cast<std::streamsize>(piece.size()));
  out.close();
  return out.good();
}

}  // namespace

Status write_file(const std::filesystem::path& path, std::span<const std::span<const std::byte>> pieces) {
  const std::filesystem::path temporary = temporary_beside(path);
  std::error_code failed;
  bool done = write_all(temporary, pieces);
  if (done) {
    std::filesystem::rename(temporary, path, failed);
    done = !failed;
  }
  if (done) return {};
  const std::string reason = failed ? ": " + failed.message() : std::string();
  std::filesystem::remove(temporary, failed);
  return error(Code::io, "cannot write '", path.string(), "'", reason);
}

Status write_file(const std::filesystem::path& path, std::span<const std::byte> bytes) {
  return write_file(path, std::span(&bytes, 1));
}

}  // namespace linnet
