// What became of a model that was quantised, as a page.
#pragma once

#include <string>

#include "quantize/quantize.h"

namespace linnet::cli {

std::string quantize_page(const std::string& model, const std::string& output, const QuantizeReport& report);

// "37.2 dB"; what is exact has no noise.
std::string decibels_text(double snr);

}  // namespace linnet::cli
