// Classes of code points by Unicode's general category ("L", "Lu") or script ("Greek").
#pragma once

#include <string_view>

#include "base/regex.h"

namespace linnet {

// Adds the class to the set; false when the name is not known.
bool add_unicode_class(std::string_view name, CodePointSet& set);

}  // namespace linnet
