// Between the tensors of a file and tensors in memory.
#pragma once

#include <functional>

#include "onnx/external_data.h"
#include "onnx/model.h"
#include "tensor/tensor.h"

namespace linnet::onnx {

// What the buffer that messages view is kept alive by (null: payloads are copied), and where external data is.
struct DataSource {
  std::shared_ptr<const void> owner;
  ExternalData* external = nullptr;
  // Told of larger payloads that have been copied and will not be read again.
  std::function<void(Bytes)> discard = nullptr;
  // A compiled model: nodes say in their doc_string for which version of their operator set they were written, and
  // initializers of which only packed forms are kept have the location kPackedOnly.
  bool compiled = false;
};

inline constexpr std::string_view kPackedOnly = "packed only";

// Sparse tensors are made dense, up to this size.
inline constexpr size_t kMaxDenseBytes = size_t{1} << 30;

// A tensor that views its payload in place when that has an owner and is large (see is_aligned) or aligned for its
// type, else a copy. It must not be written to.
Result<linnet::Tensor> to_tensor(const Tensor& tensor, const DataSource& source);
// The same for an initializer, which in a compiled model may have no elements.
Result<linnet::Tensor> to_initializer(const Tensor& tensor, const DataSource& source);
// The dense form; absent elements are zero.
Result<linnet::Tensor> to_tensor(const SparseTensor& tensor, const DataSource& source,
                                 size_t max_bytes = kMaxDenseBytes);

// The message for a tensor, as a view of it: tensor and name must outlive the message.
Tensor from_tensor(const linnet::Tensor& tensor, std::string_view name);

}  // namespace linnet::onnx
