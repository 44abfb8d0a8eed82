#include "base/mapped_file.h"

#include <cerrno>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <new>

#include "base/checked.h"

#if defined(__unix__) || defined(__APPLE__)
#define LINNET_HAVE_POSIX_FILES 1
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#endif

namespace linnet {
namespace {

constexpr std::align_val_t kAlignment{64};

Status cannot(const char* what, const std::filesystem::path& path, int reason) {
  return error(reason == ENOENT ? Code::not_found : Code::io, "cannot ", what, " '", path.string(),
               "': ", std::strerror(reason));
}

Status not_regular(const std::filesystem::path& path) {
  return error(Code::io, "'", path.string(), "' is not a regular file");
}

#ifdef LINNET_HAVE_POSIX_FILES

class Descriptor {
 public:
  // Non-blocking, so that opening a pipe returns and its kind can be looked at.
  explicit Descriptor(const std::filesystem::path& path) noexcept
      : number_(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)) {}
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  ~Descriptor() {
    if (number_ >= 0) ::close(number_);
  }
  bool ok() const noexcept { return number_ >= 0; }

  // Of a regular file.
  Result<FileIdentity> identity(const std::filesystem::path& path) const {
    struct stat info {};
    if (::fstat(number_, &info) != 0) return cannot("inspect", path, errno);
    if (!S_ISREG(info.st_mode)) return not_regular(path);
#ifdef __APPLE__
    const timespec modified = info.st_mtimespec;
#else
    const timespec modified = info.st_mtim;
#endif
    return FileIdentity{static_cast<uint64_t>(info.st_size),
                        int64_t{modified.tv_sec} * 1'000'000'000 + int64_t{modified.tv_nsec},
                        static_cast<uint64_t>(info.st_ino)};
  }

  const std::byte* map(size_t size) const noexcept {
    void* memory = ::mmap(nullptr, size, PROT_READ, MAP_PRIVATE, number_, 0);
    return memory == MAP_FAILED ? nullptr : static_cast<const std::byte*>(memory);
  }

  bool read(std::byte* to, size_t size) const noexcept {
    while (size > 0) {
      const ssize_t got = ::read(number_, to, size);
      if (got < 0 && errno == EINTR) continue;
      if (got <= 0) return false;
      to += got;
      size -= static_cast<size_t>(got);
    }
    return true;
  }

 private:
  int number_;
};

#else

class Descriptor {
 public:
  explicit Descriptor(const std::filesystem::path& path) noexcept : stream_(std::fopen(path.string().c_str(), "rb")) {}
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  ~Descriptor() {
    if (stream_) std::fclose(stream_);
  }
  bool ok() const noexcept { return stream_ != nullptr; }

  Result<FileIdentity> identity(const std::filesystem::path& path) const {
    std::error_code failed;
    if (!std::filesystem::is_regular_file(path, failed)) return not_regular(path);
    const uintmax_t size = std::filesystem::file_size(path, failed);
    if (failed) return cannot("inspect", path, failed.value());
    const auto modified = std::filesystem::last_write_time(path, failed).time_since_epoch();
    if (failed) return cannot("inspect", path, failed.value());
    return FileIdentity{size, std::chrono::duration_cast<std::chrono::nanoseconds>(modified).count(), 0};
  }
  const std::byte* map(size_t) const noexcept { return nullptr; }
  bool read(std::byte* to, size_t size) const noexcept { return std::fread(to, 1, size, stream_) == size; }

 private:
  std::FILE* stream_;
};

#endif

}  // namespace

Result<FileIdentity> file_identity(const std::filesystem::path& path) {
  const Descriptor file(path);
  if (!file.ok()) return cannot("open", path, errno);
  return file.identity(path);
}

Result<std::shared_ptr<const MappedFile>> MappedFile::open(const std::filesystem::path& path, Mode mode) {
  const Descriptor file(path);
  if (!file.ok()) return cannot("open", path, errno);
  LINNET_ASSIGN(const FileIdentity identity, file.identity(path));
  const std::optional<size_t> whole = narrow<size_t>(identity.size);
  if (!whole || *whole > static_cast<size_t>(PTRDIFF_MAX))
    return unsupported("'", path.string(), "' is too large for this machine");
  const size_t size = *whole;
  const auto make = [&](const std::byte* data, size_t length, bool mapped) {
    return std::shared_ptr<const MappedFile>(new MappedFile(path, identity, data, length, mapped));
  };
  if (size == 0) return make(nullptr, 0, false);
  if (mode == Mode::map) {
    if (const std::byte* data = file.map(size)) return make(data, size, true);
  }
  auto* data = static_cast<std::byte*>(::operator new(size, kAlignment, std::nothrow));
  if (!data) return error(Code::out_of_memory, "cannot allocate ", size, " bytes to read '", path.string(), "'");
  std::shared_ptr<const MappedFile> copy = make(data, size, false);
  if (!file.read(data, size)) return error(Code::io, "cannot read all ", size, " bytes of '", path.string(), "'");
  return copy;
}

void MappedFile::discard(std::span<const std::byte> part) const noexcept {
#ifdef LINNET_HAVE_POSIX_FILES
  if (!mapped_ || part.data() < data_ || part.data() + part.size() > data_ + size_) return;
  static const size_t page = static_cast<size_t>(::sysconf(_SC_PAGESIZE));
  const size_t begin = round_up(static_cast<size_t>(part.data() - data_), page);
  const size_t end = static_cast<size_t>(part.data() - data_ + static_cast<ptrdiff_t>(part.size())) / page * page;
  if (begin < end) static_cast<void>(::madvise(const_cast<std::byte*>(data_) + begin, end - begin, MADV_DONTNEED));
#else
  static_cast<void>(part);
#endif
}

MappedFile::~MappedFile() {
  if (!data_) return;
#ifdef LINNET_HAVE_POSIX_FILES
  if (mapped_) {
    ::munmap(const_cast<std::byte*>(data_), size_);
    return;
  }
#endif
  ::operator delete(const_cast<std::byte*>(data_), kAlignment);
}

}  // namespace linnet
