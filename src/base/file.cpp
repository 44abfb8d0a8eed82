#include "base/file.h"

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <fstream>
#include <string>
#include <system_error>
#include <utility>

// Android has the calls, but forbids its applications to make links.
#if defined(__linux__) && !defined(__ANDROID__)
#define LINNET_HAVE_NAMELESS_FILES 1
#include <fcntl.h>
#include <unistd.h>
#endif

namespace linnet {
namespace {

using Bytes = PendingFile::Bytes;

constexpr size_t kStep = size_t{16} << 20;  // bytes between two reports of what is written

// Unlike any name that another thread or process is likely to choose at the same time.
std::filesystem::path temporary_beside(const std::filesystem::path& path) {
  static std::atomic<unsigned> counter{0};
  const auto now = std::chrono::steady_clock::now().time_since_epoch().count();
  std::filesystem::path name = path;
  name += concat(".", now, ".", counter.fetch_add(1), ".tmp");
  return name;
}

Status cannot_write(const std::filesystem::path& path, const std::error_code& reason) {
  return error(Code::io, "cannot write '", path.string(), "'", reason ? ": " + reason.message() : std::string());
}

std::error_code last_error() { return {errno, std::generic_category()}; }

template <class Write>
bool write_in_steps(std::span<const Bytes> pieces, const std::function<void(Bytes)>& written, Write&& write) {
  for (Bytes piece : pieces) {
    while (!piece.empty()) {
      const Bytes part = piece.first(std::min(piece.size(), kStep));
      if (!write(part)) return false;
      if (written) written(part);
      piece = piece.subspan(part.size());
    }
  }
  return true;
}

#ifdef LINNET_HAVE_NAMELESS_FILES

bool write_part(int descriptor, Bytes part) {
  while (!part.empty()) {
    const ssize_t count = ::write(descriptor, part.data(), part.size());
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return false;
    part = part.subspan(static_cast<size_t>(count));
  }
  return true;
}

// A file without a name, which the system removes unless it is given one; -1 where it makes none.
int open_nameless(const std::filesystem::path& path) {
  if (::access("/proc/self/fd", X_OK) != 0) return -1;  // where give_name finds it again
  const std::filesystem::path folder = path.parent_path();
  constexpr int kMode = 0666;  // less the process's mask
  return ::open(folder.empty() ? "." : folder.c_str(), O_TMPFILE | O_WRONLY | O_CLOEXEC, kMode);
}

bool give_name(int descriptor, const std::filesystem::path& name) {
  const std::string from = "/proc/self/fd/" + std::to_string(descriptor);
  return ::linkat(AT_FDCWD, from.c_str(), AT_FDCWD, name.c_str(), AT_SYMLINK_FOLLOW) == 0;
}

#endif

}  // namespace

Result<PendingFile> PendingFile::write(std::filesystem::path path, std::span<const Bytes> pieces,
                                       const std::function<void(Bytes)>& written) {
  PendingFile file;
  file.path_ = std::move(path);
  // The file would take the place of a device.
  std::error_code failed;
  if (const auto found = std::filesystem::status(file.path_, failed); exists(found) && !is_regular_file(found))
    return cannot_write(file.path_, std::make_error_code(is_directory(found) ? std::errc::is_a_directory
                                                                             : std::errc::operation_not_supported));
#ifdef LINNET_HAVE_NAMELESS_FILES
  file.descriptor_ = open_nameless(file.path_);
  if (file.descriptor_ >= 0) {
    if (!write_in_steps(pieces, written, [&](Bytes part) { return write_part(file.descriptor_, part); }))
      return cannot_write(file.path_, last_error());
    return file;
  }
#endif
  file.temporary_ = temporary_beside(file.path_);
  errno = 0;
  std::ofstream out(file.temporary_, std::ios::binary | std::ios::trunc);
  const bool done = write_in_steps(pieces, written, [&](Bytes part) {
    return out.write(reinterpret_cast<const char*>(part.data()), static_cast<std::streamsize>(part.size())).good();
  });
  out.close();
  if (!done || !out.good()) return cannot_write(file.path_, last_error());
  return file;
}

Status PendingFile::commit() {
#ifdef LINNET_HAVE_NAMELESS_FILES
  if (temporary_.empty()) {
    const std::filesystem::path name = temporary_beside(path_);
    if (!give_name(descriptor_, name)) return cannot_write(path_, last_error());
    temporary_ = name;
  }
#endif
  std::error_code failed;
  std::filesystem::rename(temporary_, path_, failed);
  if (failed) return cannot_write(path_, failed);
  temporary_.clear();
  return {};
}

PendingFile& PendingFile::operator=(PendingFile&& other) noexcept {
  std::swap(path_, other.path_);
  std::swap(temporary_, other.temporary_);
  std::swap(descriptor_, other.descriptor_);
  return *this;
}

void PendingFile::discard() noexcept {
  std::error_code ignored;
  if (!temporary_.empty()) std::filesystem::remove(temporary_, ignored);
#ifdef LINNET_HAVE_NAMELESS_FILES
  if (descriptor_ >= 0) ::close(descriptor_);
#endif
}

Status write_file(const std::filesystem::path& path, std::span<const Bytes> pieces) {
  LINNET_ASSIGN(PendingFile file, PendingFile::write(path, pieces));
  return file.commit();
}

Status write_file(const std::filesystem::path& path, Bytes bytes) { return write_file(path, std::span(&bytes, 1)); }

}  // namespace linnet
