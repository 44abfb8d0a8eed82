#include "run/profiler.h"

#include <cstdio>

#include "base/json_text.h"

namespace linnet {
namespace {

double microseconds(Profiler::Clock::duration d) { return std::chrono::duration<double, std::micro>(d).count(); }

}  // namespace

std::string Profiler::chrome_trace() const {
  std::string out = "{\"displayTimeUnit\":\"ns\",\"traceEvents\":[";
  const Clock::time_point start = events_.empty() ? Clock::time_point() : events_.front().begin;
  bool first = true;
  for (const Event& e : events_) {
    if (!first) out += ',';
    first = false;
    char times[96];
    std::snprintf(times, sizeof times, ",\"ts\":%.3f,\"dur\":%.3f,", microseconds(e.begin - start),
                  microseconds(e.duration));
    out += "\n{\"ph\":\"X\",\"pid\":1,\"tid\":1,\"name\":";
    append_json(out, e.path);
    out += ",\"cat\":";
    append_json(out, e.op);
    out += times;
    out += "\"args\":{\"inputs\":";
    append_json(out, e.inputs);
    out += "}}";
  }
  return out + "\n]}\n";
}

}  // namespace linnet
