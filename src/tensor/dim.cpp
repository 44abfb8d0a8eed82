#include "tensor/dim.h"

#include <algorithm>

#include "base/checked.h"

namespace linnet {
namespace {

int64_t floor_div(int64_t a, int64_t b) noexcept {
  const int64_t quotient = a / b;
  return quotient - ((a % b != 0) && ((a < 0) != (b < 0)));
}

Dim from(std::optional<int64_t> value) noexcept { return value ? Dim(*value) : Dim(); }

void append_key(std::string& key, Dim d) {
  key += d.known() ? 'k' : 's';
  key += std::to_string(d.known() ? d.value() : d.symbol());
}

}  // namespace

Dim SymbolTable::named(std::string_view name) {
  if (!symbolic_) return {};
  const auto [it, added] = ids_.try_emplace("n" + std::string(name), static_cast<uint32_t>(expressions_.size()));
  if (added) expressions_.push_back({'n', {}, {}, std::string(name)});
  return Dim::symbol(it->second);
}

Dim SymbolTable::fresh() {
  if (!symbolic_) return {};
  expressions_.push_back({'f', {}, {}, "d" + std::to_string(expressions_.size())});
  return Dim::symbol(static_cast<uint32_t>(expressions_.size() - 1));
}

Dim SymbolTable::intern(char operation, Dim a, Dim b) {
  if (!symbolic_ || a.unknown() || b.unknown()) return {};
  std::string key(1, operation);
  append_key(key, a);
  append_key(key, b);
  const auto [it, added] = ids_.try_emplace(std::move(key), static_cast<uint32_t>(expressions_.size()));
  if (added) expressions_.push_back({operation, a, b, {}});
  return Dim::symbol(it->second);
}

Dim SymbolTable::add(Dim a, Dim b) {
  if (a.known() && b.known()) return from(checked_add(a.value(), b.value()));
  if (a.is(0)) return b;
  if (b.is(0)) return a;
  if (a.known()) std::swap(a, b);
  if (!a.known() && !a.unknown()) {
    const Expression e = expressions_[a.symbol()];
    if (b.known() && e.operation == '+' && e.b.known()) return add(e.a, add(e.b, b));  // (x + 1) + 2
    if (e.operation == '-' && e.b == b) return e.a;                                    // (x - y) + y
  }
  if (!b.known() && !a.known() && b.symbol() < a.symbol()) std::swap(a, b);
  return intern('+', a, b);
}

Dim SymbolTable::sub(Dim a, Dim b) {
  if (a.known() && b.known()) return from(checked_sub(a.value(), b.value()));
  if (a == b) return 0;
  if (b.known()) return b.value() == INT64_MIN ? Dim() : add(a, -b.value());
  if (!a.known() && !a.unknown()) {
    const Expression e = expressions_[a.symbol()];
    if (e.operation == '+' && e.a == b) return e.b;  // (x + y) - x
    if (e.operation == '+' && e.b == b) return e.a;
  }
  return intern('-', a, b);
}

Dim SymbolTable::mul(Dim a, Dim b) {
  if (a.known() && b.known()) return from(checked_mul(a.value(), b.value()));
  if (a.is(0) || b.is(0)) return 0;
  if (a.is(1)) return b;
  if (b.is(1)) return a;
  if (a.known()) std::swap(a, b);
  if (b.known() && !a.unknown() && expressions_[a.symbol()].operation == '*') {
    const Expression e = expressions_[a.symbol()];
    if (e.b.known()) return mul(e.a, mul(e.b, b));  // (x * 2) * 3
  }
  if (!b.known() && !a.known() && b.symbol() < a.symbol()) std::swap(a, b);
  return intern('*', a, b);
}

Dim SymbolTable::div(Dim a, Dim b) {
  if (b.is(0)) return {};
  if (a.known() && b.known()) {
    if (a.value() == INT64_MIN && b.value() == -1) return {};
    return floor_div(a.value(), b.value());
  }
  if (b.is(1)) return a;
  if (a == b) return 1;
  if (!a.known() && !a.unknown()) {
    const Expression e = expressions_[a.symbol()];
    if (e.operation == '*') {
      if (e.a == b) return e.b;
      if (e.b == b) return e.a;
      if (b.known() && e.b.known() && e.b.value() % b.value() == 0) return mul(e.a, e.b.value() / b.value());
    }
  }
  return intern('/', a, b);
}

Dim SymbolTable::min(Dim a, Dim b) {
  if (a.known() && b.known()) return std::min(a.value(), b.value());
  if (a == b) return a;
  if (a.known()) std::swap(a, b);
  if (b.is(0) && max(a, 0) == a) return 0;
  return intern('m', a, b);
}

Dim SymbolTable::max(Dim a, Dim b) {
  if (a.known() && b.known()) return std::max(a.value(), b.value());
  if (a == b) return a;
  if (a.known()) std::swap(a, b);
  if (a.unknown() || b.unknown()) return {};
  // Sizes, and what is made of them without subtraction, are not negative.
  const auto not_negative = [this](const auto& self, Dim d, int depth) -> bool {
    if (d.known() || d.unknown()) return d.known() && d.value() >= 0;
    const Expression& e = expressions_[d.symbol()];
    if (e.operation == 'n' || e.operation == 'f') return true;
    if (depth == 0 || e.operation == '-') return false;
    if (e.operation == 'M') return self(self, e.a, depth - 1) || self(self, e.b, depth - 1);
    return self(self, e.a, depth - 1) && self(self, e.b, depth - 1);
  };
  if (b.known() && b.value() <= 0 && not_negative(not_negative, a, 6)) return a;
  for (const auto& [most, least] : {std::pair(a, b), std::pair(b, a)}) {  // max(x, min(x, 3))
    if (least.known()) continue;
    const Expression& e = expressions_[least.symbol()];
    if (e.operation == 'm' && ((e.a == most && e.b.known()) || (e.b == most && e.a.known()))) return most;
  }
  return intern('M', a, b);
}

Dim SymbolTable::product(const DimVector& dims, size_t first, size_t last) {
  Dim n = 1;
  for (size_t i = first; i < last; ++i) n = mul(n, dims[i]);
  return n;
}

std::string SymbolTable::to_string(Dim dim) const {
  // Expressions share their parts: written out in full, a short chain of them would fill memory.
  const auto text = [this](const auto& self, Dim d, int depth) -> std::string {
    if (d.known()) return std::to_string(d.value());
    if (d.unknown() || d.symbol() >= expressions_.size()) return "?";
    const Expression& e = expressions_[d.symbol()];
    if (e.operation == 'n' || e.operation == 'f') return e.name;
    if (depth == 0) return "...";
    const std::string a = self(self, e.a, depth - 1), b = self(self, e.b, depth - 1);
    if (e.operation == 'm') return "min(" + a + ", " + b + ")";
    if (e.operation == 'M') return "max(" + a + ", " + b + ")";
    return "(" + a + " " + e.operation + " " + b + ")";
  };
  return text(text, dim, 6);
}

std::string SymbolTable::to_string(const DimVector& dims) const {
  std::string out = "[";
  for (size_t i = 0; i < dims.size(); ++i) {
    if (i) out += ", ";
    out += to_string(dims[i]);
  }
  return out + "]";
}

}  // namespace linnet
