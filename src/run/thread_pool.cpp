#include "run/thread_pool.h"

#include <algorithm>

#include "base/checked.h"
#include "base/float_mode.h"

namespace linnet {
namespace {

// Between two regions of one run lie some microseconds; waking a sleeping thread costs about a hundred on some
// machines.
constexpr int kSpinRounds = 4000;  // of about 40 ns

inline void pause() noexcept {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

thread_local bool inside_region = false;

}  // namespace

ThreadPool::ThreadPool(size_t threads) { start(std::max<size_t>(threads, 1)); }

ThreadPool::~ThreadPool() { stop(); }

void ThreadPool::start(size_t threads) {
  claims_ = std::vector<std::atomic<uint32_t>>(threads);
  for (auto& claim : claims_) claim.store(epoch_.load());
  quit_ = false;
  for (size_t i = 1; i < threads; ++i) {
    try {
      workers_.emplace_back([this] { work(); });
    } catch (const std::system_error&) {
      break;  // fewer threads serve as well
    }
  }
  threads_ = workers_.size() + 1;
}

void ThreadPool::stop() {
  quit_ = true;
  ring();
  for (std::thread& worker : workers_) worker.join();
  workers_.clear();
}

void ThreadPool::set_threads(size_t threads) {
  const std::lock_guard lock(resize_);
  threads = std::max<size_t>(threads, 1);
  if (threads == this->threads()) return;
  while (busy_.exchange(true, std::memory_order_acquire)) std::this_thread::yield();
  stop();
  start(threads);
  busy_.store(false, std::memory_order_release);
}

void ThreadPool::ring() noexcept {
  doorbell_.fetch_add(1, std::memory_order_seq_cst);
  if (sleepers_.load(std::memory_order_seq_cst) != 0) doorbell_.notify_all();
}

void ThreadPool::begin_run(bool wake_workers) noexcept {
  runs_.fetch_add(1, std::memory_order_relaxed);
  if (wake_workers && sleepers_.load(std::memory_order_relaxed) != 0) ring();
}

void ThreadPool::end_run() noexcept { runs_.fetch_sub(1, std::memory_order_relaxed); }

bool ThreadPool::run_part(uint32_t epoch, size_t part) noexcept {
  uint32_t claimed = claims_[part].load(std::memory_order_relaxed);
  // Older epochs only: a worker that comes late must not touch a newer job.
  if (static_cast<int32_t>(epoch - claimed) <= 0 ||
      !claims_[part].compare_exchange_strong(claimed, epoch, std::memory_order_acq_rel))
    return false;
  const size_t begin = part * job_.length, end = std::min(job_.count, begin + job_.length);
  inside_region = true;
  if (begin < end) (*job_.body)(begin, end, part);
  inside_region = false;
  unfinished_.fetch_sub(1, std::memory_order_release);
  return true;
}

bool ThreadPool::try_run(size_t count, size_t parts, Parallel::Body body) noexcept {
  if (inside_region || busy_.exchange(true, std::memory_order_acquire)) return false;
  parts = std::min({parts, threads(), count});
  if (parts <= 1) {
    busy_.store(false, std::memory_order_release);
    return false;
  }
  const uint32_t epoch = epoch_.load(std::memory_order_relaxed) + 1;
  job_ = {count, ceil_div(count, parts), parts, &body};
  unfinished_.store(parts, std::memory_order_relaxed);
  for (size_t part = parts; part < claims_.size(); ++part) claims_[part].store(epoch, std::memory_order_relaxed);
  epoch_.store(epoch, std::memory_order_release);
  ring();
  for (size_t part = 0; part < parts; ++part) run_part(epoch, part);  // its own, then whatever nobody has begun
  for (int round = 0; unfinished_.load(std::memory_order_acquire) != 0; ++round) {
    if (round < 20000) {
      pause();
    } else {
      std::this_thread::yield();
    }
  }
  busy_.store(false, std::memory_order_release);
  return true;
}

void ThreadPool::work() noexcept {
  const FlushDenormals flush;
  uint32_t seen = epoch_.load(std::memory_order_acquire);
  for (;;) {
    int spun = 0;
    uint32_t epoch = 0;
    while ((epoch = epoch_.load(std::memory_order_acquire)) == seen) {
      if (quit_.load(std::memory_order_relaxed)) return;
      if (runs_.load(std::memory_order_relaxed) != 0 && spun < kSpinRounds) {
        ++spun;
        pause();
        continue;
      }
      sleepers_.fetch_add(1, std::memory_order_seq_cst);
      const uint32_t bell = doorbell_.load(std::memory_order_seq_cst);
      if (epoch_.load(std::memory_order_seq_cst) == seen && !quit_.load()) doorbell_.wait(bell);
      sleepers_.fetch_sub(1, std::memory_order_relaxed);
      spun = 0;
    }
    seen = epoch;
    // From the last part down, as the caller comes from the first.
    for (size_t part = claims_.size(); part-- > 0;) run_part(epoch, part);
  }
}

RunParallel::RunParallel(ThreadPool* pool, Executor* executor, const StopToken* stop)
    : Parallel(stop), pool_(pool), executor_(executor) {
  set_threads(executor ? std::max<size_t>(executor->threads(), 1) : pool ? pool->threads() : 1);
}

void RunParallel::dispatch(size_t count, size_t grain, Body body) const {
  const size_t parts = std::min(threads(), std::max<size_t>(count / std::max<size_t>(grain, 1), 1));
  if (executor_ && parts > 1 && !inside_region) {
    const size_t length = ceil_div(count, parts);
    executor_->run(parts, [&](size_t part) {
      const FlushDenormals flush;
      const size_t begin = part * length, end = std::min(count, begin + length);
      inside_region = true;
      if (begin < end) body(begin, end, part);
      inside_region = false;
    });
    return;
  }
  if (!pool_ || !pool_->try_run(count, parts, body)) body(0, count, 0);
}

}  // namespace linnet
