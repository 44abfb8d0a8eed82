// The protobuf wire format: https://protobuf.dev/programming-guides/encoding/
#pragma once

#include <bit>
#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>
#include <type_traits>
#include <vector>

#include "base/check.h"

namespace linnet::onnx {

static_assert(std::endian::native == std::endian::little, "payloads are viewed in place, as the wire has them");

using Bytes = std::span<const std::byte>;

enum class WireType : uint8_t { varint = 0, fixed64 = 1, bytes = 2, fixed32 = 5 };

// What stopped a read, and where. Shared by the readers of one buffer; the first failure stays.
struct WireFailure {
  const char* reason = nullptr;
  const std::byte* at = nullptr;
};

// Reads records in order. After a failure every read returns zero or nothing and next() returns false, so that callers
// look at the failure once, at the end.
class WireReader {
 public:
  WireReader(Bytes bytes, WireFailure& failure) noexcept
      : at_(bytes.data()), end_(bytes.data() + bytes.size()), failure_(&failure) {}

  WireFailure& failure() const noexcept { return *failure_; }
  bool at_end() const noexcept { return at_ == end_; }
  uint32_t field() const noexcept { return field_; }
  WireType type() const noexcept { return type_; }

  void fail(const char* reason) noexcept {
    if (!failure_->reason) *failure_ = {reason, at_};
    at_ = end_;
  }

  // Moves to the next record, whose payload one of the functions below then has to consume.
  bool next() noexcept {
    if (at_ == end_ || failure_->reason) return false;
    const uint64_t key = varint();
    const uint64_t wire = key & 7;
    if (failure_->reason) return false;
    if (key >> 32 != 0 || key >> 3 == 0) return fail("a field number that is out of range"), false;
    if (wire != 0 && wire != 1 && wire != 2 && wire != 5) return fail("an unknown wire type"), false;
    field_ = static_cast<uint32_t>(key >> 3);
    type_ = static_cast<WireType>(wire);
    return true;
  }

  // Moves on to the next record when it is of the same field and type, as those of an unpacked list are.
  bool next_alike() noexcept {
    const uint32_t key = field_ << 3 | static_cast<uint32_t>(type_);
    if (at_ == end_ || key >= 0x80 || std::to_integer<uint32_t>(*at_) != key) return false;
    ++at_;
    return true;
  }

  // How many records are of this field and type, from this one to the first that is not.
  size_t count_alike() const noexcept;
  // Reads their numbers. T is int32_t, int64_t, uint64_t or float.
  template <class T>
  void append_alike(std::vector<T>& values);

  uint64_t varint() noexcept {
    uint64_t value = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
      if (at_ == end_) return fail("it ends within a number"), 0;
      const auto byte = std::to_integer<uint64_t>(*at_++);
      value |= (byte & 0x7f) << shift;
      if (byte < 0x80) return value;
    }
    return fail("a number of more than 64 bits"), 0;
  }

  template <class T>
  T fixed() noexcept {
    T value{};
    if (const Bytes raw = take(sizeof(T)); !raw.empty()) std::memcpy(&value, raw.data(), sizeof(T));
    return value;
  }

  // As a list of T has them.
  template <class T>
  T number() noexcept {
    if constexpr (std::is_same_v<T, float>) {
      return fixed<float>();
    } else {
      return static_cast<T>(varint());
    }
  }

  // The payload of a length-delimited record.
  Bytes bytes() noexcept {
    const uint64_t length = varint();
    return take(length);
  }

  void skip() noexcept {
    switch (type_) {
      case WireType::varint: varint(); break;
      case WireType::fixed64: take(8); break;
      case WireType::fixed32: take(4); break;
      case WireType::bytes: bytes(); break;
    }
  }

 private:
  Bytes take(uint64_t length) noexcept {
    if (length > static_cast<uint64_t>(end_ - at_)) return fail("it ends within a field"), Bytes();
    const Bytes taken(at_, static_cast<size_t>(length));
    at_ += taken.size();
    return taken;
  }

  const std::byte* at_;
  const std::byte* end_;
  WireFailure* failure_;
  uint32_t field_ = 0;
  WireType type_ = WireType::varint;
};

// Builds a message from its end to its beginning, so that the length of a part is known when its prefix is written.
// Large payloads are not copied: they must outlive the buffer.
class BackwardBuffer {
 public:
  size_t size() const noexcept { return size_; }

  // The message, in pieces from first to last.
  std::vector<Bytes> pieces() const {
    std::vector<Bytes> result(reversed_.rbegin(), reversed_.rend());
    if (open_) result.insert(result.begin(), Bytes(blocks_.back()).subspan(begin_));
    return result;
  }

  void payload(Bytes bytes) {
    if (bytes.size() < kBlock / 4) return copy(bytes.data(), bytes.size());
    close_block();
    reversed_.push_back(bytes);
    size_ += bytes.size();
  }
  template <class T>
  void fixed(T value) {
    copy(&value, sizeof(T));
  }
  void varint(uint64_t value) {
    unsigned char digits[10];
    size_t n = 0;
    for (; value >= 0x80; value >>= 7) digits[n++] = static_cast<unsigned char>(value | 0x80);
    digits[n++] = static_cast<unsigned char>(value);
    copy(digits, n);
  }
  void key(uint32_t field, WireType type) { varint(uint64_t{field} << 3 | static_cast<uint64_t>(type)); }
  // The prefix of what was written since the buffer had `end` bytes.
  void prefix(uint32_t field, size_t end) {
    varint(size_ - end);
    key(field, WireType::bytes);
  }

 private:
  static constexpr size_t kBlock = 1 << 16;

  void copy(const void* data, size_t size) {
    if (size == 0) return;
    if (!open_ || begin_ < size) {
      close_block();
      blocks_.emplace_back(kBlock);
      begin_ = kBlock;
      open_ = true;
    }
    begin_ -= size;
    size_ += size;
    std::memcpy(blocks_.back().data() + begin_, data, size);
  }
  void close_block() {
    if (open_) reversed_.push_back(Bytes(blocks_.back()).subspan(begin_));
    open_ = false;
  }

  std::vector<Bytes> reversed_;
  std::vector<std::vector<std::byte>> blocks_;
  size_t begin_ = 0;   // of what is used in the last block
  bool open_ = false;  // whether the last block is still being filled
  size_t size_ = 0;
};

}  // namespace linnet::onnx
