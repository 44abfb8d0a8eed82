#include <algorithm>
#include <limits>
#include <thread>

#include "base/cpu.h"
#include "c_api/handles.h"

using namespace linnet;
using c_api::EngineObject;
using c_api::guarded;
using c_api::Pin;
using c_api::require;

namespace {

constexpr size_t kMostThreads = 4096;

// A host's executor as the engine calls it. Whatever the host does, every part is computed once before run returns.
class HostExecutor final : public Executor {
 public:
  explicit HostExecutor(const linnet_engine_options& options)
      : options_(options), lent_(options.executor_release, options.executor_user) {}

  size_t threads() const override { return options_.threads; }

  void run(size_t parts, FunctionRef<void(size_t)> part) override {
    std::unique_ptr<Region> region = acquire(parts);
    region->begin(parts, part);
    c_api::call_quietly([&] {
      options_.executor(
          options_.executor_user, parts, [](void* context, size_t i) { static_cast<Region*>(context)->run(i); },
          region.get());
    });
    for (size_t i = 0; i < parts; ++i) region->run(i);  // those that the host left out
    while (region->finished.load(std::memory_order_acquire) != parts) std::this_thread::yield();
    const std::lock_guard lock(mutex_);
    idle_.push_back(std::move(region));
  }

  void accept() noexcept { lent_.accept(); }

 private:
  // Kept for as long as the executor, because a host may call a part late: it then finds nothing to do, or helps the
  // next region.
  struct Region {
    explicit Region(size_t most) : claimed(most) {
      for (auto& claim : claimed) claim.store(true, std::memory_order_relaxed);
    }
    void begin(size_t parts, const FunctionRef<void(size_t)>& body) {
      part.emplace(body);
      finished.store(0, std::memory_order_relaxed);
      for (size_t i = 0; i < parts; ++i) claimed[i].store(false, std::memory_order_release);
    }
    void run(size_t i) {
      if (i >= claimed.size() || claimed[i].exchange(true, std::memory_order_acquire)) return;
      (*part)(i);
      finished.fetch_add(1, std::memory_order_release);
    }
    std::vector<std::atomic<bool>> claimed;
    std::optional<FunctionRef<void(size_t)>> part;
    std::atomic<size_t> finished{0};
  };

  std::unique_ptr<Region> acquire(size_t parts) {
    {
      const std::lock_guard lock(mutex_);
      if (!idle_.empty()) {
        std::unique_ptr<Region> region = std::move(idle_.back());
        idle_.pop_back();
        return region;
      }
    }
    return std::make_unique<Region>(std::max(parts, options_.threads));
  }

  linnet_engine_options options_;
  c_api::Lent lent_;
  std::mutex mutex_;
  std::vector<std::unique_ptr<Region>> idle_;
};

struct HostedEngine {
  HostExecutor executor;
  Engine engine;
  explicit HostedEngine(const linnet_engine_options& options) : executor(options), engine(executor) {}
};

}  // namespace

linnet_status* linnet_engine_create(const linnet_engine_options* options, linnet_engine** engine) {
  return guarded([&]() -> Status {
    LINNET_TRY(require(engine, "engine"));
    LINNET_ASSIGN(linnet_engine_options given, c_api::read_struct(options, "engine's options"));
    LINNET_REQUIRE(given.threads <= kMostThreads,
                   invalid_argument("an engine cannot have ", given.threads, " threads"));
    LINNET_REQUIRE(!given.device || std::string_view(given.device) == "cpu",
                   unsupported("there is no device '", given.device, "'; this build has 'cpu'"));
    std::shared_ptr<Engine> made;
    HostExecutor* executor = nullptr;
    if (given.executor) {
      given.threads = std::max<size_t>(given.threads, 1);
      auto hosted = std::make_shared<HostedEngine>(given);
      executor = &hosted->executor;
      made = std::shared_ptr<Engine>(hosted, &hosted->engine);
    } else {
      made = std::make_shared<Engine>(given.threads);
    }
    if (given.memory_limit) made->memory()->set(given.memory_limit);
    const size_t runners = given.runners ? std::min(given.runners, kMostThreads) : available_cores();
    *engine = c_api::make_handle<EngineObject>(std::make_shared<c_api::SharedEngine>(std::move(made), runners));
    if (executor) executor->accept();
    return {};
  });
}

linnet_status* linnet_engine_set_threads(linnet_engine* engine, size_t threads) {
  return guarded([&]() -> Status {
    LINNET_ASSIGN(const Pin<EngineObject> pinned, c_api::use<EngineObject>(engine));
    LINNET_REQUIRE(threads <= kMostThreads, invalid_argument("an engine cannot have ", threads, " threads"));
    pinned->shared->engine->set_threads(threads);
    return {};
  });
}

size_t linnet_engine_threads(const linnet_engine* engine) {
  const Pin<EngineObject> pinned(engine);
  return pinned ? pinned->shared->engine->threads() : 0;
}

linnet_status* linnet_engine_set_memory_limit(linnet_engine* engine, size_t bytes) {
  return guarded([&]() -> Status {
    LINNET_ASSIGN(const Pin<EngineObject> pinned, c_api::use<EngineObject>(engine));
    pinned->shared->engine->memory()->set(bytes ? bytes : std::numeric_limits<size_t>::max());
    return {};
  });
}

size_t linnet_engine_memory_used(const linnet_engine* engine) {
  const Pin<EngineObject> pinned(engine);
  return pinned ? pinned->shared->engine->memory()->used() : 0;
}
