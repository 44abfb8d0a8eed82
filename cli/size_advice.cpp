#include "size_advice.h"

#include <algorithm>
#include <cstring>

#include "run/binding.h"

namespace linnet::cli {
namespace {

// An argument as a shell takes it.
std::string in_shell(const std::string& argument) {
  const bool plain = std::all_of(argument.begin(), argument.end(), [](char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || std::strchr("_-.=/:", c);
  });
  return plain ? argument : concat("'", argument, "'");
}

// Whether the node that failed reads whole numbers, such as indices, that follow from the elements of inputs.
bool reads_computed_numbers(const Program& program, std::string_view path) {
  std::vector<bool> computed(program.slots.size());
  for (const ProgramPort& port : program.inputs)
    if (port.slot != kNoSlot) computed[port.slot] = true;
  for (const Step& step : program.steps) {
    const auto is_computed = [&](SlotId slot) { return slot != kNoSlot && computed[slot]; };
    const auto is_number = [&](SlotId slot) { return is_computed(slot) && is_integer(program.slots[slot].info.dtype); };
    if (step.path == path) return std::any_of(step.in.begin(), step.in.end(), is_number);
    const bool of_shape = step.def->name == "Shape" || step.def->name == "Size";
    const bool any = std::any_of(step.in.begin(), step.in.end(), is_computed) ||
                     std::any_of(step.captures.begin(), step.captures.end(), is_computed);
    for (const SlotId slot : step.out)
      if (slot != kNoSlot) computed[slot] = any && !of_shape;
  }
  return true;
}

// Whether shapes alone make it fail, or shapes that only a run knows may have.
bool shapes_may_decide(const Status& status, const Model& model, const Inputs& inputs) {
  Binding binding(*model.program);
  MemoryPlanner planner;
  const Parallel serial;
  return !binding.bind(inputs.values, {}, {}, serial, planner).ok() ||
         std::any_of(binding.active.begin(), binding.active.end(),
                     [&](uint32_t step) { return binding.steps[step].dynamic; }) ||
         !reads_computed_numbers(*model.program, status.node());
}

}  // namespace

int64_t example_size(const OpenAxis& open) {
  const auto has = [&](std::string_view part) { return open.name.find(part) != std::string_view::npos; };
  if (open.name.starts_with("batch")) return 1;
  if (has("total")) return 32;  // what is past and what is new
  if (has("past") || has("seq")) return 16;
  if (open.rank == 4 && open.axis == 0) return 1;  // images
  const bool last = open.rank <= 3 && open.axis + 1 == open.rank;
  for (const std::string_view sound : {"sample", "audio", "wave", "signal", "speech"})
    if (last && (has(sound) || open.input.find(sound) != std::string_view::npos)) return 16000;  // a second
  return 64;
}

Status explain(Status status, const Inputs& inputs, const Model* model) {
  const bool by_size = status.code() == Code::invalid_argument || status.code() == Code::invalid_model;
  if (!by_size || status.node().empty() || (inputs.assumed.empty() && inputs.unnamed.empty())) return status;
  if (model && !shapes_may_decide(status, *model, inputs)) return status;
  std::string options;
  for (const std::string& size : inputs.assumed) options += concat(" --size ", in_shell(size));
  for (const std::string& shape : inputs.unnamed) options += concat(" --random-shape ", in_shell(shape));
  return Status(status.code(), concat(status.message(), " (sizes that the model leaves open were taken to be 1; give ",
                                      "what suits it, as in", options, ")"));
}

}  // namespace linnet::cli
