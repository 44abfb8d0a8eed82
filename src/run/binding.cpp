#include "run/binding.h"

#include <algorithm>
#include <cstring>

#include "ops/operator_types.h"
#include "tensor/alignment.h"

namespace linnet {
namespace {

constexpr size_t kMostEvaluatedBytes = 64 * 1024;  // larger values are worth computing again in each run

// Runs an operator on values that are all known, outside a run.
class EvaluationContext final : public RunContext {
 public:
  EvaluationContext(const Parallel& parallel, const StopToken& stop, const StepArguments& step)
      : RunContext(parallel, stop) {
    step_ = &step;
  }
  Status allocate(size_t o, DType dtype, const Shape& shape) override {
    LINNET_ASSIGN(step_->out[o]->tensor, make_tensor(dtype, shape));
    return {};
  }
  Result<Tensor> make(DType dtype, const Shape& shape) override { return make_tensor(dtype, shape); }
};

// Known without a look at its elements.
bool is_empty(const Tensor& tensor) noexcept {
  return tensor.dtype != DType::undefined &&
         std::find(tensor.shape.begin(), tensor.shape.end(), 0) != tensor.shape.end();
}

}  // namespace

bool BindingKey::matches(std::span<const Value> inputs, std::span<const Value> captures,
                         std::span<const uint8_t> wanted_outputs, size_t thread_count) const noexcept {
  if (threads != thread_count || dtypes.size() != inputs.size() + captures.size()) return false;
  size_t i = 0;
  for (const std::span<const Value> group : {inputs, captures})
    for (const Value& v : group) {
      if (v.tensor.dtype != dtypes[i] || !(v.tensor.shape == shapes[i])) return false;
      ++i;
    }
  return std::equal(wanted.begin(), wanted.end(), wanted_outputs.begin(), wanted_outputs.end());
}

void BindingKey::assign(std::span<const Value> inputs, std::span<const Value> captures,
                        std::span<const uint8_t> wanted_outputs, size_t thread_count) {
  dtypes.resize(inputs.size() + captures.size());
  shapes.resize(dtypes.size());
  size_t i = 0;
  for (const std::span<const Value> group : {inputs, captures})
    for (const Value& v : group) {
      dtypes[i] = v.tensor.dtype;
      shapes[i++] = v.tensor.shape;
    }
  wanted.assign(wanted_outputs.begin(), wanted_outputs.end());
  threads = thread_count;
}

// Collects what an operator asks for while it binds.
class Binding::StepBinder final : public BindContext {
 public:
  StepBinder(Binding& binding, uint32_t index, size_t threads)
      : binding_(binding), bound_(binding.steps[index]), step_(*bound_.step), threads_(threads) {}

  struct Alias {
    size_t output, input, offset;
  };
  InlineVector<Alias, 4> aliases;
  size_t scratch_bytes = 0;

  bool has(size_t i) const override { return i < step_.in.size() && step_.in[i] != kNoSlot; }
  DType dtype(size_t i) const override { return value(i).dtype; }
  const Shape& shape(size_t i) const override { return value(i).shape; }
  const Tensor* known(size_t i) const override {
    if (!has(i)) return nullptr;
    const bool known = bound_.dynamic || binding_.is_known(step_.in[i]);
    return (known && value(i).data) || is_empty(value(i)) ? &value(i) : nullptr;
  }
  size_t inputs() const override { return step_.in.size(); }
  size_t outputs() const override { return step_.out.size(); }
  bool wants(size_t o) const override { return o < step_.out.size() && step_.out[o] != kNoSlot; }
  bool has_shape(size_t o) const override { return wants(o) && binding_.infos[step_.out[o]].concrete(); }
  DType out_dtype(size_t o) const override { return binding_.infos[step_.out[o]].dtype; }
  const Shape& out_shape(size_t o) const override { return binding_.values[step_.out[o]].tensor.shape; }
  size_t threads() const override { return threads_; }

