#include "run/session.h"

#include <chrono>

#include "base/float_mode.h"

namespace linnet {
namespace {

constexpr std::chrono::microseconds kWorthWaking{200};

}  // namespace

Session::Session(std::shared_ptr<Engine> engine, std::shared_ptr<const Model> model)
    : engine_(std::move(engine)), model_(std::move(model)), pool_(std::make_shared<BlockPool>(engine_->memory())) {}

Session::~Session() = default;

Status Session::check_inputs(std::span<const Value> inputs) const {
  const Program& program = *model_->program;
  LINNET_REQUIRE(inputs.size() == program.inputs.size(),
                 invalid_argument("the model takes ", program.inputs.size(),
                                  program.inputs.size() == 1 ? " input, not " : " inputs, not ", inputs.size()));
  for (size_t i = 0; i < inputs.size(); ++i) {
    const Model::Port& port = model_->inputs[i];
    const Value& value = inputs[i];
    if (port.info.kind == ValueKind::optional) continue;
    if (port.info.kind == ValueKind::sequence) {
      LINNET_REQUIRE(value.is_sequence(), invalid_argument("input '", port.name, "' must be a sequence"));
      continue;
    }
    if (port.info.kind == ValueKind::map) {
      LINNET_REQUIRE(value.is_map(), invalid_argument("input '", port.name, "' must be a map"));
      continue;
    }
    LINNET_REQUIRE(value.is_tensor(), invalid_argument("input '", port.name, "' is missing"));
    const Tensor& tensor = value.tensor;
    LINNET_REQUIRE(port.info.dtype == DType::undefined || tensor.dtype == port.info.dtype,
                   invalid_argument("input '", port.name, "' must be of type ", dtype_name(port.info.dtype), ", not ",
                                    dtype_name(tensor.dtype)));
    const std::optional<int64_t> count = tensor.shape.checked_count();
    LINNET_REQUIRE(count && (*count == 0 || tensor.data),
                   invalid_argument("input '", port.name, "' has no valid data or shape"));
    if (!port.info.ranked) continue;
    bool fits = port.info.shape.size() == tensor.shape.rank();
    for (size_t d = 0; fits && d < tensor.shape.rank(); ++d)
      fits = !port.info.shape[d].known() || port.info.shape[d].value() == tensor.shape[d];
    LINNET_REQUIRE(fits, invalid_argument("input '", port.name, "' must be of shape ",
                                          program.symbols->to_string(port.info.shape), ", not ", tensor.shape));
  }
  return {};
}

std::unique_ptr<Execution> Session::acquire() {
  {
    const std::lock_guard lock(mutex_);
    if (!idle_.empty()) {
      std::unique_ptr<Execution> execution = std::move(idle_.back());
      idle_.pop_back();
      return execution;
    }
  }
  return std::make_unique<Execution>(*model_->program, pool_);
}

Status Session::run(std::span<const Value> inputs, std::span<Value> outputs, const RunOptions& options) {
  LINNET_TRY(check_inputs(inputs));
  LINNET_REQUIRE(outputs.size() == model_->outputs.size(),
                 invalid_argument("the model gives ", model_->outputs.size(), " outputs, not ", outputs.size()));
  LINNET_REQUIRE(options.wanted.empty() || options.wanted.size() == outputs.size(),
                 invalid_argument("the wanted outputs are not one flag each"));
  StopToken stop;
  stop.set_parent(options.stop);
  stop.set_deadline(options.deadline);
  const RunParallel parallel(engine_->pool(), engine_->executor(), &stop);
  RunEnvironment environment{&parallel, &stop, options.profiler, model_->seed};
  std::unique_ptr<Execution> execution = acquire();
  ThreadPool* const threads = parallel.threads() > 1 ? engine_->pool() : nullptr;
  const auto begin = StopToken::Clock::now();
  Status status;
  {
    const FlushDenormals flush;
    if (threads) threads->begin_run(long_runs_.load(std::memory_order_relaxed));
    status = execution->run(environment, inputs, {}, outputs, options.wanted);
    if (threads) threads->end_run();
  }
  long_runs_.store(StopToken::Clock::now() - begin > kWorthWaking, std::memory_order_relaxed);
  const std::lock_guard lock(mutex_);
  idle_.push_back(std::move(execution));
  return status;
}

void Session::trim() {
  {
    const std::lock_guard lock(mutex_);
    idle_.clear();
  }
  pool_->trim();
}

std::string Session::describe() const {
  const std::lock_guard lock(mutex_);
  return idle_.empty() ? std::string() : idle_.back()->describe();
}

size_t Session::arena_bytes() const {
  const std::lock_guard lock(mutex_);
  size_t bytes = 0;
  for (const auto& execution : idle_) bytes += execution->arena_bytes();
  return bytes;
}

}  // namespace linnet
