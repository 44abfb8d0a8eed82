// Operators that the caller supplies, as the engine's own contract sees them (ops/op.h).
#include <limits>

#include "c_api/handles.h"
#include "ops/op.h"

namespace linnet::c_api {
namespace {

constexpr size_t kAnyRank = std::numeric_limits<size_t>::max();

// The definition of a linnet_operator; OpDef's texts view its own.
struct CustomDef : OpDef {
  linnet_operator functions;
  std::string domain_text, name_text;
  std::unique_ptr<Lent> lent;
};

// What the functions for callbacks work on: one of reader, infer and run is set.
struct ContextObject final : Object {
  using Handle = linnet_op_context;
  static constexpr Kind kKind = Kind::op_context;
  static constexpr const char* kName = "operator's context";

  NodeReader* reader = nullptr;
  InferContext* infer = nullptr;
  RunContext* run = nullptr;

  std::vector<Dim> symbols;                  // size -2 - i stands for symbols[i]
  std::vector<std::vector<int64_t>> shapes;  // of inputs, while inferring
  std::vector<uint8_t> set;                  // outputs that infer described, or that got a value in compute

  int64_t size_of(const Dim& d) {
    if (d.known()) return d.value();
    if (d.unknown()) return -1;
    for (size_t i = 0; i < symbols.size(); ++i)
      if (symbols[i] == d) return -2 - static_cast<int64_t>(i);
    symbols.push_back(d);
    return -1 - static_cast<int64_t>(symbols.size());
  }
  Result<Dim> dim_of(int64_t size) const {
    if (size >= 0) return Dim(size);
    if (size == -1) return Dim();
    LINNET_REQUIRE(size >= -1 - static_cast<int64_t>(symbols.size()),
                   invalid_argument("size ", size, " stands for no size of an input"));
    return symbols[static_cast<size_t>(-2 - size)];
  }
};

// A context whose handle is open while one callback runs.
class OpenContext {
 public:
  explicit OpenContext(size_t outputs) {
    auto made = std::make_unique<ContextObject>();
    object_ = made.get();
    object_->set.assign(outputs, 0);
    handle_ = reinterpret_cast<linnet_op_context*>(open_handle(Kind::op_context, std::move(made)));
  }
  OpenContext(const OpenContext&) = delete;
  OpenContext& operator=(const OpenContext&) = delete;
  ~OpenContext() { linnet_release(handle_); }
  ContextObject* operator->() const noexcept { return object_; }
  linnet_op_context* handle() const noexcept { return handle_; }

 private:
  ContextObject* object_;
  linnet_op_context* handle_;
};

class CustomOp final : public Op {
 public:
  explicit CustomOp(std::shared_ptr<const CustomDef> def) : def_(std::move(def)) {}
  ~CustomOp() override {
    if (created_ && def_->functions.destroy)
      call_quietly([&] { def_->functions.destroy(def_->functions.user, node_); });
  }

  Status create(NodeReader& reader) {
    if (!def_->functions.create) return {};
    const OpenContext context(reader.outputs());
    context->reader = &reader;
    LINNET_TRY(
        called("its create", [&] { return def_->functions.create(def_->functions.user, context.handle(), &node_); }));
    created_ = true;
    return {};
  }

  Status infer(InferContext& given) const override {
    const OpenContext context(given.outputs());
    context->infer = &given;
    LINNET_TRY(
        called("its infer", [&] { return def_->functions.infer(def_->functions.user, node_, context.handle()); }));
    for (size_t o = 0; o < given.outputs(); ++o)
      LINNET_REQUIRE(context->set[o] || !given.wants(o),
                     error(Code::callback_failed, "its infer did not describe output ", o));
    return {};
  }

  Status run(RunContext& given) const override {
    const OpenContext context(given.outputs());
    context->run = &given;
    LINNET_TRY(
        called("its compute", [&] { return def_->functions.compute(def_->functions.user, node_, context.handle()); }));
    for (size_t o = 0; o < given.outputs(); ++o)
      LINNET_REQUIRE(context->set[o] || !given.wants(o) || given.out_value(o).is_tensor(),
                     error(Code::callback_failed, "its compute did not make output ", o));
    return {};
  }

