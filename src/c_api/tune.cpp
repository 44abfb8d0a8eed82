#include "tune/tune.h"

#include "c_api/samples.h"

using namespace linnet;
using c_api::guarded;
using c_api::require;
using c_api::SharedTask;
using c_api::Write;

namespace {

// What a call was given, checked and copied; the functions stay the caller's.
struct TuneCall {
  linnet_tune_options given;
  TuneOptions options;
  std::filesystem::path samples_path, calibration_path;
  std::shared_ptr<StopToken> cancel;
};

// The number of the name in the list; nothing for NULL.
Result<std::optional<size_t>> choice(const char* name, std::initializer_list<std::string_view> names,
                                     const char* what) {
  if (!name) return std::optional<size_t>();
  const auto* const found = std::find(names.begin(), names.end(), name);
  LINNET_REQUIRE(found != names.end(), invalid_argument("there is no ", what, " '", name, "'"));
  return std::optional(static_cast<size_t>(found - names.begin()));
}

Status read_limits(const linnet_tune_options& given, TuneOptions& options) {
  LINNET_REQUIRE(given.max_loss >= 0 && given.p95_ms >= 0 && given.budget_seconds >= 0,
                 invalid_argument("limits and the budget cannot be below 0"));
  TuneLimits& limits = options.limits;
  LINNET_REQUIRE(given.no_loss == 0 || given.max_loss == 0,
                 invalid_argument("no_loss says that max_loss is 0, and it is ", given.max_loss));
  if (given.max_loss != 0 || given.no_loss != 0) limits.loss = given.max_loss;
  if (given.p95_ms != 0) limits.p95_ms = given.p95_ms;
  if (given.max_bytes != 0) limits.bytes = given.max_bytes;
  if (given.max_memory != 0) limits.memory = given.max_memory;
  if (given.budget_seconds != 0) options.budget_seconds = given.budget_seconds;
  return {};
}

// Whether there are samples to calibrate with beside those to judge by.
bool calibrates(const linnet_tune_options& given, SharedTask* task) {
  return given.calibration_count || given.calibration_sample || given.calibration_next ||
         (task && given.post_calibration);
}

// `task`: NULL for a call that is carried out at once.
Result<std::shared_ptr<const TuneCall>> read_call(const linnet_tune_options* given_options, SharedTask* task) {
  const auto made = std::make_shared<TuneCall>();
  LINNET_ASSIGN(made->given, c_api::read_struct(given_options, "tune options"));
  const linnet_tune_options& given = made->given;
  TuneOptions& options = made->options;
  LINNET_TRY(read_limits(given, options));
  LINNET_ASSIGN(const auto measure, choice(given.measure, {"cosine", "top1", "accuracy"}, "measure"));
  if (measure) options.measure = static_cast<TuneMeasure>(*measure);
  LINNET_ASSIGN(const auto preference, choice(given.prefer, {"speed", "size", "quality", "memory"}, "preference"));
  if (preference) options.preference = static_cast<TunePreference>(*preference);
  LINNET_ASSIGN(options.labels, c_api::labels_of(given.labels, given.label_count));
  if (given.thread_count) {
    LINNET_TRY(require(given.threads, "threads"));
    options.threads.assign(given.threads, given.threads + given.thread_count);
  }
  options.resume = given.resume != 0;
  LINNET_ASSIGN(options.folder, c_api::path_of(given.folder, "folder"));
  if (given.output) {
    LINNET_ASSIGN(options.output, c_api::path_of(given.output, "output"));
  }
  if (given.sample_path) {
    LINNET_ASSIGN(made->samples_path, c_api::path_of(given.sample_path, "sample_path"));
  }
  if (given.calibration_path) {
    LINNET_ASSIGN(made->calibration_path, c_api::path_of(given.calibration_path, "calibration_path"));
  }
  LINNET_REQUIRE(calibrates(given, task) || !given.calibration_path,
                 invalid_argument("calibration_path has no use without samples to calibrate with"));
  LINNET_REQUIRE(given.label_count == 0 || !measure || options.measure == TuneMeasure::accuracy,
                 invalid_argument("labels are for accuracy, and measure asks for ", given.measure));
  LINNET_ASSIGN(made->cancel, c_api::read_cancel(given.cancel, task));
  options.stop = task ? &task->stop : made->cancel.get();
  if (given.progress || task)
    options.progress = [progress = given.progress, user = given.user, task](const TuneProgress& at) {
      constexpr std::string_view kStages[] = {"reading ", "trying ", "timing ", "writing "};
      const std::string what = concat(kStages[static_cast<size_t>(at.stage)], at.what);
      if (progress) c_api::call_quietly([&] { progress(user, at.done, at.total, what.c_str()); });
      if (task) task->tell(at.done, at.total, what);
    };
  return std::shared_ptr<const TuneCall>(made);
}

Result<std::string> tune_model(const std::filesystem::path& path, const TuneCall& call, SharedTask* task) {
  const linnet_tune_options& given = call.given;
  TuneInput input;
  input.model = path;
  input.samples_path = call.samples_path;
  input.calibration_path = call.calibration_path;
  const auto in_memory = [&](const c_api::SampleFunctions& functions) -> Result<Samples> {
    LINNET_ASSIGN(Samples samples, c_api::samples_of(functions, task));
    const auto name = samples.name;
    const auto tell = [&](size_t i) {
      if (call.options.progress) call.options.progress({TuneProgress::Stage::preparing, i, 0, name(i)});
    };
    return c_api::with_known_count(std::move(samples), {path, {}, nullptr}, {}, call.options.stop, tell);
  };
  LINNET_ASSIGN(input.samples, in_memory({given.sample_count, given.sample, given.next, given.user}));
  LINNET_REQUIRE(input.samples.count != 0, invalid_argument("tuning takes samples of the model's inputs"));
  if (calibrates(given, task)) {
    LINNET_ASSIGN(input.calibration,
                  in_memory({given.calibration_count, given.calibration_sample, given.calibration_next, given.user,
                             given.post_calibration != 0, true}));
  }
  LINNET_ASSIGN(const TuneReport report, tune(input, call.options));
  return report.to_json();
}

}  // namespace

linnet_status* linnet_tune(const char* path, const linnet_tune_options* options, linnet_value** report) {
  return guarded([&]() -> Status {
    LINNET_ASSIGN(const std::filesystem::path from, c_api::path_of(path, "path"));
    LINNET_ASSIGN(const auto call, read_call(options, nullptr));
    LINNET_ASSIGN(const std::string told, tune_model(from, *call, nullptr));
    if (report) {
      LINNET_ASSIGN(*report, c_api::text_value(told));
    }
    return {};
  });
}

linnet_status* linnet_tune_async(linnet_engine* engine, const char* path, const linnet_tune_options* options,
                                 const linnet_completion* completion, linnet_task** task) {
  linnet_source source{};
  source.struct_size = sizeof source;
  source.path = path;
  return c_api::start_writing(engine, &source, completion, task, [&](SharedTask& t) -> Result<Write> {
    LINNET_ASSIGN(const auto call, read_call(options, &t));
    return Write([call](SharedTask& at, const ModelSource& from) -> Status {
      LINNET_ASSIGN(at.report, tune_model(from.path, *call, &at));
      return {};
    });
  });
}
