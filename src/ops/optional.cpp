// Values that may hold nothing.
// https://onnx.ai/onnx/operators/onnx__Optional.html, ...OptionalGetElement, ...OptionalHasElement
#include "ops/op.h"
#include "ops/sequence_values.h"

namespace linnet {
namespace {

class Optional final : public Op {
 public:
  Status parse(NodeReader& reader) {
    if (const ValueInfo* type = reader.type("type")) type_ = *type;
    LINNET_REQUIRE(reader.has("type") || reader.has_input(0),
                   invalid_model("has neither an input nor the attribute 'type'"));
    return {};
  }
  Status infer(InferContext& context) const override {
    ValueInfo info;
    const ValueInfo& element = context.has(0) ? context.info(0) : type_;
    info.kind = ValueKind::optional;
    info.dtype = element.dtype;
    info.element = std::make_shared<const ValueInfo>(element);
    context.set_info(0, std::move(info));
    return {};
  }
  Status run(RunContext& context) const override {
    context.out_value(0) = Value();
    if (!context.has(0)) return {};
    LINNET_ASSIGN(context.out_value(0), keep(context, context.in_value(0)));
    return {};
  }

 private:
  ValueInfo type_;
};

class OptionalHasElement final : public Op {
 public:
  Status parse(NodeReader&) { return {}; }
  Status infer(InferContext& context) const override {
    context.set(0, DType::boolean, {});
    return {};
  }
  Status run(RunContext& context) const override {
    *context.out(0).ptr<bool>() = context.has(0) && !context.in_value(0).is_none();
    return {};
  }
};

class OptionalGetElement final : public Op {
 public:
  Status parse(NodeReader&) { return {}; }
  Status infer(InferContext& context) const override {
    const ValueInfo& in = context.info(0);
    context.set_info(0, in.kind == ValueKind::optional ? element_info(in) : in);
    return {};
  }
  Status bind(BindContext& context) const override {
    const bool plain = context.has_shape(0);
    context.state<bool>() = plain;
    if (plain) context.alias(0, 0, 0);
    return {};
  }
  Status run(RunContext& context) const override {
    const Value& in = context.in_value(0);
    LINNET_REQUIRE(!in.is_none(), invalid_argument("the optional holds nothing"));
    if (!in.is_tensor() || !context.state<bool>()) return write_value(context, 0, in);
    copy_elements(in.tensor, context.out(0));
    return {};
  }
};

constexpr OpDef kDefs[] = {
    {"", "Optional", 15, 0, 1, 1, 1, create<Optional>, OpDef::kTakesValues | OpDef::kAllocates},
    {"", "OptionalHasElement", 15, 0, 1, 1, 1, create<OptionalHasElement>, OpDef::kTakesValues},
    {"", "OptionalGetElement", 15, 1, 1, 1, 1, create<OptionalGetElement>, OpDef::kTakesValues | OpDef::kAllocates},
};

}  // namespace

extern const std::span<const OpDef> kOptionalOps = kDefs;

}  // namespace linnet
