// What a run tells about its steps. One profiler serves one run at a time.
#pragma once

#include <chrono>
#include <string>
#include <string_view>
#include <vector>

namespace linnet {

class Profiler {
 public:
  using Clock = std::chrono::steady_clock;

  struct Event {
    std::string path;  // of the node; for a body's node after its parent's
    std::string op;
    std::string inputs;  // types and shapes
    Clock::time_point begin;
    Clock::duration duration;
    int depth = 0;  // of subgraphs
  };

  void record(Event event) { events_.push_back(std::move(event)); }
  void enter() noexcept { ++depth_; }
  void leave() noexcept { --depth_; }
  int depth() const noexcept { return depth_; }
  const std::vector<Event>& events() const noexcept { return events_; }
  void clear() noexcept { events_.clear(); }

  // Chrome's trace-event format: load it in Perfetto or chrome://tracing.
  // https://docs.google.com/document/d/1CvAClvFfyA5R-PhYUmn5OOQtYMH4h6I0nSsKchNAySU
  std::string chrome_trace() const;

 private:
  std::vector<Event> events_;
  int depth_ = 0;
};

}  // namespace linnet
