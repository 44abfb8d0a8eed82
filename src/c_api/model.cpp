#include "c_api/handles.h"

using namespace linnet;
using c_api::guarded;
using c_api::require;

namespace {

// Bytes that the caller keeps: an owner that owns nothing says that they may be viewed.
std::shared_ptr<const void> lent(const void* data) {
  return {data, [](const void*) {}};
}

linnet_kind kind_of(const ValueInfo& info) {
  switch (info.kind) {
    case ValueKind::sequence: return LINNET_SEQUENCE;
    case ValueKind::map: return LINNET_MAP;
    case ValueKind::optional: return LINNET_NONE;
    default: return LINNET_TENSOR;
  }
}

std::vector<c_api::PortShape> shapes_of(const std::vector<Model::Port>& ports, const SymbolTable& symbols) {
  std::vector<c_api::PortShape> shapes(ports.size());
  for (size_t i = 0; i < ports.size(); ++i) {
    for (const Dim& d : ports[i].info.shape) {
      shapes[i].sizes.push_back(d.known() ? d.value() : -1);
      shapes[i].names.push_back(d.known() || d.unknown() ? std::string() : symbols.to_string(d));
    }
    for (const std::string& name : shapes[i].names) shapes[i].name_pointers.push_back(name.c_str());
  }
  return shapes;
}

std::vector<std::pair<std::string, std::string>> metadata_of(const Model& model) {
  std::vector<std::pair<std::string, std::string>> out = {{"producer_name", model.producer_name},
                                                          {"producer_version", model.producer_version},
                                                          {"domain", model.domain},
                                                          {"description", model.description},
                                                          {"graph_name", model.graph_name},
                                                          {"ir_version", std::to_string(model.ir_version)},
                                                          {"model_version", std::to_string(model.model_version)}};
  for (const auto& [domain, version] : model.opsets)
    out.emplace_back("opset:" + (domain.empty() ? std::string("ai.onnx") : domain), std::to_string(version));
  out.insert(out.end(), model.metadata.begin(), model.metadata.end());
  return out;
}

Status load(linnet_engine* engine, const ModelSource& source, const linnet_load_options* options, linnet_model** out) {
  LINNET_TRY(require(engine, "engine"));
  LINNET_TRY(require(out, "model"));
  const LoadOptions given = options ? options->options : LoadOptions();
  auto made = std::make_unique<linnet_model>();
  LINNET_ASSIGN(made->model, load_model(*engine->engine, source, given));
  made->reload = [shared = engine->engine, source, given](std::vector<std::string> outputs) {
    LoadOptions more = given;
    more.extra_outputs.insert(more.extra_outputs.end(), outputs.begin(), outputs.end());
    return load_model(*shared, source, more);
  };
  made->inputs = shapes_of(made->model->inputs, *made->model->program->symbols);
  made->outputs = shapes_of(made->model->outputs, *made->model->program->symbols);
  made->metadata = metadata_of(*made->model);
  *out = made.release();
  return {};
}

Status port_of(const std::vector<Model::Port>& ports, const std::vector<c_api::PortShape>& shapes, size_t i,
               linnet_port* out) {
  LINNET_TRY(require(out, "port"));
  LINNET_REQUIRE(i < ports.size(), invalid_argument("there is no port ", i));
  LINNET_REQUIRE(out->struct_size >= sizeof(linnet_port), invalid_argument("struct_size of the port is not set"));
  out->name = ports[i].name.c_str();
  out->kind = kind_of(ports[i].info);
  out->dtype = static_cast<linnet_dtype>(ports[i].info.dtype);
  out->ranked = ports[i].info.ranked;
  out->rank = shapes[i].sizes.size();
  out->shape = shapes[i].sizes.data();
  out->size_names = shapes[i].name_pointers.data();
  return {};
}

}  // namespace

linnet_load_options* linnet_load_options_create(void) { return new (std::nothrow) linnet_load_options; }

void linnet_load_options_release(linnet_load_options* options) { delete options; }

