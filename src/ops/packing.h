// What operators that pack constants can ask beyond PrepareContext.
#pragma once

#include "ops/op.h"

namespace linnet {

// Every PrepareContext is one.
class PackingContext : public PrepareContext {
 public:
  // As `constant`, but the elements may lie at any address (for packings that read them as bytes; it saves a copy), or
  // be nowhere: a compiled model may hold packed forms alone. Then only `packed` and `supplied` can be asked.
  virtual const Tensor* stored(size_t i) const = 0;
  // What a compiled model holds of the input in this form, of any size and content, or nothing: for packings whose form
  // or size is decided by looking at the constant.
  virtual std::span<const std::byte> supplied(size_t input, std::string_view form) const = 0;
  // A packing whose content further constant inputs decide, too.
  virtual Result<const std::byte*> packed_with(std::span<const size_t> also, size_t input, std::string_view form,
                                               size_t bytes, FunctionRef<void(std::byte*)> fill) = 0;
};

inline PackingContext& packing(PrepareContext& context) { return static_cast<PackingContext&>(context); }

}  // namespace linnet
