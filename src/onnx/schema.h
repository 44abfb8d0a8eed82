// The field numbers of every message, once, for reader and writer:
// https://github.com/onnx/onnx/blob/main/onnx/onnx.proto and onnx-data.proto.
//
// visit(v, message) calls, in ascending order of field numbers,
//   v.number(field, x)      a singular int32, int64, float or enumeration; written when not zero, or when `always`
//   v.text / v.bytes        a singular string, written when it has a data(); optional bytes
//   v.message(field, m)     a singular message: a plain member, std::optional or std::unique_ptr
//   v.numbers / v.packed    repeated numbers, written one by one or packed as the standard declares; either is read
//   v.fixed(field, x, n)    repeated packed elements of n bytes, kept as bytes
//   v.texts, v.messages     repeated strings and messages
//   v.opaque(field, list)   repeated messages that nothing here looks into
#pragma once

#include <type_traits>

#include "onnx/model.h"

namespace linnet::onnx {

// The writer visits constant messages.
template <class V, class T>
using Of = std::conditional_t<V::kWrites, const T, T>;

template <class V>
void visit(V& v, Of<V, StringPair>& m) {
  v.text(1, m.key);
  v.text(2, m.value);
}

template <class V>
void visit(V& v, Of<V, Tensor>& m) {
  v.numbers(1, m.dims);
  v.number(2, m.data_type);
  v.bytes(3, m.segment);
  v.fixed(4, m.float_data, 4);
  v.packed(5, m.int32_data);
  v.texts(6, m.string_data);
  v.packed(7, m.int64_data);
  v.text(8, m.name);
  v.bytes(9, m.raw_data);
  v.fixed(10, m.double_data, 8);
  v.packed(11, m.uint64_data);
  v.text(12, m.doc_string);
  v.messages(13, m.external_data);
  v.number(14, m.data_location);
  v.messages(16, m.metadata_props);
}

template <class V>
void visit(V& v, Of<V, SparseTensor>& m) {
  v.message(1, m.values);
  v.message(2, m.indices);
  v.numbers(3, m.dims);
}

template <class V>
void visit(V& v, Of<V, Dimension>& m) {
  v.number(1, m.dim_value);
  v.text(2, m.dim_param);
  v.text(3, m.denotation);
}

template <class V>
void visit(V& v, Of<V, TensorShape>& m) {
  v.messages(1, m.dim);
}

template <class V>
void visit(V& v, Of<V, TensorType>& m) {
  v.number(1, m.elem_type);
  v.message(2, m.shape);
}

template <class V>
void visit(V& v, Of<V, ElementType>& m) {
  v.message(1, m.elem_type);
}

template <class V>
void visit(V& v, Of<V, MapType>& m) {
  v.number(1, m.key_type);
  v.message(2, m.value_type);
}

template <class V>
void visit(V& v, Of<V, Type>& m) {
  v.message(1, m.tensor_type);
  v.message(4, m.sequence_type);
  v.message(5, m.map_type);
  v.text(6, m.denotation);
  v.message(8, m.sparse_tensor_type);
  v.message(9, m.optional_type);
}

template <class V>
void visit(V& v, Of<V, ValueInfo>& m) {
  v.text(1, m.name);
  v.message(2, m.type);
  v.text(3, m.doc_string);
  v.messages(4, m.metadata_props);
}

template <class V>
void visit(V& v, Of<V, Attribute>& m) {
  const bool here = m.ref_attr_name.empty();
  v.text(1, m.name);
  v.number(2, m.f, here && m.type == AttributeType::real);
  v.number(3, m.i, here && m.type == AttributeType::integer);
  v.text(4, m.s);
  v.message(5, m.t);
  v.message(6, m.g);
  v.numbers(7, m.floats);
  v.numbers(8, m.ints);
  v.texts(9, m.strings);
  v.messages(10, m.tensors);
  v.messages(11, m.graphs);
  v.text(13, m.doc_string);
  v.message(14, m.tp);
  v.messages(15, m.type_protos);
  v.number(20, m.type);
  v.text(21, m.ref_attr_name);
  v.message(22, m.sparse_tensor);
  v.messages(23, m.sparse_tensors);
}

template <class V>
void visit(V& v, Of<V, Node>& m) {
  v.texts(1, m.input);
  v.texts(2, m.output);
  v.text(3, m.name);
  v.text(4, m.op_type);
  v.messages(5, m.attribute);
  v.text(6, m.doc_string);
  v.text(7, m.domain);
  v.text(8, m.overload);
  v.messages(9, m.metadata_props);
  v.opaque(10, m.device_configurations);
}

template <class V>
void visit(V& v, Of<V, Graph>& m) {
  v.messages(1, m.node);
  v.text(2, m.name);
  v.messages(5, m.initializer);
  v.text(10, m.doc_string);
  v.messages(11, m.input);
  v.messages(12, m.output);
  v.messages(13, m.value_info);
  v.opaque(14, m.quantization_annotation);
  v.messages(15, m.sparse_initializer);
  v.messages(16, m.metadata_props);
}

template <class V>
void visit(V& v, Of<V, OperatorSetId>& m) {
  v.text(1, m.domain);
  v.number(2, m.version);
}

template <class V>
void visit(V& v, Of<V, Function>& m) {
  v.text(1, m.name);
  v.texts(4, m.input);
  v.texts(5, m.output);
  v.texts(6, m.attribute);
  v.messages(7, m.node);
  v.text(8, m.doc_string);
  v.messages(9, m.opset_import);
  v.text(10, m.domain);
  v.messages(11, m.attribute_proto);
  v.messages(12, m.value_info);
  v.text(13, m.overload);
  v.messages(14, m.metadata_props);
}

template <class V>
void visit(V& v, Of<V, Model>& m) {
  v.number(1, m.ir_version);
  v.text(2, m.producer_name);
  v.text(3, m.producer_version);
  v.text(4, m.domain);
  v.number(5, m.model_version);
  v.text(6, m.doc_string);
  v.message(7, m.graph);
  v.messages(8, m.opset_import);
  v.messages(14, m.metadata_props);
  v.opaque(20, m.training_info);
  v.messages(25, m.functions);
  v.opaque(26, m.configuration);
}

template <class V>
void visit(V& v, Of<V, SequenceValue>& m) {
  v.text(1, m.name);
  v.number(2, m.elem_type);
  v.messages(3, m.tensor_values);
  v.messages(4, m.sparse_tensor_values);
  v.messages(5, m.sequence_values);
  v.messages(6, m.map_values);
  v.messages(7, m.optional_values);
}

template <class V>
void visit(V& v, Of<V, MapValue>& m) {
  v.text(1, m.name);
  v.number(2, m.key_type);
  v.numbers(3, m.keys);
  v.texts(4, m.string_keys);
  v.message(5, m.values);
}

template <class V>
void visit(V& v, Of<V, OptionalValue>& m) {
  v.text(1, m.name);
  v.number(2, m.elem_type);
  v.message(3, m.tensor_value);
  v.message(4, m.sparse_tensor_value);
  v.message(5, m.sequence_value);
  v.message(6, m.map_value);
  v.message(7, m.optional_value);
}

}  // namespace linnet::onnx
