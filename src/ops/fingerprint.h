// A short text that tells contents of constants apart: for the form of a packing that more than one constant decides.
#pragma once

#include <initializer_list>
#include <string>

#include "tensor/tensor.h"

namespace linnet {

// FNV-1a, http://www.isthe.com/chongo/tech/comp/fnv/. Null pointers are left out; no strings.
inline std::string fingerprint(std::initializer_list<const Tensor*> constants) {
  uint64_t hash = 0xcbf29ce484222325u;
  for (const Tensor* constant : constants) {
    if (!constant) continue;
    const auto* bytes = constant->ptr<uint8_t>();
    for (size_t i = 0; i < constant->bytes(); ++i) hash = (hash ^ bytes[i]) * 0x100000001b3u;
  }
  return std::to_string(hash);
}

}  // namespace linnet