 private:
  std::shared_ptr<const CustomDef> def_;
  void* node_ = nullptr;
  bool created_ = false;
};

Result<std::unique_ptr<Op>> create_custom(NodeReader& reader) {
  auto op = std::make_unique<CustomOp>(std::static_pointer_cast<const CustomDef>(reader.custom()));
  LINNET_TRY(op->create(reader));
  return std::unique_ptr<Op>(std::move(op));
}

Result<uint8_t> arity(size_t count, const char* what) {
  if (count == std::numeric_limits<size_t>::max()) return kAnyNumber;
  LINNET_REQUIRE(count < kAnyNumber, invalid_argument("an operator cannot have ", count, " ", what));
  return static_cast<uint8_t>(count);
}

Result<std::shared_ptr<CustomDef>> definition_of(const linnet_operator* op) {
  LINNET_TRY(require(op, "operator"));
  LINNET_ASSIGN(const linnet_operator given, read_struct(op, "operator"));
  LINNET_TRY(require(given.domain, "the operator's domain"));
  LINNET_TRY(require(given.name, "the operator's name"));
  LINNET_REQUIRE(given.infer && given.compute, invalid_argument("an operator needs the functions infer and compute"));
  LINNET_REQUIRE(given.min_inputs <= given.max_inputs && given.min_outputs <= given.max_outputs,
                 invalid_argument("an operator's least number of inputs or outputs is above the greatest"));
  constexpr uint32_t kKnownFlags = LINNET_OP_RANDOM | LINNET_OP_TAKES_VALUES | LINNET_OP_REPLACES;
  LINNET_REQUIRE((given.flags & ~kKnownFlags) == 0,
                 unsupported("the operator has flags that this version of Linnet does not know"));
  auto def = std::make_shared<CustomDef>();
  def->functions = given;
  def->domain_text = std::string_view(given.domain) == "ai.onnx" ? "" : given.domain;
  def->name_text = given.name;
  def->domain = def->domain_text;
  def->name = def->name_text;
  def->since = given.since_version;
  LINNET_ASSIGN(def->min_inputs, arity(given.min_inputs, "inputs"));
  LINNET_ASSIGN(def->max_inputs, arity(given.max_inputs, "inputs"));
  LINNET_ASSIGN(def->min_outputs, arity(given.min_outputs, "outputs"));
  LINNET_ASSIGN(def->max_outputs, arity(given.max_outputs, "outputs"));
  def->create = create_custom;
  def->flags = static_cast<uint8_t>(given.flags | OpDef::kAllocates);  // CustomOp::run sees to its outputs
  def->lent = std::make_unique<Lent>(given.release, given.user);
  return def;
}

static_assert(int{LINNET_OP_RANDOM} == int{OpDef::kNonDeterministic});
static_assert(int{LINNET_OP_TAKES_VALUES} == int{OpDef::kTakesValues});
static_assert(int{LINNET_OP_REPLACES} == int{OpDef::kReplaces});

Tensor scalar_of(DType dtype, const void* element) {
  Tensor tensor = make_tensor(dtype, Shape()).value();
  std::memcpy(tensor.data, element, element_size(dtype));
  return tensor;
}

template <class T>
Tensor list_of(DType dtype, const std::vector<T>& elements) {
  Tensor tensor = make_tensor(dtype, Shape{static_cast<int64_t>(elements.size())}).value();
  std::copy(elements.begin(), elements.end(), tensor.ptr<T>());
  return tensor;
}

Result<Value> attribute_value(const Attribute& attribute) {
  if (const auto* i = std::get_if<int64_t>(&attribute.data)) return Value(scalar_of(DType::i64, i));
  if (const auto* f = std::get_if<float>(&attribute.data)) return Value(scalar_of(DType::f32, f));
  if (const auto* s = std::get_if<std::string>(&attribute.data)) {
    Tensor tensor = make_tensor(DType::string, Shape()).value();
    *tensor.ptr<std::string>() = *s;
    return Value(std::move(tensor));
  }
  if (const auto* ints = std::get_if<std::vector<int64_t>>(&attribute.data)) return Value(list_of(DType::i64, *ints));
  if (const auto* floats = std::get_if<std::vector<float>>(&attribute.data)) return Value(list_of(DType::f32, *floats));
  if (const auto* texts = std::get_if<std::vector<std::string>>(&attribute.data))
    return Value(list_of(DType::string, *texts));
  if (const auto* tensor = std::get_if<Tensor>(&attribute.data)) {
    LINNET_ASSIGN(Tensor copy, clone(*tensor));
    return Value(std::move(copy));
  }
  return unsupported("attribute '", attribute.name, "' is of a type that custom operators cannot read");
}

// The context, in the callback that the function is for.
template <class Stage>
Result<Pin<ContextObject>> use_in(const linnet_op_context* context, Stage ContextObject::*stage, const char* callback) {
  LINNET_ASSIGN(Pin<ContextObject> pinned, use<ContextObject>(context));
  LINNET_REQUIRE((*pinned).*stage, invalid_argument("this is for the operator's ", callback, " only"));
  return pinned;
}

Status view_inferred(ContextObject& context, size_t i, linnet_view& view) {
  InferContext& infer = *context.infer;
  if (!infer.has(i)) return {};
  const ValueInfo& info = infer.info(i);
  view.dtype = static_cast<linnet_dtype>(info.dtype);
  view.kind = info.kind == ValueKind::sequence   ? LINNET_SEQUENCE
              : info.kind == ValueKind::map      ? LINNET_MAP
              : info.kind == ValueKind::optional ? LINNET_OPTIONAL
                                                 : LINNET_TENSOR;
  view.rank = kAnyRank;
  view.count = -1;
  if (view.kind != LINNET_TENSOR || !info.ranked) return {};
  if (context.shapes.size() < infer.inputs()) context.shapes.resize(infer.inputs());
  std::vector<int64_t>& shape = context.shapes[i];
  shape.clear();
  for (const Dim& d : info.shape) shape.push_back(context.size_of(d));
  view.rank = shape.size();
  view.shape = shape.data();
  if (info.shape.known()) view.count = info.shape.values().checked_count().value_or(-1);
  if (const Tensor* const known = infer.known(i); known && known->dtype != DType::string) {
    view.data = known->data;
    view.bytes = known->bytes();
  }
  return {};
}

Status set_inferred(ContextObject& context, size_t o, DType dtype, const int64_t* shape, size_t rank) {
  if (rank == kAnyRank) {
    context.infer->set_unranked(o, dtype);
  } else {
    SymShape sizes;
    for (size_t d = 0; d < rank; ++d) {
      LINNET_ASSIGN(const Dim size, context.dim_of(shape[d]));
      sizes.push_back(size);
    }
    context.infer->set(o, dtype, std::move(sizes));
  }
  context.set[o] = 1;
  return {};
}

}  // namespace
}  // namespace linnet::c_api

