#include "c_api/binding.h"

using namespace linnet;
using c_api::BindingLock;
using c_api::BindingObject;
using c_api::guarded;
using c_api::Pin;
using c_api::require;
using c_api::ValueObject;

namespace linnet::c_api {

Status SharedBinding::run(const RunSettings& settings, const StopToken* stop) {
  for (size_t k = 0; k < outputs.size(); ++k)
    if (fixed[k]) outputs[k] = targets[k];
  return run_in_order(session->session, inputs, outputs, {}, fixed, settings, stop);
}

}  // namespace linnet::c_api

linnet_status* linnet_binding_create(linnet_session* session, linnet_binding** binding) {
  return guarded([&]() -> Status {
    LINNET_ASSIGN(const Pin<c_api::SessionObject> pinned, c_api::use<c_api::SessionObject>(session));
    LINNET_TRY(require(binding, "binding"));
    *binding = c_api::make_handle<BindingObject>(std::make_shared<c_api::SharedBinding>(pinned->shared));
    return {};
  });
}

linnet_status* linnet_binding_set_input(linnet_binding* binding, const char* name, const linnet_value* value) {
  return guarded([&]() -> Status {
    LINNET_ASSIGN(const Pin<BindingObject> pinned, c_api::use<BindingObject>(binding));
    LINNET_ASSIGN(const Pin<ValueObject> given, c_api::use<ValueObject>(value));
    const BindingLock lock(pinned->shared);
    LINNET_TRY(lock.status());
    LINNET_ASSIGN(const size_t at, c_api::port_named(lock->session->model->model->inputs, name, "input"));
    lock->kept[at] = given->value;
    lock->inputs[at] = c_api::lent_to_run(given->value);
    return {};
  });
}

linnet_status* linnet_binding_set_output(linnet_binding* binding, const char* name, const linnet_value* value) {
  return guarded([&]() -> Status {
    LINNET_ASSIGN(const Pin<BindingObject> pinned, c_api::use<BindingObject>(binding));
    Value target;
    if (value) {
      LINNET_ASSIGN(const Pin<ValueObject> given, c_api::use<ValueObject>(value));
      LINNET_REQUIRE(given->value.is_tensor(), invalid_argument("what an output shall be written to is no tensor"));
      target = given->value;
    }
    const BindingLock lock(pinned->shared);
    LINNET_TRY(lock.status());
    LINNET_ASSIGN(const size_t at, c_api::port_named(lock->session->model->model->outputs, name, "output"));
    lock->fixed[at] = target.is_tensor();
    lock->targets[at] = std::move(target);
    lock->outputs[at] = Value();
    return {};
  });
}

linnet_status* linnet_binding_run(linnet_binding* binding, const linnet_run_options* options) {
  return guarded([&]() -> Status {
    LINNET_ASSIGN(const Pin<BindingObject> pinned, c_api::use<BindingObject>(binding));
    LINNET_ASSIGN(const c_api::RunSettings settings, c_api::RunSettings::read(options));
    const BindingLock lock(pinned->shared);
    LINNET_TRY(lock.status());
    return lock->run(settings, nullptr);
  });
}

linnet_status* linnet_binding_output(const linnet_binding* binding, const char* name, linnet_value** value) {
  return guarded([&]() -> Status {
    LINNET_ASSIGN(const Pin<BindingObject> pinned, c_api::use<BindingObject>(binding));
    LINNET_TRY(require(value, "value"));
    const BindingLock lock(pinned->shared);
    LINNET_TRY(lock.status());
    LINNET_ASSIGN(const size_t at, c_api::port_named(lock->session->model->model->outputs, name, "output"));
    *value = c_api::make_handle<ValueObject>(lock->outputs[at]);
    return {};
  });
}
