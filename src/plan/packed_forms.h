// The packed forms of a program's constants, as a compiled model keeps them.
#pragma once

#include <cstddef>
#include <map>
#include <set>
#include <span>
#include <string>
#include <string_view>

#include "tensor/tensor.h"

namespace linnet {

// What a packing was made from: a constant, the name of the form, and further constants that decide the content.
// Constants are told apart by identity.
struct PackedForm {
  const void* source = nullptr;
  std::string form;
  const void* also[3] = {};

  friend auto operator<=>(const PackedForm&, const PackedForm&) = default;
};

using PackedForms = std::map<PackedForm, std::span<const std::byte>>;

// What was made of a graph's constants, which live as long as the record.
struct PackingRecord {
  PackedForms forms;
  std::set<const void*> in_place;  // constants whose elements are read too
};

}  // namespace linnet