using namespace linnet;
using c_api::ContextObject;
using c_api::guarded;
using c_api::Pin;
using c_api::require;
using c_api::ValueObject;

linnet_status* linnet_load_options_add_operator(linnet_load_options* options, const linnet_operator* op) {
  return guarded([&]() -> Status {
    LINNET_ASSIGN(const Pin<c_api::LoadOptionsObject> pinned, c_api::use<c_api::LoadOptionsObject>(options));
    LINNET_ASSIGN(auto def, c_api::definition_of(op));
    pinned->options.operators.push_back(def);
    def->lent->accept();
    return {};
  });
}

size_t linnet_op_input_count(const linnet_op_context* context) {
  const Pin<ContextObject> pinned(context);
  if (!pinned) return 0;
  return pinned->reader ? pinned->reader->inputs() : pinned->infer ? pinned->infer->inputs() : pinned->run->inputs();
}

size_t linnet_op_output_count(const linnet_op_context* context) {
  const Pin<ContextObject> pinned(context);
  return pinned ? pinned->set.size() : 0;
}

linnet_status* linnet_op_attribute(linnet_op_context* context, const char* name, linnet_value** value) {
  return guarded([&]() -> Status {
    LINNET_ASSIGN(const Pin<ContextObject> pinned, c_api::use_in(context, &ContextObject::reader, "create"));
    LINNET_TRY(require(name, "name"));
    LINNET_TRY(require(value, "value"));
    const Attribute* const attribute = pinned->reader->attribute(name);
    if (!attribute) {
      *value = nullptr;
      return {};
    }
    LINNET_ASSIGN(Value made, c_api::attribute_value(*attribute));
    *value = c_api::make_handle<ValueObject>(std::move(made));
    return {};
  });
}

