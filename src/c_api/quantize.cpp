#include "quantize/quantize.h"

#include "c_api/samples.h"
#include "quantize/explain.h"
#include "quantize/static_quantize.h"

using namespace linnet;
using c_api::EngineObject;
using c_api::guarded;
using c_api::Pin;
using c_api::require;
using c_api::SharedTask;
using c_api::Write;

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

// An option, whether it was given, and whether the others leave it a use.
struct Use {
  const char* option;
  bool given, has_use;
  const char* without;
};

Status refuse_useless(const linnet_quantize_options& given) {
  const std::string_view ranges = given.calibration_method ? given.calibration_method : "minmax",
                         method = given.method           ? given.method
                                  : given.half_quadratic ? "hqq"
                                                         : "nearest";
  const bool is_static = given.scheme == LINNET_QUANTIZE_STATIC, blocks = given.scheme == LINNET_QUANTIZE_WEIGHTS,
             gptq = blocks && method == "gptq";
  const char* const kStatic = "LINNET_QUANTIZE_STATIC";
  const char* const kBlocks = "LINNET_QUANTIZE_WEIGHTS";
  const char* const kEight = "LINNET_QUANTIZE_DYNAMIC or LINNET_QUANTIZE_STATIC";
  const char* const kGptq = "the method 'gptq'";
  const char* const kEntropy = "the calibration method 'entropy'";
  const Use uses[] = {
      {"weight_type", given.weight_type != LINNET_UNDEFINED, !blocks, kEight},
      {"per_channel", given.per_channel != 0, !blocks, kEight},
      {"reduce_range", given.reduce_range != 0, !blocks, kEight},
      {"bits", given.bits != 0, blocks, kBlocks},
      {"block", given.block != 0, blocks, kBlocks},
      {"half_quadratic", given.half_quadratic != 0, blocks && method == "hqq", "the method 'hqq'"},
      {"embeddings", given.embeddings != 0, blocks, kBlocks},
      {"accuracy_level", given.accuracy_level != 0, blocks, kBlocks},
      {"method", given.method != nullptr, blocks, kBlocks},
      {"damping", given.damping != 0, gptq, kGptq},
      {"act_order", given.act_order != 0, gptq, kGptq},
      {"gptq_memory", given.gptq_memory != 0, gptq, kGptq},
      {"search_ranges", given.search_ranges != 0, blocks && method != "hqq", "the method 'nearest' or 'gptq'"},
      {"activation_type", given.activation_type != LINNET_UNDEFINED, is_static, kStatic},
      {"activation_symmetric", given.activation_symmetric != 0, is_static, kStatic},
      {"q_operator", given.q_operator != 0, is_static, kStatic},
      {"calibration_method", given.calibration_method != nullptr, is_static, kStatic},
      {"percentile", given.percentile != 0, is_static && ranges == "percentile", "the calibration method 'percentile'"},
      {"num_bins", given.num_bins != 0, is_static && ranges == "entropy", kEntropy},
      {"num_quantized_bins", given.num_quantized_bins != 0, is_static && ranges == "entropy", kEntropy},
      {"moving_average", given.moving_average != 0, is_static && ranges == "minmax", "the calibration method 'minmax'"},
      {"symmetric_range", given.symmetric_range != 0, is_static, kStatic},
      {"equalise", given.equalise != 0, is_static, kStatic},
      {"smooth", given.smooth != 0, is_static, kStatic},
      {"smooth_alpha", given.smooth_alpha != 0, is_static && given.smooth != 0, "smooth"},
      {"keep_biases", given.keep_biases != 0, is_static, kStatic}};
  for (const Use& use : uses)
    LINNET_REQUIRE(!use.given || use.has_use, invalid_argument(use.option, " has no use without ", use.without));
  LINNET_REQUIRE(given.accuracy_level == 0 || given.accuracy_level == 4,
                 invalid_argument("accuracy_level is 0 or 4, not ", given.accuracy_level));
  return {};
}

Status read_common(const linnet_quantize_options& given, QuantizeOptions& options) {
  LINNET_ASSIGN(options.include, texts_of(given.include, given.include_count, "include"));
  LINNET_ASSIGN(options.exclude, texts_of(given.exclude, given.exclude_count, "exclude"));
  if (given.weight_type != LINNET_UNDEFINED) options.weight_type = static_cast<DType>(given.weight_type);
  if (given.weight_symmetry != LINNET_SYMMETRY_BY_TYPE)
    options.weight_symmetric = given.weight_symmetry == LINNET_SYMMETRIC;
  options.per_channel = given.per_channel != 0;
  options.reduce_range = given.reduce_range != 0;
  return {};
}

