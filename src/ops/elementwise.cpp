// linnet.Elementwise: functions of elements one after the other over one iteration space, which is what the inputs
// broadcast to. Attributes:
//   functions   names of the steps: operators of the standard, and Rsqrt
//   operands    of all steps in turn: the number of an input, or that of an earlier step behind those of all inputs
//   parameters  two of each step: alpha and beta as UnaryFn has them; of Cast the type of its result
//   types       of each step the type of what it takes: float, float16 or bfloat16; bool for logic; any for Cast. Left
//               out, numbers are float, and a Cast takes what it is given
//   results     of each output: the step that makes it
#include "ops/elementwise.h"

#include <algorithm>

#include "kernels/elementwise/half_convert.h"
#include "ops/broadcast_plan.h"
#include "ops/element_types.h"
#include "ops/float_scratch.h"
#include "ops/infer_shapes.h"

namespace linnet {
namespace {

struct Named {
  std::string_view name;
  ElementwiseFunction function;
};

template <class Fn>
constexpr ElementwiseFunction function_of(ChainKind kind, Fn fn) {
  return {kind, static_cast<uint8_t>(fn)};
}
constexpr Named kFunctions[] = {
    {"Add", function_of(ChainKind::binary, BinaryFn::add)},
    {"And", function_of(ChainKind::logical, BinaryFn::logical_and)},
    {"Cast", {ChainKind::cast, 0}},
    {"Div", function_of(ChainKind::binary, BinaryFn::div)},
    {"Equal", function_of(ChainKind::compare, CompareFn::equal)},
    {"Greater", function_of(ChainKind::compare, CompareFn::greater)},
    {"GreaterOrEqual", function_of(ChainKind::compare, CompareFn::greater_or_equal)},
    {"Less", function_of(ChainKind::compare, CompareFn::less)},
    {"LessOrEqual", function_of(ChainKind::compare, CompareFn::less_or_equal)},
    {"Max", function_of(ChainKind::binary, BinaryFn::max)},
    {"Min", function_of(ChainKind::binary, BinaryFn::min)},
    {"Mul", function_of(ChainKind::binary, BinaryFn::mul)},
    {"Not", {ChainKind::negate, 0}},
    {"Or", function_of(ChainKind::logical, BinaryFn::logical_or)},
    {"Pow", function_of(ChainKind::binary, BinaryFn::pow)},
    {"PRelu", function_of(ChainKind::binary, BinaryFn::prelu)},
    {"Sub", function_of(ChainKind::binary, BinaryFn::sub)},
    {"Where", {ChainKind::select, 0}},
    {"Xor", function_of(ChainKind::logical, BinaryFn::logical_xor)},
};

constexpr size_t kMostSteps = 1024, kMostInputs = 4096;
constexpr TypeSet kCastable = kNumberTypes | TypeSet{DType::boolean};

DType type_of(float number) noexcept {
  return number >= 0 && number < kDTypeCount ? static_cast<DType>(static_cast<int>(number)) : DType::undefined;
}

// What a function can take; for a choice, what it chooses from.
TypeSet taken_types(ChainKind kind) noexcept {
  if (kind == ChainKind::cast) return kCastable;
  if (kind == ChainKind::logical || kind == ChainKind::negate) return {DType::boolean};
  return {DType::f32, DType::f16, DType::bf16};
}

// An operand or a result of the steps: an input, or what a step makes.
struct Item {
  DType type = DType::undefined;  // of an input what its readers ask for; undefined: any
  size_t last = 0;                // the item of the last step that reads it
  size_t buffer = 0;
  bool whole = false;   // an input that must have the result's shape
  bool output = false;  // of a step
  bool live = false;    // of a step: an output, or read by a step that lives
  bool own = false;     // of a step: its strip is no other's
};

// Numbers of 16 bits among functions of floats: one is converted where the first function reads it, and a result is
// rounded where another reads it, narrowed where it leaves or is chosen from.
class Lowering {
 public:
  explicit Lowering(std::vector<Item> inputs) : items(std::move(inputs)), inputs_(items.size()) {
    for (size_t i = 0; i < inputs_; ++i) forms_.push_back({items[i].type, i});
  }

