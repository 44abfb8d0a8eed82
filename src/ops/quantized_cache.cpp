#include "ops/quantized_cache.h"

#include <algorithm>
#include <cmath>

namespace linnet {
namespace {

int32_t code_of(float x, float scale, int32_t low, int32_t high) noexcept {
  const float code = std::nearbyint(x / scale);
  return code > static_cast<float>(low) ? static_cast<int32_t>(std::min(code, static_cast<float>(high))) : low;
}

}  // namespace

Result<CacheForm> parse_cache_form(NodeReader& reader, std::string_view name, int64_t bits) {
  const std::string type = reader.text(name, "NONE");
  if (type == "NONE") return CacheForm{};
  LINNET_REQUIRE(type == "PER_TENSOR" || type == "PER_CHANNEL", invalid_model(name, " is '", type, "'"));
  LINNET_REQUIRE(bits == 4 || bits == 8, invalid_model("kv_cache_bit_width is ", bits, "; it must be 4 or 8"));
  return CacheForm{static_cast<int>(bits), type == "PER_CHANNEL"};
}

void quantize_row(const float* row, size_t size, const float* scale, size_t step, int bits, uint8_t* codes) noexcept {
  if (bits == 8) {
    for (size_t i = 0; i < size; ++i)
      codes[i] = static_cast<uint8_t>(static_cast<int8_t>(code_of(row[i], scale[i * step], -128, 127)));
    return;
  }
  for (size_t i = 0; i < size; i += 2) {
    const int32_t low = code_of(row[i], scale[i * step], -8, 7) + 8;
    const int32_t high = i + 1 < size ? code_of(row[i + 1], scale[(i + 1) * step], -8, 7) + 8 : 8;
    codes[i / 2] = static_cast<uint8_t>(low | high << 4);
  }
}

void dequantize_row(const uint8_t* codes, size_t size, const float* scale, size_t step, int bits, float* row) noexcept {
  for (size_t i = 0; i < size; ++i) {
    const int32_t code =
        bits == 8 ? static_cast<int8_t>(codes[i]) : static_cast<int32_t>(codes[i / 2] >> (i % 2 * 4) & 15) - 8;
    row[i] = static_cast<float>(code) * scale[i * step];
  }
}

}  // namespace linnet