// Without what all schemes have.
Result<WeightOptions> weight_options(const linnet_quantize_options& given) {
  WeightOptions options;
  if (given.bits) options.blocks.bits = given.bits;
  if (given.block) options.blocks.block = given.block;
  options.blocks.symmetric = given.weight_symmetry != LINNET_ASYMMETRIC;
  const std::string_view method = given.method ? given.method : given.half_quadratic ? "hqq" : "nearest";
  LINNET_REQUIRE(method == "nearest" || method == "hqq" || method == "gptq",
                 invalid_argument("there is no method '", method, "' for weights"));
  if (method == "hqq") options.blocks.method = BlockMethod::half_quadratic;
  if (method == "gptq") options.blocks.method = BlockMethod::gptq;
  options.blocks.mse = given.search_ranges != 0;
  LINNET_REQUIRE(given.damping >= 0 && given.damping <= 1, invalid_argument("damping has to be from 0 to 1"));
  if (given.damping != 0) options.gptq.percdamp = given.damping;
  options.gptq.actorder = given.act_order != 0;
  if (given.gptq_memory != 0) options.gptq.memory = given.gptq_memory;
  options.embeddings = given.embeddings != 0;
  options.accuracy_level = given.accuracy_level;
  return options;
}

Result<StaticOptions> static_options(const linnet_quantize_options& given) {
  StaticOptions options;
  if (given.q_operator) options.format = StaticFormat::q_operator;
  if (given.activation_type != LINNET_UNDEFINED) options.activation_type = static_cast<DType>(given.activation_type);
  options.activation_symmetric = given.activation_symmetric != 0;
  RangeOptions& range = options.range;
  if (given.percentile != 0) range.percentile = given.percentile;
  if (given.calibration_method) {
    const auto method = parse_calibration(given.calibration_method);
    LINNET_REQUIRE(method, invalid_argument("there is no calibration method '", given.calibration_method, "'"));
    range.method = *method;
  }
  constexpr int32_t kMostBins = 8192;
  LINNET_REQUIRE(given.num_bins >= 0 && given.num_bins <= kMostBins && given.num_quantized_bins >= 0,
                 invalid_argument("the distribution has 2 to ", kMostBins, " bins"));
  if (given.num_bins) range.num_bins = static_cast<size_t>(given.num_bins);
  if (given.num_quantized_bins) range.num_quantized_bins = static_cast<size_t>(given.num_quantized_bins);
  range.moving_average = given.moving_average != 0;
  range.symmetric = given.symmetric_range != 0;
  options.equalise = given.equalise != 0;
  options.smooth = given.smooth != 0;
  if (given.smooth_alpha != 0) options.smooth_alpha = given.smooth_alpha;
  options.bias_correction = given.keep_biases == 0;
  return options;
}

Result<std::optional<ExplainOptions>> explain_options(const linnet_quantize_options& given) {
  const bool labelled = given.label_count != 0 || given.label_output;
  if (!given.explain && !given.sensitivity && !given.only_faster && !labelled) return std::optional<ExplainOptions>();
  LINNET_REQUIRE(!given.label_output || given.label_count,
                 invalid_argument("label_output names the output for labels, and there are none"));
  ExplainOptions how;
  LINNET_ASSIGN(how.labels, c_api::labels_of(given.labels, given.label_count));
  if (given.label_output) how.labelled = given.label_output;
  how.sensitivity = given.sensitivity;
  how.only_faster = given.only_faster != 0;
  return std::optional(std::move(how));
}

// What a call was given, checked and copied; the functions stay the caller's.
struct QuantizeCall {
  linnet_quantize_options given;
  QuantizeOptions common;
  StaticOptions how;
  WeightOptions weights;
  std::optional<ExplainOptions> explain;
  std::shared_ptr<StopToken> cancel;
  std::filesystem::path output;
};

bool takes_samples(const QuantizeCall& call) {
  const linnet_quantize_scheme scheme = call.given.scheme;
  return call.explain || scheme == LINNET_QUANTIZE_STATIC ||
         (scheme == LINNET_QUANTIZE_WEIGHTS && call.weights.blocks.method == BlockMethod::gptq);
}

