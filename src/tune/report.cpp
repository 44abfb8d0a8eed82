#include "base/json_text.h"
#include "tune/tune.h"

namespace linnet {
namespace {

// An object or array that is being written; the whole one has a line for each member.
class Json {
 public:
  explicit Json(std::string& out, char open = '{') : out_(out), whole_(out.empty()), close_(open == '{' ? '}' : ']') {
    out_ += open;
  }
  Json(const Json&) = delete;
  Json& operator=(const Json&) = delete;
  ~Json() {
    if (whole_) out_ += '\n';
    out_ += close_;
  }

  std::string& next() {
    out_ += empty_ ? "" : whole_ ? "," : ", ";
    if (whole_) out_ += "\n ";
    empty_ = false;
    return out_;
  }
  std::string& key(std::string_view name) {
    append_json(next(), name);
    return out_ += ": ";
  }
  void text(std::string_view name, std::string_view value) { append_json(key(name), value); }
  void number(std::string_view name, double value) { append_json(key(name), value); }
  void count(std::string_view name, uint64_t value) { key(name) += std::to_string(value); }
  void flag(std::string_view name, bool value) { key(name) += value ? "true" : "false"; }

 private:
  std::string& out_;
  const bool whole_;
  const char close_;
  bool empty_ = true;
};

void append_source(Json& json, const TuneReport& report) {
  json.text("linnet", report.engine);
  json.text("isa", report.isa);
  {
    Json model(json.key("source"));
    model.text("path", report.model.string());
    model.text("sha256", report.model_sha256);
    model.count("bytes", report.model_bytes);
  }
  {
    Json samples(json.key("samples"));
    samples.text("path", report.samples_path.string());
    samples.count("count", report.samples);
    samples.text("sha256", report.samples_sha256);
    if (!report.calibration_path.empty()) samples.text("calibration", report.calibration_path.string());
  }
  json.text("measure", report.measure);
  json.number("reference", report.reference);
  Json limits(json.key("limits"));
  limits.number("loss", report.limits.loss);
  if (report.limits.p95_ms) limits.number("p95_ms", *report.limits.p95_ms);
  if (report.limits.bytes) limits.count("bytes", *report.limits.bytes);
  if (report.limits.memory) limits.count("memory", *report.limits.memory);
}

void append_arguments(Json& json, const TuneCandidate& candidate) {
  Json list(json.key("arguments"), '[');
  for (const std::string& argument : candidate.arguments) append_json(list.next(), argument);
}

void append_measured(Json& json, const TuneCandidate& candidate) {
  json.count("bytes", candidate.bytes);
  if (candidate.loss) json.number("loss", *candidate.loss);
  if (!candidate.quality.empty()) json.key("quality") += candidate.quality;
  if (candidate.memory) json.count("memory", *candidate.memory);
}

void append_times(Json& json, const TunePoint& point) {
  json.count("threads", point.threads);
  json.number("median_ms", point.times.median_ms);
  json.number("p95_ms", point.times.p95_ms);
  json.number("spread_ms", point.times.spread_ms);
  json.count("runs", point.times.runs);
}

}  // namespace

std::string TuneReport::to_json() const {
  std::string out;
  {
    Json json(out);
    append_source(json, *this);
    json.text("memory_of", memory_of);
    json.number("seconds", seconds);
    json.flag("out_of_time", out_of_time);
    {
      Json list(json.key("candidates"), '[');
      for (const TuneCandidate& candidate : candidates) {
        Json entry(list.next() += "\n  ");
        append_arguments(entry, candidate);
        entry.text("fate", fate_name(candidate.fate));
        if (!candidate.reason.empty()) entry.text("reason", candidate.reason);
        if (!candidate.sha256.empty()) entry.text("sha256", candidate.sha256);
        if (candidate.bytes != 0) append_measured(entry, candidate);
        if (candidate.quantized != 0) entry.count("quantized", candidate.quantized);
      }
    }
    {
      Json list(json.key("points"), '[');
      for (const TunePoint& point : points) {
        Json entry(list.next() += "\n  ");
        entry.count("candidate", point.candidate);
        append_times(entry, point);
        entry.flag("front", point.front);
        entry.flag("within", point.within);
        entry.flag("left", point.left);
      }
    }
    if (chosen) {
      json.count("chosen", *chosen);
      json.text("output", output.string());
      json.text("command", command);
    }
    if (nearest) {
      json.count("nearest", *nearest);
      json.text("beyond", beyond);
    }
  }
  return out + '\n';
}

std::string TuneReport::manifest() const {
  std::string out;
  if (!chosen) return out;
  const TunePoint& point = points[*chosen];
  const TuneCandidate& candidate = candidates[point.candidate];
  {
    Json json(out);
    append_source(json, *this);
    json.text("command", command);
    append_arguments(json, candidate);
    {
      Json result(json.key("result"));
      result.text("path", output.string());
      result.text("sha256", candidate.sha256);
    }
    Json measured(json.key("measured"));
    append_measured(measured, candidate);
    measured.text("memory_of", memory_of);
    append_times(measured, point);
  }
  return out + '\n';
}

}  // namespace linnet