  // Adds a step of items of the model.
  void add(const ChainStep& step, const Item& made) {
    const std::span operands(step.operands, operand_count(step.kind));
    const DType from = forms_[operands.back()].type;
    Forms forms{made.type};
    if (step.kind == ChainKind::cast) {
      forms = cast(operands[0], from, made);
    } else {
      ChainStep lowered = step;
      const bool computes = is_half(from) && step.kind != ChainKind::select;
      for (size_t k = 0; k < operands.size(); ++k)
        lowered.operands[k] = static_cast<uint16_t>(computes ? as_float(operands[k]) : as_is(operands[k]));
      const bool half = computes && made.type == from;
      const size_t result = emit(lowered, half ? DType::f32 : made.type);
      (!half ? forms.as_is : keeps_numbers(step, from) ? forms.as_float : forms.unrounded) = result;
    }
    forms_.push_back(forms);
  }
  // The item of the steps that is an item of the model.
  size_t as_is(size_t item) {
    Forms& forms = forms_[item];
    if (forms.as_is == kNone)
      forms.as_is = emit_cast(forms.as_float == kNone ? forms.unrounded : forms.as_float, forms.type);
    return forms.as_is;
  }

  std::vector<Item> items;
  std::vector<ChainStep> steps;

 private:
  static constexpr size_t kNone = SIZE_MAX;
  // Items of the steps that an item of the model stands for.
  struct Forms {
    DType type = DType::undefined;
    size_t as_is = kNone;
    // Of 16-bit floats:
    size_t as_float = kNone;
    size_t unrounded = kNone;
  };

  Forms cast(size_t operand, DType from, const Item& made) {
    Forms forms{made.type};
    constexpr TypeSet kExactlyFloat{DType::u8, DType::i8, DType::u16, DType::i16, DType::boolean};
    if (is_half(made.type) && is_float_or_half(from)) {
      forms.unrounded = is_half(from) ? as_float(operand) : as_is(operand);
    } else if (is_half(made.type) && kExactlyFloat.has(from)) {
      forms.unrounded = emit_cast(as_is(operand), DType::f32);
    } else if (is_half(from) && made.type == DType::f32 && !made.output) {
      forms.as_is = as_float(operand);
    } else {
      const size_t whole = forms_[operand].as_is;
      forms.as_is = emit_cast(whole == kNone ? as_float(operand) : whole, made.type);
    }
    return forms;
  }
  size_t as_float(size_t item) {
    Forms& forms = forms_[item];
    if (forms.as_float != kNone) return forms.as_float;
    if (forms.as_is != kNone) {
      forms.as_float = emit_cast(forms.as_is, DType::f32);
      items.back().own = item < inputs_;
    } else {
      const ChainStep round{
          ChainKind::round, static_cast<uint8_t>(forms.type), {static_cast<uint16_t>(forms.unrounded)}, 0, {}};
      forms.as_float = emit(round, DType::f32);
    }
    return forms.as_float;
  }
  size_t emit_cast(size_t item, DType type) {
    return emit({ChainKind::cast, 0, {static_cast<uint16_t>(item)}, 0, {}}, type);
  }
  size_t emit(const ChainStep& step, DType type) {
    steps.push_back(step);
    items.emplace_back().type = type;
    return items.size() - 1;
  }
  // Whether what it makes of a type's numbers are such numbers, too.
  static bool keeps_numbers(const ChainStep& step, DType type) {
    if (step.kind == ChainKind::binary)
      return static_cast<BinaryFn>(step.fn) == BinaryFn::min || static_cast<BinaryFn>(step.fn) == BinaryFn::max;
    const auto has = [&](float x) {
      float rounded;
      (type == DType::f16 ? round_to_f16 : round_to_bf16)(&x, &rounded, 1);
      return rounded == x;
    };
    switch (static_cast<UnaryFn>(step.fn)) {
      case UnaryFn::abs:
      case UnaryFn::neg:
      case UnaryFn::sign:
      case UnaryFn::relu:
      case UnaryFn::floor:
      case UnaryFn::ceil:
      case UnaryFn::round:
      case UnaryFn::thresholded_relu: return true;
      case UnaryFn::clip: return has(step.params.alpha) && has(step.params.beta);
      default: return false;
    }
  }

