#include "run/profiler.h"

#include <cstdio>

namespace linnet {
namespace {

void append_quoted(std::string& out, std::string_view text) {
  out += '"';
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (static_cast<unsigned char>(c) < 0x20) {
      char escaped[8];
      std::snprintf(escaped, sizeof escaped, "\\u%04x", static_cast<unsigned>(static_cast<unsigned char>(c)));
      out += escaped;
    } else {
      out += c;
    }
  }
  out += '"';
}

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
    append_quoted(out, e.path);
    out += ",\"cat\":";
    append_quoted(out, e.op);
    out += times;
    out += "\"args\":{\"inputs\":";
    append_quoted(out, e.inputs);
    out += "}}";
  }
  return out + "\n]}\n";
}

}  // namespace linnet
