#include "plan/program.h"

#include <algorithm>

#include "ops/operator_types.h"
#include "ops/packing.h"
#include "ops/registry.h"
#include "tensor/alignment.h"

namespace linnet {

// Copies of constants that lie in the file where they cannot be read in place: one for a program and those within it.
class Program::AlignedCopies {
 public:
  explicit AlignedCopies(const Options& options) : options_(options) {}

  Status replace(std::shared_ptr<const Tensor>& constant) {
    if (!constant || !constant->data || is_aligned(*constant)) return {};
    std::weak_ptr<const Tensor>& known = copies_[constant->data];
    std::shared_ptr<const Tensor> copy = known.lock();
    if (!copy || copy->dtype != constant->dtype || !(copy->shape == constant->shape)) {
      LINNET_ASSIGN(Tensor made, clone(*constant));
      if (options_.discard) options_.discard(*constant);
      copy = std::make_shared<const Tensor>(std::move(made));
      known = copy;
    }
    originals_[copy.get()] = constant.get();
    if (options_.made) replaced_.push_back(copy);
    replaced_.push_back(std::move(constant));
    constant = std::move(copy);
    return {};
  }

  void record(const std::vector<Slot>& slots) const {
    if (!options_.made) return;
    for (const Slot& slot : slots)
      if (slot.constant && slot.constant->data) options_.made->in_place.insert(original(slot.constant.get()));
  }

  // What the constant is a copy of, or itself. A copy's address may be another's once it is released; an original keeps
  // its own as long as copies are made.
  const Tensor* original(const Tensor* constant) const {
    const auto found = originals_.find(constant);
    return found == originals_.end() ? constant : found->second;
  }

 private:
  const Options& options_;
  std::map<const void*, std::weak_ptr<const Tensor>> copies_;
  std::map<const Tensor*, const Tensor*> originals_;
  std::vector<std::shared_ptr<const Tensor>> replaced_;  // operators may still hold them while they prepare
};

// How many steps and ports read a constant, and how many of them in place, where it must be aligned. Those that release
// it count no more.
struct Program::Readers {
  uint32_t all = 0, in_place = 0;
};

// Prepares one step. Packed buffers are shared by the tensor they come from and the form.
class Preparation final : public PackingContext {
 public:
  Preparation(Program& program, const Step& step, const Program::Options& options, Program::AlignedCopies& copies,
              std::vector<Program::Readers>& readers)
      : program_(program), step_(step), options_(options), copies_(copies), readers_(readers) {}

  // What went wrong in constant(), which cannot say so.
  Status take_failure() { return std::move(failure_); }

  bool has(size_t i) const override { return i < step_.in.size() && step_.in[i] != kNoSlot; }
  const ValueInfo& info(size_t i) const override { return slot(i).info; }
  const Tensor* constant(size_t i) const override {
    if (!has(i) || !slot(i).constant || !slot(i).constant->data) return nullptr;
    failure_ = copies_.replace(program_.slots[step_.in[i]].constant);
    return failure_.ok() ? stored(i) : nullptr;
  }
  const Tensor* stored(size_t i) const override { return has(i) ? slot(i).constant.get() : nullptr; }
  const Parallel& parallel() const override { return options_.parallel ? *options_.parallel : serial_; }

