#include "run/execution.h"

#include <algorithm>
#include <cinttypes>
#include <cstdio>

#include "kernels/isa.h"
#include "ops/operator_types.h"
#include "run/binding.h"
#include "run/profiler.h"

namespace linnet {
namespace {

constexpr size_t kMostBindings = 8;

// A body of If, Loop or Scan, with the state that its runs keep.
class BoundSubgraph final : public Subgraph {
 public:
  BoundSubgraph(const Program& program, std::shared_ptr<BlockPool> pool)
      : program_(program), execution_(program, std::move(pool), true) {}

  size_t inputs() const override { return program_.inputs.size(); }
  size_t outputs() const override { return program_.outputs.size(); }
  Status run(RunContext&, std::span<const Value> in, std::span<Value> out) override {
    if (in.size() != inputs() || out.size() != outputs())
      return invalid_model("its subgraph '", program_.name, "' has ", inputs(), " inputs and ", outputs(),
                           " outputs, not ", in.size(), " and ", out.size());
    if (environment->profiler) environment->profiler->enter();
    RunEnvironment inner = *environment;
    inner.seed = environment->seed + 0x9e3779b97f4a7c15u * ++calls_;
    Status status = execution_.run(inner, in, captures, out);
    if (environment->profiler) environment->profiler->leave();
    return status;
  }

  const RunEnvironment* environment = nullptr;
  std::vector<Value> captures;

  void begin() noexcept { calls_ = 0; }

 private:
  const Program& program_;
  Execution execution_;
  uint64_t calls_ = 0;
};

// The RunContext of the steps of one execution.
class StepContext final : public RunContext {
 public:
  StepContext(const RunEnvironment& environment, BlockPool& pool)
      : RunContext(*environment.parallel, *environment.stop), pool_(pool) {}

  void set(const StepArguments* step) noexcept { step_ = step; }
  Status allocate(size_t o, DType dtype, const Shape& shape) override {
    if (!wants(o)) return {};
    LINNET_ASSIGN(Tensor tensor, pool_.make(dtype, shape));
    *step_->out[o] = Value(std::move(tensor));
    return {};
  }
  Result<Tensor> make(DType dtype, const Shape& shape) override { return pool_.make(dtype, shape); }

 private:
  BlockPool& pool_;
};

Status stopped_status(const StopToken& stop) {
  if (stop.stop_requested()) return error(Code::cancelled, "the run was cancelled");
  return error(Code::deadline_exceeded, "the run's deadline has passed");
}

}  // namespace

// The subgraphs of a binding's steps, made when first run.
struct Bodies {
  std::vector<std::unique_ptr<BoundSubgraph>> owned;
  std::vector<Subgraph*> pointers;
};

// Executes one binding once.
class Runner {
 public:
  Runner(Binding& binding, const RunEnvironment& environment, std::shared_ptr<BlockPool> pool,
         std::map<uint32_t, Bodies>& bodies)
      : binding_(binding),
        environment_(environment),
        pool_(std::move(pool)),
        bodies_(bodies),
        context_(environment, *pool_) {}

  Status steps() {
    const StopToken& stop = *environment_.stop;
    for (const uint32_t index : binding_.active) {
      BoundStep& bound = binding_.steps[index];
      if (stop.stopped()) [[unlikely]]
        return stopped_status(stop);
      if (bound.step->def->flags & OpDef::kNonDeterministic) [[unlikely]]
        bound.arguments.seed = (environment_.seed + index) * 0xd1342543de82ef95u + 0x2545f4914f6cdd1du;
      const auto begin = environment_.profiler ? Profiler::Clock::now() : Profiler::Clock::time_point();
      Status status = bound.dynamic ? run_dynamic(index) : run_bound(bound);
      if (!status.ok()) [[unlikely]]
        return std::move(status).at_node(bound.step->path, describe_inputs(binding_, *bound.step));
      if (environment_.profiler) [[unlikely]] {
        environment_.profiler->record({bound.step->path, std::string(bound.step->def->name),
                                       describe_inputs(binding_, *bound.step), begin, Profiler::Clock::now() - begin,
                                       environment_.profiler->depth()});
      }
      for (const SlotId slot : bound.ends)
        if (binding_.places[slot].home == Home::dynamic) binding_.values[slot] = Value();
    }
    // A kernel that saw the request returns early with part of its work undone.
    if (stop.stopped()) return stopped_status(stop);
    return {};
  }

 private:
  Status run_bound(BoundStep& bound) {
    context_.set(&bound.arguments);
    return bound.step->op->run(context_);
  }

