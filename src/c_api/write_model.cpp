#include "c_api/handles.h"
#include "optimize_model.h"

using namespace linnet;
using c_api::guarded;
using c_api::Lent;
using c_api::Pin;

namespace linnet::c_api {
namespace {

Result<LoadOptions> options_of(const linnet_load_options* options) {
  if (!options) return LoadOptions();
  LINNET_ASSIGN(const Pin<LoadOptionsObject> pinned, use<LoadOptionsObject>(options));
  return pinned->options;
}

}  // namespace
}  // namespace linnet::c_api

linnet_status* linnet_optimize(const linnet_source* source, linnet_level level, const linnet_load_options* load,
                               const linnet_optimize_options* options, const char* path) {
  return guarded([&]() -> Status {
    LINNET_REQUIRE(level >= LINNET_LEVEL_NONE && level <= LINNET_LEVEL_ALL,
                   invalid_argument("there is no level ", static_cast<int>(level)));
    LINNET_ASSIGN(const std::filesystem::path to, c_api::path_of(path, "path"));
    LINNET_ASSIGN(const linnet_optimize_options given, c_api::read_struct(options, "optimize options"));
    OptimizeModelOptions how;
    LINNET_ASSIGN(how.load, c_api::options_of(load));
    how.load.optimize.level = static_cast<OptimizationLevel>(level);
    if (given.floats != LINNET_UNDEFINED) {
      how.floats.emplace();
      how.floats->to = static_cast<DType>(given.floats);
      how.floats->keep_io = given.convert_io == 0;
      for (size_t i = 0; i < given.keep_float_count; ++i) {
        LINNET_TRY(c_api::require(given.keep_float ? given.keep_float[i] : nullptr, "a name of keep_float"));
        how.floats->keep.insert(given.keep_float[i]);
      }
    }
    if (given.external_from != 0) how.save.external_threshold = given.external_from;
    std::shared_ptr<StopToken> stop;
    if (given.cancel) {
      LINNET_ASSIGN(const Pin<c_api::CancelObject> cancel, c_api::use<c_api::CancelObject>(given.cancel));
      stop = cancel->token;
    }
    how.stop = stop.get();
    std::shared_ptr<Lent> lent;
    LINNET_ASSIGN(ModelSource from, c_api::source_of(source, lent));
    LINNET_TRY(c_api::read_now(from));
    LINNET_TRY(optimize_model(from, how, to).status());
    if (lent) lent->accept();
    return {};
  });
}

linnet_status* linnet_compile(linnet_engine* engine, const linnet_source* source, const linnet_load_options* load,
                              const char* path) {
  return guarded([&]() -> Status {
    LINNET_ASSIGN(const Pin<c_api::EngineObject> pinned, c_api::use<c_api::EngineObject>(engine));
    LINNET_ASSIGN(const std::filesystem::path to, c_api::path_of(path, "path"));
    LINNET_ASSIGN(LoadOptions options, c_api::options_of(load));
    std::shared_ptr<Lent> lent;
    LINNET_ASSIGN(ModelSource from, c_api::source_of(source, lent));
    LINNET_TRY(c_api::read_now(from));
    LINNET_TRY(compile_model(*pinned->shared->engine, from, options, to));
    if (lent) lent->accept();
    return {};
  });
}