  Result<const std::byte*> packed(size_t input, std::string_view form, size_t bytes,
                                  FunctionRef<void(std::byte*)> fill) override {
    return packed_with({}, input, form, bytes, fill);
  }
  Result<const std::byte*> packed_with(std::span<const size_t> also, size_t input, std::string_view form, size_t bytes,
                                       FunctionRef<void(std::byte*)> fill) override {
    const Tensor* source = stored(input);
    LINNET_CHECK(source);
    if (const std::span<const std::byte> found = find_supplied(input, form, also); found.data()) {
      LINNET_REQUIRE(found.size() == bytes, invalid_model("the compiled model holds ", found.size(),
                                                          " bytes of packed weights where ", bytes, " are needed"));
      return found.data();
    }
    LINNET_REQUIRE(has_data(input, also), invalid_model("the compiled model lacks packed weights"));
    PackedForm key = form_of(input, concat(form, ':', source->shape, ':', bytes), also,
                             [&](const Tensor& t) -> const void* { return copies_.original(&t)->data; });
    const std::byte*& packed = program_.packed_[std::move(key)];
    if (!packed) {
      std::byte* buffer = program_.packed_memory_.allocate(bytes);
      if (!buffer) return error(Code::out_of_memory, "cannot allocate ", bytes, " bytes for packed weights");
      fill(buffer);
      packed = buffer;
    }
    if (options_.made) {
      PackedForm made =
          form_of(input, std::string(form), also, [&](const Tensor& t) -> const void* { return copies_.original(&t); });
      options_.made->forms.emplace(std::move(made), std::span(packed, bytes));
    }
    return packed;
  }

  std::span<const std::byte> supplied(size_t input, std::string_view form) const override {
    return find_supplied(input, form, {});
  }

  void release(size_t input) override {
    Slot& s = program_.slots[step_.in[input]];
    if (!s.constant) return;
    Program::Readers& readers = readers_[step_.in[input]];
    if (!step_.def->reads_bytes(input)) --readers.in_place;
    if (--readers.all != 0) return;
    if (options_.discard) options_.discard(*s.constant);
    s.constant = std::make_shared<const Tensor>(Tensor{s.constant->dtype, s.constant->shape, nullptr, nullptr});
  }

 private:
  const Slot& slot(size_t i) const { return program_.slots[step_.in[i]]; }

  template <class Identify>
  PackedForm form_of(size_t input, std::string form, std::span<const size_t> also, Identify identify) const {
    PackedForm key{identify(*stored(input)), std::move(form)};
    LINNET_CHECK(also.size() <= std::size(key.also));
    for (size_t i = 0; i < also.size(); ++i)
      if (has(also[i]) && stored(also[i])) key.also[i] = identify(*stored(also[i]));
    return key;
  }

  std::span<const std::byte> find_supplied(size_t input, std::string_view form, std::span<const size_t> also) const {
    if (!options_.supplied || !stored(input)) return {};
    const auto found =
        options_.supplied->find(form_of(input, std::string(form), also, [](const Tensor& t) { return &t; }));
    return found == options_.supplied->end() ? std::span<const std::byte>() : found->second;
  }

  bool has_data(size_t input, std::span<const size_t> also) const {
    return stored(input)->data &&
           std::all_of(also.begin(), also.end(), [&](size_t i) { return !has(i) || !stored(i) || stored(i)->data; });
  }