linnet_status* linnet_op_input(const linnet_op_context* context, size_t i, linnet_view* view) {
  return guarded([&]() -> Status {
    LINNET_ASSIGN(const Pin<ContextObject> pinned, c_api::use<ContextObject>(context));
    LINNET_REQUIRE(!pinned->reader, invalid_argument("this is for the operator's infer and compute only"));
    linnet_view seen{};
    if (pinned->infer) {
      LINNET_TRY(c_api::view_inferred(*pinned, i, seen));
    } else if (pinned->run->has(i)) {
      seen = c_api::view_of(pinned->run->in_value(i));
    }
    return c_api::write_struct(seen, view, "view");
  });
}

linnet_status* linnet_op_set_output(linnet_op_context* context, size_t o, linnet_dtype dtype, const int64_t* shape,
                                    size_t rank) {
  return guarded([&]() -> Status {
    LINNET_ASSIGN(const Pin<ContextObject> pinned, c_api::use<ContextObject>(context));
    LINNET_REQUIRE(!pinned->reader, invalid_argument("this is for the operator's infer and compute only"));
    LINNET_REQUIRE(o < pinned->set.size(), invalid_argument("the node has no output ", o));
    LINNET_REQUIRE(is_dtype(dtype), invalid_argument("there is no element type ", static_cast<int>(dtype)));
    LINNET_REQUIRE(shape || rank == 0 || rank == c_api::kAnyRank, invalid_argument("shape is NULL"));
    LINNET_REQUIRE(rank <= 1024 || (rank == c_api::kAnyRank && pinned->infer),
                   invalid_argument("a tensor cannot have rank ", rank));
    const auto type = static_cast<DType>(dtype);
    if (pinned->infer) return c_api::set_inferred(*pinned, o, type, shape, rank);
    RunContext& run = *pinned->run;
    if (!run.wants(o)) return {};
    const Shape sizes(std::span<const int64_t>(shape, rank));
    const std::optional<int64_t> count = sizes.checked_count();
    LINNET_REQUIRE(count && storage_size(type, *count), invalid_argument("shape ", sizes, " is negative or too large"));
    const Value& out = run.out_value(o);
    if (!out.is_none()) {
      LINNET_REQUIRE(
          out.is_tensor() && out.tensor.dtype == type && out.tensor.shape == sizes,
          invalid_argument("output ", o, " is another than its infer said: ", dtype_name(type), "[", sizes, "]"));
      return {};
    }
    return run.allocate(o, type, sizes);
  });
}

linnet_status* linnet_op_set_output_kind(linnet_op_context* context, size_t o, linnet_kind kind, linnet_dtype dtype) {
  return guarded([&]() -> Status {
    LINNET_ASSIGN(const Pin<ContextObject> pinned, c_api::use_in(context, &ContextObject::infer, "infer"));
    LINNET_REQUIRE(o < pinned->set.size(), invalid_argument("the node has no output ", o));
    LINNET_REQUIRE(is_dtype(dtype), invalid_argument("there is no element type ", static_cast<int>(dtype)));
    LINNET_REQUIRE(kind == LINNET_SEQUENCE || kind == LINNET_MAP,
                   invalid_argument("only sequences and maps are described by their kind"));
    ValueInfo info;
    info.kind = kind == LINNET_SEQUENCE ? ValueKind::sequence : ValueKind::map;
    info.dtype = static_cast<DType>(dtype);
    pinned->infer->set_info(o, std::move(info));
    pinned->set[o] = 1;
    return {};
  });
}

