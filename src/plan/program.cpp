#include "plan/program.h"

#include <algorithm>

#include "ops/packing.h"
#include "ops/registry.h"
#include "tensor/alignment.h"

namespace linnet {

// Copies of constants that lie in the file where they cannot be read in place: one for a program and those within it.
class AlignedCopies {
 public:
  explicit AlignedCopies(const Program::Options& options) : options_(options) {}

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
    replaced_.push_back(std::move(constant));
    constant = std::move(copy);
    return {};
  }

 private:
  const Program::Options& options_;
  std::map<const void*, std::weak_ptr<const Tensor>> copies_;
  std::vector<std::shared_ptr<const Tensor>> replaced_;  // operators may still hold them while they prepare
};

// Prepares one step. Packed buffers are shared by the tensor they come from and the form.
class Preparation final : public PackingContext {
 public:
  Preparation(Program& program, const Step& step, const Program::Options& options, AlignedCopies& copies,
              std::vector<uint32_t>& readers)
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
    LINNET_CHECK(source->data);
    std::string key = concat(form, ':', source->shape, ':', bytes);
    for (const size_t i : also)
      if (has(i) && stored(i)) key += concat(':', reinterpret_cast<uintptr_t>(stored(i)->data));
    auto& buffer = program_.packed_[{source->data, std::move(key)}];
    if (!buffer) {
      buffer = std::make_shared<AlignedBuffer>(bytes ? bytes : 1);
      if (!buffer->data()) return error(Code::out_of_memory, "cannot allocate ", bytes, " bytes for packed weights");
      fill(buffer->data());
    }
    return static_cast<const std::byte*>(buffer->data());
  }
  std::span<const std::byte> supplied(size_t, std::string_view) const override { return {}; }

  void release(size_t input) override {
    Slot& s = program_.slots[step_.in[input]];
    if (!s.constant) return;
    if (--readers_[step_.in[input]] != 0) return;
    if (options_.discard) options_.discard(*s.constant);
    s.constant = std::make_shared<const Tensor>(Tensor{s.constant->dtype, s.constant->shape, nullptr, nullptr});
  }

 private:
  const Slot& slot(size_t i) const { return program_.slots[step_.in[i]]; }

  Program& program_;
  const Step& step_;
  const Program::Options& options_;
  AlignedCopies& copies_;
  mutable Status failure_;
  std::vector<uint32_t>& readers_;
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
  for_each_program(*this, [&](const Program& p) {
    for (const auto& [key, buffer] : p.packed_) bytes += buffer->size();
  });
  return bytes;
}

namespace {

// Whether the operator takes the input as bytes, so that a constant may lie at any address.
bool reads_bytes(const OpDef& def, size_t input) { return def.name == "Gather" && def.domain.empty() && input == 0; }

// What runs read. Bodies have been through this on their own.
Status align_constants(Program& program, AlignedCopies& copies) {
  std::vector<bool> wanted(program.slots.size(), false);
  for (const Step& step : program.steps) {
    for (size_t i = 0; i < step.in.size(); ++i)
      if (step.in[i] != kNoSlot && !reads_bytes(*step.def, i)) wanted[step.in[i]] = true;
    for (const SlotId s : step.captures)
      if (s != kNoSlot) wanted[s] = true;
  }
  for (const ProgramPort& port : program.outputs) wanted[port.slot] = true;
  for (SlotId s = 0; s < program.slots.size(); ++s)
    if (wanted[s]) LINNET_TRY(copies.replace(program.slots[s].constant));
  return {};
}

Result<std::unique_ptr<Program>> build_program(Graph& graph, const std::shared_ptr<SymbolTable>& symbols,
                                               const Program::Options& options, AlignedCopies& copies) {
  auto program = std::make_unique<Program>();
  program->name = graph.name;
  program->symbols = symbols;
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
    Result<std::unique_ptr<Op>> op = create_op(node);
    if (!op.ok()) return std::move(op).status().at_node(step.path);
    step.op = std::move(op).value();
    for (const ValueId v : node.inputs) step.in.push_back(slot(v));
    while (!step.in.empty() && step.in.back() == kNoSlot) step.in.pop_back();
    for (const ValueId v : node.outputs) step.out.push_back(slot(v));
    for (const ValueId v : node.captures) step.captures.push_back(slot(v));
    for (const std::shared_ptr<Graph>& body : subgraphs_of(node)) {
      LINNET_ASSIGN(std::unique_ptr<Program> built, build_program(*body, symbols, options, copies));
      step.bodies.push_back(std::move(built));
    }
    program->steps.push_back(std::move(step));
  }
  for (const GraphPort& port : graph.outputs) {
    if (port.value == kNoValue) return invalid_model("output '", port.name, "' is made by no node");
    program->outputs.push_back({port.name, slot(port.value)});
  }

  // How many readers each slot has: a constant goes once all of them have released it.
  std::vector<uint32_t> readers(program->slots.size(), 0);
  for (const Step& step : program->steps) {
    for (const SlotId s : step.in)
      if (s != kNoSlot) ++readers[s];
    for (const SlotId s : step.captures)
      if (s != kNoSlot) ++readers[s];
  }
  for (const ProgramPort& port : program->outputs) ++readers[port.slot];
  for (Step& step : program->steps) {
    Preparation preparation(*program, step, options, copies, readers);
    Status status = step.op->prepare(preparation);
    if (Status failure = preparation.take_failure(); !failure.ok()) status = std::move(failure);
    if (!status.ok()) return std::move(status).at_node(step.path);
  }
  LINNET_TRY(align_constants(*program, copies));
  return program;
}

}  // namespace

Result<std::unique_ptr<Program>> Program::build(Graph& graph, std::shared_ptr<SymbolTable> symbols,
                                                const Options& options) {
  AlignedCopies copies(options);
  return build_program(graph, symbols, options, copies);
}

}  // namespace linnet
