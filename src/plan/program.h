// A program: what loading makes of a graph and what runs execute. Steps in order, values as numbered slots, operators
// prepared, constants packed. Immutable once built; shared by all sessions and threads.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "graph/graph.h"
#include "infer/infer.h"
#include "ops/op.h"
#include "plan/packed_forms.h"
#include "plan/packed_memory.h"

namespace linnet {

struct OperatorTypes;

using SlotId = uint32_t;
inline constexpr SlotId kNoSlot = 0xffffffffu;

struct Slot {
  std::string name;
  ValueInfo info;                          // with symbolic sizes
  std::shared_ptr<const Tensor> constant;  // without data once every reader works from a packed form
};

class Program;

struct Step {
  std::unique_ptr<Op> op;
  const OpDef* def = nullptr;
  const OperatorTypes* types = nullptr;  // what the operator declares of its types, if it does
  std::string path;                      // for messages and profiles
  std::vector<SlotId> in, out;
  std::vector<SlotId> captures;  // parallel to the bodies' Program::captures
  std::vector<std::unique_ptr<Program>> bodies;
};

struct ProgramPort {
  std::string name;
  SlotId slot = kNoSlot;
};

class Program {
 public:
  std::string name;
  std::vector<Slot> slots;
  std::vector<Step> steps;
  std::vector<ProgramPort> inputs, outputs;
  std::vector<SlotId> captures;  // of a body: the slot for each of the step's captures; kNoSlot if unused
  std::shared_ptr<SymbolTable> symbols;

  // Bytes of constants as loaded, and of packed forms; bodies included.
  size_t constant_bytes() const;
  size_t packed_bytes() const;

  // Builds from a sorted, inferred graph, which gives its constants up to the program: they go as soon as they are
  // packed. `parallel` packs; `discard` is told of each constant that only packed forms are read of from now on.
  struct Options {
    const Parallel* parallel = nullptr;
    std::function<void(const Tensor&)> discard;
    // Where packed forms come from instead, and who is told of those that are made; see plan/packed_forms.h.
    const PackedForms* supplied = nullptr;
    PackingRecord* made = nullptr;
  };
  static Result<std::unique_ptr<Program>> build(Graph& graph, std::shared_ptr<SymbolTable> symbols,
                                                const Options& options);

 private:
  friend class Preparation;
  class AlignedCopies;
  struct Readers;

  static Result<std::unique_ptr<Program>> build(Graph& graph, std::shared_ptr<SymbolTable> symbols,
                                                const Options& options, AlignedCopies& copies);
  Status align_constants(std::span<const Readers> readers, AlignedCopies& copies);

  PackedMemory packed_memory_;
  std::map<PackedForm, const std::byte*> packed_;  // by where the source's elements lie
};

}  // namespace linnet
