// The inputs of a run: from files, or made up.
#pragma once

#include <CLI/CLI.hpp>
#include <span>
#include <string>
#include <vector>

#include "run/session.h"

namespace linnet::cli {

struct InputOptions {
  std::string folder;                      // or an .npz archive
  std::vector<std::string> files;          // name=FILE
  std::vector<std::string> random_shapes;  // name=1x3x224x224
  std::vector<std::string> sizes;          // batch=1
};

// The names of the options.
inline constexpr const char* kInputOptions[] = {"--inputs", "--input", "--random-shape", "--size"};
void add_input_options(CLI::App& command, InputOptions& options);

struct Inputs {
  std::vector<Value> values;         // by port
  std::vector<std::string> sources;  // a file's path, or "random"
  std::vector<std::string> assumed;  // "batch=1": examples for sizes that have names and nobody gave
  std::vector<std::string> unnamed;  // "x=1x3x64x64": examples for inputs with sizes that have no names and nobody gave
};

// An input without a file is random of its declared shape, whose symbolic sizes are given by `sizes`, or those of other
// inputs' files and random shapes, or 1; a size named "a + b" is the sum. Where there is a folder, every input has to
// be in it or be asked for by another option.
Result<Inputs> make_inputs(std::span<const Model::Port> ports, const SymbolTable& symbols, const InputOptions& options,
                           uint64_t seed);

}  // namespace linnet::cli
