#include "c_api/handles.h"

using namespace linnet;
using c_api::EngineObject;
using c_api::guarded;
using c_api::Lent;
using c_api::ModelObject;
using c_api::Pin;
using c_api::require;

namespace {

linnet_kind kind_of(ValueKind kind) noexcept {
  switch (kind) {
    case ValueKind::sequence: return LINNET_SEQUENCE;
    case ValueKind::map: return LINNET_MAP;
    case ValueKind::optional: return LINNET_OPTIONAL;
    case ValueKind::tensor: break;
  }
  return LINNET_TENSOR;
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

// Loads what make_source() describes, with the engine and options of the handles.
template <class MakeSource>
linnet_status* load_from(linnet_engine* engine, const linnet_load_options* options, linnet_model** model,
                         MakeSource&& make_source) {
  return guarded([&]() -> Status {
    LINNET_ASSIGN(const Pin<EngineObject> pinned, c_api::use<EngineObject>(engine));
    LINNET_TRY(require(model, "model"));
    LINNET_ASSIGN(LoadOptions given, c_api::load_options_of(options, nullptr));
    std::shared_ptr<Lent> lent;
    LINNET_ASSIGN(ModelSource source, make_source(lent));
    LINNET_ASSIGN(auto loaded, c_api::load(pinned->shared, std::move(source), std::move(given)));
    *model = c_api::make_handle<ModelObject>(std::move(loaded));
    if (lent) lent->accept();
    return {};
  });
}

Status port_of(const linnet_model* model, size_t i, const std::vector<Model::Port> Model::*ports,
               const std::vector<c_api::PortShape> c_api::SharedModel::*shapes, linnet_port* out) {
  LINNET_ASSIGN(const Pin<ModelObject> pinned, c_api::use<ModelObject>(model));
  const std::vector<Model::Port>& all = (*pinned->shared->model).*ports;
  LINNET_REQUIRE(i < all.size(), invalid_argument("there is no port ", i, "; there are ", all.size()));
  const ValueInfo& info = all[i].info;
  const c_api::PortShape& shape = ((*pinned->shared).*shapes)[i];
  linnet_port port{};
  port.name = all[i].name.c_str();
  port.kind = kind_of(info.kind);
  port.content = info.element ? kind_of(info.element->kind) : info.kind == ValueKind::map ? LINNET_MAP : LINNET_TENSOR;
  port.dtype = static_cast<linnet_dtype>(info.dtype);
  port.key_dtype = static_cast<linnet_dtype>(info.key);
  port.ranked = info.ranked;
  port.rank = shape.sizes.size();
  port.shape = shape.sizes.data();
  port.size_names = shape.name_pointers.data();
  return c_api::write_struct(port, out, "port");
}

}  // namespace

namespace linnet::c_api {
namespace {

Result<std::shared_ptr<const Model>> load_now(Engine& engine, ModelSource source, const LoadOptions& options) {
  LINNET_TRY(read_now(source));
  return load_model(engine, source, options);
}

}  // namespace

Result<std::shared_ptr<const SharedModel>> load(std::shared_ptr<SharedEngine> engine, ModelSource source,
                                                LoadOptions options) {
  auto made = std::make_shared<SharedModel>();
  LINNET_ASSIGN(made->model, load_now(*engine->engine, source, options));
  made->inputs = shapes_of(made->model->inputs, *made->model->program->symbols);
  made->outputs = shapes_of(made->model->outputs, *made->model->program->symbols);
  made->metadata = metadata_of(*made->model);
  made->bytes = made->model->program->constant_bytes() + made->model->program->packed_bytes();
  made->reload = [core = engine->engine, source = std::move(source),
                  options = std::move(options)](std::vector<std::string> outputs) {
    LoadOptions more = options;
    more.optimize.before = nullptr;  // of the first load
    more.extra_outputs.insert(more.extra_outputs.end(), outputs.begin(), outputs.end());
    return load_now(*core, source, more);
  };
  made->engine = std::move(engine);
  return std::shared_ptr<const SharedModel>(std::move(made));
}

}  // namespace linnet::c_api

linnet_status* linnet_model_load(linnet_engine* engine, const char* path, const linnet_load_options* options,
                                 linnet_model** model) {
  return load_from(engine, options, model, [&](std::shared_ptr<Lent>&) -> Result<ModelSource> {
    ModelSource source;
    LINNET_ASSIGN(source.path, c_api::path_of(path, "path"));
    return source;
  });
}

linnet_status* linnet_model_load_bytes(linnet_engine* engine, const void* data, size_t size,
                                       const linnet_load_options* options, linnet_model** model) {
  return load_from(engine, options, model, [&](std::shared_ptr<Lent>&) -> Result<ModelSource> {
    LINNET_TRY(require(data, "data"));
    const auto copy = std::make_shared<AlignedBuffer>(size);
    LINNET_REQUIRE(copy->data() || size == 0,
                   error(Code::out_of_memory, "cannot allocate ", size, " bytes for the model"));
    if (size) std::memcpy(copy->data(), data, size);
    ModelSource source;
    source.bytes = {copy->data(), size};
    source.owner = copy;
    return source;
  });
}

linnet_status* linnet_model_load_source(linnet_engine* engine, const linnet_source* source,
                                        const linnet_load_options* options, linnet_model** model) {
  return load_from(engine, options, model, [&](std::shared_ptr<Lent>& lent) { return c_api::source_of(source, lent); });
}

size_t linnet_model_input_count(const linnet_model* model) {
  const Pin<ModelObject> pinned(model);
  return pinned ? pinned->shared->inputs.size() : 0;
}

size_t linnet_model_output_count(const linnet_model* model) {
  const Pin<ModelObject> pinned(model);
  return pinned ? pinned->shared->outputs.size() : 0;
}

linnet_status* linnet_model_input(const linnet_model* model, size_t i, linnet_port* port) {
  return guarded([&] { return port_of(model, i, &Model::inputs, &c_api::SharedModel::inputs, port); });
}

linnet_status* linnet_model_output(const linnet_model* model, size_t i, linnet_port* port) {
  return guarded([&] { return port_of(model, i, &Model::outputs, &c_api::SharedModel::outputs, port); });
}

const char* linnet_model_metadata(const linnet_model* model, const char* key) {
  const Pin<ModelObject> pinned(model);
  if (!pinned || !key) return nullptr;
  for (const auto& [name, value] : pinned->shared->metadata)
    if (name == key) return value.c_str();
  return nullptr;
}

size_t linnet_model_metadata_count(const linnet_model* model) {
  const Pin<ModelObject> pinned(model);
  return pinned ? pinned->shared->metadata.size() : 0;
}

const char* linnet_model_metadata_key(const linnet_model* model, size_t i) {
  const Pin<ModelObject> pinned(model);
  return pinned && i < pinned->shared->metadata.size() ? pinned->shared->metadata[i].first.c_str() : nullptr;
}

size_t linnet_model_bytes(const linnet_model* model) {
  const Pin<ModelObject> pinned(model);
  return pinned ? pinned->shared->bytes : 0;
}
