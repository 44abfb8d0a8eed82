// Models that are written on the engine's threads: optimised, compiled, quantised, tuned.
#include <condition_variable>

#include "native.h"

namespace linnet_node {

// A call under way. Made and told of on the environment's thread; functions of the engine's threads are said so.
class Writing : public std::enable_shared_from_this<Writing> {
 public:
  Writing(std::shared_ptr<Reports> reports, uint64_t id) : reports_(std::move(reports)), id_(id) {}

  Napi::FunctionReference callback, progress, sample;
  Handle<linnet_task> task;

  // On a thread of the engine, as all with `user`.
  // Waits for the caller's function, so that what it throws comes before what it was told of.
  static void told(void* user, size_t done, size_t total, const char* what) {
    const std::shared_ptr<Writing> self = of(user);
    if (!self->has_progress) return;
    std::unique_lock lock(self->mutex_);
    const size_t number = ++self->tells_;
    self->reports_->tell([self, number, done, total, text = std::string(what)](Napi::Env env, Addon&) {
      self->call(env, self->progress, [&](std::vector<napi_value>& arguments) {
        for (const size_t count : {done, total})
          arguments.push_back(Napi::Number::New(env, static_cast<double>(count)));
        arguments.push_back(Napi::String::New(env, text));
      });
      const std::lock_guard told_lock(self->mutex_);
      self->told_ = number;
      self->answered_.notify_all();
    });
    self->answered_.wait(lock, [&] { return self->told_ >= number || self->stopped_; });
  }

  static linnet_status* next(void* user, size_t pass, const char* const* names, linnet_value** inputs, size_t count,
                             int32_t* ended) {
    return ask(of(user), static_cast<double>(pass), names, inputs, count, ended);
  }
  // Their passes are -1 and below.
  static linnet_status* next_calibration(void* user, size_t pass, const char* const* names, linnet_value** inputs,
                                         size_t count, int32_t* ended) {
    return ask(of(user), -1 - static_cast<double>(pass), names, inputs, count, ended);
  }
  static linnet_status* ask(const std::shared_ptr<Writing>& self, double pass, const char* const* names,
                            linnet_value** inputs, size_t count, int32_t* ended) {
    std::unique_lock lock(self->mutex_);
    self->asks_ = true;
    self->given_.clear();
    self->reports_->tell([self, pass, texts = std::vector<std::string>(names, names + count)](Napi::Env env, Addon&) {
      self->call(env, self->sample, [&](std::vector<napi_value>& arguments) {
        const auto list = Napi::Array::New(env, texts.size());
        for (uint32_t i = 0; i < texts.size(); ++i) list.Set(i, Napi::String::New(env, texts[i]));
        arguments = {Napi::Number::New(env, pass), list};
      });
    });
    self->answered_.wait(lock, [&] { return !self->asks_ || self->stopped_; });
    if (self->stopped_) return linnet_status_create(LINNET_CANCELLED, "the call was cancelled");
    *ended = self->given_.empty();
    for (size_t i = 0; i < self->given_.size() && i < count; ++i) inputs[i] = self->given_[i].release();
    return nullptr;
  }

  static void ended(void* user, linnet_task* task) {
    const std::shared_ptr<Writing> self = of(user);
    auto failed = std::make_shared<Handle<linnet_status>>(linnet_task_result(task));
    Handle<linnet_value> report;
    if (!failed->get()) linnet_release(linnet_task_report(task, report.out()));
    size_t length = 0;
    const char* const text = linnet_value_string(report.get(), 0, &length);
    self->reports_->tell([self, failed, json = std::string(text ? text : "", length)](Napi::Env env, Addon& addon) {
      addon.writing.erase(self->id_);
      addon.keep_alive(env);
      self->call(env, self->callback, [&](std::vector<napi_value>& arguments) {
        if (failed->get()) {
          arguments = {error_of(env, failed->release())};
        } else {
          arguments = {env.Null(), Napi::String::New(env, json)};
        }
      });
      self->forget();
    });
  }

  // What the samples' question is answered with; none after the last one.
  void give(std::vector<Handle<linnet_value>> values) {
    const std::lock_guard lock(mutex_);
    given_ = std::move(values);
    asks_ = false;
    answered_.notify_all();
  }
  void stop() {
    linnet_task_cancel(task.get());  // before the thread that waits for an answer goes on
    const std::lock_guard lock(mutex_);
    stopped_ = true;
    answered_.notify_all();
  }

  // The last who has this may be a thread that must not touch JavaScript's functions.
  void forget() {
    callback.Reset();
    progress.Reset();
    sample.Reset();
  }

