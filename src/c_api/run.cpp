#include "c_api/run.h"

namespace linnet::c_api {
namespace {

std::optional<size_t> find_port(const std::vector<Model::Port>& ports, std::string_view name) {
  for (size_t i = 0; i < ports.size(); ++i)
    if (ports[i].name == name) return i;
  return std::nullopt;
}

// The session whose outputs have all these names, which for inner values is one of its own, loaded now or before.
Result<Session*> session_for(SharedSession& shared, std::span<const char* const> names) {
  std::vector<std::string> inner;
  for (const char* const name : names) {
    LINNET_TRY(require(name, "a name"));
    if (!find_port(shared.model->model->outputs, name)) inner.emplace_back(name);
  }
  if (inner.empty()) return &shared.session;
  std::sort(inner.begin(), inner.end());
  const std::lock_guard lock(shared.mutex);
  auto found = shared.variants.find(inner);
  if (found == shared.variants.end()) {
    LINNET_ASSIGN(auto model, shared.model->reload(inner));
    found = shared.variants.emplace(inner, std::make_unique<Session>(shared.engine->engine, std::move(model))).first;
  }
  return found->second.get();
}

}  // namespace

Result<size_t> port_named(const std::vector<Model::Port>& ports, const char* name, std::string_view what) {
  LINNET_TRY(require(name, "a name"));
  if (const std::optional<size_t> at = find_port(ports, name)) return *at;
  std::string list;
  for (const Model::Port& p : ports) list += concat(list.empty() ? "'" : ", '", p.name, "'");
  return error(Code::not_found, "the model has no ", what, " '", name, "'; it has ", list.empty() ? "none" : list);
}

Result<RunSettings> RunSettings::read(const linnet_run_options* options) {
  LINNET_ASSIGN(const linnet_run_options given, read_struct(options, "run's options"));
  constexpr int64_t kLongest = int64_t{1} << 40;
  RunSettings settings;
  if (given.cancel) {
    LINNET_ASSIGN(const Pin<CancelObject> cancel, use<CancelObject>(given.cancel));
    settings.cancel = cancel->token;
  }
  if (given.profile) {
    LINNET_ASSIGN(const Pin<ProfileObject> profile, use<ProfileObject>(given.profile));
    settings.profile = profile->shared;
  }
  LINNET_REQUIRE(given.timeout_ms >= 0, invalid_argument("a timeout cannot be ", given.timeout_ms, " ms"));
  if (given.timeout_ms > 0)
    settings.deadline = StopToken::Clock::now() + std::chrono::milliseconds(std::min(given.timeout_ms, kLongest));
  return settings;
}

Status run_in_order(Session& session, std::span<const Value> inputs, std::span<Value> outputs,
                    std::vector<uint8_t> wanted, std::span<const uint8_t> fixed, const RunSettings& settings,
                    const StopToken* stop) {
  InlineVector<const void*, 8> targets;
  for (size_t k = 0; k < outputs.size(); ++k)
    targets.push_back(outputs[k].is_tensor() && (fixed.empty() || fixed[k]) ? outputs[k].tensor.data : nullptr);
  RunOptions options;
  options.stop = stop ? stop : settings.cancel.get();
  options.deadline = settings.deadline;
  options.wanted = std::move(wanted);
  Profiler profiler;
  if (settings.profile) options.profiler = &profiler;
  Status status = session.run(inputs, outputs, options);
  if (settings.profile) {
    const std::lock_guard lock(settings.profile->mutex);
    for (const Profiler::Event& event : profiler.events()) settings.profile->profiler.record(event);
  }
  LINNET_TRY(std::move(status));
  for (size_t k = 0; k < outputs.size(); ++k)
    LINNET_REQUIRE(!targets[k] || (outputs[k].is_tensor() && outputs[k].tensor.data == targets[k]),
                   invalid_argument("output '", session.model().outputs[k].name, "' is ",
                                    outputs[k].is_tensor() ? outputs[k].tensor.to_string() : std::string("no tensor"),
                                    ", which the tensor given for it cannot take"));
  return {};
}

Status run_call(SharedSession& shared, const RunCall& call, const RunSettings& settings, const StopToken* stop) {
  Session* session = &shared.session;
  if (call.output_names) {
    LINNET_ASSIGN(session, session_for(shared, *call.output_names));
  }
  if (!call.input_names && !call.output_names)
    return run_in_order(*session, call.inputs, call.outputs, {}, {}, settings, stop);
  const Model& model = session->model();
  std::vector<Value> in, out(model.outputs.size());
  if (call.input_names) {
    in.resize(model.inputs.size());
    std::vector<uint8_t> given(model.inputs.size(), 0);
    for (size_t i = 0; i < call.inputs.size(); ++i) {
      LINNET_ASSIGN(const size_t at, port_named(model.inputs, (*call.input_names)[i], "input"));
      LINNET_REQUIRE(!given[at], invalid_argument("input '", model.inputs[at].name, "' is given twice"));
      given[at] = 1;
      in[at] = call.inputs[i];
    }
  } else {
    in.assign(call.inputs.begin(), call.inputs.end());
  }
  std::vector<uint8_t> wanted;
  std::vector<size_t> places;
  if (call.output_names) {
    wanted.assign(model.outputs.size(), 0);
    for (size_t i = 0; i < call.outputs.size(); ++i) {
      LINNET_ASSIGN(const size_t at, port_named(model.outputs, (*call.output_names)[i], "output"));
      places.push_back(at);
      LINNET_REQUIRE(!call.outputs[i].is_tensor() || !wanted[at],
                     invalid_argument("output '", model.outputs[at].name, "' is asked for twice"));
      wanted[at] = 1;
      if (call.outputs[i].is_tensor()) out[at] = call.outputs[i];
    }
  } else {
    LINNET_REQUIRE(call.outputs.size() == out.size(),
                   invalid_argument("the model gives ", out.size(), " outputs, not ", call.outputs.size()));
    out.assign(call.outputs.begin(), call.outputs.end());
    for (size_t i = 0; i < out.size(); ++i) places.push_back(i);
  }
  LINNET_TRY(run_in_order(*session, in, out, std::move(wanted), {}, settings, stop));
  for (size_t i = 0; i < places.size(); ++i) call.outputs[i] = out[places[i]];
  return {};
}

}  // namespace linnet::c_api
