#include "quantize/quantize.h"

#include "c_api/handles.h"
#include "quantize/static_quantize.h"

using namespace linnet;
using c_api::EngineObject;
using c_api::guarded;
using c_api::Pin;
using c_api::require;
using c_api::ValueObject;

namespace {

Result<std::vector<std::string>> texts_of(const char* const* texts, size_t count, const char* what) {
  std::vector<std::string> out;
  if (count) LINNET_TRY(require(texts, what));
  for (size_t i = 0; i < count; ++i) {
    LINNET_TRY(require(texts[i], what));
    out.emplace_back(texts[i]);
  }
  return out;
}

Status read_common(const linnet_quantize_options& given, QuantizeOptions& options) {
  LINNET_ASSIGN(options.include, texts_of(given.include, given.include_count, "include"));
  LINNET_ASSIGN(options.exclude, texts_of(given.exclude, given.exclude_count, "exclude"));
  if (given.weight_type != LINNET_UNDEFINED) options.weight_type = static_cast<DType>(given.weight_type);
  if (given.weight_symmetry != LINNET_SYMMETRY_BY_TYPE)
    options.weight_symmetric = given.weight_symmetry == LINNET_SYMMETRIC;
  options.per_channel = given.per_channel != 0;
  options.reduce_range = given.reduce_range != 0;
  if (given.progress)
    options.progress = [given](size_t done, size_t total, std::string_view node) {
      c_api::call_quietly([&] { given.progress(given.user, done, total, std::string(node).c_str()); });
    };
  return {};
}

WeightOptions weight_options(const linnet_quantize_options& given, const QuantizeOptions& common) {
  WeightOptions options;
  static_cast<QuantizeOptions&>(options) = common;
  if (given.bits) options.blocks.bits = given.bits;
  if (given.block) options.blocks.block = given.block;
  options.blocks.symmetric = given.weight_symmetry != LINNET_ASYMMETRIC;
  if (given.half_quadratic) options.blocks.method = BlockMethod::half_quadratic;
  options.embeddings = given.embeddings != 0;
  options.accuracy_level = given.accuracy_level;
  return options;
}

Result<StaticOptions> static_options(const linnet_quantize_options& given) {
  StaticOptions options;
  if (given.q_operator) options.format = StaticFormat::q_operator;
  if (given.activation_type != LINNET_UNDEFINED) options.activation_type = static_cast<DType>(given.activation_type);
  options.activation_symmetric = given.activation_symmetric != 0;
  if (given.percentile != 0) options.range.percentile = given.percentile;
  if (given.calibration_method) {
    const auto method = parse_calibration(given.calibration_method);
    LINNET_REQUIRE(method, invalid_argument("there is no calibration method '", given.calibration_method, "'"));
    options.range.method = *method;
  }
  if (given.progress)
    options.sample_progress = [given](size_t done, size_t total) {
      c_api::call_quietly([&] { given.progress(given.user, done, total, "calibration"); });
    };
  return options;
}

Result<std::vector<Value>> read_sample(const linnet_quantize_options& given, size_t i, const Model& model) {
  std::vector<linnet_value*> handles(model.inputs.size(), nullptr);
  const Status status =
      c_api::called("the sample function", [&] { return given.sample(given.user, i, handles.data(), handles.size()); });
  std::vector<Value> values(handles.size());
  Status wrong;
  for (size_t k = 0; k < handles.size(); ++k) {
    if (!handles[k]) continue;  // an optional input that holds nothing
    if (const Result<Pin<ValueObject>> value = c_api::use<ValueObject>(handles[k]); value.ok()) {
      values[k] = (*value)->value;
    } else {
      wrong = value.status();
    }
    linnet_release(handles[k]);
  }
  LINNET_TRY(status.copy());
  LINNET_TRY(std::move(wrong));
  return values;
}

Result<QuantizeReport> quantize(const std::shared_ptr<Engine>& engine, const ModelSource& source,
                                const linnet_quantize_options& given, const QuantizeOptions& common,
                                const std::filesystem::path& output) {
  switch (given.scheme) {
    case LINNET_QUANTIZE_DYNAMIC: return quantize_dynamic(source, common, output);
    case LINNET_QUANTIZE_WEIGHTS: return quantize_weights(*engine, source, weight_options(given, common), output);
    case LINNET_QUANTIZE_STATIC: {
      if (given.sample_count) LINNET_TRY(require(reinterpret_cast<const void*>(given.sample), "sample"));
      LINNET_ASSIGN(const StaticOptions how, static_options(given));
      const Samples samples{given.sample_count, [](size_t i) { return concat("sample ", i); },
                            [&](size_t i, const Model& model) { return read_sample(given, i, model); }};
      return quantize_static(engine, source, common, how, samples, output);
    }
    case LINNET_QUANTIZE_SCHEME_32_BITS_: break;
  }
  return invalid_argument("there is no quantisation scheme ", static_cast<int>(given.scheme));
}

}  // namespace

linnet_status* linnet_quantize(linnet_engine* engine, const char* path, const linnet_load_options* load_options,
                               const linnet_quantize_options* options, const char* output, linnet_value** report) {
  return guarded([&]() -> Status {
    LINNET_ASSIGN(const Pin<EngineObject> pinned, c_api::use<EngineObject>(engine));
    LINNET_ASSIGN(const linnet_quantize_options given, c_api::read_struct(options, "quantize options"));
    QuantizeOptions common;
    LINNET_TRY(read_common(given, common));
    if (load_options) {
      LINNET_ASSIGN(const Pin<c_api::LoadOptionsObject> load, c_api::use<c_api::LoadOptionsObject>(load_options));
      common.load = load->options;
    }
    std::shared_ptr<StopToken> stop;
    if (given.cancel) {
      LINNET_ASSIGN(const Pin<c_api::CancelObject> cancel, c_api::use<c_api::CancelObject>(given.cancel));
      stop = cancel->token;
      common.stop = stop.get();
    }
    ModelSource source;
    LINNET_ASSIGN(source.path, c_api::path_of(path, "path"));
    LINNET_ASSIGN(const std::filesystem::path target, c_api::path_of(output, "output"));
    Tensor text;
    if (report) {
      LINNET_ASSIGN(text, make_tensor(DType::string, Shape()));
    }
    LINNET_ASSIGN(const QuantizeReport told, quantize(pinned->shared->engine, source, given, common, target));
    if (report) {
      *text.ptr<std::string>() = told.to_json();
      *report = c_api::make_handle<ValueObject>(Value(std::move(text)));
    }
    return {};
  });
}