linnet_status* linnet_op_output(const linnet_op_context* context, size_t o, linnet_view* view) {
  return guarded([&]() -> Status {
    LINNET_ASSIGN(const Pin<ContextObject> pinned, c_api::use_in(context, &ContextObject::run, "compute"));
    LINNET_REQUIRE(o < pinned->set.size(), invalid_argument("the node has no output ", o));
    linnet_view seen{};
    if (pinned->run->wants(o)) {
      LINNET_REQUIRE(
          pinned->run->out_value(o).is_tensor(),
          invalid_argument("output ", o, " has no memory yet, because its infer left the shape open: set it first"));
      seen = c_api::view_of(pinned->run->out_value(o));
    }
    return c_api::write_struct(seen, view, "view");
  });
}

linnet_status* linnet_op_input_value(const linnet_op_context* context, size_t i, linnet_value** value) {
  return guarded([&]() -> Status {
    LINNET_ASSIGN(const Pin<ContextObject> pinned, c_api::use_in(context, &ContextObject::run, "compute"));
    LINNET_TRY(require(value, "value"));
    Value seen = pinned->run->has(i) ? pinned->run->in_value(i) : Value();
    if (seen.is_tensor() && !seen.tensor.owner) {  // memory that is only there during this call
      LINNET_ASSIGN(seen.tensor, clone(seen.tensor));
    }
    *value = c_api::make_handle<ValueObject>(std::move(seen));
    return {};
  });
}

linnet_status* linnet_op_set_output_value(linnet_op_context* context, size_t o, const linnet_value* value) {
  return guarded([&]() -> Status {
    LINNET_ASSIGN(const Pin<ContextObject> pinned, c_api::use_in(context, &ContextObject::run, "compute"));
    LINNET_REQUIRE(o < pinned->set.size(), invalid_argument("the node has no output ", o));
    LINNET_ASSIGN(const Pin<ValueObject> given, c_api::use<ValueObject>(value));
    RunContext& run = *pinned->run;
    if (!run.wants(o)) return {};
    const Value& from = given->value;
    if (from.is_tensor()) {
      if (run.out_value(o).is_none()) LINNET_TRY(run.allocate(o, from.tensor.dtype, from.tensor.shape));
      const Value& out = run.out_value(o);
      LINNET_REQUIRE(out.is_tensor() && out.tensor.dtype == from.tensor.dtype && out.tensor.shape == from.tensor.shape,
                     invalid_argument("output ", o, " is another than its infer said: ", from.tensor));
      copy_elements(from.tensor, run.out(o));
    } else {
      LINNET_REQUIRE(!run.out_value(o).is_tensor(), invalid_argument("output ", o, " is a tensor, as its infer said"));
      run.out_value(o) = from;
    }
    pinned->set[o] = 1;
    return {};
  });
}

linnet_status* linnet_op_parallel(linnet_op_context* context, size_t count, size_t grain,
                                  void (*body)(void*, size_t, size_t), void* user) {
  return guarded([&]() -> Status {
    LINNET_ASSIGN(const Pin<ContextObject> pinned, c_api::use_in(context, &ContextObject::run, "compute"));
    LINNET_REQUIRE(body, invalid_argument("body is NULL"));
    std::atomic<bool> threw{false};
    pinned->run->parallel.for_range(count, std::max<size_t>(grain, 1), [&](size_t begin, size_t end, size_t) noexcept {
      try {
        body(user, begin, end);
      } catch (...) {
        threw.store(true, std::memory_order_relaxed);
      }
    });
    LINNET_REQUIRE(!threw, error(Code::callback_failed, "a parallel body threw an exception"));
    return {};
  });
}

int32_t linnet_op_stopped(const linnet_op_context* context) {
  const Pin<ContextObject> pinned(context);
  return pinned && pinned->run && pinned->run->stop.stopped();
}
