// Reads ONNX messages without copying strings or payloads: `bytes` must outlive what is returned.
// Damaged input gives an error that names the offset; unknown fields are skipped. Messages nest at most kMaxNesting
// deep, and all of them together take at most kMemoryFloor + kMemoryFactor times the input's size.
#pragma once

#include "base/result.h"
#include "onnx/model.h"

namespace linnet::onnx {

inline constexpr int kMaxNesting = 192;  // a graph within a graph is three messages further in
inline constexpr uint64_t kMemoryFloor = 64u << 20;
inline constexpr uint64_t kMemoryFactor = 64;

Result<Model> read_model(Bytes bytes);
Result<Tensor> read_tensor(Bytes bytes);
Result<SparseTensor> read_sparse_tensor(Bytes bytes);
Result<SequenceValue> read_sequence(Bytes bytes);
Result<MapValue> read_map(Bytes bytes);
Result<OptionalValue> read_optional(Bytes bytes);

}  // namespace linnet::onnx
