#include <algorithm>

#include "base/json_text.h"
#include "quantize/quantize.h"

namespace linnet {

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
    out += row.result.empty() ? ", \"reason\": " : ", \"result\": ";
    append_json(out, row.result.empty() ? row.reason : row.result);
    if (!row.note.empty()) {
      out += ", \"note\": ";
      append_json(out, row.note);
    }
    if (row.weight_snr_db) {
      out += ", \"weight_snr_db\": ";
      append_json(out, *row.weight_snr_db);  // null: exact
    }
    if (!row.result.empty())
      out += concat(", \"bytes_before\": ", row.bytes_before, ", \"bytes_after\": ", row.bytes_after);
    out += '}';
  }
  return out + "\n ]\n}\n";
}

}  // namespace linnet
