#include "c_api/run.h"

using namespace linnet;
using c_api::CancelObject;
using c_api::guarded;
using c_api::Pin;
using c_api::ProfileObject;
using c_api::require;
using c_api::SessionObject;
using c_api::ValueObject;

linnet_status* linnet_cancel_create(linnet_cancel** cancel) {
  return guarded([&]() -> Status {
    LINNET_TRY(require(cancel, "cancel"));
    *cancel = c_api::make_handle<CancelObject>();
    return {};
  });
}

void linnet_cancel_request(linnet_cancel* cancel) {
  const Pin<CancelObject> pinned(cancel);
  if (pinned) pinned->token->request_stop();
}

linnet_status* linnet_profile_create(linnet_profile** profile) {
  return guarded([&]() -> Status {
    LINNET_TRY(require(profile, "profile"));
    *profile = c_api::make_handle<ProfileObject>();
    return {};
  });
}

linnet_status* linnet_profile_trace(const linnet_profile* profile, linnet_value** json) {
  return guarded([&]() -> Status {
    LINNET_ASSIGN(const Pin<ProfileObject> pinned, c_api::use<ProfileObject>(profile));
    LINNET_TRY(require(json, "json"));
    std::string trace;
    {
      const std::lock_guard lock(pinned->shared->mutex);
      trace = pinned->shared->profiler.chrome_trace();
    }
    LINNET_ASSIGN(*json, c_api::text_value(std::move(trace)));
    return {};
  });
}

linnet_status* linnet_session_create(linnet_engine* engine, linnet_model* model, linnet_session** session) {
  return guarded([&]() -> Status {
    LINNET_ASSIGN(const Pin<c_api::ModelObject> pinned, c_api::use<c_api::ModelObject>(model));
    LINNET_TRY(require(session, "session"));
    std::shared_ptr<c_api::SharedEngine> on = pinned->shared->engine;
    if (engine) {
      LINNET_ASSIGN(const Pin<c_api::EngineObject> given, c_api::use<c_api::EngineObject>(engine));
      on = given->shared;
    }
    *session = c_api::make_handle<SessionObject>(std::make_shared<c_api::SharedSession>(std::move(on), pinned->shared));
    return {};
  });
}

linnet_status* linnet_session_run(linnet_session* session, const linnet_run_options* options,
                                  const char* const* input_names, const linnet_value* const* inputs, size_t input_count,
                                  const char* const* output_names, linnet_value** outputs, size_t output_count) {
  return guarded([&]() -> Status {
    LINNET_ASSIGN(const Pin<SessionObject> pinned, c_api::use<SessionObject>(session));
    LINNET_REQUIRE(inputs || input_count == 0, invalid_argument("inputs are NULL"));
    LINNET_REQUIRE(outputs || output_count == 0, invalid_argument("outputs are NULL"));
    LINNET_ASSIGN(const c_api::RunSettings settings, c_api::RunSettings::read(options));
    std::vector<Pin<ValueObject>> pins;
    pins.reserve(input_count + output_count);
    std::vector<Value> in(input_count), out(output_count);
    for (size_t i = 0; i < input_count; ++i) {
      if (!inputs[i]) continue;
      LINNET_ASSIGN(Pin<ValueObject> value, c_api::use<ValueObject>(inputs[i]));
      in[i] = c_api::lent_to_run(value->value);
      pins.push_back(std::move(value));
    }
    for (size_t i = 0; i < output_count; ++i) {
      if (!outputs[i]) continue;
      LINNET_ASSIGN(Pin<ValueObject> value, c_api::use<ValueObject>(outputs[i]));
      LINNET_REQUIRE(value->value.is_tensor(),
                     invalid_argument("what output ", i, " shall be written to is no tensor"));
      out[i] = value->value;
      pins.push_back(std::move(value));
    }
    c_api::RunCall call;
    if (input_names) call.input_names = {input_names, input_count};
    if (output_names) call.output_names = {output_names, output_count};
    call.inputs = in;
    call.outputs = out;
    LINNET_TRY(c_api::run_call(*pinned->shared, call, settings, nullptr));
    std::vector<linnet_value*> made(output_count, nullptr);
    try {
      for (size_t i = 0; i < output_count; ++i)
        if (!outputs[i]) made[i] = c_api::make_handle<ValueObject>(std::move(out[i]));
    } catch (...) {
      for (linnet_value* const value : made) linnet_release(value);
      throw;
    }
    for (size_t i = 0; i < output_count; ++i)
      if (made[i]) outputs[i] = made[i];
    return {};
  });
}

void linnet_session_trim(linnet_session* session) {
  const Pin<SessionObject> pinned(session);
  if (pinned) pinned->shared->session.trim();
}