// `task`: NULL for a call that is carried out at once.
Result<std::shared_ptr<const QuantizeCall>> read_call(const linnet_quantize_options* options,
                                                      const linnet_load_options* load, const char* output,
                                                      SharedTask* task) {
  const auto made = std::make_shared<QuantizeCall>();
  QuantizeCall& call = *made;
  LINNET_ASSIGN(call.given, c_api::read_struct(options, "quantize options"));
  const linnet_quantize_options& given = call.given;
  LINNET_REQUIRE(given.scheme >= LINNET_QUANTIZE_DYNAMIC && given.scheme <= LINNET_QUANTIZE_WEIGHTS,
                 invalid_argument("there is no quantisation scheme ", static_cast<int>(given.scheme)));
  LINNET_TRY(read_common(given, call.common));
  LINNET_ASSIGN(call.how, static_options(given));
  LINNET_ASSIGN(call.weights, weight_options(given));
  LINNET_ASSIGN(call.explain, explain_options(given));
  LINNET_TRY(refuse_useless(given));
  LINNET_REQUIRE((!given.sample && !given.next) || takes_samples(call),
                 invalid_argument("samples have no use without LINNET_QUANTIZE_STATIC, the method 'gptq' or explain"));
  LINNET_ASSIGN(call.cancel, c_api::read_cancel(given.cancel, task));
  call.common.stop = task ? &task->stop : call.cancel.get();
  LINNET_ASSIGN(call.common.load, c_api::load_options_of(load, task, call.cancel.get()));
  const auto tell = [progress = given.progress, user = given.user, task](size_t done, size_t total,
                                                                         std::string_view what) {
    if (progress) c_api::call_quietly([&] { progress(user, done, total, std::string(what).c_str()); });
    if (task) task->tell(done, total, what);
  };
  if (given.progress || task) {
    call.common.progress = tell;
    call.how.sample_progress = [tell](size_t done, size_t total) { tell(done, total, "calibration"); };
    if (call.explain)
      call.explain->progress = [tell](std::string_view what, size_t done, size_t total) { tell(done, total, what); };
  }
  LINNET_ASSIGN(call.output, c_api::path_of(output, "output"));
  return std::shared_ptr<const QuantizeCall>(made);
}

Result<QuantizeReport> quantize(const std::shared_ptr<Engine>& engine, const ModelSource& source,
                                const QuantizeCall& call, SharedTask* task) {
  const linnet_quantize_options& given = call.given;
  Samples samples;
  if (takes_samples(call)) {
    LINNET_ASSIGN(samples, c_api::samples_of({given.sample_count, given.sample, given.next, given.user}, task));
  }
  const auto scheme = [&](const QuantizeOptions& common, const std::filesystem::path& path) -> Result<QuantizeReport> {
    if (given.scheme == LINNET_QUANTIZE_DYNAMIC) return quantize_dynamic(source, common, path);
    if (given.scheme == LINNET_QUANTIZE_STATIC) return quantize_static(engine, source, common, call.how, samples, path);
    WeightOptions options = call.weights;
    static_cast<QuantizeOptions&>(options) = common;
    if (samples.count) options.samples = &samples;
    options.sample_progress = call.how.sample_progress;
    return quantize_weights(*engine, source, options, path);
  };
  if (!call.explain) return scheme(call.common, call.output);
  LINNET_REQUIRE(samples.count != 0, invalid_argument("explaining takes samples of the model's inputs"));
  const auto tell = [&](size_t i) {
    if (call.common.progress) call.common.progress(i, 0, "reading samples");
  };
  LINNET_ASSIGN(samples, c_api::with_known_count(std::move(samples), source, call.common.load, call.common.stop, tell));
  return quantize_and_explain(engine, source, call.common, *call.explain, samples, call.output, scheme);
}

}  // namespace

linnet_status* linnet_quantize(linnet_engine* engine, const char* path, const linnet_load_options* load_options,
                               const linnet_quantize_options* options, const char* output, linnet_value** report) {
  return guarded([&]() -> Status {
    LINNET_ASSIGN(const Pin<EngineObject> pinned, c_api::use<EngineObject>(engine));
    LINNET_ASSIGN(const auto call, read_call(options, load_options, output, nullptr));
    linnet_source file{};
    file.struct_size = sizeof file;
    file.path = path;
    LINNET_REQUIRE(!path || !call->given.source, invalid_argument("there is both a path and a source"));
    std::shared_ptr<c_api::Lent> lent;
    LINNET_ASSIGN(ModelSource source, c_api::source_of(call->given.source ? call->given.source : &file, lent));
    LINNET_TRY(c_api::read_now(source));
    LINNET_ASSIGN(const QuantizeReport told, quantize(pinned->shared->engine, source, *call, nullptr));
    if (report) {
      LINNET_ASSIGN(*report, c_api::text_value(told.to_json()));
    }
    lent->accept();
    return {};
  });
}

linnet_status* linnet_quantize_async(linnet_engine* engine, const linnet_source* source,
                                     const linnet_load_options* load_options, const linnet_quantize_options* options,
                                     const char* output, const linnet_completion* completion, linnet_task** task) {
  return c_api::start_writing(engine, source, completion, task, [&](SharedTask& t) -> Result<Write> {
    LINNET_ASSIGN(const auto call, read_call(options, load_options, output, &t));
    return Write([call](SharedTask& at, const ModelSource& from) -> Status {
      LINNET_ASSIGN(const QuantizeReport told, quantize(at.engine->engine, from, *call, &at));
      at.report = told.to_json();
      return {};
    });
  });
}
