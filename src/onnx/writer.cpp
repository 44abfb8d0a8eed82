#include "onnx/writer.h"

#include <exception>

#include "base/checked.h"
#include "base/file.h"
#include "onnx/schema.h"
#include "onnx/wire.h"

namespace linnet::onnx {
namespace {

constexpr uint32_t kMaxField = 26;
constexpr size_t kMaxMessage = (size_t{1} << 31) - 1;

template <class M>
void write_message(BackwardBuffer& out, const M& message);

// Visits the fields of a message and writes one of them.
class RecordWriter {
 public:
  static constexpr bool kWrites = true;

  RecordWriter(BackwardBuffer& out, uint32_t field) noexcept : out_(out), field_(field) {}

  template <class T>
  void number(uint32_t field, T value, bool always = false) {
    if (is(field) && (always || value != T{})) one(value);
  }
  void number(uint32_t field, const std::optional<int64_t>& value) {
    if (is(field) && value) one(*value);
  }
  void text(uint32_t field, std::string_view value) {
    if (is(field) && value.data()) payload(std::as_bytes(std::span(value)));
  }
  void bytes(uint32_t field, const std::optional<Bytes>& value) {
    if (is(field) && value) payload(*value);
  }
  void texts(uint32_t field, const std::vector<std::string_view>& values) {
    if (is(field)) each(values, [&](std::string_view value) { payload(std::as_bytes(std::span(value))); });
  }
  void opaque(uint32_t field, const std::vector<Bytes>& values) {
    if (is(field)) each(values, [&](Bytes value) { payload(value); });
  }
  template <class T>
  void numbers(uint32_t field, const std::vector<T>& values) {
    if (is(field)) each(values, [&](T value) { one(value); });
  }
  template <class T>
  void packed(uint32_t field, const std::vector<T>& values) {
    if (!is(field) || values.empty()) return;
    const size_t end = out_.size();
    each(values, [&](T value) { out_.varint(static_cast<uint64_t>(value)); });
    out_.prefix(field_, end);
  }
  void fixed(uint32_t field, const FixedData& data, size_t) {
    if (is(field) && !data.bytes().empty()) payload(data.bytes());
  }
  template <class M>
  void message(uint32_t field, const M& value) {
    if (is(field)) nested(value);
  }
  template <class M>
  void message(uint32_t field, const std::optional<M>& value) {
    if (is(field) && value) nested(*value);
  }
  template <class M>
  void message(uint32_t field, const std::unique_ptr<M>& value) {
    if (is(field) && value) nested(*value);
  }
  template <class M>
  void messages(uint32_t field, const std::vector<M>& values) {
    if (is(field)) each(values, [&](const M& value) { nested(value); });
  }

 private:
  bool is(uint32_t field) const noexcept { return field == field_; }
  template <class T>
  void one(T value) {
    if constexpr (std::is_same_v<T, float>) {
      out_.fixed(value);
      out_.key(field_, WireType::fixed32);
    } else {
      out_.varint(static_cast<uint64_t>(value));
      out_.key(field_, WireType::varint);
    }
  }
  void payload(Bytes value) {
    const size_t end = out_.size();
    out_.payload(value);
    out_.prefix(field_, end);
  }
  template <class M>
  void nested(const M& value) {
    const size_t end = out_.size();
    write_message(out_, value);
    out_.prefix(field_, end);
  }
  template <class T, class F>
  static void each(const std::vector<T>& values, F write) {
    for (size_t i = values.size(); i-- > 0;) write(values[i]);
  }

  BackwardBuffer& out_;
  uint32_t field_;
};

template <class M>
void write_message(BackwardBuffer& out, const M& message) {
  for (uint32_t field = kMaxField; field > 0; --field) {
    RecordWriter record(out, field);
    visit(record, message);
  }
}

Status check_size(const BackwardBuffer& out) {
  if (out.size() <= kMaxMessage) return {};
  return invalid_argument("an ONNX file cannot exceed 2 GB, and this one would have ", out.size(),
                          " bytes: write its weights as external data");
}

template <class M>
Result<std::vector<std::byte>> encode_whole(const M& message) {
  try {
    BackwardBuffer out;
    write_message(out, message);
    LINNET_TRY(check_size(out));
    std::vector<std::byte> bytes;
    bytes.reserve(out.size());
    for (const Bytes piece : out.pieces()) bytes.insert(bytes.end(), piece.begin(), piece.end());
    return bytes;
  } catch (const std::exception&) {
    return error(Code::out_of_memory, "not enough memory to write an ONNX message");
  }
}

// Offsets suit direct mapping: cache lines for all, pages for large tensors.
constexpr size_t kAlignment = 64;
constexpr size_t kPage = 4096;
constexpr size_t kLarge = size_t{1} << 20;
constexpr std::byte kZeros[kPage] = {};

// Collects payloads for the external file and makes their tensors refer to it.
struct ExternalFile {
  std::string_view location;
  size_t threshold;
  Model& model;
  size_t size = 0;
  std::vector<Bytes> pieces;

  void move_out(Tensor& tensor) {
    if (!tensor.raw_data || tensor.raw_data->empty() || tensor.raw_data->size() < threshold) return;
    const Bytes payload = *tensor.raw_data;
    const size_t offset = round_up(size, payload.size() >= kLarge ? kPage : kAlignment);
    pieces.push_back(Bytes(kZeros, offset - size));
    pieces.push_back(payload);
    size = offset + payload.size();
    tensor.raw_data.reset();
    tensor.data_location = DataLocation::external;
    tensor.external_data = {{"location", location},
                            {"offset", model.keep(std::to_string(offset))},
                            {"length", model.keep(std::to_string(payload.size()))}};
  }
  void move_out(Graph& graph) {
    for (Tensor& tensor : graph.initializer) move_out(tensor);
    for (Node& node : graph.node) {
      for (Attribute& attribute : node.attribute) {
        if (attribute.g) move_out(*attribute.g);
        for (Graph& inner : attribute.graphs) move_out(inner);
      }
    }
  }
};

}  // namespace

Result<std::vector<std::byte>> encode(const Model& model) { return encode_whole(model); }
Result<std::vector<std::byte>> encode(const Tensor& tensor) { return encode_whole(tensor); }
Result<std::vector<std::byte>> encode(const SequenceValue& sequence) { return encode_whole(sequence); }
Result<std::vector<std::byte>> encode(const MapValue& map) { return encode_whole(map); }
Result<std::vector<std::byte>> encode(const OptionalValue& optional) { return encode_whole(optional); }

Status write_model(const std::filesystem::path& path, Model model, const WriteOptions& options) {
  try {
    std::optional<PendingFile> data;
    if (options.external_threshold && model.graph) {
      const std::string name =
          options.external_name.empty() ? path.filename().string() + ".data" : options.external_name;
      ExternalFile file{model.keep(name), *options.external_threshold, model, 0, {}};
      file.move_out(*model.graph);
      if (file.size != 0) {
        LINNET_ASSIGN(PendingFile pending, PendingFile::write(path.parent_path() / name, file.pieces, options.written));
        data.emplace(std::move(pending));
      }
    }
    BackwardBuffer out;
    write_message(out, model);
    LINNET_TRY(check_size(out));
    LINNET_ASSIGN(PendingFile whole, PendingFile::write(path, out.pieces(), options.written));
    if (data) LINNET_TRY(data->commit());
    return whole.commit();
  } catch (const std::exception&) {
    return error(Code::out_of_memory, "not enough memory to write '", path.string(), "'");
  }
}

}  // namespace linnet::onnx
