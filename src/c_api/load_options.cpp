#include "base/unicode.h"
#include "c_api/task.h"

using namespace linnet;
using c_api::guarded;
using c_api::Lent;
using c_api::LoadOptionsObject;
using c_api::Pin;
using c_api::require;

namespace {

// Changes the options behind the handle: change(LoadOptions&) gives a Status.
template <class Change>
linnet_status* set(linnet_load_options* options, Change&& change) {
  return guarded([&]() -> Status {
    LINNET_ASSIGN(const Pin<LoadOptionsObject> pinned, c_api::use<LoadOptionsObject>(options));
    return change(pinned->options);
  });
}

}  // namespace

namespace linnet::c_api {

Result<std::filesystem::path> path_of(const char* utf8, const char* what) {
  LINNET_TRY(require(utf8, what));
  LINNET_REQUIRE(*utf8, invalid_argument("the ", what, " is empty"));
  LINNET_REQUIRE(is_utf8(utf8), invalid_argument("the ", what, " is not UTF-8"));
  return std::filesystem::path(std::u8string(reinterpret_cast<const char8_t*>(utf8)));
}

Result<LoadOptions> load_options_of(const linnet_load_options* options, SharedTask* task, const StopToken* stop) {
  const LoadOptionsObject defaults;
  Pin<LoadOptionsObject> pinned(nullptr);
  if (options) {
    LINNET_ASSIGN(pinned, use<LoadOptionsObject>(options));
  }
  const LoadOptionsObject& from = pinned ? *pinned : defaults;
  LoadOptions copied = from.options;
  if (!task && !stop && !from.cancel && !from.progress) return copied;
  copied.optimize.before = [task, stop, cancel = from.cancel, progress = from.progress](
                               size_t done, size_t total, std::string_view what) -> Status {
    const auto look = [&]() -> Status {
      const StopToken* const tokens[] = {stop, cancel.get(), task ? &task->stop : nullptr};
      for (const StopToken* token : tokens)
        LINNET_REQUIRE(!token || !token->stop_requested(), error(Code::cancelled, "cancelled before: ", what));
      return {};
    };
    LINNET_TRY(look());
    if (progress) call_quietly([&] { progress(done, total, std::string(what).c_str()); });
    if (task) task->tell(done, total, what);
    return look();  // those who are told may want to end it
  };
  return copied;
}

}  // namespace linnet::c_api

linnet_status* linnet_load_options_create(linnet_load_options** options) {
  return guarded([&]() -> Status {
    LINNET_TRY(require(options, "options"));
    *options = c_api::make_handle<LoadOptionsObject>();
    return {};
  });
}

linnet_status* linnet_load_options_set_level(linnet_load_options* options, linnet_level level) {
  return set(options, [&](LoadOptions& o) -> Status {
    LINNET_REQUIRE(level >= LINNET_LEVEL_NONE && level <= LINNET_LEVEL_ALL,
                   invalid_argument("there is no level ", static_cast<int>(level)));
    o.optimize.level = static_cast<OptimizationLevel>(level);
    return {};
  });
}

linnet_status* linnet_load_options_disable_pass(linnet_load_options* options, const char* pass) {
  return set(options, [&](LoadOptions& o) -> Status {
    LINNET_TRY(require(pass, "pass"));
    o.optimize.disabled.insert(pass);
    return {};
  });
}

linnet_status* linnet_load_options_fix_size(linnet_load_options* options, const char* name, int64_t size) {
  return set(options, [&](LoadOptions& o) -> Status {
    LINNET_TRY(require(name, "name"));
    o.fixed_sizes[name] = size;
    return {};
  });
}

linnet_status* linnet_load_options_replace_initializer(linnet_load_options* options, const char* name,
                                                       const linnet_value* tensor) {
  return set(options, [&](LoadOptions& o) -> Status {
    LINNET_TRY(require(name, "name"));
    LINNET_ASSIGN(const Pin<c_api::ValueObject> value, c_api::use<c_api::ValueObject>(tensor));
    LINNET_REQUIRE(value->value.is_tensor(), invalid_argument("an initializer is a tensor"));
    o.initializers[name] = value->value.tensor;
    return {};
  });
}

linnet_status* linnet_load_options_supply_external_data(linnet_load_options* options, const char* location,
                                                        const void* data, size_t size, void (*release)(void* user),
                                                        void* user) {
  return set(options, [&](LoadOptions& o) -> Status {
    LINNET_TRY(require(location, "location"));
    LINNET_REQUIRE(data || size == 0, invalid_argument("data is NULL"));
    const auto lent = std::make_shared<Lent>(release, user);
    o.external_data[location] = {{static_cast<const std::byte*>(data), size}, lent};
    lent->accept();
    return {};
  });
}

linnet_status* linnet_load_options_add_output(linnet_load_options* options, const char* value) {
  return set(options, [&](LoadOptions& o) -> Status {
    LINNET_TRY(require(value, "value"));
    o.extra_outputs.emplace_back(value);
    return {};
  });
}

linnet_status* linnet_load_options_set_copy_files(linnet_load_options* options, int32_t copy) {
  return set(options, [&](LoadOptions& o) -> Status {
    o.copy_file = copy != 0;
    return {};
  });
}

linnet_status* linnet_load_options_set_seed(linnet_load_options* options, uint64_t seed) {
  return set(options, [&](LoadOptions& o) -> Status {
    o.seed = seed;
    return {};
  });
}

linnet_status* linnet_load_options_set_cache_folder(linnet_load_options* options, const char* folder) {
  return set(options, [&](LoadOptions& o) -> Status {
    o.cache_folder.clear();
    if (!folder) return {};
    LINNET_ASSIGN(o.cache_folder, c_api::path_of(folder, "cache folder"));
    return {};
  });
}

linnet_status* linnet_load_options_set_cancel(linnet_load_options* options, const linnet_cancel* cancel) {
  return guarded([&]() -> Status {
    LINNET_ASSIGN(const Pin<LoadOptionsObject> pinned, c_api::use<LoadOptionsObject>(options));
    pinned->cancel = nullptr;
    if (!cancel) return {};
    LINNET_ASSIGN(const Pin<c_api::CancelObject> token, c_api::use<c_api::CancelObject>(cancel));
    pinned->cancel = token->token;
    return {};
  });
}

linnet_status* linnet_load_options_set_progress(linnet_load_options* options,
                                                void (*progress)(void*, size_t, size_t, const char*),
                                                void (*release)(void* user), void* user) {
  return guarded([&]() -> Status {
    LINNET_ASSIGN(const Pin<LoadOptionsObject> pinned, c_api::use<LoadOptionsObject>(options));
    pinned->progress = nullptr;
    if (!progress) return {};
    const auto lent = std::make_shared<Lent>(release, user);
    pinned->progress = [progress, user, lent](size_t done, size_t total, const char* what) {
      progress(user, done, total, what);
    };
    lent->accept();
    return {};
  });
}

linnet_status* linnet_load_options_set_log(linnet_load_options* options,
                                           void (*log)(void*, linnet_severity, const char*),
                                           void (*release)(void* user), void* user) {
  return set(options, [&](LoadOptions& o) -> Status {
    o.log = nullptr;
    if (!log) return {};
    const auto lent = std::make_shared<Lent>(release, user);
    o.log = [log, user, lent](Severity severity, std::string_view text) {
      const std::string line(text);
      c_api::call_quietly([&] { log(user, static_cast<linnet_severity>(severity), line.c_str()); });
    };
    lent->accept();
    return {};
  });
}
