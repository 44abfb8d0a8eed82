#include <algorithm>

#include "base/json_text.h"
#include "quantize/quantize.h"

namespace linnet {
namespace {

void append_field(std::string& out, std::string_view name, const std::optional<double>& value) {
  if (!value) return;
  out += concat(", \"", name, "\": ");
  append_json(out, *value);
}

}  // namespace

size_t QuantizeReport::quantized() const noexcept {
  return static_cast<size_t>(
      std::count_if(nodes.begin(), nodes.end(), [](const NodeReport& n) { return !n.result.empty(); }));
}

std::string QuantizeReport::to_json() const {
  std::string out = concat("{\n \"bytes_before\": ", bytes_before, ",\n \"bytes_after\": ", bytes_after,
                           ",\n \"quantized\": ", quantized(), ",\n \"nodes\": [");
  for (const NodeReport& row : nodes) {
    out += &row == nodes.data() ? "\n  {\"node\": " : ",\n  {\"node\": ";
    append_json(out, row.node);
    out += ", \"name\": ";
    append_json(out, row.name);
    out += row.result.empty() ? ", \"reason\": " : ", \"result\": ";
    append_json(out, row.result.empty() ? row.reason : row.result);
    if (!row.note.empty()) {
      out += ", \"note\": ";
      append_json(out, row.note);
    }
    append_field(out, "weight_snr_db", row.weight_snr_db);  // null: exact
    if (!row.result.empty())
      out += concat(", \"bytes_before\": ", row.bytes_before, ", \"bytes_after\": ", row.bytes_after);
    append_field(out, "activation_snr_db", row.activation_snr_db);
    append_field(out, "milliseconds_before", row.milliseconds_before);
    append_field(out, "milliseconds_after", row.milliseconds_after);
    if (row.alone) out += concat(", \"alone\": ", row.alone->to_json());
    out += '}';
  }
  out += "\n ]";
  if (explanation) {
    const Explanation& e = *explanation;
    out += concat(",\n \"quality\": ", e.quality.to_json(), ",\n \"run\": {\"threads\": ", e.threads);
    append_field(out, "milliseconds_before", e.milliseconds_before);
    append_field(out, "milliseconds_after", e.milliseconds_after);
    out += concat("},\n \"samples\": {\"quality\": ", e.quality.samples, ", \"run\": ", e.timed_samples,
                  ", \"activation_snr_db\": ", e.activation_samples, ", \"alone\": ", e.sensitivity_samples);
    if (!e.without_numbers.empty()) {
      out += ", \"without_numbers\": [";
      for (const std::string& name : e.without_numbers) {
        if (&name != e.without_numbers.data()) out += ", ";
        append_json(out, name);
      }
      out += ']';
    }
    out += '}';
  }
  return out + "\n}\n";
}

}  // namespace linnet
