#include <algorithm>
#include <cstring>
#include <limits>

#include "c_api/handles.h"

namespace {

using linnet::FunctionRef;

constexpr size_t kMostThreads = 4096;

// A host's executor as the engine calls it.
class HostExecutor final : public linnet::Executor {
 public:
  explicit HostExecutor(const linnet_engine_options& options) : options_(options) {}
  size_t threads() const override { return options_.threads; }
  void run(size_t parts, FunctionRef<void(size_t)> part) override {
    options_.executor(
        options_.executor_user, parts,
        [](void* context, size_t i) { (*static_cast<FunctionRef<void(size_t)>*>(context))(i); }, &part);
  }

 private:
  linnet_engine_options options_;
};

struct HostedEngine {
  HostExecutor executor;
  linnet::Engine engine;
  explicit HostedEngine(const linnet_engine_options& options) : executor(options), engine(executor) {}
};

}  // namespace

linnet_status* linnet_engine_create(const linnet_engine_options* options, linnet_engine** engine) {
  return linnet::c_api::guarded([&]() -> linnet::Status {
    LINNET_TRY(linnet::c_api::require(engine, "engine"));
    linnet_engine_options given{};
    if (options) {
      LINNET_REQUIRE(options->struct_size >= sizeof(size_t),
                     linnet::invalid_argument("struct_size of the engine's options is not set"));
      std::memcpy(&given, options, std::min(options->struct_size, sizeof given));
    }
    LINNET_REQUIRE(given.threads <= kMostThreads,
                   linnet::invalid_argument("an engine cannot have ", given.threads, " threads"));
    std::shared_ptr<linnet::Engine> made;
    if (given.executor) {
      given.threads = std::max<size_t>(given.threads, 1);
      auto hosted = std::make_shared<HostedEngine>(given);
      made = std::shared_ptr<linnet::Engine>(hosted, &hosted->engine);
    } else {
      made = std::make_shared<linnet::Engine>(given.threads);
    }
    if (given.memory_limit) made->memory()->set(given.memory_limit);
    *engine = new linnet_engine{std::move(made)};
    return {};
  });
}

void linnet_engine_release(linnet_engine* engine) { delete engine; }

void linnet_engine_set_threads(linnet_engine* engine, size_t threads) {
  if (engine) engine->engine->set_threads(std::min(threads, kMostThreads));
}

size_t linnet_engine_threads(const linnet_engine* engine) { return engine ? engine->engine->threads() : 0; }

void linnet_engine_set_memory_limit(linnet_engine* engine, size_t bytes) {
  if (engine) engine->engine->memory()->set(bytes ? bytes : std::numeric_limits<size_t>::max());
}

size_t linnet_engine_memory_used(const linnet_engine* engine) { return engine ? engine->engine->memory()->used() : 0; }
