// A model as callers run it.
#pragma once

#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "base/mapped_file.h"
#include "plan/program.h"
#include "run/engine.h"
#include "run/execution.h"

namespace linnet {

// A loaded model: program, weights, description. Immutable; shared by sessions and threads.
struct Model {
  struct Port {
    std::string name;
    ValueInfo info;  // as the model declares it, or as inferred where it does not
  };

  std::unique_ptr<Program> program;
  std::vector<Port> inputs, outputs;
  std::vector<std::pair<std::string, std::string>> metadata;
  std::string producer_name, producer_version, domain, description, graph_name;
  int64_t ir_version = 0, model_version = 0;
  std::vector<std::pair<std::string, int>> opsets;
  uint64_t seed = 0;
  std::vector<std::shared_ptr<const MappedFile>> files;  // that constants may view
  std::shared_ptr<const void> bytes;                     // the same for a model from memory
};

struct RunOptions {
  const StopToken* stop = nullptr;
  StopToken::Clock::time_point deadline = StopToken::Clock::time_point::max();
  Profiler* profiler = nullptr;
  std::vector<uint8_t> wanted;  // by output; all when empty
};

// Thread-safe: any number of threads may run one session at once; each run under way has memory of its own.
class Session {
 public:
  Session(std::shared_ptr<Engine> engine, std::shared_ptr<const Model> model);
  ~Session();
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  const Model& model() const noexcept { return *model_; }
  Engine& engine() const noexcept { return *engine_; }

  // Inputs by position; every input must be present, of the declared type, and of a shape that fits the declared one.
  // Outputs by position: a value that already holds a tensor of the right type and shape is written in place, others
  // are replaced by tensors that own their memory.
  Status run(std::span<const Value> inputs, std::span<Value> outputs, const RunOptions& options = {});

  // Gives memory that no run uses back to the system.
  void trim();
  // The bound program of the last finished run, step by step.
  std::string describe() const;
  size_t arena_bytes() const;

 private:
  Status check_inputs(std::span<const Value> inputs) const;
  std::unique_ptr<Execution> acquire();

  std::shared_ptr<Engine> engine_;
  std::shared_ptr<const Model> model_;
  std::shared_ptr<BlockPool> pool_;
  mutable std::mutex mutex_;
  std::vector<std::unique_ptr<Execution>> idle_;
  std::atomic<bool> long_runs_{false};  // the last run was long enough for waking workers ahead to pay
};

}  // namespace linnet
