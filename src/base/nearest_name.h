// What somebody who mistyped a name may have meant.
#pragma once

#include <span>
#include <string>
#include <string_view>

namespace linnet {

// "; did you mean 'Conv_12'?" of the name that takes the fewest changes of characters, or nothing where none is near.
std::string did_you_mean(std::string_view wanted, std::span<const std::string_view> names);
// That, or where none is near "; there are 'a', 'b'", or "; there are none".
std::string nearest_or_all(std::string_view wanted, std::span<const std::string_view> names);

}  // namespace linnet