void linnet_load_options_set_level(linnet_load_options* options, linnet_level level) {
  if (options) options->options.optimize.level = static_cast<OptimizationLevel>(level);
}

void linnet_load_options_disable_pass(linnet_load_options* options, const char* pass) {
  if (options && pass) options->options.optimize.disabled.insert(pass);
}

void linnet_load_options_fix_size(linnet_load_options* options, const char* name, int64_t size) {
  if (options && name) options->options.fixed_sizes[name] = size;
}

void linnet_load_options_replace_initializer(linnet_load_options* options, const char* name,
                                             const linnet_value* tensor) {
  if (options && name && tensor) options->options.initializers[name] = tensor->value.tensor;
}

void linnet_load_options_supply_external_data(linnet_load_options* options, const char* location, const void* data,
                                              size_t size) {
  if (options && location)
    options->options.external_data[location] = {{static_cast<const std::byte*>(data), size}, lent(data)};
}

void linnet_load_options_add_output(linnet_load_options* options, const char* value) {
  if (options && value) options->options.extra_outputs.emplace_back(value);
}

void linnet_load_options_set_copy_files(linnet_load_options* options, int copy) {
  if (options) options->options.copy_file = copy != 0;
}

void linnet_load_options_set_seed(linnet_load_options* options, uint64_t seed) {
  if (options) options->options.seed = seed;
}

void linnet_load_options_set_log(linnet_load_options* options, void (*log)(void*, linnet_severity, const char*),
                                 void* user) {
  if (!options) return;
  options->options.log = nullptr;
  if (!log) return;
  options->options.log = [log, user](Severity severity, std::string_view text) {
    log(user, static_cast<linnet_severity>(severity), std::string(text).c_str());
  };
}

linnet_status* linnet_model_load(linnet_engine* engine, const char* path, const linnet_load_options* options,
                                 linnet_model** model) {
  return guarded([&]() -> Status {
    LINNET_TRY(require(path, "path"));
    const std::u8string utf8(reinterpret_cast<const char8_t*>(path));
    return load(engine, ModelSource{std::filesystem::path(utf8), {}, nullptr}, options, model);
  });
}

linnet_status* linnet_model_load_bytes(linnet_engine* engine, const void* data, size_t size, int borrow,
                                       const linnet_load_options* options, linnet_model** model) {
  return guarded([&]() -> Status {
    LINNET_TRY(require(data, "data"));
    const auto* bytes = static_cast<const std::byte*>(data);
    ModelSource source{{}, {bytes, size}, lent(data)};
    if (!borrow) {
      const auto copy = std::make_shared<std::vector<std::byte>>(bytes, bytes + size);
      source.bytes = *copy;
      source.owner = copy;
    }
    return load(engine, source, options, model);
  });
}

void linnet_model_release(linnet_model* model) { delete model; }

size_t linnet_model_input_count(const linnet_model* model) { return model ? model->inputs.size() : 0; }

size_t linnet_model_output_count(const linnet_model* model) { return model ? model->outputs.size() : 0; }

linnet_status* linnet_model_input(const linnet_model* model, size_t i, linnet_port* port) {
  return guarded([&]() -> Status {
    LINNET_TRY(require(model, "model"));
    return port_of(model->model->inputs, model->inputs, i, port);
  });
}

linnet_status* linnet_model_output(const linnet_model* model, size_t i, linnet_port* port) {
  return guarded([&]() -> Status {
    LINNET_TRY(require(model, "model"));
    return port_of(model->model->outputs, model->outputs, i, port);
  });
}

const char* linnet_model_metadata(const linnet_model* model, const char* key) {
  if (!model || !key) return nullptr;
  for (const auto& [name, value] : model->metadata)
    if (name == key) return value.c_str();
  return nullptr;
}

size_t linnet_model_metadata_count(const linnet_model* model) { return model ? model->metadata.size() : 0; }

const char* linnet_model_metadata_key(const linnet_model* model, size_t i) {
  return model && i < model->metadata.size() ? model->metadata[i].first.c_str() : nullptr;
}
