#include <algorithm>
#include <cstring>

#include "c_api/handles.h"

using namespace linnet;
using c_api::guarded;
using c_api::require;

struct linnet_binding {
  std::shared_ptr<c_api::SharedSession> shared;
  std::vector<Value> inputs, outputs;
};

namespace {

Status to_run_options(const linnet_run_options* from, RunOptions& to) {
  if (!from) return {};
  LINNET_REQUIRE(from->struct_size >= sizeof(size_t), invalid_argument("struct_size of the run's options is not set"));
  linnet_run_options given{};
  std::memcpy(&given, from, std::min(from->struct_size, sizeof given));
  constexpr int64_t kLongest = int64_t{1} << 40;
  if (given.cancel) to.stop = &given.cancel->token;
  if (given.timeout_ms > 0)
    to.deadline = StopToken::Clock::now() + std::chrono::milliseconds(std::min(given.timeout_ms, kLongest));
  if (given.profile) to.profiler = &given.profile->profiler;
  return {};
}

std::optional<size_t> find_port(const std::vector<Model::Port>& ports, std::string_view name) {
  for (size_t i = 0; i < ports.size(); ++i)
    if (ports[i].name == name) return i;
  return std::nullopt;
}

// The port's place, or an error that lists what there is.
Result<size_t> port_named(const std::vector<Model::Port>& ports, const char* name, std::string_view what) {
  LINNET_TRY(require(name, "a name"));
  if (const std::optional<size_t> at = find_port(ports, name)) return *at;
  std::string list;
  for (const Model::Port& p : ports) list += concat(list.empty() ? "'" : ", '", p.name, "'");
  return error(Code::not_found, "the model has no ", what, " '", name, "'; it has ", list.empty() ? "none" : list);
}

// The session whose model has all the named outputs: the first one, or a variant with inner values as outputs.
Result<Session*> session_for(c_api::SharedSession& shared, std::span<const char* const> output_names) {
  std::vector<std::string> inner;
  for (const char* name : output_names) {
    LINNET_TRY(require(name, "an output's name"));
    if (!find_port(shared.model->outputs, name)) inner.emplace_back(name);
  }
  if (inner.empty()) return &shared.session;
  const std::lock_guard lock(shared.mutex);
  auto found = shared.variants.find(inner);
  if (found == shared.variants.end()) {
    LINNET_ASSIGN(auto model, shared.reload(inner));
    found = shared.variants.emplace(inner, std::make_unique<Session>(shared.engine, std::move(model))).first;
  }
  return found->second.get();
}

// Hands the outputs of a run to the caller's handles: those that are NULL are made.
void hand_over(std::span<Value> values, linnet_value** outputs) {
  std::vector<std::unique_ptr<linnet_value>> made(values.size());
  for (size_t i = 0; i < values.size(); ++i)
    if (!outputs[i]) made[i] = std::make_unique<linnet_value>();
  for (size_t i = 0; i < values.size(); ++i) {
    if (made[i]) outputs[i] = made[i].release();
    outputs[i]->value = std::move(values[i]);
  }
}

Status run_named(c_api::SharedSession& shared, const linnet_run_options* options,
                 std::span<const char* const> input_names, const linnet_value* const* inputs,
                 std::span<const char* const> output_names, linnet_value** outputs) {
  LINNET_ASSIGN(Session* const session, session_for(shared, output_names));
  const Model& model = session->model();
  RunOptions run_options;
  LINNET_TRY(to_run_options(options, run_options));
  std::vector<Value> in(model.inputs.size()), out(model.outputs.size());
  for (size_t i = 0; i < input_names.size(); ++i) {
    LINNET_ASSIGN(const size_t at, port_named(model.inputs, input_names[i], "input"));
    if (inputs[i]) in[at] = inputs[i]->value;
  }
  run_options.wanted.assign(model.outputs.size(), 0);
  std::vector<size_t> places;
  for (size_t i = 0; i < output_names.size(); ++i) {
    LINNET_ASSIGN(const size_t at, port_named(model.outputs, output_names[i], "output"));
    places.push_back(at);
    run_options.wanted[at] = 1;
    if (outputs[i]) out[at] = outputs[i]->value;
  }
  LINNET_TRY(session->run(in, out, run_options));
  std::vector<Value> picked;
  for (const size_t at : places) picked.push_back(out[at]);
  hand_over(picked, outputs);
  return {};
}

}  // namespace

linnet_cancel* linnet_cancel_create(void) { return new (std::nothrow) linnet_cancel; }

void linnet_cancel_request(linnet_cancel* cancel) {
  if (cancel) cancel->token.request_stop();
}

void linnet_cancel_release(linnet_cancel* cancel) { delete cancel; }

