// Typed arrays and strings as native values and back.
#include <cstring>

#include "native.h"

namespace linnet_node {
namespace {

// Native memory that JavaScript sees as an ArrayBuffer. Runs that borrow it keep it, too.
struct Exposed {
  Handle<linnet_value> value;
  uint8_t* data;
  size_t bytes;
};

class ExposedMemory {
 public:
  // For the process: workers send each other their buffers.
  static ExposedMemory& all() {
    static auto* const all = new ExposedMemory;
    return *all;
  }
  // False where the memory is exposed already, or so much of it is that finalisers, which only an idle event loop runs,
  // seem not to keep up.
  bool add(const std::shared_ptr<Exposed>& memory) {
    const std::lock_guard lock(mutex_);
    if (bytes_ > kMostBytes || !by_address_.emplace(memory->data, memory).second) return false;
    bytes_ += memory->bytes;
    return true;
  }
  void remove(const Exposed& memory) {
    const std::lock_guard lock(mutex_);
    bytes_ -= memory.bytes;
    by_address_.erase(memory.data);
  }
  std::shared_ptr<Exposed> find(const void* data, size_t bytes) {
    const auto* const begin = static_cast<const uint8_t*>(data);
    const std::lock_guard lock(mutex_);
    auto after = by_address_.upper_bound(begin);
    if (after == by_address_.begin()) return nullptr;
    const std::shared_ptr<Exposed>& memory = (--after)->second;
    const auto offset = static_cast<size_t>(begin - memory->data);
    return offset <= memory->bytes && bytes <= memory->bytes - offset ? memory : nullptr;
  }

