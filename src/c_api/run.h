// One run as the C interface carries it out, at once or later on another thread.
#pragma once

#include <optional>
#include <span>

#include "base/inline_vector.h"
#include "c_api/handles.h"

namespace linnet::c_api {

// The caller's run options, with what keeps them alive.
struct RunSettings {
  std::shared_ptr<StopToken> cancel;
  std::shared_ptr<SharedProfile> profile;
  StopToken::Clock::time_point deadline = StopToken::Clock::time_point::max();

  static Result<RunSettings> read(const linnet_run_options* options);
};

// What is run. Names: absent for the model's order.
struct RunCall {
  std::optional<std::span<const char* const>> input_names, output_names;
  std::span<const Value> inputs;  // in the caller's order
  std::span<Value> outputs;       // the same; those that hold a tensor are written to
};

// `stop` may be null. The caller keeps the inputs' memory alive.
Status run_call(SharedSession& session, const RunCall& call, const RunSettings& settings, const StopToken* stop);

// The same over values in the model's order. `wanted` as RunOptions::wanted. `fixed`: the outputs whose memory must be
// written to, not replaced; all that hold a tensor when empty.
Status run_in_order(Session& session, std::span<const Value> inputs, std::span<Value> outputs,
                    std::vector<uint8_t> wanted, std::span<const uint8_t> fixed, const RunSettings& settings,
                    const StopToken* stop);

// The value as a run may use it: without the owner of its memory, so that no output shares it.
inline Value lent_to_run(const Value& value) {
  Value lent = value;
  lent.tensor.owner.reset();
  return lent;
}

Result<size_t> port_named(const std::vector<Model::Port>& ports, const char* name, std::string_view what);

}  // namespace linnet::c_api
