// Optional parts of the engine that are shared libraries of their own.
#pragma once

#include <string>

namespace linnet {

// A function of the shared library `file`, which stands in the folder of the library or program that this code is part
// of, or in the folder of libraries that an installed program has beside its own; nowhere else is looked. Null when the
// library or the function is not there. The library stays open.
void* function_of_component(const std::string& file, const char* function);
// That folder, for messages; with a slash at its end.
std::string component_folder();

}  // namespace linnet