  bool has_progress = false;

 private:
  static std::shared_ptr<Writing> of(void* user) { return *static_cast<std::shared_ptr<Writing>*>(user); }

  // The functions are lib/writing.js's, which catches what its caller's throw. A worker that is being ended calls none.
  template <class Fill>
  void call(Napi::Env, const Napi::FunctionReference& function, Fill&& fill) {
    try {
      std::vector<napi_value> arguments;
      fill(arguments);
      function.Call(arguments);
    } catch (const Napi::Error&) {
      stop();
    }
  }

  std::shared_ptr<Reports> reports_;
  const uint64_t id_;
  std::mutex mutex_;
  std::condition_variable answered_;
  bool asks_ = false, stopped_ = false;
  size_t tells_ = 0, told_ = 0;
  std::vector<Handle<linnet_value>> given_;
};

namespace {

// Texts that C's options point to.
struct Texts {
  std::vector<std::string> kept;
  std::vector<const char*> pointers;

  explicit Texts(Napi::Value list) {
    if (!list.IsArray()) return;
    const auto array = list.As<Napi::Array>();
    for (uint32_t i = 0; i < array.Length(); ++i) kept.push_back(array.Get(i).ToString().Utf8Value());
    for (const std::string& text : kept) pointers.push_back(text.c_str());
  }
};

// An object's properties as numbers and texts.
class Settings {
 public:
  explicit Settings(Napi::Object from) : from_(from) {}
  double number(const char* name) const {
    const Napi::Value value = from_.Get(name);
    return value.IsUndefined() || value.IsNull() ? 0 : value.ToNumber().DoubleValue();
  }
  int32_t integer(const char* name) const { return static_cast<int32_t>(number(name)); }
  std::string text(const char* name) const {
    const Napi::Value value = from_.Get(name);
    return value.IsString() ? value.As<Napi::String>().Utf8Value() : std::string();
  }
  template <class T>
  std::vector<T> numbers(const char* name) const {
    std::vector<T> out;
    if (!from_.Get(name).IsArray()) return out;
    const auto list = from_.Get(name).As<Napi::Array>();
    for (uint32_t i = 0; i < list.Length(); ++i) out.push_back(static_cast<T>(list.Get(i).ToNumber().Int64Value()));
    return out;
  }
  Napi::Value operator[](const char* name) const { return from_.Get(name); }