  void describe_value(SlotId slot) {
    const Value& value = binding_.values[slot];
    ValueInfo& info = binding_.infos[slot];
    if (value.is_tensor()) {
      info.kind = ValueKind::tensor;
      info.dtype = value.tensor.dtype;
      info.ranked = true;
      info.shape = SymShape(value.tensor.shape);
    } else {
      info = binding_.program.slots[slot].info;
      info.ranked = false;
      if (value.is_sequence()) info.dtype = value.sequence->dtype;
    }
  }

  Status run_dynamic(uint32_t index) {
    BoundStep& bound = binding_.steps[index];
    const Step& step = *bound.step;
    for (const SlotId slot : step.in)
      if (slot != kNoSlot) describe_value(slot);
    AlignedBuffer scratch;
    bool done = false;
    if (step.bodies.empty()) {
      for (size_t i = 0; i < step.in.size(); ++i)
        LINNET_REQUIRE(
            step.in[i] == kNoSlot || binding_.values[step.in[i]].is_tensor() || (step.def->flags & OpDef::kTakesValues),
            invalid_argument("input ", i, " is no tensor"));
      bool concrete = false;
      LINNET_TRY(binding_.infer_step(index, true, &concrete));
      LINNET_TRY(binding_.prepare_dynamic(index, *environment_.parallel, *pool_, scratch, &done));
    } else {
      enter_bodies(index);
      for (const SlotId slot : step.out)
        if (slot != kNoSlot) binding_.values[slot] = Value();
    }
    if (done) return {};
    context_.set(&bound.arguments);
    Status status = step.op->run(context_);
    pool_->give(std::move(scratch));
    return status;
  }

  void enter_bodies(uint32_t index) {
    BoundStep& bound = binding_.steps[index];
    Bodies& bodies = bodies_[index];
    if (bodies.owned.empty()) {
      for (const auto& body : bound.step->bodies) {
        bodies.owned.push_back(std::make_unique<BoundSubgraph>(*body, pool_));
        bodies.pointers.push_back(bodies.owned.back().get());
      }
    }
    for (const auto& body : bodies.owned) {
      body->environment = &environment_;
      body->begin();
      body->captures.clear();
      for (const SlotId slot : bound.step->captures)
        body->captures.push_back(slot == kNoSlot ? Value() : binding_.values[slot]);
    }
    bound.arguments.subgraphs = bodies.pointers;
  }