  void* allocate_state(size_t bytes) override {
    if (bytes > bound_.state_capacity) {
      const size_t units = (bytes + sizeof(std::max_align_t) - 1) / sizeof(std::max_align_t);
      bound_.state = std::make_unique<std::max_align_t[]>(units);
      bound_.state_capacity = units * sizeof(std::max_align_t);
    }
    std::memset(bound_.state.get(), 0, bytes);
    bound_.arguments.state = bound_.state.get();
    return bound_.state.get();
  }
  void request_scratch(size_t bytes) override { scratch_bytes = std::max(scratch_bytes, bytes); }
  Status bind() {
    LINNET_TRY(step_.op->bind(*this));
    for (Alias& alias : aliases) {
      if (!has_shape(alias.output)) continue;
      const size_t from = value(alias.input).bytes(), to = binding_.values[step_.out[alias.output]].tensor.bytes();
      if (to == 0) alias.offset = 0;  // nothing lies anywhere, also where the input is as empty
      LINNET_REQUIRE(alias.offset <= from && to <= from - alias.offset,
                     invalid_argument("output ", alias.output, " does not lie within input ", alias.input));
    }
    return {};
  }
  void alias(size_t o, size_t i, size_t byte_offset) override {
    if (wants(o)) aliases.push_back({o, i, byte_offset});
  }

 private:
  const Tensor& value(size_t i) const { return binding_.values[step_.in[i]].tensor; }