linnet_profile* linnet_profile_create(void) { return new (std::nothrow) linnet_profile; }

const char* linnet_profile_trace(linnet_profile* profile) {
  if (!profile) return "";
  profile->trace = profile->profiler.chrome_trace();
  return profile->trace.c_str();
}

void linnet_profile_release(linnet_profile* profile) { delete profile; }

linnet_status* linnet_session_create(linnet_engine* engine, linnet_model* model, linnet_session** session) {
  return guarded([&]() -> Status {
    LINNET_TRY(require(engine, "engine"));
    LINNET_TRY(require(model, "model"));
    LINNET_TRY(require(session, "session"));
    *session = new linnet_session{std::make_shared<c_api::SharedSession>(engine->engine, model->model, model->reload)};
    return {};
  });
}

void linnet_session_release(linnet_session* session) { delete session; }

linnet_status* linnet_session_run(linnet_session* session, const linnet_run_options* options,
                                  const linnet_value* const* inputs, size_t input_count, linnet_value** outputs,
                                  size_t output_count) {
  return guarded([&]() -> Status {
    LINNET_TRY(require(session, "session"));
    LINNET_REQUIRE(inputs || input_count == 0, invalid_argument("inputs are NULL"));
    LINNET_REQUIRE(outputs || output_count == 0, invalid_argument("outputs are NULL"));
    RunOptions run_options;
    LINNET_TRY(to_run_options(options, run_options));
    std::vector<Value> in(input_count), out(output_count);
    for (size_t i = 0; i < input_count; ++i)
      if (inputs[i]) in[i] = inputs[i]->value;
    for (size_t i = 0; i < output_count; ++i)
      if (outputs[i]) out[i] = outputs[i]->value;
    LINNET_TRY(session->shared->session.run(in, out, run_options));
    hand_over(out, outputs);
    return {};
  });
}

linnet_status* linnet_session_run_named(linnet_session* session, const linnet_run_options* options,
                                        const char* const* input_names, const linnet_value* const* inputs,
                                        size_t input_count, const char* const* output_names, linnet_value** outputs,
                                        size_t output_count) {
  return guarded([&]() -> Status {
    LINNET_TRY(require(session, "session"));
    LINNET_REQUIRE((input_names && inputs) || input_count == 0, invalid_argument("inputs are NULL"));
    LINNET_REQUIRE((output_names && outputs) || output_count == 0, invalid_argument("outputs are NULL"));
    return run_named(*session->shared, options, {input_names, input_count}, inputs, {output_names, output_count},
                     outputs);
  });
}

void linnet_session_trim(linnet_session* session) {
  if (session) session->shared->session.trim();
}

linnet_status* linnet_binding_create(linnet_session* session, linnet_binding** binding) {
  return guarded([&]() -> Status {
    LINNET_TRY(require(session, "session"));
    LINNET_TRY(require(binding, "binding"));
    const Model& model = *session->shared->model;
    *binding = new linnet_binding{session->shared, std::vector<Value>(model.inputs.size()),
                                  std::vector<Value>(model.outputs.size())};
    return {};
  });
}

void linnet_binding_release(linnet_binding* binding) { delete binding; }

linnet_status* linnet_binding_set_input(linnet_binding* binding, const char* name, const linnet_value* value) {
  return guarded([&]() -> Status {
    LINNET_TRY(require(binding, "binding"));
    LINNET_TRY(require(value, "value"));
    LINNET_ASSIGN(const size_t at, port_named(binding->shared->model->inputs, name, "input"));
    binding->inputs[at] = value->value;
    return {};
  });
}

linnet_status* linnet_binding_set_output(linnet_binding* binding, const char* name, const linnet_value* value) {
  return guarded([&]() -> Status {
    LINNET_TRY(require(binding, "binding"));
    LINNET_ASSIGN(const size_t at, port_named(binding->shared->model->outputs, name, "output"));
    binding->outputs[at] = value ? value->value : Value();
    return {};
  });
}

linnet_status* linnet_binding_run(linnet_binding* binding, const linnet_run_options* options) {
  return guarded([&]() -> Status {
    LINNET_TRY(require(binding, "binding"));
    RunOptions run_options;
    LINNET_TRY(to_run_options(options, run_options));
    return binding->shared->session.run(binding->inputs, binding->outputs, run_options);
  });
}

linnet_status* linnet_binding_output(const linnet_binding* binding, const char* name, linnet_value** value) {
  return guarded([&]() -> Status {
    LINNET_TRY(require(binding, "binding"));
    LINNET_TRY(require(value, "value"));
    LINNET_ASSIGN(const size_t at, port_named(binding->shared->model->outputs, name, "output"));
    *value = new linnet_value{binding->outputs[at]};
    return {};
  });
}
