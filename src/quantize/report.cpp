#include <algorithm>
#include <cmath>
#include <cstdio>

#include "quantize/quantize.h"

namespace linnet {
namespace {

void append_text(std::string& out, std::string_view text) {
  out += '"';
  for (const char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    char escaped[8];
    if (static_cast<unsigned char>(c) < 0x20) {
      std::snprintf(escaped, sizeof escaped, "\\u%04x", static_cast<unsigned>(static_cast<unsigned char>(c)));
      out += escaped;
    } else {
      out += c;
    }
  }
  out += '"';
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
    append_text(out, row.node);
    out += row.result.empty() ? ", \"reason\": " : ", \"result\": ";
    append_text(out, row.result.empty() ? row.reason : row.result);
    // JSON has no infinity: null stands for exact weights.
    if (row.weight_snr_db)
      out += concat(", \"weight_snr_db\": ",
                    std::isfinite(*row.weight_snr_db) ? std::to_string(*row.weight_snr_db) : std::string("null"));
    if (!row.result.empty())
      out += concat(", \"bytes_before\": ", row.bytes_before, ", \"bytes_after\": ", row.bytes_after);
    out += '}';
  }
  return out + "\n ]\n}\n";
}

}  // namespace linnet
