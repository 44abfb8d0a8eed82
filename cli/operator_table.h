// The operators of this build, as `linnet inspect --operators` lists them and docs/operators.md is made of.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

namespace linnet::cli {

// domain, name, since (of the form that runs), older (forms are rewritten to it), inputs and outputs (least, most;
// null: any number), types (of input `typed`, or of the output where that is null) and simd. Operators that are only
// rewritten to others have a domain, a name and rewritten.
nlohmann::ordered_json operators_json();
std::string operators_text();

}  // namespace linnet::cli
