// Sizes that may be symbols: what shape inference computes with before the inputs are there.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/inline_vector.h"
#include "tensor/shape.h"

namespace linnet {

// A known integer, a symbol of a SymbolTable, or unknown. Also an element of a tracked integer tensor, so a known one
// may be negative.
class Dim {
 public:
  constexpr Dim() noexcept : symbol_(kUnknown) {}
  constexpr Dim(int64_t value) noexcept : value_(value) {}  // NOLINT(google-explicit-constructor)
  static constexpr Dim symbol(uint32_t id) noexcept {
    Dim d;
    d.symbol_ = id;
    return d;
  }

  constexpr bool known() const noexcept { return symbol_ == 0; }
  constexpr bool unknown() const noexcept { return symbol_ == kUnknown; }
  constexpr bool is(int64_t value) const noexcept { return known() && value_ == value; }
  // Meaningful only when known().
  constexpr int64_t value() const noexcept { return value_; }
  // Meaningful only when neither known() nor unknown().
  constexpr uint32_t symbol() const noexcept { return symbol_; }

  // Certainly equal. Unknown sizes are equal to nothing.
  friend constexpr bool operator==(const Dim& a, const Dim& b) noexcept {
    return a.symbol_ == b.symbol_ && a.symbol_ != kUnknown && a.value_ == b.value_;
  }

 private:
  static constexpr uint32_t kUnknown = 0xffffffffu;
  int64_t value_ = 0;
  uint32_t symbol_ = 0;
};

// A list of integers, any of which may be symbolic: a shape of known rank, or the value of a small integer tensor.
class DimVector : public InlineVector<Dim, 8> {
 public:
  using InlineVector::InlineVector;
  DimVector(const Shape& shape) : InlineVector(shape.begin(), shape.end()) {}  // NOLINT(google-explicit-constructor)

  size_t rank() const noexcept { return size(); }
  bool known() const noexcept {
    for (const Dim& d : *this)
      if (!d.known()) return false;
    return true;
  }
  // Meaningful only when known().
  Shape values() const {
    Shape shape(size());
    for (size_t i = 0; i < size(); ++i) shape[i] = (*this)[i].value();
    return shape;
  }
};
using SymShape = DimVector;

// Names and expressions of symbolic sizes. Equal expressions over equal symbols get the same symbol, so comparing two
// Dims answers whether they are provably the same. The default-constructed table makes no symbols: whatever is not
// a plain number is unknown (that is how shapes are inferred once the inputs are there).
class SymbolTable {
 public:
  SymbolTable() = default;
  explicit SymbolTable(bool symbolic) : symbolic_(symbolic) {}

  Dim named(std::string_view name);  // the same symbol for the same name
  Dim fresh();                       // a symbol equal to nothing but itself

  // Exact integer arithmetic; unknown on overflow and on division by zero. div rounds towards minus infinity.
  Dim add(Dim a, Dim b);
  Dim sub(Dim a, Dim b);
  Dim mul(Dim a, Dim b);
  Dim div(Dim a, Dim b);
  Dim min(Dim a, Dim b);
  Dim max(Dim a, Dim b);
  Dim product(const DimVector& dims, size_t first, size_t last);

  std::string to_string(Dim dim) const;                // "12", "batch", "(seq + 1)", "?"
  std::string to_string(const DimVector& dims) const;  // "[batch, 12, seq]"

 private:
  struct Expression {
    char operation;  // 'n' name, 'f' fresh, or + - * / m M
    Dim a, b;
    std::string name;
  };
  Dim intern(char operation, Dim a, Dim b);

  bool symbolic_ = false;
  std::vector<Expression> expressions_{{'?', {}, {}, {}}};  // symbol 0 means known
  std::unordered_map<std::string, uint32_t> ids_;
};

}  // namespace linnet
