#include "onnx/reader.h"

#include <cstring>
#include <exception>

#include "onnx/schema.h"
#include "onnx/wire.h"

namespace linnet::onnx {

Attribute::Attribute() = default;
Attribute::Attribute(Attribute&&) noexcept = default;
Attribute& Attribute::operator=(Attribute&&) noexcept = default;
Attribute::~Attribute() = default;

namespace {

struct Limits {
  uint64_t memory;  // bytes that messages may still take
};

template <class M>
void read_message(WireReader& in, M& message, Limits& limits, int depth);

// Visits the fields of a message for the record that `in` stands at: the field of its number consumes it.
class RecordReader {
 public:
  static constexpr bool kWrites = false;

  RecordReader(WireReader& in, Limits& limits, int depth) noexcept : in_(in), limits_(limits), depth_(depth) {}
  bool consumed() const noexcept { return consumed_; }

  template <class T>
  void number(uint32_t field, T& value, bool = false) {
    if (is(field)) value = one<T>();
  }
  void number(uint32_t field, std::optional<int64_t>& value) {
    if (is(field)) value = one<int64_t>();
  }
  void text(uint32_t field, std::string_view& value) {
    if (is(field)) value = one_text();
  }
  void bytes(uint32_t field, std::optional<Bytes>& value) {
    if (is(field)) value = one_payload();
  }
  void texts(uint32_t field, std::vector<std::string_view>& values) {
    if (!is(field)) return;
    values.reserve(values.size() + in_.count_alike());
    do values.push_back(one_text());
    while (in_.next_alike());
  }
  void opaque(uint32_t field, std::vector<Bytes>& values) {
    if (is(field)) values.push_back(one_payload());
  }
  template <class T>
  void numbers(uint32_t field, std::vector<T>& values) {
    if (!is(field)) return;
    if (in_.type() != WireType::bytes) {
      if (expect(std::is_same_v<T, float> ? WireType::fixed32 : WireType::varint)) in_.append_alike(values);
      return;
    }
    WireReader pack(in_.bytes(), in_.failure());
    while (!pack.at_end()) values.push_back(pack.number<T>());
  }
  template <class T>
  void packed(uint32_t field, std::vector<T>& values) {
    numbers(field, values);
  }
  void fixed(uint32_t field, FixedData& data, size_t element_size) {
    if (!is(field)) return;
    if (in_.type() == WireType::bytes) {
      const Bytes pack = in_.bytes();
      if (pack.size() % element_size != 0) in_.fail("a list that ends within an element");
      append(data, pack);
    } else if (element_size == 4) {
      const auto bits = one<uint32_t>(WireType::fixed32);
      append(data, std::as_bytes(std::span(&bits, 1)), true);
    } else {
      const auto bits = one<uint64_t>(WireType::fixed64);
      append(data, std::as_bytes(std::span(&bits, 1)), true);
    }
  }
  template <class M>
  void message(uint32_t field, M& value) {
    if (is(field)) nested(value);
  }
  template <class M>
  void message(uint32_t field, std::optional<M>& value) {
    if (!is(field)) return;
    if (!value) value.emplace();
    nested(*value);
  }
  template <class M>
  void message(uint32_t field, std::unique_ptr<M>& value) {
    if (!is(field) || !reserve(sizeof(M))) return;
    if (!value) value = std::make_unique<M>();
    nested(*value);
  }
  template <class M>
  void messages(uint32_t field, std::vector<M>& values) {
    if (is(field) && reserve(sizeof(M))) nested(values.emplace_back());
  }

 private:
  bool is(uint32_t field) noexcept {
    if (consumed_ || field != in_.field()) return false;
    return consumed_ = true;
  }
  bool expect(WireType type) noexcept {
    if (in_.type() == type) return true;
    in_.fail("a field of the wrong wire type");
    return false;
  }
  template <class T>
  T one() noexcept {
    return expect(std::is_same_v<T, float> ? WireType::fixed32 : WireType::varint) ? in_.number<T>() : T{};
  }
  template <class T>
  T one(WireType type) noexcept {
    return expect(type) ? in_.fixed<T>() : T{};
  }
  Bytes one_payload() noexcept { return expect(WireType::bytes) ? in_.bytes() : Bytes(); }
  std::string_view one_text() noexcept {
    const Bytes payload = one_payload();
    return {reinterpret_cast<const char*>(payload.data()), payload.size()};
  }
  template <class M>
  void nested(M& value) {
    const Bytes payload = one_payload();
    if (depth_ >= kMaxNesting) return in_.fail("messages nested too deeply");
    WireReader inner(payload, in_.failure());
    read_message(inner, value, limits_, depth_ + 1);
  }
  bool reserve(size_t bytes) noexcept {
    if (bytes > limits_.memory) return in_.fail("far more messages than a model of its size has"), false;
    limits_.memory -= bytes;
    return true;
  }
  static void append(FixedData& data, Bytes more, bool temporary = false) {
    if (data.bytes().empty() && !temporary) {
      data.view = more;
      return;
    }
    if (data.gathered.empty()) data.gathered.assign(data.view.begin(), data.view.end());
    data.gathered.insert(data.gathered.end(), more.begin(), more.end());
  }