  size_t inputs_;
  std::vector<Forms> forms_;  // of the model's items
};

class Elementwise final : public Op {
 public:
  Status parse(NodeReader& reader);
  Status infer(InferContext& context) const override;
  Status bind(BindContext& context) const override;
  Status run(RunContext& context) const override;
  bool can_overwrite(size_t input, size_t output) const override {
    return items_[input].type == items_[results_[output]].type && items_[input].last <= results_[output];
  }

 private:
  // The bound state: this, then the plans, then the buffers.
  struct Bound {
    size_t plans = 0;
    ChainStrips strips;
  };
  Chain chain_of(const Bound& bound) const noexcept {
    const auto* plans = reinterpret_cast<const BroadcastPlan*>(&bound + 1);
    const auto* buffers = reinterpret_cast<const ChainBuffer*>(plans + bound.plans);
    return {steps_, {buffers, buffers_.size()}, {plans, bound.plans}, bound.strips};
  }

  Status read_steps(NodeReader& reader, std::vector<ChainStep>& steps);
  void place_results(const std::vector<ChainStep>& steps);

  size_t inputs_ = 0;
  std::vector<size_t> results_;  // of each output: its item
  std::vector<Item> items_;      // inputs, then steps
  std::vector<ChainStep> steps_;
  std::vector<ChainBuffer> buffers_;  // inputs, outputs, strips; the layout of inputs is not known yet
};

// Steps whose operands are items.
Status Elementwise::read_steps(NodeReader& reader, std::vector<ChainStep>& steps) {
  const std::vector<std::string> functions = reader.texts("functions", {});
  const std::vector<int64_t> operands = reader.integers("operands"), results = reader.integers("results"),
                             types = reader.integers("types");
  LINNET_REQUIRE(!functions.empty() && functions.size() <= kMostSteps,
                 invalid_model("has ", functions.size(), " functions instead of 1 to ", kMostSteps));
  const std::vector<float> parameters = reader.numbers("parameters", std::vector<float>(2 * functions.size(), 0.0f));
  LINNET_REQUIRE(parameters.size() == 2 * functions.size(), invalid_model("'parameters' are not two of each function"));
  LINNET_REQUIRE(types.empty() || types.size() == functions.size(),
                 invalid_model("'types' are not one of each function"));
  inputs_ = reader.inputs();
  LINNET_REQUIRE(inputs_ <= kMostInputs, invalid_model("has ", inputs_, " inputs, more than ", kMostInputs));
  for (size_t i = 0; i < inputs_; ++i) LINNET_REQUIRE(reader.has_input(i), invalid_model("leaves out input ", i));
  items_.resize(inputs_);
  size_t next = 0;
  for (size_t s = 0; s < functions.size(); ++s) {
    const std::optional<ElementwiseFunction> function = elementwise_function(functions[s]);
    LINNET_REQUIRE(function, invalid_model("'", functions[s], "' is none of its functions"));
    const float alpha = parameters[2 * s];
    ChainStep step{function->kind, function->fn, {}, 0, {alpha, parameters[2 * s + 1]}};
    const bool casts = function->kind == ChainKind::cast;
    const TypeSet allowed = taken_types(function->kind);
    const DType numbers = !types.empty()                ? type_of(static_cast<float>(types[s]))
                          : casts                       ? DType::undefined
                          : allowed.has(DType::boolean) ? DType::boolean
                                                        : DType::f32;
    LINNET_REQUIRE(allowed.has(numbers) || (casts && types.empty()),
                   invalid_model("step ", s, " takes no elements of type ", dtype_name(numbers)));
    const size_t taken = operand_count(function->kind);
    LINNET_REQUIRE(taken <= operands.size() - next, invalid_model("'operands' are too few"));
    for (size_t k = 0; k < taken; ++k) {
      const int64_t from = operands[next++];
      LINNET_REQUIRE(from >= 0 && from < static_cast<int64_t>(items_.size()),
                     invalid_model("operand ", from, " of step ", s, " is no input and no earlier step"));
      Item& item = items_[static_cast<size_t>(from)];
      const DType type = function->kind == ChainKind::select && k == 0 ? DType::boolean : numbers;
      const bool input = static_cast<size_t>(from) < inputs_;
      LINNET_REQUIRE(type == DType::undefined || type == item.type || (input && item.type == DType::undefined),
                     invalid_model("step ", s, " takes ", dtype_name(type), ", not ", dtype_name(item.type)));
      if (type != DType::undefined) item.type = type;
      item.whole = item.whole || taken == 1;
      step.operands[k] = static_cast<uint16_t>(from);
    }
    Item made;
    made.type = casts ? type_of(alpha) : function->kind == ChainKind::compare ? DType::boolean : numbers;
    LINNET_REQUIRE(!casts || kCastable.has(made.type), invalid_model("step ", s, " casts to no type of numbers"));
    items_.push_back(made);
    steps.push_back(step);
  }
  LINNET_REQUIRE(next == operands.size(), invalid_model("'operands' are too many"));
  LINNET_REQUIRE(results.size() == reader.outputs(), invalid_model("'results' are not one of each output"));
  for (size_t o = 0; o < results.size(); ++o) {
    LINNET_REQUIRE(results[o] >= 0 && results[o] < static_cast<int64_t>(steps.size()),
                   invalid_model("result ", results[o], " is no step"));
    results_.push_back(inputs_ + static_cast<size_t>(results[o]));
    LINNET_REQUIRE(std::count(results.begin(), results.end(), results[o]) == 1,
                   invalid_model("step ", results[o], " makes two outputs"));
    Item& item = items_[results_[o]];
    item.output = item.live = reader.has_output(o);
  }
  return {};
}

// Which buffer each step writes: an output's, or a strip that is free by then.
void Elementwise::place_results(const std::vector<ChainStep>& steps) {
  const auto operands = [&](size_t s) { return std::span(steps[s].operands).first(operand_count(steps[s].kind)); };
  for (size_t s = steps.size(); s-- > 0;) {
    if (!items_[inputs_ + s].live) continue;
    for (const uint16_t from : operands(s)) {
      Item& item = items_[from];
      item.live = true;
      item.last = std::max(item.last, inputs_ + s);
    }
  }
  const auto add_buffer = [&](ChainBuffer::Layout layout, DType type) {
    const DType known = type == DType::undefined ? DType::f32 : type;
    buffers_.push_back({layout, number_type(known), static_cast<uint8_t>(element_size(known)), 0});
    return buffers_.size() - 1;
  };
  for (size_t i = 0; i < inputs_; ++i) items_[i].buffer = add_buffer(ChainBuffer::Layout::dense, items_[i].type);
  for (const size_t item : results_)
    items_[item].buffer =
        add_buffer(items_[item].output ? ChainBuffer::Layout::dense : ChainBuffer::Layout::strip, items_[item].type);
  std::vector<size_t> free;
  for (size_t s = 0; s < steps.size(); ++s) {
    Item& made = items_[inputs_ + s];
    if (!made.live) continue;
    ChainStep step = steps[s];
    for (size_t k = 0; k < operands(s).size(); ++k) {
      const Item& item = items_[steps[s].operands[k]];
      step.operands[k] = static_cast<uint16_t>(item.buffer);
      const bool strip = buffers_[item.buffer].layout == ChainBuffer::Layout::strip;
      if (strip && !item.own && item.last == inputs_ + s &&
          std::find(free.begin(), free.end(), item.buffer) == free.end())
        free.push_back(item.buffer);
    }
    if (std::find(results_.begin(), results_.end(), inputs_ + s) == results_.end()) {
      const auto fits = made.own ? free.end() : std::find_if(free.begin(), free.end(), [&](size_t b) {
        return buffers_[b].type == number_type(made.type);
      });
      if (fits != free.end()) {
        made.buffer = *fits;
        free.erase(fits);
      } else {
        made.buffer = add_buffer(ChainBuffer::Layout::strip, made.type);
      }
    }
    step.result = static_cast<uint16_t>(made.buffer);
    steps_.push_back(step);
  }
}

Status Elementwise::parse(NodeReader& reader) {
  std::vector<ChainStep> steps;
  LINNET_TRY(read_steps(reader, steps));
  Lowering lowering({items_.begin(), items_.begin() + static_cast<ptrdiff_t>(inputs_)});
  std::vector<size_t> made_by(results_.size());
  for (size_t s = 0; s < steps.size(); ++s) {
    const Item& made = items_[inputs_ + s];
    lowering.add(steps[s], made);
    for (size_t o = 0; o < results_.size(); ++o) {
      if (results_[o] != inputs_ + s) continue;
      made_by[o] = lowering.as_is(results_[o]);
      Item& item = lowering.items[made_by[o]];
      item.output = item.live = made.output;
    }
  }
  items_ = std::move(lowering.items);
  results_ = std::move(made_by);
  place_results(lowering.steps);
  return {};
}

Status Elementwise::infer(InferContext& context) const {
  for (size_t i = 0; i < inputs_; ++i) {
    const DType type = items_[i].type;
    LINNET_TRY(expect_type(context, i, type == DType::undefined ? kCastable : TypeSet{type}));
  }
  LINNET_ASSIGN(const std::optional<SymShape> shape, broadcast_inputs(context, 0, inputs_));
  for (size_t o = 0; o < context.outputs(); ++o) {
    const DType type = items_[results_[o]].type;
    if (shape) {
      context.set(o, type, *shape);
    } else {
      context.set_unranked(o, type);
    }
  }
  return {};
}

Status Elementwise::bind(BindContext& context) const {
  Shape result;
  for (size_t o = 0; o < context.outputs(); ++o)
    if (context.wants(o)) result = context.out_shape(o);
  const int64_t count = result.count();
  const auto broadcasts = [&](size_t i) { return context.shape(i).count() != count; };
  size_t plans = 0;
  for (size_t i = 0; i < inputs_; ++i) plans += broadcasts(i) && context.shape(i).count() != 1;
  void* state =
      context.allocate_state(sizeof(Bound) + plans * sizeof(BroadcastPlan) + buffers_.size() * sizeof(ChainBuffer));
  Bound& bound = *new (state) Bound{plans, {}};
  auto* plan = reinterpret_cast<BroadcastPlan*>(&bound + 1);
  auto* buffers = reinterpret_cast<ChainBuffer*>(plan + plans);
  std::uninitialized_copy(buffers_.begin(), buffers_.end(), buffers);
  uint16_t spread = 0;
  for (size_t i = 0; i < inputs_; ++i) {
    ChainBuffer& buffer = buffers[i];
    buffer.type = number_type(context.dtype(i));
    buffer.width = static_cast<uint8_t>(element_size(context.dtype(i)));
    if (!broadcasts(i)) continue;
    LINNET_REQUIRE(!items_[i].whole,
                   invalid_argument("a function of one number is given ", context.shape(i), " instead of ", result));
    buffer.layout = ChainBuffer::Layout::single;
    if (context.shape(i).count() == 1) continue;
    LINNET_ASSIGN(const BroadcastPlan spread_plan, broadcast_plan(result, context.shape(i)));
    new (plan + spread) BroadcastPlan(spread_plan);
    buffer.layout = ChainBuffer::Layout::spread;
    buffer.plan = spread++;
  }
  bound.strips = plan_chain_strips(chain_of(bound), static_cast<size_t>(count));
  context.request_scratch(scratch_size(static_cast<int64_t>(context.threads()), bound.strips.worker_scratch));
  return {};
}

Status Elementwise::run(RunContext& context) const {
  const auto memory = [&](size_t buffer) {
    const Tensor& tensor = buffer < inputs_ ? context.in(buffer) : context.out(buffer - inputs_);
    return static_cast<std::byte*>(tensor.data);
  };
  run_chain(chain_of(context.state<Bound>()), memory, context.scratch(), context.parallel);
  return {};
}

constexpr OpDef kDefs[] = {{"linnet", "Elementwise", 1, 1, kAnyNumber, 1, kAnyNumber, create<Elementwise>}};

}  // namespace

std::optional<ElementwiseFunction> elementwise_function(std::string_view name) noexcept {
  if (const UnaryFunction* unary = unary_function(name))
    return ElementwiseFunction{ChainKind::unary, static_cast<uint8_t>(unary->fn)};
  for (const Named& one : kFunctions)
    if (one.name == name) return one.function;
  return std::nullopt;
}

extern const std::span<const OpDef> kElementwiseOps = kDefs;

}  // namespace linnet