 private:
  static constexpr size_t kMostBytes = size_t{256} << 20;
  std::mutex mutex_;
  std::map<const uint8_t*, std::shared_ptr<Exposed>> by_address_;
  size_t bytes_ = 0;
};

// Below this a copy costs less than an external ArrayBuffer.
constexpr size_t kLeastExposed = 4096;

linnet_view view_of(Napi::Env env, const Handle<linnet_value>& value) {
  linnet_view view{};
  view.struct_size = sizeof view;
  check(env, linnet_value_view(value.get(), &view));
  return view;
}

std::vector<int64_t> dims_of(Napi::Value value) {
  const auto array = value.As<Napi::Array>();
  std::vector<int64_t> dims(array.Length());
  for (uint32_t i = 0; i < dims.size(); ++i) dims[i] = array.Get(i).ToNumber().Int64Value();
  return dims;
}

Napi::Value external_buffer(Napi::Env env, std::shared_ptr<Exposed> memory) {
  if (!ExposedMemory::all().add(memory)) return {};
  auto* const kept = new std::shared_ptr<Exposed>(memory);
  const auto finalise = [](napi_env, void*, void* hint) {
    auto* const held = static_cast<std::shared_ptr<Exposed>*>(hint);
    ExposedMemory::all().remove(**held);
    delete held;
  };
  napi_value buffer = nullptr;
  if (napi_create_external_arraybuffer(env, memory->data, memory->bytes, finalise, kept, &buffer) == napi_ok)
    return Napi::Value(env, buffer);
  finalise(env, nullptr, kept);  // a runtime without external buffers
  return {};
}

Napi::Value buffer_of(Napi::Env env, Handle<linnet_value> value, const linnet_view& view, bool always_native) {
  if (view.bytes >= kLeastExposed || (always_native && view.bytes)) {
    auto memory = std::make_shared<Exposed>();
    memory->data = static_cast<uint8_t*>(view.data);
    memory->bytes = view.bytes;
    memory->value = std::move(value);
    if (const Napi::Value buffer = external_buffer(env, memory); !buffer.IsEmpty()) return buffer;
    value = std::move(memory->value);
  }
  auto copy = Napi::ArrayBuffer::New(env, view.bytes);
  if (view.bytes) std::memcpy(copy.Data(), view.data, view.bytes);
  return copy;
}

Napi::Value strings_of(Napi::Env env, const Handle<linnet_value>& value, const linnet_view& view) {
  const auto count = static_cast<uint32_t>(view.count);
  const auto texts = Napi::Array::New(env, count);
  for (uint32_t i = 0; i < count; ++i) {
    size_t length = 0;
    const char* const text = linnet_value_string(value.get(), i, &length);
    texts.Set(i, Napi::String::New(env, text ? text : "", length));
  }
  return texts;
}

Napi::Value tensor_form(Napi::Env env, Handle<linnet_value> value, const linnet_view& view, bool always_native) {
  const auto form = Napi::Array::New(env, 4);
  const auto dims = Napi::Array::New(env, view.rank);
  for (uint32_t i = 0; i < view.rank; ++i) dims.Set(i, Napi::Number::New(env, static_cast<double>(view.shape[i])));
  form.Set(0u, Napi::Number::New(env, LINNET_TENSOR));
  form.Set(1u, Napi::Number::New(env, view.dtype));
  form.Set(2u, dims);
  form.Set(3u, view.dtype == LINNET_STRING ? strings_of(env, value, view)
                                           : buffer_of(env, std::move(value), view, always_native));
  return form;
}

struct Bytes {
  void* data;
  size_t size;
};

Bytes bytes_of(Napi::Env env, Napi::Value data) {
  if (!data.IsTypedArray()) throw Napi::TypeError::New(env, "the data of a tensor must be a typed array");
  napi_typedarray_type type;
  size_t length = 0;
  void* memory = nullptr;
  if (napi_get_typedarray_info(env, data, &type, &length, &memory, nullptr, nullptr) != napi_ok)
    throw Napi::TypeError::New(env, "the data of a tensor cannot be read");
  static char nothing[16];
  return {length ? memory : nothing, data.As<Napi::TypedArray>().ByteLength()};
}

void release_exposed(void* user) { delete static_cast<std::shared_ptr<Exposed>*>(user); }

Handle<linnet_value> borrow(Napi::Env env, linnet_dtype dtype, const std::vector<int64_t>& dims, Bytes bytes,
                            std::shared_ptr<Exposed> owner) {
  Handle<linnet_value> value;
  auto kept = owner ? std::make_unique<std::shared_ptr<Exposed>>(std::move(owner)) : nullptr;
  check(env, linnet_value_borrow_tensor(dtype, dims.data(), dims.size(), bytes.data, bytes.size,
                                        kept ? release_exposed : nullptr, kept.get(), value.out()));
  kept.release();
  return value;
}

Handle<linnet_value> strings_from(Napi::Env env, const Napi::Array& texts, const std::vector<int64_t>& dims) {
  std::vector<std::string> kept;
  std::vector<const char*> pointers;
  std::vector<size_t> lengths;
  int64_t count = 1;
  for (const int64_t dim : dims) count *= dim;
  if (count != texts.Length()) throw Napi::RangeError::New(env, "the strings are not as many as the shape says");
  kept.reserve(texts.Length());
  for (uint32_t i = 0; i < texts.Length(); ++i) kept.push_back(texts.Get(i).ToString().Utf8Value());
  for (const std::string& text : kept) {
    pointers.push_back(text.c_str());
    lengths.push_back(text.size());
  }
  Handle<linnet_value> value;
  check(env, linnet_value_create_strings(pointers.data(), lengths.data(), dims.data(), dims.size(), value.out()));
  return value;
}

Handle<linnet_value> tensor_from(Napi::Env env, const Napi::Array& form, Lending lending) {
  const auto dtype = static_cast<linnet_dtype>(form.Get(1u).ToNumber().Int32Value());
  const std::vector<int64_t> dims = dims_of(form.Get(2u));
  const Napi::Value data = form.Get(3u);
  if (dtype == LINNET_STRING) {
    if (!data.IsArray()) throw Napi::TypeError::New(env, "the data of a string tensor must be an array of strings");
    return strings_from(env, data.As<Napi::Array>(), dims);
  }
  const Bytes bytes = bytes_of(env, data);
  std::shared_ptr<Exposed> owner = ExposedMemory::all().find(bytes.data, bytes.size);
  if (owner || lending == Lending::during_call) return borrow(env, dtype, dims, bytes, std::move(owner));
  Handle<linnet_value> value;
  check(env, linnet_value_create_tensor(dtype, dims.data(), dims.size(), value.out()));
  const linnet_view view = view_of(env, value);
  if (view.bytes > bytes.size) throw Napi::RangeError::New(env, "the data of a tensor is shorter than its shape");
  if (view.bytes) std::memcpy(view.data, bytes.data, view.bytes);
  return value;
}

}  // namespace

Handle<linnet_value> value_of(Napi::Env env, Napi::Value given, Lending lending) {
  Handle<linnet_value> value;
  if (given.IsNull() || given.IsUndefined()) return value;
  if (!given.IsArray()) throw Napi::TypeError::New(env, "a value must be a Tensor, an array, a Map or null");
  const auto form = given.As<Napi::Array>();
  const int kind = form.Get(0u).ToNumber().Int32Value();
  if (kind == LINNET_TENSOR) return tensor_from(env, form, lending);
  if (kind == LINNET_MAP) {
    const Handle<linnet_value> keys = value_of(env, form.Get(1u), Lending::beyond_call);
    const Handle<linnet_value> values = value_of(env, form.Get(2u), Lending::beyond_call);
    check(env, linnet_value_create_map(keys.get(), values.get(), value.out()));
    return value;
  }
  const auto elements = form.Get(2u).As<Napi::Array>();
  std::vector<Handle<linnet_value>> made;
  std::vector<const linnet_value*> handles;
  for (uint32_t i = 0; i < elements.Length(); ++i) {
    made.push_back(value_of(env, elements.Get(i), Lending::beyond_call));
    handles.push_back(made.back().get());
  }
  const auto dtype = static_cast<linnet_dtype>(form.Get(1u).ToNumber().Int32Value());
  check(env, linnet_value_create_sequence(dtype, handles.data(), handles.size(), value.out()));
  return value;
}

Handle<linnet_value> target_of(Napi::Env env, Napi::Value given, Lending lending) {
  if (!given.IsArray()) return {};
  const auto form = given.As<Napi::Array>();
  const auto dtype = static_cast<linnet_dtype>(form.Get(1u).ToNumber().Int32Value());
  if (dtype == LINNET_STRING) return {};
  const Bytes bytes = bytes_of(env, form.Get(3u));
  std::shared_ptr<Exposed> owner = ExposedMemory::all().find(bytes.data, bytes.size);
  if (!owner && lending == Lending::beyond_call) return {};
  return borrow(env, dtype, dims_of(form.Get(2u)), bytes, std::move(owner));
}

Napi::Value form_of(Napi::Env env, Handle<linnet_value> value) {
  if (!value.get()) return env.Null();
  const linnet_view view = view_of(env, value);
  if (view.kind == LINNET_NONE) return env.Null();
  if (view.kind == LINNET_TENSOR) return tensor_form(env, std::move(value), view, false);
  const auto form = Napi::Array::New(env, 3);
  const auto element = [&](size_t i) {
    Handle<linnet_value> at;
    check(env, linnet_value_at(value.get(), i, at.out()));
    return form_of(env, std::move(at));
  };
  form.Set(0u, Napi::Number::New(env, view.kind));
  if (view.kind == LINNET_MAP) {
    form.Set(1u, element(0));
    form.Set(2u, element(1));
    return form;
  }
  const auto elements = Napi::Array::New(env, static_cast<size_t>(view.count));
  for (uint32_t i = 0; i < elements.Length(); ++i) elements.Set(i, element(i));
  form.Set(1u, Napi::Number::New(env, view.dtype));
  form.Set(2u, elements);
  return form;
}

Napi::Value allocate(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const std::vector<int64_t> dims = dims_of(info[1]);
  Handle<linnet_value> value;
  check(env, linnet_value_create_tensor(static_cast<linnet_dtype>(info[0].ToNumber().Int32Value()), dims.data(),
                                        dims.size(), value.out()));
  const linnet_view view = view_of(env, value);
  return tensor_form(env, std::move(value), view, true);
}

}  // namespace linnet_node