  WireReader& in_;
  Limits& limits_;
  int depth_;
  bool consumed_ = false;
};

template <class M>
void read_message(WireReader& in, M& message, Limits& limits, int depth) {
  while (in.next()) {
    RecordReader record(in, limits, depth);
    visit(record, message);
    if (!record.consumed()) in.skip();
  }
}

template <class M>
Status read_into(M& message, Bytes bytes, const char* what) {
  WireFailure failure;
  try {
    WireReader in(bytes, failure);
    Limits limits{kMemoryFloor + kMemoryFactor * bytes.size()};
    read_message(in, message, limits, 0);
    if (!failure.reason) return {};
  } catch (const std::exception&) {
    return error(Code::out_of_memory, "not enough memory to read ", what, " of ", bytes.size(), " bytes");
  }
  return invalid_model(what, " is damaged near byte ", static_cast<int64_t>(failure.at - bytes.data()), ": ",
                       failure.reason);
}

template <class M>
Result<M> read_whole(Bytes bytes, const char* what) {
  M message;
  LINNET_TRY(read_into(message, bytes, what));
  return message;
}

// What people give by mistake, told by its first bytes.
struct OtherFormat {
  size_t at;
  std::string_view text, what;
};
constexpr OtherFormat kOtherFormats[] = {
    {0, "version https://git-lfs", "a pointer of Git LFS: `git lfs pull` gets the model"},
    {0, "PK\3\4", "a zip archive, as PyTorch's files are: unpack or export the model"},
    {0, "GGUF", "a GGUF file: export the model to ONNX"},
    {4, "ORTM", "one in ONNX Runtime's own format (.ort): give the .onnx file that it was made from"},
    {4, "TFL3", "a TensorFlow Lite file: export the model to ONNX"},
};

Status no_model(Bytes bytes) {
  for (const auto& [at, text, what] : kOtherFormats)
    if (bytes.size() >= at + text.size() && std::memcmp(bytes.data() + at, text.data(), text.size()) == 0)
      return invalid_model("the file is not an ONNX model but ", what);
  return invalid_model("the file is not an ONNX model: its first bytes are not those of one");
}

}  // namespace

Result<Model> read_model(Bytes bytes) {
  LINNET_REQUIRE(!bytes.empty(), invalid_model("the ONNX model is empty"));
  Model model;
  Status read = read_into(model, bytes, "the ONNX model");
  if (!read.ok() && !model.graph && read.code() == Code::invalid_model) return no_model(bytes);
  LINNET_TRY(std::move(read));
  LINNET_REQUIRE(model.graph, invalid_model("the file holds no graph: it is not an ONNX model"));
  if (model.ir_version < kMinIrVersion || model.ir_version > kMaxIrVersion) {
    return unsupported("the model has IR version ", model.ir_version, "; versions ", kMinIrVersion, " to ",
                       kMaxIrVersion, " are supported: convert it, or save it with another release of onnx");
  }
  return model;
}

Result<Tensor> read_tensor(Bytes bytes) { return read_whole<Tensor>(bytes, "the tensor"); }
Result<SparseTensor> read_sparse_tensor(Bytes bytes) { return read_whole<SparseTensor>(bytes, "the sparse tensor"); }
Result<SequenceValue> read_sequence(Bytes bytes) { return read_whole<SequenceValue>(bytes, "the sequence"); }
Result<MapValue> read_map(Bytes bytes) { return read_whole<MapValue>(bytes, "the map"); }
Result<OptionalValue> read_optional(Bytes bytes) { return read_whole<OptionalValue>(bytes, "the optional"); }

}  // namespace linnet::onnx
