// A fast 64-bit hash of bytes: tells accidents, not attacks.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace linnet {

uint64_t hash_bytes(std::span<const std::byte> bytes, uint64_t seed = 0) noexcept;

}  // namespace linnet
