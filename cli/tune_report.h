// How the result of `linnet tune` is told.
#pragma once

#include <string>

#include "tune/tune.h"

namespace linnet::cli {

// A table of the points worth having, what became of the other candidates, and the choice.
std::string tune_text(const TuneReport& report);
// A page that stands alone.
std::string tune_page(const TuneReport& report);

}  // namespace linnet::cli
