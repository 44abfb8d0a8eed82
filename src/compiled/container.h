// The file of a compiled model: a header, a description (docs/compiled-models.md) and, from a page boundary on,
// payload.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <vector>

#include "base/result.h"

namespace linnet::compiled {

inline constexpr size_t kPage = 4096;

struct Container {
  std::span<const std::byte> description;
  std::span<const std::byte> payload;  // as aligned as the file is, up to a page
};

// Whether the bytes start like one, of any version.
bool is_container(std::span<const std::byte> file) noexcept;

// The parts, once the header and the hash of the description have been found right. Refuses what another version of the
// engine has written. The payload's content has not been looked at.
Result<Container> open_container(std::span<const std::byte> file);

// Writes a file whole or not at all. `payload` are pieces that follow one another.
Status write_container(const std::filesystem::path& path, std::span<const std::byte> description,
                       std::span<const std::span<const std::byte>> payload);

// What a file starts with; the description follows at once, the payload at the next page boundary.
inline constexpr size_t kHeaderBytes = 64;
std::array<std::byte, kHeaderBytes> header_of(std::span<const std::byte> description, uint64_t payload_bytes) noexcept;

}  // namespace linnet::compiled
