#include "files/npz.h"

#include <zlib.h>

#include <limits>

#include "files/byte_reader.h"
#include "files/npy.h"

namespace linnet::cli {
namespace {

constexpr uint32_t kEndSignature = 0x06054b50;
constexpr uint32_t kDirectorySignature = 0x02014b50;
constexpr uint32_t kLocalSignature = 0x04034b50;
constexpr size_t kEndSize = 22;
constexpr size_t kLongestComment = 65535;
constexpr uint16_t kStored = 0, kDeflated = 8;
constexpr uint16_t kEncrypted = 1;
constexpr uint16_t kVersion = 20;
// Deflate cannot shrink data further, so a member that claims more is a lie: https://www.zlib.net/zlib_tech.html
constexpr uint64_t kGreatestRatio = 1032;

struct Member {
  std::string_view name;
  uint16_t method = 0;
  uint32_t crc = 0, compressed = 0, size = 0, offset = 0;
};

Status malformed() { return invalid_argument("the .npz archive is damaged: its directory contradicts its contents"); }

Result<std::vector<Member>> read_directory(std::string_view bytes) {
  if (bytes.size() < kEndSize) return invalid_argument("not a .npz archive: too short for one");
  size_t end = bytes.size() - kEndSize;
  const size_t lowest = end > kLongestComment ? end - kLongestComment : 0;
  while (ByteReader(bytes.substr(end)).integer<uint32_t>() != kEndSignature) {
    if (end == lowest) return invalid_argument("not a .npz archive: it has no ZIP directory");
    --end;
  }
  ByteReader trailer(bytes.substr(end + 10));
  const uint16_t count = *trailer.integer<uint16_t>();
  trailer.integer<uint32_t>();
  const uint32_t start = *trailer.integer<uint32_t>();
  LINNET_REQUIRE(start <= end, malformed());

  ByteReader directory(bytes.substr(start, end - start));
  std::vector<Member> members;
  uint64_t total = 0;
  for (uint16_t i = 0; i < count; ++i) {
    LINNET_REQUIRE(directory.rest().size() >= 46 && directory.integer<uint32_t>() == kDirectorySignature, malformed());
    Member member;
    directory.bytes(4);
    const uint16_t flags = *directory.integer<uint16_t>();
    member.method = *directory.integer<uint16_t>();
    directory.bytes(4);
    member.crc = *directory.integer<uint32_t>();
    member.compressed = *directory.integer<uint32_t>();
    member.size = *directory.integer<uint32_t>();
    const uint16_t name_length = *directory.integer<uint16_t>();
    const uint16_t extra_length = *directory.integer<uint16_t>();
    const uint16_t comment_length = *directory.integer<uint16_t>();
    directory.bytes(8);
    member.offset = *directory.integer<uint32_t>();
    const std::optional<std::string_view> name = directory.bytes(name_length);
    LINNET_REQUIRE(name && directory.bytes(uint64_t{extra_length} + comment_length), malformed());
    member.name = *name;
    LINNET_REQUIRE(!(flags & kEncrypted), unsupported("'", *name, "' in the .npz archive is encrypted"));
    LINNET_REQUIRE(member.size != std::numeric_limits<uint32_t>::max(),
                   unsupported("'", *name, "' in the .npz archive is larger than 4 GiB"));
    total += member.compressed;
    LINNET_REQUIRE(total <= bytes.size(), malformed());  // members that overlap would unpack without bound
    members.push_back(member);
  }
  return members;
}

Result<std::string> inflate_member(std::string_view compressed, const Member& member) {
  LINNET_REQUIRE(member.size <= kGreatestRatio * compressed.size(), malformed());
  std::string out(member.size, '\0');
  z_stream stream{};
  if (inflateInit2(&stream, -MAX_WBITS) != Z_OK) return error(Code::out_of_memory, "zlib cannot start");
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(compressed.data()));
  stream.avail_in = static_cast<uInt>(compressed.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  const int code = inflate(&stream, Z_FINISH);
  inflateEnd(&stream);
  LINNET_REQUIRE(code == Z_STREAM_END && stream.avail_out == 0, malformed());
  return out;
}

uint32_t crc_of(std::string_view bytes) {
  return static_cast<uint32_t>(crc32_z(0, reinterpret_cast<const Bytef*>(bytes.data()), bytes.size()));
}

Result<std::string> deflated(const std::string& bytes) {
  z_stream stream{};
  if (deflateInit2(&stream, Z_DEFAULT_COMPRESSION, Z_DEFLATED, -MAX_WBITS, 8, Z_DEFAULT_STRATEGY) != Z_OK) {
    return error(Code::out_of_memory, "zlib cannot start");
  }
  std::string out(deflateBound(&stream, static_cast<uLong>(bytes.size())), '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data()));
  stream.avail_in = static_cast<uInt>(bytes.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  const int code = deflate(&stream, Z_FINISH);
  out.resize(stream.total_out);
  deflateEnd(&stream);
  LINNET_CHECK(code == Z_STREAM_END);
  return out;
}

template <class T>
void put(std::string& out, T value) {
  for (size_t i = 0; i < sizeof(T); ++i) out += static_cast<char>(value >> (8 * i) & 0xff);
}

// The fields that a member's own header and its entry in the directory share.
void put_common(std::string& out, const Member& member) {
  put(out, kVersion);
  put(out, uint16_t{0});  // flags
  put(out, member.method);
  put(out, uint32_t{0x00210000});  // 1980-01-01: the same tensors give the same bytes
  put(out, member.crc);
  put(out, member.compressed);
  put(out, member.size);
  put(out, static_cast<uint16_t>(member.name.size()));
  put(out, uint16_t{0});  // length of extra fields
}

}  // namespace

Result<std::vector<NamedTensor>> parse_npz(std::string_view bytes) {
  LINNET_ASSIGN(const std::vector<Member> members, read_directory(bytes));
  std::vector<NamedTensor> tensors;
  for (const Member& member : members) {
    LINNET_REQUIRE(member.offset <= bytes.size(), malformed());
    ByteReader local(bytes.substr(member.offset));
    LINNET_REQUIRE(local.rest().size() >= 30 && local.integer<uint32_t>() == kLocalSignature, malformed());
    local.bytes(22);
    const uint16_t name_length = *local.integer<uint16_t>();
    const uint16_t extra_length = *local.integer<uint16_t>();
    LINNET_REQUIRE(local.bytes(uint64_t{name_length} + extra_length), malformed());
    const std::optional<std::string_view> compressed = local.bytes(member.compressed);
    LINNET_REQUIRE(compressed, malformed());

    std::string inflated;
    std::string_view content = *compressed;
    if (member.method == kDeflated) {
      LINNET_ASSIGN(inflated, inflate_member(*compressed, member));
      content = inflated;
    } else if (member.method != kStored) {
      return unsupported("'", member.name, "' in the .npz archive is packed by a method other than deflate");
    }
    LINNET_REQUIRE(content.size() == member.size && crc_of(content) == member.crc, malformed());
    Result<Tensor> tensor = parse_npy(content);
    if (!tensor.ok()) return std::move(tensor).status().within(member.name);
    std::string_view name = member.name;
    if (name.ends_with(".npy")) name.remove_suffix(4);
    tensors.push_back({std::string(name), std::move(*tensor)});
  }
  return tensors;
}

Result<std::string> npz_bytes(const std::vector<NamedTensor>& tensors, bool deflate) {
  constexpr uint64_t kLargest = std::numeric_limits<uint32_t>::max() - 1;
  std::string out, directory;
  for (const NamedTensor& named : tensors) {
    const std::string name = named.name + ".npy";
    Result<std::string> npy = npy_bytes(named.tensor);
    if (!npy.ok()) return std::move(npy).status().within(named.name);
    std::string packed;
    if (deflate) {
      LINNET_ASSIGN(packed, deflated(*npy));
    }
    const std::string& content = deflate ? packed : *npy;
    LINNET_REQUIRE(npy->size() + uint64_t{out.size()} + content.size() + name.size() < kLargest && name.size() < 65536,
                   unsupported("a .npz archive holds up to 4 GiB; save as .npy files instead"));
    const Member member{name,
                        deflate ? kDeflated : kStored,
                        crc_of(*npy),
                        static_cast<uint32_t>(content.size()),
                        static_cast<uint32_t>(npy->size()),
                        static_cast<uint32_t>(out.size())};
    put(out, kLocalSignature);
    put_common(out, member);
    out += name;
    out += content;

    put(directory, kDirectorySignature);
    put(directory, kVersion);
    put_common(directory, member);
    put(directory, uint16_t{0});  // length of the comment
    put(directory, uint32_t{0});  // disk, internal attributes
    put(directory, uint32_t{0});  // external attributes
    put(directory, member.offset);
    directory += name;
  }
  LINNET_REQUIRE(tensors.size() < 65535 && uint64_t{out.size()} + directory.size() < kLargest,
                 unsupported("a .npz archive holds up to 65534 tensors and 4 GiB; save as .npy files instead"));
  const uint32_t start = static_cast<uint32_t>(out.size());
  out += directory;
  put(out, kEndSignature);
  put(out, uint32_t{0});  // disks
  put(out, static_cast<uint16_t>(tensors.size()));
  put(out, static_cast<uint16_t>(tensors.size()));
  put(out, static_cast<uint32_t>(directory.size()));
  put(out, start);
  put(out, uint16_t{0});  // length of the comment
  return out;
}

}  // namespace linnet::cli