  Program& program_;
  const Step& step_;
  const Program::Options& options_;
  Program::AlignedCopies& copies_;
  mutable Status failure_;
  std::vector<Program::Readers>& readers_;
  Parallel serial_;
};

namespace {

template <class Visit>
void for_each_program(const Program& program, Visit&& visit) {
  visit(program);
  for (const Step& step : program.steps)
    for (const auto& body : step.bodies) for_each_program(*body, visit);
}

}  // namespace

size_t Program::constant_bytes() const {
  size_t bytes = 0;
  for_each_program(*this, [&](const Program& p) {
    for (const Slot& s : p.slots) bytes += s.constant && s.constant->data ? s.constant->bytes() : 0;
  });
  return bytes;
}

size_t Program::packed_bytes() const {
  size_t bytes = 0;
  for_each_program(*this, [&](const Program& p) { bytes += p.packed_memory_.used(); });
  return bytes;
}

// What runs read. Bodies have been through this on their own.
Status Program::align_constants(std::span<const Readers> readers, AlignedCopies& copies) {
  for (SlotId s = 0; s < slots.size(); ++s)
    if (readers[s].in_place != 0 && slots[s].constant && slots[s].constant->data)
      LINNET_TRY(copies.replace(slots[s].constant));
  copies.record(slots);
  return {};
}

Result<std::unique_ptr<Program>> Program::build(Graph& graph, std::shared_ptr<SymbolTable> symbols,
                                                const Options& options) {
  AlignedCopies copies(options);
  return build(graph, std::move(symbols), options, copies);
}

Result<std::unique_ptr<Program>> Program::build(Graph& graph, std::shared_ptr<SymbolTable> symbols,
                                                const Options& options, AlignedCopies& copies) {
  auto program = std::make_unique<Program>();
  program->name = graph.name;
  program->symbols = std::move(symbols);
  std::vector<SlotId> slot_of(graph.value_count(), kNoSlot);
  const auto slot = [&](ValueId v) -> SlotId {
    if (v == kNoValue) return kNoSlot;
    if (slot_of[v] == kNoSlot) {
      GraphValue& value = graph.value(v);
      slot_of[v] = static_cast<SlotId>(program->slots.size());
      program->slots.push_back({value.name, value.info, std::move(value.constant)});
    }
    return slot_of[v];
  };
  for (const GraphPort& port : graph.inputs) program->inputs.push_back({port.name, slot(port.value)});
  for (const ValueId v : graph.captures) program->captures.push_back(slot(v));
  for (const NodeId id : graph.order()) {
    const Node& node = graph.node(id);
    Step step;
    step.path = graph.node_path(id);
    step.def = find_op(node);
    if (step.def) step.types = types_of(step.def->domain, step.def->name);
    Result<std::unique_ptr<Op>> op = create_op(node);
    if (!op.ok()) return std::move(op).status().at_node(step.path);
    step.op = std::move(op).value();
    for (const ValueId v : node.inputs) step.in.push_back(slot(v));
    while (!step.in.empty() && step.in.back() == kNoSlot) step.in.pop_back();
    for (const ValueId v : node.outputs) step.out.push_back(slot(v));
    for (const ValueId v : node.captures) step.captures.push_back(slot(v));
    for (const std::shared_ptr<Graph>& body : subgraphs_of(node)) {
      LINNET_ASSIGN(std::unique_ptr<Program> built, build(*body, program->symbols, options, copies));
      step.bodies.push_back(std::move(built));
    }
    program->steps.push_back(std::move(step));
  }
  for (const GraphPort& port : graph.outputs) {
    if (port.value == kNoValue) return invalid_model("output '", port.name, "' is made by no node");
    program->outputs.push_back({port.name, slot(port.value)});
  }

  // A constant goes once all of its readers have released it.
  std::vector<Readers> readers(program->slots.size());
  const auto count = [&](SlotId s, bool in_place) {
    if (s == kNoSlot) return;
    ++readers[s].all;
    readers[s].in_place += in_place;
  };
  for (const Step& step : program->steps) {
    for (size_t i = 0; i < step.in.size(); ++i) count(step.in[i], !step.def->reads_bytes(i));
    for (const SlotId s : step.captures) count(s, true);
  }
  for (const ProgramPort& port : program->outputs) count(port.slot, true);
  for (Step& step : program->steps) {
    Preparation preparation(*program, step, options, copies, readers);
    Status status = step.op->prepare(preparation);
    if (Status failure = preparation.take_failure(); !failure.ok()) status = std::move(failure);
    if (!status.ok()) return std::move(status).at_node(step.path);
  }
  for (SlotId s = 0; s < program->slots.size(); ++s) {
    const Tensor* constant = program->slots[s].constant.get();
    LINNET_REQUIRE(readers[s].all == 0 || !constant || constant->data || constant->count() == 0,
                   invalid_model("the compiled model lacks the constant '", program->slots[s].name, "'"));
  }
  LINNET_TRY(program->align_constants(readers, copies));
  return program;
}

}  // namespace linnet
