#include "compiled/container.h"

#include <cstring>
#include <string_view>

#include "base/checked.h"
#include "base/file.h"
#include "base/hash.h"

namespace linnet::compiled {
namespace {

constexpr std::byte kZeros[kPage] = {};
// Changes with the layout of this file, of the description, or of any packed form.
constexpr uint32_t kFormat = 2;
// Panels of 16 columns for all instruction sets of this family, little-endian.
constexpr uint32_t kPackingFamily = 16;

struct Header {
  char magic[8] = {'L', 'I', 'N', 'N', 'E', 'T', '\r', '\n'};
  uint32_t format = kFormat;
  uint32_t family = kPackingFamily;
  uint64_t engine = 0;  // hash of the version's name
  uint64_t description_bytes = 0;
  uint64_t description_hash = 0;
  uint64_t payload_offset = 0;
  uint64_t file_bytes = 0;
  uint64_t hash = 0;  // of all before
};
static_assert(sizeof(Header) == kHeaderBytes);

uint64_t hash_of(const Header& header) noexcept {
  return hash_bytes(std::as_bytes(std::span(&header, 1)).first(offsetof(Header, hash)));
}

uint64_t engine_hash() noexcept { return hash_bytes(std::as_bytes(std::span(std::string_view(LINNET_VERSION)))); }

}  // namespace

bool is_container(std::span<const std::byte> file) noexcept {
  return file.size() >= sizeof(Header::magic) && std::memcmp(file.data(), Header().magic, sizeof(Header::magic)) == 0;
}

Result<Container> open_container(std::span<const std::byte> file) {
  Header header;
  LINNET_REQUIRE(is_container(file), invalid_model("this is not a compiled model"));
  LINNET_REQUIRE(file.size() >= sizeof(Header), invalid_model("the compiled model is cut off"));
  std::memcpy(&header, file.data(), sizeof header);
  LINNET_REQUIRE(hash_of(header) == header.hash, invalid_model("the compiled model's header is damaged"));
  LINNET_REQUIRE(header.format == kFormat && header.family == kPackingFamily && header.engine == engine_hash(),
                 unsupported("the model was compiled by another version of Linnet or for another kind of processor; "
                             "compile it again"));
  LINNET_REQUIRE(header.file_bytes == file.size(), invalid_model("the compiled model has ", file.size(), " bytes, not ",
                                                                 header.file_bytes, ": it is cut off or damaged"));
  const std::optional<uint64_t> end = checked_add<uint64_t>(header.description_bytes, sizeof(Header));
  LINNET_REQUIRE(end && *end <= header.payload_offset && header.payload_offset <= file.size() &&
                     header.payload_offset % kPage == 0,
                 invalid_model("the compiled model's header is damaged"));
  Container container;
  container.description = file.subspan(sizeof(Header), static_cast<size_t>(header.description_bytes));
  container.payload = file.subspan(static_cast<size_t>(header.payload_offset));
  LINNET_REQUIRE(hash_bytes(container.description) == header.description_hash,
                 invalid_model("the compiled model's description is damaged"));
  return container;
}

std::array<std::byte, kHeaderBytes> header_of(std::span<const std::byte> description, uint64_t payload_bytes) noexcept {
  Header header;
  header.engine = engine_hash();
  header.description_bytes = description.size();
  header.description_hash = hash_bytes(description);
  header.payload_offset = round_up(sizeof(Header) + description.size(), kPage);
  header.file_bytes = header.payload_offset + payload_bytes;
  header.hash = hash_of(header);
  std::array<std::byte, kHeaderBytes> bytes;
  std::memcpy(bytes.data(), &header, sizeof header);
  return bytes;
}

Status write_container(const std::filesystem::path& path, std::span<const std::byte> description,
                       std::span<const std::span<const std::byte>> payload) {
  uint64_t payload_bytes = 0;
  for (const auto& piece : payload) payload_bytes += piece.size();
  const std::array<std::byte, kHeaderBytes> header = header_of(description, payload_bytes);
  const size_t end = kHeaderBytes + description.size();
  std::vector<std::span<const std::byte>> pieces = {header, description, std::span(kZeros, round_up(end, kPage) - end)};
  pieces.insert(pieces.end(), payload.begin(), payload.end());
  return write_file(path, pieces);
}

}  // namespace linnet::compiled
