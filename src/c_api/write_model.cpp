// Optimising and compiling: a source and options in, a file out, at once or as a task.
#include "c_api/task.h"
#include "optimize_model.h"

using namespace linnet;
using c_api::EngineObject;
using c_api::guarded;
using c_api::Lent;
using c_api::Pin;
using c_api::SharedTask;
using c_api::Write;

namespace linnet::c_api {
namespace {

// What a call was given, checked and copied.
struct OptimizeCall {
  OptimizeModelOptions how;
  std::shared_ptr<StopToken> cancel;
  linnet_value** report = nullptr;
  std::filesystem::path to;
};

Status read_shapes(const linnet_optimize_options& given, OptimizeModelOptions& how) {
  if (given.shape_count == 0) return {};
  LINNET_REQUIRE(given.shaped_inputs && given.shapes && given.ranks,
                 invalid_argument("shaped_inputs, shapes or ranks are NULL"));
  for (size_t i = 0; i < given.shape_count; ++i) {
    LINNET_TRY(require(given.shaped_inputs[i], "a name of shaped_inputs"));
    LINNET_REQUIRE(given.ranks[i] <= 1024 && (given.shapes[i] || given.ranks[i] == 0),
                   invalid_argument("the shape of input '", given.shaped_inputs[i], "' is NULL or too long"));
    const Shape shape(std::span<const int64_t>(given.shapes[i], given.ranks[i]));
    LINNET_REQUIRE(shape.checked_count(), invalid_argument("the shape ", shape, " is negative or too large"));
    how.shapes[given.shaped_inputs[i]] = shape;
  }
  return {};
}

Result<std::shared_ptr<const OptimizeCall>> read_optimize(linnet_level level, const linnet_load_options* load,
                                                          const linnet_optimize_options* options, const char* path,
                                                          SharedTask* task) {
  LINNET_REQUIRE(level >= LINNET_LEVEL_NONE && level <= LINNET_LEVEL_ALL,
                 invalid_argument("there is no level ", static_cast<int>(level)));
  const auto made = std::make_shared<OptimizeCall>();
  OptimizeCall& call = *made;
  OptimizeModelOptions& how = call.how;
  LINNET_ASSIGN(call.to, path_of(path, "path"));
  LINNET_ASSIGN(const linnet_optimize_options given, read_struct(options, "optimize options"));
  if (given.cancel) {
    LINNET_ASSIGN(const Pin<CancelObject> cancel, use<CancelObject>(given.cancel));
    call.cancel = cancel->token;
    how.stop = call.cancel.get();
  }
  LINNET_ASSIGN(how.load, load_options_of(load, task, how.stop));
  how.load.optimize.level = static_cast<OptimizationLevel>(level);
  LINNET_REQUIRE(given.floats != LINNET_UNDEFINED || (given.convert_io == 0 && given.keep_float_count == 0),
                 invalid_argument("convert_io and keep_float have no use without floats"));
  if (given.floats != LINNET_UNDEFINED) {
    how.floats.emplace();
    how.floats->to = static_cast<DType>(given.floats);
    how.floats->keep_io = given.convert_io == 0;
    for (size_t i = 0; i < given.keep_float_count; ++i) {
      LINNET_TRY(require(given.keep_float ? given.keep_float[i] : nullptr, "a name of keep_float"));
      how.floats->keep.insert(given.keep_float[i]);
    }
  }
  if (given.external_from != 0) how.save.external_threshold = given.external_from;
  LINNET_TRY(read_shapes(given, how));
  call.report = given.report;
  return std::shared_ptr<const OptimizeCall>(made);
}

}  // namespace

linnet_status* start_writing(linnet_engine* engine, const linnet_source* source, const linnet_completion* completion,
                             linnet_task** handle, FunctionRef<Result<Write>(SharedTask&)> prepare) {
  return guarded([&]() -> Status {
    LINNET_ASSIGN(const Pin<EngineObject> pinned, use<EngineObject>(engine));
    auto task = new_task(pinned->shared, {});
    LINNET_ASSIGN(const Write write, prepare(*task));
    std::shared_ptr<Lent> lent;
    LINNET_ASSIGN(const ModelSource from, source_of(source, lent));
    const auto work = [write, from](SharedTask& t) -> Status {
      ModelSource whole = from;
      LINNET_TRY(read_now(whole));
      return write(t, whole);
    };
    LINNET_TRY(start(std::move(task), completion, handle, work));
    if (lent) lent->accept();
    return {};
  });
}

}  // namespace linnet::c_api

linnet_status* linnet_optimize(const linnet_source* source, linnet_level level, const linnet_load_options* load,
                               const linnet_optimize_options* options, const char* path) {
  return guarded([&]() -> Status {
    LINNET_ASSIGN(const auto call, c_api::read_optimize(level, load, options, path, nullptr));
    std::shared_ptr<Lent> lent;
    LINNET_ASSIGN(ModelSource from, c_api::source_of(source, lent));
    LINNET_TRY(c_api::read_now(from));
    LINNET_ASSIGN(const OptimizeModelReport report, optimize_model(from, call->how, call->to));
    if (call->report) {
      LINNET_ASSIGN(*call->report, c_api::text_value(report.to_json()));
    }
    if (lent) lent->accept();
    return {};
  });
}

linnet_status* linnet_optimize_async(linnet_engine* engine, const linnet_source* source, linnet_level level,
                                     const linnet_load_options* load, const linnet_optimize_options* options,
                                     const char* path, const linnet_completion* completion, linnet_task** task) {
  return c_api::start_writing(engine, source, completion, task, [&](SharedTask& t) -> Result<Write> {
    LINNET_ASSIGN(const auto call, c_api::read_optimize(level, load, options, path, &t));
    return Write([call](SharedTask& at, const ModelSource& from) -> Status {
      LINNET_ASSIGN(const OptimizeModelReport report, optimize_model(from, call->how, call->to));
      at.report = report.to_json();
      return {};
    });
  });
}

linnet_status* linnet_compile(linnet_engine* engine, const linnet_source* source, const linnet_load_options* load,
                              const char* path) {
  return guarded([&]() -> Status {
    LINNET_ASSIGN(const Pin<EngineObject> pinned, c_api::use<EngineObject>(engine));
    LINNET_ASSIGN(const std::filesystem::path to, c_api::path_of(path, "path"));
    LINNET_ASSIGN(const LoadOptions options, c_api::load_options_of(load, nullptr));
    std::shared_ptr<Lent> lent;
    LINNET_ASSIGN(ModelSource from, c_api::source_of(source, lent));
    LINNET_TRY(c_api::read_now(from));
    LINNET_TRY(compile_model(*pinned->shared->engine, from, options, to));
    if (lent) lent->accept();
    return {};
  });
}

linnet_status* linnet_compile_async(linnet_engine* engine, const linnet_source* source, const linnet_load_options* load,
                                    const char* path, const linnet_completion* completion, linnet_task** task) {
  return c_api::start_writing(engine, source, completion, task, [&](SharedTask& t) -> Result<Write> {
    LINNET_ASSIGN(const std::filesystem::path to, c_api::path_of(path, "path"));
    LINNET_ASSIGN(LoadOptions given, c_api::load_options_of(load, &t));
    const auto options = std::make_shared<const LoadOptions>(std::move(given));
    return Write([to, options](SharedTask& at, const ModelSource& from) {
      return compile_model(*at.engine->engine, from, *options, to);
    });
  });
}
