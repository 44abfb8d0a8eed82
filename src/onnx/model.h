// The messages of an ONNX file, field by field as https://github.com/onnx/onnx/blob/main/onnx/onnx.proto names them.
// Strings and payloads are views into the buffer that was read (or that `Model::keep` holds); a string that the file
// does not contain has a null data(). Nothing here has been checked against the standard yet.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace linnet::onnx {

using Bytes = std::span<const std::byte>;

struct StringPair {
  std::string_view key;
  std::string_view value;
};

// Little-endian elements of one size: a view when the file holds them in one piece, else gathered.
struct FixedData {
  Bytes view;
  std::vector<std::byte> gathered;

  Bytes bytes() const noexcept { return gathered.empty() ? view : Bytes(gathered); }
};

enum class DataLocation : int32_t { here = 0, external = 1 };

struct Tensor {
  std::string_view name;
  std::vector<int64_t> dims;
  int32_t data_type = 0;
  std::optional<Bytes> raw_data;
  FixedData float_data;   // also pairs of complex64
  FixedData double_data;  // also pairs of complex128
  std::vector<int32_t> int32_data;
  std::vector<int64_t> int64_data;
  std::vector<uint64_t> uint64_data;
  std::vector<std::string_view> string_data;
  DataLocation data_location = DataLocation::here;
  std::vector<StringPair> external_data;
  std::optional<Bytes> segment;
  std::string_view doc_string;
  std::vector<StringPair> metadata_props;
};

struct SparseTensor {
  Tensor values;
  Tensor indices;
  std::vector<int64_t> dims;
};

// A size that is known, named, or (neither set) unknown.
struct Dimension {
  std::optional<int64_t> dim_value;
  std::string_view dim_param;
  std::string_view denotation;
};

struct TensorShape {
  std::vector<Dimension> dim;
};

struct Type;

struct TensorType {
  int32_t elem_type = 0;
  std::optional<TensorShape> shape;  // without one the rank is unknown
};

struct ElementType {
  std::unique_ptr<Type> elem_type;
};

struct MapType {
  int32_t key_type = 0;
  std::unique_ptr<Type> value_type;
};

// At most one is set; when a broken file sets more, the first in this order counts.
struct Type {
  std::optional<TensorType> tensor_type;
  std::optional<ElementType> sequence_type;
  std::optional<MapType> map_type;
  std::optional<ElementType> optional_type;
  std::optional<TensorType> sparse_tensor_type;
  std::string_view denotation;
};

struct ValueInfo {
  std::string_view name;
  std::optional<Type> type;
  std::string_view doc_string;
  std::vector<StringPair> metadata_props;
};

enum class AttributeType : int32_t {
  undefined = 0,
  real = 1,
  integer = 2,
  string = 3,
  tensor = 4,
  graph = 5,
  reals = 6,
  integers = 7,
  strings = 8,
  tensors = 9,
  graphs = 10,
  sparse_tensor = 11,
  sparse_tensors = 12,
  type_proto = 13,
  type_protos = 14,
};

struct Graph;

struct Attribute {
  std::string_view name;
  std::string_view ref_attr_name;  // in a function's body: the name of the caller's attribute
  std::string_view doc_string;
  AttributeType type = AttributeType::undefined;
  float f = 0;
  int64_t i = 0;
  std::string_view s;
  std::unique_ptr<Tensor> t;
  std::unique_ptr<Graph> g;
  std::unique_ptr<SparseTensor> sparse_tensor;
  std::unique_ptr<Type> tp;
  std::vector<float> floats;
  std::vector<int64_t> ints;
  std::vector<std::string_view> strings;
  std::vector<Tensor> tensors;
  std::vector<Graph> graphs;
  std::vector<SparseTensor> sparse_tensors;
  std::vector<Type> type_protos;

  Attribute();
  Attribute(Attribute&&) noexcept;
  Attribute& operator=(Attribute&&) noexcept;
  ~Attribute();
};

struct Node {
  std::string_view name;
  std::string_view domain;
  std::string_view op_type;
  std::string_view overload;
  std::vector<std::string_view> input;
  std::vector<std::string_view> output;
  std::vector<Attribute> attribute;
  std::string_view doc_string;
  std::vector<StringPair> metadata_props;
  std::vector<Bytes> device_configurations;
};

struct Graph {
  std::string_view name;
  std::vector<Node> node;
  std::vector<Tensor> initializer;
  std::vector<SparseTensor> sparse_initializer;
  std::vector<ValueInfo> input;
  std::vector<ValueInfo> output;
  std::vector<ValueInfo> value_info;
  std::string_view doc_string;
  std::vector<Bytes> quantization_annotation;
  std::vector<StringPair> metadata_props;
};

struct OperatorSetId {
  std::string_view domain;
  int64_t version = 0;
};

struct Function {
  std::string_view name;
  std::string_view domain;
  std::string_view overload;
  std::vector<std::string_view> input;
  std::vector<std::string_view> output;
  std::vector<std::string_view> attribute;  // without a default
  std::vector<Attribute> attribute_proto;   // with one
  std::vector<Node> node;
  std::vector<OperatorSetId> opset_import;
  std::vector<ValueInfo> value_info;
  std::string_view doc_string;
  std::vector<StringPair> metadata_props;
};

inline constexpr int64_t kMinIrVersion = 3;
inline constexpr int64_t kMaxIrVersion = 13;

struct Model {
  int64_t ir_version = 0;
  std::vector<OperatorSetId> opset_import;
  std::string_view producer_name;
  std::string_view producer_version;
  std::string_view domain;
  int64_t model_version = 0;
  std::string_view doc_string;
  std::optional<Graph> graph;
  std::vector<StringPair> metadata_props;
  std::vector<Function> functions;
  std::vector<Bytes> training_info;
  std::vector<Bytes> configuration;

  // For models built in memory: holds what the views point to.
  std::deque<std::string> kept_strings;
  std::vector<std::shared_ptr<const void>> kept_buffers;
  std::string_view keep(std::string text) { return kept_strings.emplace_back(std::move(text)); }
};

// The messages of onnx-data.proto, which test data files hold. The numbers are those of its DataType enums.
enum class ElementKind : int32_t { undefined = 0, tensor = 1, sparse_tensor = 2, sequence = 3, map = 4, optional = 5 };

struct MapValue;
struct OptionalValue;

struct SequenceValue {
  std::string_view name;
  ElementKind elem_type = ElementKind::undefined;
  std::vector<Tensor> tensor_values;
  std::vector<SparseTensor> sparse_tensor_values;
  std::vector<SequenceValue> sequence_values;
  std::vector<MapValue> map_values;
  std::vector<OptionalValue> optional_values;
};

struct MapValue {
  std::string_view name;
  int32_t key_type = 0;
  std::vector<int64_t> keys;
  std::vector<std::string_view> string_keys;
  std::unique_ptr<SequenceValue> values;
};

struct OptionalValue {
  std::string_view name;
  ElementKind elem_type = ElementKind::undefined;
  std::unique_ptr<Tensor> tensor_value;
  std::unique_ptr<SparseTensor> sparse_tensor_value;
  std::unique_ptr<SequenceValue> sequence_value;
  std::unique_ptr<MapValue> map_value;
  std::unique_ptr<OptionalValue> optional_value;
};

}  // namespace linnet::onnx