  Binding& binding_;
  const RunEnvironment& environment_;
  std::shared_ptr<BlockPool> pool_;
  std::map<uint32_t, Bodies>& bodies_;
  StepContext context_;
};

struct Execution::State {
  std::map<uint32_t, Bodies> bodies;  // by step; shared by all bindings
};

Execution::Execution(const Program& program, std::shared_ptr<BlockPool> pool, bool body)
    : program_(program), pool_(std::move(pool)), body_(body), state_(std::make_unique<State>()) {}

Execution::~Execution() { pool_->give(std::move(arena_)); }

Result<Binding*> Execution::find_binding(const RunEnvironment& environment, std::span<const Value> inputs,
                                         std::span<const Value> captures, std::span<const uint8_t> wanted) {
  const size_t threads = environment.parallel->threads();
  for (auto it = bindings_.begin(); it != bindings_.end(); ++it) {
    if (!(*it)->key.matches(inputs, captures, wanted, threads)) continue;
    if (it != bindings_.begin()) bindings_.splice(bindings_.begin(), bindings_, it);
    return bindings_.front().get();
  }
  if (bindings_.size() < kMostBindings) {
    bindings_.push_front(std::make_unique<Binding>(program_));
  } else {
    bindings_.splice(bindings_.begin(), bindings_, std::prev(bindings_.end()));
  }
  Binding& binding = *bindings_.front();
  if (Status status = binding.bind(inputs, captures, wanted, *environment.parallel, planner_); !status.ok()) {
    bindings_.pop_front();
    last_ = nullptr;
    return status;
  }
  return &binding;
}

Status Execution::run(const RunEnvironment& environment, std::span<const Value> inputs, std::span<const Value> captures,
                      std::span<Value> outputs, std::span<const uint8_t> wanted) {
  LINNET_ASSIGN(Binding* const bound, find_binding(environment, inputs, captures, wanted));
  Binding& binding = *bound;
  last_ = bound;
  if (binding.arena_bytes > arena_.size()) {
    pool_->give(std::move(arena_));
    arena_ = AlignedBuffer();
    LINNET_ASSIGN(arena_, pool_->take(binding.arena_bytes));
  }
  if (binding.arena != arena_.data() || !binding.arena) binding.resolve(arena_.data());

  const auto is_wanted = [&](size_t k) { return wanted.empty() || wanted[k] != 0; };
  for (size_t k = 0; k < program_.outputs.size(); ++k) {
    const SlotId slot = program_.outputs[k].slot;
    const Place& place = binding.places[slot];
    if (!is_wanted(k)) continue;
    // What a step will allocate is handed over instead of copied where nobody sees the difference.
    if (place.home == Home::dynamic && outputs[k].is_tensor() && outputs[k].tensor.owner.use_count() == 1)
      outputs[k] = Value();
    if (place.home != Home::output || place.index != k) continue;
    const Tensor& tensor = binding.values[slot].tensor;
    Tensor& out = outputs[k].tensor;
    if (!outputs[k].is_tensor() || !out.data || out.dtype != tensor.dtype || !(out.shape == tensor.shape)) {
      LINNET_ASSIGN(Tensor fresh, pool_->make(tensor.dtype, tensor.shape));
      outputs[k] = Value(std::move(fresh));
    }
  }
  for (const SlotId slot : binding.from_caller) {
    const Place& place = binding.places[slot];
    const Value* base = place.home == Home::input     ? &inputs[place.index]
                        : place.home == Home::capture ? &captures[place.index]
                                                      : &outputs[place.index];
    Value& value = binding.values[slot];
    if (place.home != Home::output && !base->is_tensor()) {
      value = *base;
      continue;
    }
    value.tensor.data = static_cast<std::byte*>(base->tensor.data) + place.offset;
    if (place.home != Home::output) value.tensor.owner = base->tensor.owner;
  }

  Runner runner(binding, environment, pool_, state_->bodies);
  Status status = runner.steps();
  for (size_t k = 0; status.ok() && k < program_.outputs.size(); ++k)
    if (is_wanted(k)) status = deliver(binding, k, outputs[k]);
  release(binding);
  return status;
}

Status Execution::deliver(Binding& binding, size_t k, Value& out) {
  const SlotId slot = program_.outputs[k].slot;
  const Place& place = binding.places[slot];
  Value& value = binding.values[slot];
  if (place.home == Home::output && place.index == k) return {};
  if (!value.is_tensor()) {
    out = value;
    return {};
  }
  const bool bound = out.is_tensor() && out.tensor.data && out.tensor.dtype == value.tensor.dtype &&
                     out.tensor.shape == value.tensor.shape;
  if (bound) {
    copy_elements(value.tensor, out.tensor);
    return {};
  }
  // What owns its memory is handed over; what lives in the arena, the program or memory that the caller lent is copied.
  if (value.tensor.owner && place.home == Home::dynamic) {
    out = value;
    return {};
  }
  if (body_ && (place.home == Home::input || place.home == Home::capture || place.home == Home::constant)) {
    out = value;
    return {};
  }
  LINNET_ASSIGN(Tensor copy, pool_->make(value.tensor.dtype, value.tensor.shape));
  copy_elements(value.tensor, copy);
  out = Value(std::move(copy));
  return {};
}

void Execution::release(Binding& binding) noexcept {
  for (const uint32_t index : binding.active) {
    const BoundStep& bound = binding.steps[index];
    if (!bound.dynamic) continue;
    for (const SlotId slot : bound.step->out)
      if (slot != kNoSlot && binding.places[slot].home == Home::dynamic) binding.values[slot] = Value();
  }
  for (const SlotId slot : binding.from_caller) {
    binding.values[slot].tensor.owner.reset();
    binding.values[slot].sequence.reset();
    binding.values[slot].map.reset();
  }
}

std::string Execution::describe() const {
  if (!last_) return {};
  static constexpr const char* kHomes[] = {"none",    "constant", "known", "input",
                                           "capture", "output",   "arena", "dynamic"};
  const Binding& binding = *last_;
  std::string out;
  for (const uint32_t index : binding.active) {
    const BoundStep& bound = binding.steps[index];
    const OperatorTypes* types = bound.step->types;
    out += concat(index, "  ", bound.step->path, "  ", types && types->simd ? isa_name(current_isa()) : "plain",
                  bound.dynamic ? "  dynamic" : "", "\n");
    const auto line = [&](const char* what, std::span<const SlotId> slots) {
      for (const SlotId slot : slots) {
        if (slot == kNoSlot) continue;
        const Place& place = binding.places[slot];
        out += concat("      ", what, " %", slot, " ", program_.slots[slot].name, "  ",
                      binding.values[slot].tensor.dtype == DType::undefined ? std::string("?")
                                                                            : binding.values[slot].tensor.to_string(),
                      "  ", kHomes[static_cast<int>(place.home)]);
        if (place.home == Home::arena) out += concat(" +", binding.buffers[place.index].offset + place.offset);
        out += '\n';
      }
    };
    line("in ", bound.step->in);
    line("out", bound.step->out);
  }
  return out + concat("arena ", binding.arena_bytes, " bytes\n");
}

}  // namespace linnet
