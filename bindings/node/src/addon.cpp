// The addon: what lib/ needs of linnet.h. Nothing here is public.
#include "native.h"

namespace linnet_node {

Napi::Value error_of(Napi::Env env, linnet_status* status) {
  const Handle<linnet_status> owned(status);
  return env.GetInstanceData<Addon>()->error_factory.Call(
      {Napi::Number::New(env, linnet_status_code(status)), Napi::String::New(env, linnet_status_message(status)),
       Napi::String::New(env, linnet_status_node(status)), Napi::String::New(env, linnet_status_inputs(status))});
}

void check(Napi::Env env, linnet_status* status) {
  if (status) throw Napi::Error(env, error_of(env, status));
}

namespace {

Napi::Object init(Napi::Env env, Napi::Object exports) {
  auto* const addon = new Addon;
  env.SetInstanceData(addon);
  addon->session = Napi::Persistent(session_class(env));
  addon->session.SuppressDestruct();
  addon->binding = Napi::Persistent(binding_class(env));
  addon->binding.SuppressDestruct();
  open_reports(env, *addon);

  const auto add = [&](const char* name, Napi::Value (*function)(const Napi::CallbackInfo&)) {
    exports.Set(name, Napi::Function::New(env, function, name));
  };
  add("setErrorFactory", [](const Napi::CallbackInfo& info) -> Napi::Value {
    Addon& own = *info.Env().GetInstanceData<Addon>();
    own.error_factory = Napi::Persistent(info[0].As<Napi::Function>());
    own.error_factory.SuppressDestruct();
    return info.Env().Undefined();
  });
  add("load", load);
  add("allocate", allocate);
  add("write", write);
  add("giveSample", give_sample);
  add("cancelWriting", cancel_writing);
  add("openHandles", [](const Napi::CallbackInfo& info) -> Napi::Value {
    return Napi::Number::New(info.Env(), static_cast<double>(linnet_open_handles()));
  });
  add("hasFeature", [](const Napi::CallbackInfo& info) -> Napi::Value {
    return Napi::Boolean::New(info.Env(), linnet_has_feature(info[0].ToString().Utf8Value().c_str()) != 0);
  });
  exports.Set("version", Napi::String::New(env, linnet_version()));
  return exports;
}

}  // namespace
}  // namespace linnet_node

static Napi::Object init(Napi::Env env, Napi::Object exports) { return linnet_node::init(env, exports); }
NODE_API_MODULE(linnet, init)
