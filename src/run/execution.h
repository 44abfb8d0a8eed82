// One caller's run of a program: binds it to the inputs' shapes, keeps a few bindings, executes the steps.
#pragma once

#include <functional>
#include <list>
#include <memory>
#include <vector>

#include "plan/memory_planner.h"
#include "plan/program.h"
#include "run/memory.h"

namespace linnet {

class Profiler;

// What a run may use. Everything outlives the run.
struct RunEnvironment {
  const Parallel* parallel = nullptr;
  const StopToken* stop = nullptr;
  Profiler* profiler = nullptr;  // may be null
  uint64_t seed = 0;
};

class Binding;

// Not thread-safe: a session keeps one for each run under way.
class Execution {
 public:
  // `body`: the caller keeps inputs and captures alive as long as the outputs, so that an output may be a view of them.
  Execution(const Program& program, std::shared_ptr<BlockPool> pool, bool body = false);
  ~Execution();
  Execution(const Execution&) = delete;
  Execution& operator=(const Execution&) = delete;

  // Inputs and captures in the program's order; types and shapes have been checked against the declarations.
  // An output that comes with a tensor of the right type and shape is written in place (bound); others receive a value
  // that owns its memory. `wanted`: which outputs to compute; all when empty.
  Status run(const RunEnvironment& environment, std::span<const Value> inputs, std::span<const Value> captures,
             std::span<Value> outputs, std::span<const uint8_t> wanted = {});

  // Bytes of the arena, for reports.
  size_t arena_bytes() const noexcept { return arena_.size(); }
  // A line for each step of the last binding: kernel, slots, offsets.
  std::string describe() const;

 private:
  friend class Binding;
  Result<Binding*> find_binding(const RunEnvironment& environment, std::span<const Value> inputs,
                                std::span<const Value> captures, std::span<const uint8_t> wanted);

  Status deliver(Binding& binding, size_t k, Value& out);
  static void release(Binding& binding) noexcept;

  struct State;
  const Program& program_;
  std::shared_ptr<BlockPool> pool_;
  bool body_;
  std::unique_ptr<State> state_;
  AlignedBuffer arena_;
  std::list<std::unique_ptr<Binding>> bindings_;  // most recently used first
  MemoryPlanner planner_;
  Binding* last_ = nullptr;
};

}  // namespace linnet
