// A program bound to one set of input shapes: every shape known, every buffer placed, every step's arguments resolved.
// Steps behind a size that only the data decides stay dynamic: the executor infers and binds them while it runs.
#pragma once

#include <memory>
#include <vector>

#include "plan/memory_planner.h"
#include "plan/program.h"
#include "run/memory.h"

namespace linnet {

// Where a slot's bytes live.
enum class Home : uint8_t {
  none,      // nothing needs it
  constant,  // in the program
  known,     // computed while binding; owned by the binding
  input,     // in the caller's input
  capture,   // in the enclosing run
  output,    // in the caller's output
  arena,     // in a planned buffer
  dynamic,   // allocated during the run
};

struct Place {
  Home home = Home::none;
  uint32_t index = 0;  // of the input, capture, output or planned buffer
  size_t offset = 0;   // bytes into it
};

struct BoundStep {
  const Step* step = nullptr;
  StepArguments arguments;
  std::unique_ptr<std::max_align_t[]> state;
  size_t state_capacity = 0;
  uint32_t scratch = kNoSlot;  // planned buffer
  bool dynamic = false;
  std::vector<SlotId> ends;  // dynamic slots whose last reader this step is
};

// What a binding is for.
struct BindingKey {
  std::vector<DType> dtypes;  // of inputs, then captures; undefined for what is no tensor
  std::vector<Shape> shapes;
  std::vector<uint8_t> wanted;
  size_t threads = 1;

  bool matches(std::span<const Value> inputs, std::span<const Value> captures, std::span<const uint8_t> wanted_outputs,
               size_t thread_count) const noexcept;
  void assign(std::span<const Value> inputs, std::span<const Value> captures, std::span<const uint8_t> wanted_outputs,
              size_t thread_count);
};

class Binding {
 public:
  explicit Binding(const Program& program);

  // Binds anew; memory of an earlier binding is reused.
  Status bind(std::span<const Value> inputs, std::span<const Value> captures, std::span<const uint8_t> wanted,
              const Parallel& parallel, MemoryPlanner& planner);
  // Points every planned slot into the arena.
  void resolve(std::byte* arena);

  const Program& program;
  BindingKey key;
  std::vector<Value> values;        // by slot
  std::vector<ValueInfo> infos;     // by slot
  std::vector<Place> places;        // by slot
  std::vector<BoundStep> steps;     // by step
  std::vector<uint32_t> active;     // the steps to execute, in order
  std::vector<SlotId> from_caller;  // slots whose home is input, capture or output
  std::vector<PlannedBuffer> buffers;
  size_t arena_bytes = 0;
  std::byte* arena = nullptr;  // that values point into

  // Infers, and where all shapes come out known binds, one dynamic step with its inputs' data at hand.
  Status infer_step(uint32_t index, bool with_data, bool* concrete);
  // Binds a dynamic step after infer_step, and gives memory to the outputs whose shapes are known. `done`: nothing is
  // left to run.
  Status prepare_dynamic(uint32_t index, const Parallel& parallel, BlockPool& pool, AlignedBuffer& scratch, bool* done);

 private:
  class StepBinder;
  void find_lifetimes(std::span<const uint8_t> wanted);
  Status bind_step(uint32_t index, const Parallel& parallel);
  Status evaluate_now(uint32_t index, const Parallel& parallel, bool* done);
  void place_output(uint32_t step, size_t o, const StepBinder& binder, bool* aliased);
  bool is_known(SlotId slot) const noexcept;

  std::vector<const Value*> in_pointers_;
  std::vector<Value*> out_pointers_;
  std::vector<uint32_t> last_use_;   // by slot: the last step that reads it; steps.size() for outputs
  std::vector<uint8_t> needed_;      // by step
  std::vector<uint32_t> output_of_;  // by slot: the output port, or kNoSlot
  std::vector<const ValueInfo*> in_infos_;
  std::vector<const Tensor*> in_known_;
  std::vector<ValueInfo*> out_infos_;
  std::vector<DimVector> tracked_;
  std::vector<DimVector*> out_tracked_;
  SymbolTable no_symbols_;
  StopToken never_;

  friend class Execution;
};

// "float[2x3], int64[4]".
std::string describe_inputs(const Binding& binding, const Step& step);

}  // namespace linnet
