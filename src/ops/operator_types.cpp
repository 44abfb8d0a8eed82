#include "ops/operator_types.h"

#include <algorithm>

namespace linnet {
namespace {

constexpr uint8_t kOutput = OperatorTypes::kOutput;
constexpr bool kSimd = true, kPlain = false;
constexpr TypeSet kBool{DType::boolean}, kString{DType::string}, kByteTypes{DType::i8, DType::u8};
constexpr TypeSet kFeatureTypes{DType::f32, DType::f64, DType::i32, DType::i64};  // rows of features of ai.onnx.ml
constexpr TypeSet kFloatOrHalfTypes{DType::f32, DType::f16, DType::bf16}, kComplexTypes{DType::c64, DType::c128};
constexpr TypeSet kWideIntegerTypes{DType::i32, DType::i64, DType::u32, DType::u64};
constexpr TypeSet kFloat8Types{DType::f8e4m3fn, DType::f8e4m3fnuz, DType::f8e5m2, DType::f8e5m2fnuz};
constexpr TypeSet kAllTypes = kWholeTypes | kPackedTypes;

constexpr OperatorTypes kTable[] = {
#define LINNET_TYPES(domain, name, typed, kernels, ...) {domain, name, typed, kernels, __VA_ARGS__},
#include "ops/operator_types.inc"
#undef LINNET_TYPES
};

constexpr std::pair<std::string_view, std::string_view> key(const OperatorTypes& o) { return {o.domain, o.name}; }

static_assert(std::is_sorted(std::begin(kTable), std::end(kTable),
                             [](const OperatorTypes& a, const OperatorTypes& b) { return key(a) < key(b); }),
              "operator_types.inc stands by domain, then by name");

// Nothing is known yet of an undefined type.
bool fits(const OperatorTypes& declared, const ValueInfo& info) {
  return info.dtype == DType::undefined || info.kind == ValueKind::map || declared.types.has(info.dtype);
}

}  // namespace

std::span<const OperatorTypes> all_operator_types() noexcept { return kTable; }

const OperatorTypes* types_of(std::string_view domain, std::string_view name) noexcept {
  if (domain == "ai.onnx") domain = "";
  const std::pair wanted{domain, name};
  const auto* found = std::lower_bound(std::begin(kTable), std::end(kTable), wanted,
                                       [](const OperatorTypes& o, const auto& k) { return key(o) < k; });
  return found != std::end(kTable) && key(*found) == wanted ? found : nullptr;
}

Status check_inputs(const OperatorTypes& declared, std::span<const ValueInfo* const> inputs) {
  if (declared.typed == kOutput || declared.typed >= inputs.size() || !inputs[declared.typed]) return {};
  const ValueInfo& info = *inputs[declared.typed];
  LINNET_REQUIRE(fits(declared, info),
                 unsupported("input ", int{declared.typed}, " of type ", dtype_name(info.dtype), " is not supported"));
  return {};
}

Status check_outputs(const OperatorTypes& declared, std::span<ValueInfo* const> outputs) {
  if (declared.typed != kOutput || outputs.empty() || !outputs[0]) return {};
  LINNET_REQUIRE(fits(declared, *outputs[0]),
                 unsupported("an output of type ", dtype_name(outputs[0]->dtype), " is not supported"));
  return {};
}

}  // namespace linnet
