#include "plan/program.h"

#include "ops/registry.h"

namespace linnet {

// Prepares one step. Packed buffers are shared by the tensor they come from and the form.
class Preparation final : public PrepareContext {
 public:
  Preparation(Program& program, const Step& step, const Program::Options& options, std::vector<uint32_t>& readers)
      : program_(program), step_(step), options_(options), readers_(readers) {}

  bool has(size_t i) const override { return i < step_.in.size() && step_.in[i] != kNoSlot; }
  const ValueInfo& info(size_t i) const override { return slot(i).info; }
  const Tensor* constant(size_t i) const override { return has(i) ? slot(i).constant.get() : nullptr; }
  const Parallel& parallel() const override { return options_.parallel ? *options_.parallel : serial_; }

  Result<const std::byte*> packed(size_t input, std::string_view form, size_t bytes,
                                  FunctionRef<void(std::byte*)> fill) override {
    const Tensor* source = constant(input);
    LINNET_CHECK(source);
    LINNET_CHECK(source->data);
    auto& buffer = program_.packed_[{source->data, concat(form, ':', source->shape, ':', bytes)}];
    if (!buffer) {
      buffer = std::make_shared<AlignedBuffer>(bytes ? bytes : 1);
      if (!buffer->data()) return error(Code::out_of_memory, "cannot allocate ", bytes, " bytes for packed weights");
      fill(buffer->data());
    }
    return static_cast<const std::byte*>(buffer->data());
  }

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

Result<std::unique_ptr<Program>> Program::build(Graph& graph, std::shared_ptr<SymbolTable> symbols,
                                                const Options& options) {
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
      LINNET_ASSIGN(std::unique_ptr<Program> built, build(*body, symbols, options));
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
    Preparation preparation(*program, step, options, readers);
    if (Status status = step.op->prepare(preparation); !status.ok()) return std::move(status).at_node(step.path);
  }
  return program;
}

}  // namespace linnet