 private:
  Napi::Object from_;
};

linnet_status* start_optimize(linnet_engine* engine, const linnet_source& source, const linnet_load_options* load,
                              const Settings& settings, const char* path, const linnet_completion& completion,
                              linnet_task** task) {
  const Texts kept(settings["keepFloat"]), shaped(settings["shapedInputs"]);
  std::vector<std::vector<int64_t>> shapes;
  std::vector<const int64_t*> sizes;
  std::vector<size_t> ranks;
  for (uint32_t i = 0; i < shaped.kept.size(); ++i) {
    const auto dims = settings["shapes"].As<Napi::Array>().Get(i).As<Napi::Array>();
    std::vector<int64_t>& shape = shapes.emplace_back();
    for (uint32_t d = 0; d < dims.Length(); ++d) shape.push_back(dims.Get(d).ToNumber().Int64Value());
  }
  for (const std::vector<int64_t>& shape : shapes) {
    sizes.push_back(shape.data());
    ranks.push_back(shape.size());
  }
  linnet_optimize_options options{};
  options.struct_size = sizeof options;
  options.floats = static_cast<linnet_dtype>(settings.integer("floats"));
  options.convert_io = settings.integer("convertIo");
  options.keep_float = kept.pointers.data();
  options.keep_float_count = kept.pointers.size();
  options.external_from = static_cast<size_t>(settings.number("externalFrom"));
  options.shaped_inputs = shaped.pointers.data();
  options.shapes = sizes.data();
  options.ranks = ranks.data();
  options.shape_count = ranks.size();
  return linnet_optimize_async(engine, &source, static_cast<linnet_level>(settings.integer("level")), load, &options,
                               path, &completion, task);
}

linnet_status* start_quantize(linnet_engine* engine, const linnet_source& source, const linnet_load_options* load,
                              const Settings& settings, const char* path, const linnet_completion& completion,
                              linnet_task** task) {
  const Texts include(settings["include"]), exclude(settings["exclude"]);
  const std::string calibration = settings.text("calibrationMethod"), method = settings.text("method"),
                    label_output = settings.text("labelOutput");
  const auto labels = settings.numbers<int64_t>("labels");
  linnet_quantize_options options{};
  options.struct_size = sizeof options;
  options.scheme = static_cast<linnet_quantize_scheme>(settings.integer("scheme"));
  options.include = include.pointers.data();
  options.include_count = include.pointers.size();
  options.exclude = exclude.pointers.data();
  options.exclude_count = exclude.pointers.size();
  const std::pair<const char*, int32_t linnet_quantize_options::*> integers[] = {
      {"perChannel", &linnet_quantize_options::per_channel},
      {"reduceRange", &linnet_quantize_options::reduce_range},
      {"bits", &linnet_quantize_options::bits},
      {"blockSize", &linnet_quantize_options::block},
      {"embeddings", &linnet_quantize_options::embeddings},
      {"accuracyLevel", &linnet_quantize_options::accuracy_level},
      {"activationSymmetric", &linnet_quantize_options::activation_symmetric},
      {"qOperator", &linnet_quantize_options::q_operator},
      {"equalise", &linnet_quantize_options::equalise},
      {"smoothQuant", &linnet_quantize_options::smooth},
      {"keepBiases", &linnet_quantize_options::keep_biases},
      {"movingAverage", &linnet_quantize_options::moving_average},
      {"symmetricRange", &linnet_quantize_options::symmetric_range},
      {"numBins", &linnet_quantize_options::num_bins},
      {"numQuantizedBins", &linnet_quantize_options::num_quantized_bins},
      {"actOrder", &linnet_quantize_options::act_order},
      {"searchRanges", &linnet_quantize_options::search_ranges},
      {"explain", &linnet_quantize_options::explain},
      {"onlyFaster", &linnet_quantize_options::only_faster},
  };
  for (const auto& [name, field] : integers) options.*field = settings.integer(name);
  options.weight_type = static_cast<linnet_dtype>(settings.integer("weightType"));
  options.activation_type = static_cast<linnet_dtype>(settings.integer("activationType"));
  options.weight_symmetry = static_cast<linnet_symmetry>(settings.integer("weightSymmetry"));
  options.percentile = settings.number("percentile");
  options.smooth_alpha = settings.number("smoothQuantAlpha");
  options.damping = settings.number("damping");
  options.calibration_method = calibration.empty() ? nullptr : calibration.c_str();
  options.method = method.empty() ? nullptr : method.c_str();
  options.labels = labels.data();
  options.label_count = labels.size();
  options.label_output = label_output.empty() ? nullptr : label_output.c_str();
  options.sensitivity = static_cast<size_t>(settings.number("sensitivity"));
  if (settings["sample"].IsFunction()) options.next = Writing::next;
  options.progress = Writing::told;
  options.user = completion.user;
  return linnet_quantize_async(engine, &source, load, &options, path, &completion, task);
}

linnet_status* start_tune(linnet_engine* engine, const linnet_source& source, const Settings& settings,
                          const char* folder, const linnet_completion& completion, linnet_task** task) {
  const std::string output = settings.text("output"), measure = settings.text("measure"),
                    prefer = settings.text("prefer"), sample_path = settings.text("samplePath"),
                    calibration_path = settings.text("calibrationPath");
  const auto labels = settings.numbers<int64_t>("labels");
  const auto threads = settings.numbers<size_t>("threadCounts");
  linnet_tune_options options{};
  options.struct_size = sizeof options;
  options.folder = folder;
  options.output = output.empty() ? nullptr : output.c_str();
  options.max_loss = settings.number("maxLoss");
  options.p95_ms = settings.number("p95Ms");
  options.max_bytes = static_cast<uint64_t>(settings.number("maxBytes"));
  options.max_memory = static_cast<uint64_t>(settings.number("maxMemory"));
  options.measure = measure.empty() ? nullptr : measure.c_str();
  options.prefer = prefer.empty() ? nullptr : prefer.c_str();
  options.labels = labels.data();
  options.label_count = labels.size();
  options.threads = threads.data();
  options.thread_count = threads.size();
  options.budget_seconds = settings.number("budget");
  options.resume = settings.integer("resume");
  options.sample_path = sample_path.empty() ? nullptr : sample_path.c_str();
  options.calibration_path = calibration_path.empty() ? nullptr : calibration_path.c_str();
  options.no_loss = settings.integer("noLoss");
  options.next = Writing::next;
  if (settings.integer("calibrates")) options.calibration_next = Writing::next_calibration;
  options.progress = Writing::told;
  options.user = completion.user;
  return linnet_tune_async(engine, source.path, &options, &completion, task);
}

std::shared_ptr<Writing> writing_of(const Napi::CallbackInfo& info) {
  const Addon& addon = *info.Env().GetInstanceData<Addon>();
  const auto found = addon.writing.find(static_cast<uint64_t>(info[0].ToNumber().Int64Value()));
  return found == addon.writing.end() ? nullptr : found->second;
}

void release_text(void* user) { delete static_cast<std::string*>(user); }

}  // namespace

Napi::Value write(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  Addon& addon = *env.GetInstanceData<Addon>();
  const std::string kind = info[0].ToString().Utf8Value(), path = info[2].ToString().Utf8Value();
  const auto given = info[3].As<Napi::Object>();
  const Settings settings(given);

  linnet_engine_options engine_options{};
  engine_options.struct_size = sizeof engine_options;
  engine_options.threads = static_cast<size_t>(settings.number("threads"));
  Handle<linnet_engine> engine;
  check(env, linnet_engine_create(&engine_options, engine.out()));

  const uint64_t id = ++addon.last_id;
  const auto writing = std::make_shared<Writing>(addon.reports, id);
  writing->callback = Napi::Persistent(info[4].As<Napi::Function>());
  if (settings["sample"].IsFunction()) writing->sample = Napi::Persistent(settings["sample"].As<Napi::Function>());
  writing->has_progress = settings["progress"].IsFunction();
  if (writing->has_progress) writing->progress = Napi::Persistent(settings["progress"].As<Napi::Function>());
  auto user = std::make_unique<std::shared_ptr<Writing>>(writing);

  Handle<linnet_load_options> load;
  check(env, linnet_load_options_create(load.out()));
  read_load_options(env, given, load.get());
  auto progress_user = std::make_unique<std::shared_ptr<Writing>>(writing);
  const auto release_user = [](void* at) { delete static_cast<std::shared_ptr<Writing>*>(at); };
  check(env, linnet_load_options_set_progress(load.get(), Writing::told, release_user, progress_user.get()));
  progress_user.release();

  linnet_source source{};
  source.struct_size = sizeof source;
  std::unique_ptr<std::string> content;
  std::string file;
  if (info[1].IsString()) {
    file = info[1].As<Napi::String>().Utf8Value();
    source.path = file.c_str();
  } else {
    const auto bytes = info[1].As<Napi::Uint8Array>();
    content = std::make_unique<std::string>(reinterpret_cast<const char*>(bytes.Data()), bytes.ByteLength());
    source.data = content->data();
    source.size = content->size();
    source.release = release_text;
    source.user = content.get();
  }

  linnet_completion completion{};
  completion.struct_size = sizeof completion;
  completion.done = Writing::ended;
  completion.release = release_user;
  completion.user = user.get();
  linnet_task** const task = writing->task.out();
  check(env,
        kind == "optimize"  ? start_optimize(engine.get(), source, load.get(), settings, path.c_str(), completion, task)
        : kind == "compile" ? linnet_compile_async(engine.get(), &source, load.get(), path.c_str(), &completion, task)
        : kind == "tune"    ? start_tune(engine.get(), source, settings, path.c_str(), completion, task)
                         : start_quantize(engine.get(), source, load.get(), settings, path.c_str(), completion, task));
  user.release();
  content.release();
  addon.writing[id] = writing;
  addon.keep_alive(env);
  return Napi::Number::New(env, static_cast<double>(id));
}

Napi::Value give_sample(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const std::shared_ptr<Writing> writing = writing_of(info);
  if (!writing) return env.Undefined();
  if (info[1].IsBoolean()) {
    writing->stop();
    return env.Undefined();
  }
  std::vector<Handle<linnet_value>> values;
  if (info[1].IsArray()) {
    const auto forms = info[1].As<Napi::Array>();
    for (uint32_t i = 0; i < forms.Length(); ++i) values.push_back(value_of(env, forms.Get(i), Lending::beyond_call));
  }
  writing->give(std::move(values));
  return env.Undefined();
}

Napi::Value cancel_writing(const Napi::CallbackInfo& info) {
  if (const std::shared_ptr<Writing> writing = writing_of(info)) writing->stop();
  return info.Env().Undefined();
}

void close_writing(Addon& addon) {
  for (const auto& [id, writing] : addon.writing) writing->stop();
  for (const auto& [id, writing] : addon.writing)
    linnet_release(linnet_task_wait(writing->task.get(), 10'000, nullptr));
  for (const auto& [id, writing] : addon.writing) writing->forget();
  addon.writing.clear();
}

}  // namespace linnet_node