  Binding& binding_;
  BoundStep& bound_;
  const Step& step_;
  size_t threads_;
};

Binding::Binding(const Program& p) : program(p) {
  const size_t slots = p.slots.size();
  values.resize(slots);
  infos.resize(slots);
  places.resize(slots);
  last_use_.resize(slots);
  output_of_.assign(slots, kNoSlot);
  steps.resize(p.steps.size());
  size_t ins = 0, outs = 0, widest = 0;
  for (const Step& s : p.steps) {
    ins += s.in.size();
    outs += s.out.size();
    widest = std::max({widest, s.in.size(), s.out.size()});
  }
  in_pointers_.reserve(ins);
  out_pointers_.reserve(outs);
  for (size_t i = 0; i < p.steps.size(); ++i) {
    const Step& s = p.steps[i];
    BoundStep& bound = steps[i];
    bound.step = &s;
    const size_t in = in_pointers_.size(), out = out_pointers_.size();
    for (const SlotId slot : s.in) in_pointers_.push_back(slot == kNoSlot ? nullptr : &values[slot]);
    for (const SlotId slot : s.out) out_pointers_.push_back(slot == kNoSlot ? nullptr : &values[slot]);
    bound.arguments.in = {in_pointers_.data() + in, s.in.size()};
    bound.arguments.out = {out_pointers_.data() + out, s.out.size()};
  }
  for (uint32_t k = 0; k < p.outputs.size(); ++k)
    if (output_of_[p.outputs[k].slot] == kNoSlot) output_of_[p.outputs[k].slot] = k;
  in_infos_.reserve(widest);
  in_known_.reserve(widest);
  out_infos_.reserve(widest);
  out_tracked_.reserve(widest);
  tracked_.resize(widest, DimVector(2));
  needed_.resize(p.steps.size());
  active.reserve(p.steps.size());
}

void Binding::find_lifetimes(std::span<const uint8_t> wanted) {
  const uint32_t end = static_cast<uint32_t>(program.steps.size());
  constexpr uint32_t kNever = 0xffffffffu;
  std::fill(last_use_.begin(), last_use_.end(), kNever);
  for (size_t k = 0; k < program.outputs.size(); ++k)
    if (wanted.empty() || wanted[k]) last_use_[program.outputs[k].slot] = end;
  for (uint32_t i = end; i-- > 0;) {
    const Step& s = program.steps[i];
    bool needed = false;
    for (const SlotId slot : s.out) needed |= slot != kNoSlot && last_use_[slot] != kNever;
    needed_[i] = needed;
    steps[i].ends.clear();
    if (!needed) continue;
    for (const std::vector<SlotId>* list : {&s.in, &s.captures})
      for (const SlotId slot : *list)
        if (slot != kNoSlot && last_use_[slot] == kNever) {
          last_use_[slot] = i;
          steps[i].ends.push_back(slot);
        }
    for (const SlotId slot : s.out)
      if (slot != kNoSlot && last_use_[slot] == kNever) {
        last_use_[slot] = i;  // written, never read
        steps[i].ends.push_back(slot);
      }
  }
}

bool Binding::is_known(SlotId slot) const noexcept {
  const Home home = places[slot].home;
  return (home == Home::constant || home == Home::known) && values[slot].tensor.data;
}

Status Binding::bind(std::span<const Value> inputs, std::span<const Value> captures, std::span<const uint8_t> wanted,
                     const Parallel& parallel, MemoryPlanner& planner) {
  key.assign(inputs, captures, wanted, parallel.threads());
  find_lifetimes(wanted);
  buffers.clear();
  active.clear();
  from_caller.clear();
  arena = nullptr;
  std::fill(places.begin(), places.end(), Place{});
  for (size_t s = 0; s < program.slots.size(); ++s) {
    const std::shared_ptr<const Tensor>& constant = program.slots[s].constant;
    if (!constant) continue;
    values[s].tensor = *constant;
    infos[s] = ValueInfo::tensor(constant->dtype, constant->shape);
    places[s].home = Home::constant;
  }
  const auto enter = [&](SlotId slot, const Value& value, Home home, uint32_t index) {
    if (slot == kNoSlot || places[slot].home == Home::constant) return;
    values[slot] = value;
    places[slot] = {home, index, 0};
    if (value.is_tensor()) {
      infos[slot] = ValueInfo::tensor(value.tensor.dtype, value.tensor.shape);
    } else {
      infos[slot] = program.slots[slot].info;
      infos[slot].ranked = false;
    }
    from_caller.push_back(slot);
  };
  for (uint32_t i = 0; i < program.inputs.size(); ++i) enter(program.inputs[i].slot, inputs[i], Home::input, i);
  for (uint32_t i = 0; i < program.captures.size(); ++i) enter(program.captures[i], captures[i], Home::capture, i);

  for (uint32_t i = 0; i < program.steps.size(); ++i) {
    if (!needed_[i]) continue;
    if (Status status = bind_step(i, parallel); !status.ok())
      return std::move(status).at_node(program.steps[i].path, describe_inputs(*this, program.steps[i]));
  }
  const std::optional<size_t> planned = planner.plan(buffers);
  LINNET_REQUIRE(planned, error(Code::out_of_memory, "the run needs more memory than there can be"));
  arena_bytes = *planned;
  return {};
}

Status Binding::infer_step(uint32_t index, bool with_data, bool* concrete) {
  const Step& step = program.steps[index];
  in_infos_.clear();
  in_known_.clear();
  out_infos_.clear();
  out_tracked_.clear();
  for (const SlotId slot : step.in) {
    in_infos_.push_back(slot == kNoSlot ? nullptr : &infos[slot]);
    const bool known = slot != kNoSlot &&
                       ((values[slot].tensor.data && (with_data || is_known(slot))) || is_empty(values[slot].tensor));
    in_known_.push_back(known ? &values[slot].tensor : nullptr);
  }
  for (size_t o = 0; o < step.out.size(); ++o) {
    const SlotId slot = step.out[o];
    out_infos_.push_back(slot == kNoSlot ? nullptr : &infos[slot]);
    if (slot != kNoSlot) {
      infos[slot].ranked = false;
      infos[slot].kind = ValueKind::tensor;
    }
    tracked_[o] = InferContext::kUnsaid;
    out_tracked_.push_back(&tracked_[o]);
  }
  // A model need not declare the types of its inputs, so here they may be seen for the first time.
  if (step.types) LINNET_TRY(check_inputs(*step.types, in_infos_));
  InferContext context(in_infos_, in_known_, {}, out_infos_, out_tracked_, &no_symbols_, false);
  LINNET_TRY(context.infer(*step.op));
  *concrete = true;
  for (const SlotId slot : step.out) {
    if (slot == kNoSlot) continue;
    if (!infos[slot].concrete() || infos[slot].dtype == DType::undefined) {
      *concrete = false;
      continue;
    }
    Tensor& tensor = values[slot].tensor;
    tensor.dtype = infos[slot].dtype;
    tensor.shape.resize(infos[slot].shape.size());
    for (size_t d = 0; d < tensor.shape.size(); ++d) tensor.shape[d] = infos[slot].shape[d].value();
    const std::optional<int64_t> count = tensor.shape.checked_count();
    if (!count || !storage_size(tensor.dtype, *count))
      return invalid_argument("its output of shape ", tensor.shape, " is too large");
  }
  return {};
}

Status Binding::evaluate_now(uint32_t index, const Parallel& parallel, bool* done) {
  const Step& step = program.steps[index];
  *done = false;
  // Values that inference itself came up with.
  bool all_tracked = true;
  for (size_t o = 0; o < step.out.size(); ++o) {
    const SlotId slot = step.out[o];
    if (slot == kNoSlot) continue;
    const Tensor& t = values[slot].tensor;
    all_tracked &= (t.dtype == DType::i64 || t.dtype == DType::i32) && InferContext::said(tracked_[o]) &&
                   tracked_[o].known() && static_cast<int64_t>(tracked_[o].size()) == t.count();
  }
  if (!all_tracked) {
    if ((step.def->flags & OpDef::kNonDeterministic) || !step.bodies.empty()) return {};
    for (const SlotId slot : step.in)
      if (slot != kNoSlot && !is_known(slot)) return {};
    size_t bytes = 0;
    for (const SlotId slot : step.out)
      if (slot != kNoSlot) bytes += values[slot].tensor.bytes();
    if (bytes > kMostEvaluatedBytes) return {};
  }
  for (size_t o = 0; o < step.out.size(); ++o) {
    const SlotId slot = step.out[o];
    if (slot == kNoSlot) continue;
    Tensor& tensor = values[slot].tensor;
    LINNET_ASSIGN(tensor, make_tensor(tensor.dtype, Shape(tensor.shape)));
    places[slot] = {Home::known, 0, 0};
    if (!all_tracked) continue;
    for (size_t e = 0; e < tracked_[o].size(); ++e) {
      if (tensor.dtype == DType::i64) tensor.ptr<int64_t>()[e] = tracked_[o][e].value();
      if (tensor.dtype == DType::i32) tensor.ptr<int32_t>()[e] = static_cast<int32_t>(tracked_[o][e].value());
    }
  }
  *done = true;
  if (all_tracked) return {};
  StepBinder binder(*this, index, parallel.threads());
  LINNET_TRY(binder.bind());
  const AlignedBuffer scratch(binder.scratch_bytes);
  LINNET_REQUIRE(scratch.size() == binder.scratch_bytes,
                 error(Code::out_of_memory, "cannot allocate ", binder.scratch_bytes, " bytes"));
  StepArguments arguments = steps[index].arguments;
  arguments.scratch = scratch.data();
  EvaluationContext context(parallel, never_, arguments);
  return step.op->run(context);
}

void Binding::place_output(uint32_t index, size_t o, const StepBinder& binder, bool* aliased) {
  const Step& step = program.steps[index];
  const SlotId slot = step.out[o];
  const size_t bytes = values[slot].tensor.bytes();
  const uint32_t end = static_cast<uint32_t>(program.steps.size());
  const bool output = last_use_[slot] == end;
  *aliased = false;
  for (const StepBinder::Alias& alias : binder.aliases) {
    if (alias.output != o) continue;
    const Place from = places[step.in[alias.input]];
    if (from.home == Home::none || from.home == Home::dynamic) break;
    if (output) {
      // The input can be made in the caller's output right away when nothing else decides where it lives.
      if (from.home != Home::arena || from.offset != 0 || alias.offset != 0 || buffers[from.index].bytes != bytes)
        break;
      const uint32_t port = output_of_[slot];
      buffers[from.index].bytes = 0;
      for (SlotId s = 0; s < places.size(); ++s) {
        if (places[s].home != Home::arena || places[s].index != from.index) continue;
        places[s] = {Home::output, port, places[s].offset};
        from_caller.push_back(s);
      }
      places[slot] = {Home::output, port, 0};
      from_caller.push_back(slot);
    } else {
      // A constant that only copies are made of may lie at any address.
      Tensor view = values[slot].tensor;
      view.data = values[step.in[alias.input]].tensor.data;
      if ((from.home == Home::constant || from.home == Home::known) && !is_aligned(view)) break;
      places[slot] = {from.home, from.index, from.offset + alias.offset};
      if (from.home == Home::arena) {
        buffers[from.index].last = std::max(buffers[from.index].last, last_use_[slot]);
      } else if (from.home == Home::constant || from.home == Home::known) {
        const Tensor& source = values[step.in[alias.input]].tensor;
        values[slot].tensor.data = static_cast<std::byte*>(source.data) + alias.offset;
        values[slot].tensor.owner = source.owner;
      } else {
        from_caller.push_back(slot);
      }
    }
    *aliased = true;
    return;
  }
  values[slot].tensor.owner.reset();
  if (output) {
    places[slot] = {Home::output, output_of_[slot], 0};
    from_caller.push_back(slot);
    return;
  }
  for (size_t i = 0; i < step.in.size(); ++i) {
    const SlotId in = step.in[i];
    if (in == kNoSlot || places[in].home != Home::arena || places[in].offset != 0) continue;
    PlannedBuffer& buffer = buffers[places[in].index];
    if (buffer.last != index || buffer.bytes != bytes || !step.op->can_overwrite(i, o)) continue;
    // The same input may stand in two places of a node; overwriting it is then only safe if both allow it.
    bool safe = true;
    for (size_t j = 0; j < step.in.size(); ++j)
      if (j != i && step.in[j] != kNoSlot && places[step.in[j]].home == Home::arena &&
          places[step.in[j]].index == places[in].index && !step.op->can_overwrite(j, o))
        safe = false;
    for (size_t p = 0; p < o; ++p)  // an earlier output may have taken it
      if (step.out[p] != kNoSlot && places[step.out[p]].home == Home::arena &&
          places[step.out[p]].index == places[in].index)
        safe = false;
    if (!safe) continue;
    buffer.last = last_use_[slot];
    places[slot] = places[in];
    return;
  }
  places[slot] = {Home::arena, static_cast<uint32_t>(buffers.size()), 0};
  buffers.push_back({bytes, index, last_use_[slot], 0});
}

Status Binding::bind_step(uint32_t index, const Parallel& parallel) {
  const Step& step = program.steps[index];
  BoundStep& bound = steps[index];
  bound.scratch = kNoSlot;
  bound.arguments.scratch = nullptr;
  bound.dynamic = false;
  for (const std::vector<SlotId>* list : {&step.in, &step.captures})
    for (const SlotId slot : *list) bound.dynamic |= slot != kNoSlot && places[slot].home == Home::dynamic;
  for (const SlotId slot : step.in) bound.dynamic |= slot != kNoSlot && !values[slot].is_tensor();
  if (!bound.dynamic) {
    bool concrete = false;
    LINNET_TRY(infer_step(index, false, &concrete));
    bound.dynamic = !concrete || !step.bodies.empty();
    for (const SlotId slot : step.out) bound.dynamic |= slot != kNoSlot && infos[slot].dtype == DType::string;
  }
  if (bound.dynamic) {
    for (const SlotId slot : step.out) {
      if (slot == kNoSlot) continue;
      places[slot] = {Home::dynamic, 0, 0};
      values[slot] = Value();
    }
    active.push_back(index);
    return {};
  }
  bool done = false;
  LINNET_TRY(evaluate_now(index, parallel, &done));
  if (done) return {};
  StepBinder binder(*this, index, parallel.threads());
  LINNET_TRY(binder.bind());
  bool run = false;
  for (size_t o = 0; o < step.out.size(); ++o) {
    if (step.out[o] == kNoSlot) continue;
    bool aliased = false;
    place_output(index, o, binder, &aliased);
    run |= !aliased;
  }
  if (!run) return {};
  if (binder.scratch_bytes) {
    bound.scratch = static_cast<uint32_t>(buffers.size());
    buffers.push_back({binder.scratch_bytes, index, index, 0});
  }
  active.push_back(index);
  return {};
}

Status Binding::prepare_dynamic(uint32_t index, const Parallel& parallel, BlockPool& pool, AlignedBuffer& scratch,
                                bool* done) {
  const Step& step = program.steps[index];
  BoundStep& bound = steps[index];
  const auto is_open = [&](SlotId slot) { return !infos[slot].concrete() || infos[slot].dtype == DType::undefined; };
  for (size_t o = 0; o < step.out.size(); ++o)
    LINNET_REQUIRE(step.out[o] == kNoSlot || !is_open(step.out[o]) || infos[step.out[o]].kind != ValueKind::tensor ||
                       (step.def->flags & OpDef::kAllocates),
                   invalid_argument("its inputs do not tell the type and shape of output ", o));
  StepBinder binder(*this, index, parallel.threads());
  LINNET_TRY(binder.bind());
  *done = true;
  for (size_t o = 0; o < step.out.size(); ++o) {
    const SlotId slot = step.out[o];
    if (slot == kNoSlot) continue;
    if (is_open(slot)) {  // run allocates it
      values[slot] = Value();
      *done = false;
      continue;
    }
    Tensor& tensor = values[slot].tensor;
    const StepBinder::Alias* alias = nullptr;
    for (const StepBinder::Alias& a : binder.aliases)
      if (a.output == o) alias = &a;
    // A view is safe where the memory has an owner or outlasts the run; the arena's plan does not know of it.
    if (alias) {
      const SlotId in = step.in[alias->input];
      const Tensor& source = values[in].tensor;
      const Home home = places[in].home;
      if (source.owner || home == Home::constant || home == Home::known || home == Home::input ||
          home == Home::capture) {
        tensor.data = static_cast<std::byte*>(source.data) + alias->offset;
        tensor.owner = source.owner;
        continue;
      }
    }
    *done = false;
    const DType dtype = tensor.dtype;
    const Shape shape = tensor.shape;
    bool reused = false;
    for (size_t i = 0; i < step.in.size() && !reused; ++i) {
      const SlotId in = step.in[i];
      if (in == kNoSlot || places[in].home != Home::dynamic || last_use_[in] != index || dtype == DType::string)
        continue;
      const Tensor& source = values[in].tensor;
      if (source.owner.use_count() != 1 || source.bytes() != tensor.bytes() || !step.op->can_overwrite(i, o) ||
          std::count(step.in.begin(), step.in.end(), in) != 1)
        continue;
      tensor.data = source.data;
      tensor.owner = source.owner;
      reused = true;
    }
    if (!reused) {
      LINNET_ASSIGN(tensor, pool.make(dtype, shape));
    }
  }
  bound.arguments.scratch = nullptr;
  if (!*done && binder.scratch_bytes) {
    LINNET_ASSIGN(scratch, pool.take(binder.scratch_bytes));
    bound.arguments.scratch = scratch.data();
  }
  return {};
}

void Binding::resolve(std::byte* base) {
  arena = base;
  for (size_t s = 0; s < places.size(); ++s)
    if (places[s].home == Home::arena)
      values[s].tensor.data = base + buffers[places[s].index].offset + places[s].offset;
  for (BoundStep& bound : steps)
    if (bound.scratch != kNoSlot) bound.arguments.scratch = base + buffers[bound.scratch].offset;
}

std::string describe_inputs(const Binding& binding, const Step& step) {
  std::string out;
  for (const SlotId slot : step.in) {
    if (!out.empty()) out += ", ";
    if (slot == kNoSlot) {
      out += "none";
    } else if (binding.values[slot].is_tensor()) {
      out += binding.values[slot].tensor.to_string();
    } else {
      out += binding.values[slot].is_sequence() ? "a sequence" : binding.values[slot].is_map() ? "a map" : "nothing";
    }
  }
  return out.empty() ? "nothing" : out;
}

}  // namespace linnet
