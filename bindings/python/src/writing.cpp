// Models that are written: optimised, compiled, quantised, tuned. All of it happens on the calling thread, without the
// interpreter's lock; between two stages signals are looked at, so that Ctrl-C ends it.
#include <nanobind/stl/pair.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <condition_variable>
#include <exception>
#include <mutex>
#include <set>
#include <string_view>

#include "native.h"

namespace linnet_python {
namespace {

class Call;

// Calls under way, so that the interpreter can wait for them before it ends.
struct Calls {
  std::mutex mutex;
  std::condition_variable ended;
  std::set<Call*> under_way;
  bool closing = false;  // the interpreter ends: no more begin

  static Calls& all() {
    static auto* const calls = new Calls;
    return *calls;
  }
  void cancel_and_wait();
};

// A call under way: who is told of its progress, and what one of the caller's functions raised meanwhile.
class Call {
 public:
  explicit Call(nb::handle progress) : progress_(nb::borrow(progress)) {
    check(linnet_cancel_create(cancel_.out()));
    const std::lock_guard lock(Calls::all().mutex);
    if (Calls::all().closing) check(linnet_status_create(LINNET_CANCELLED, "the process ends"));
    Calls::all().under_way.insert(this);
  }
  Call(const Call&) = delete;
  Call& operator=(const Call&) = delete;
  ~Call() {
    const std::lock_guard lock(Calls::all().mutex);
    Calls::all().under_way.erase(this);
    Calls::all().ended.notify_all();
  }

  linnet_cancel* cancel() const noexcept { return cancel_.get(); }

  static void tell(void* user, size_t done, size_t total, const char* what) {
    auto& call = *static_cast<Call*>(user);
    const nb::gil_scoped_acquire lock;
    linnet_release(call.guard([&] {
      if (!call.progress_.is_none())
        call.progress_(done, total,
                       nb::steal(PyUnicode_DecodeUTF8(what, std::ssize(std::string_view(what)), "replace")));
    }));
  }

  // Calls the body unless something was raised already; the status to return from a function. Holds the lock.
  template <class Body>
  linnet_status* guard(Body&& body) {
    if (!raised_) {
      try {
        if (PyErr_CheckSignals() != 0) throw nb::python_error();
        body();
      } catch (...) {
        raised_ = std::current_exception();
        linnet_cancel_request(cancel_.get());
      }
    }
    return raised_ ? linnet_status_create(LINNET_CANCELLED, "cancelled") : nullptr;
  }

  // Carries work() out, which gives a status; raises what was raised, or the status.
  template <class Work>
  void run(Source& source, Work&& work) {
    linnet_status* failed = nullptr;
    {
      const nb::gil_scoped_release unlocked;
      failed = work();
    }
    if (!raised_) return source.take(failed);
    if (!failed) source.take(nullptr);
    linnet_release(failed);
    std::rethrow_exception(raised_);
  }

 private:
  nb::object progress_;
  Handle<linnet_cancel> cancel_;
  std::exception_ptr raised_;
};

void Calls::cancel_and_wait() {
  std::unique_lock lock(mutex);
  closing = true;
  for (const Call* call : under_way) linnet_cancel_request(call->cancel());
  ended.wait(lock, [&] { return under_way.empty(); });
}

// Of load options for the time of a call.
class Watched {
 public:
  Watched(const LoadOptions& load, Call& call) : options_(load.handle.get()) {
    check(linnet_load_options_set_cancel(options_, call.cancel()));
    check(linnet_load_options_set_progress(options_, Call::tell, nullptr, &call));
  }
  Watched(const Watched&) = delete;
  Watched& operator=(const Watched&) = delete;
  ~Watched() {
    linnet_release(linnet_load_options_set_cancel(options_, nullptr));
    linnet_release(linnet_load_options_set_progress(options_, nullptr, nullptr, nullptr));
  }

 private:
  linnet_load_options* options_;
};

std::vector<const char*> pointers_to(const std::vector<std::string>& texts) {
  std::vector<const char*> pointers;
  for (const std::string& text : texts) pointers.push_back(text.c_str());
  return pointers;
}

std::string text_of(const Handle<linnet_value>& value) {
  size_t length = 0;
  const char* const text = linnet_value_string(value.get(), 0, &length);
  return text ? std::string(text, length) : std::string();
}

using NamedShapes = std::vector<std::pair<std::string, std::vector<int64_t>>>;

std::string optimize(nb::handle from, const std::string& to, int level, const LoadOptions& load, int floats,
                     bool convert_io, const std::vector<std::string>& keep_float, size_t external_from,
                     const NamedShapes& shapes, nb::handle progress) {
  Call call(progress);
  Source source(from);
  const std::vector<const char*> kept = pointers_to(keep_float);
  std::vector<const char*> names;
  std::vector<const int64_t*> sizes;
  std::vector<size_t> ranks;
  for (const auto& [name, shape] : shapes) {
    names.push_back(name.c_str());
    sizes.push_back(shape.data());
    ranks.push_back(shape.size());
  }
  Handle<linnet_value> report;
  linnet_optimize_options options{};
  options.struct_size = sizeof options;
  options.floats = static_cast<linnet_dtype>(floats);
  options.convert_io = convert_io;
  options.keep_float = kept.data();
  options.keep_float_count = kept.size();
  options.external_from = external_from;
  options.shaped_inputs = names.data();
  options.shapes = sizes.data();
  options.ranks = ranks.data();
  options.shape_count = names.size();
  options.report = report.out();
  const Watched watched(load, call);
  call.run(source, [&] {
    return linnet_optimize(&source.get(), static_cast<linnet_level>(level), load.handle.get(), &options, to.c_str());
  });
  return text_of(report);
}

void compile(const Engine& engine, nb::handle from, const std::string& to, const LoadOptions& load,
             nb::handle progress) {
  Call call(progress);
  Source source(from);
  const Watched watched(load, call);
  call.run(source, [&] { return linnet_compile(engine.handle.get(), &source.get(), load.handle.get(), to.c_str()); });
}

// Where samples come from: next(pass), or calibration(pass), gives a dict or None.
struct Samples {
  Call& call;
  nb::object next, calibration = nb::none();

  template <nb::object Samples::*kNext>
  static linnet_status* read(void* user, size_t pass, const char* const* names, linnet_value** inputs, size_t count,
                             int32_t* ended) {
    auto& samples = *static_cast<Samples*>(user);
    const nb::gil_scoped_acquire lock;
    return samples.call.guard([&] {
      const nb::object sample = (samples.*kNext)(pass);
      *ended = sample.is_none();
      if (*ended) return;
      const auto feed = nb::cast<nb::dict>(sample);
      size_t known = 0;
      for (size_t i = 0; i < count; ++i) {
        if (!feed.contains(names[i])) continue;
        inputs[i] = Argument(feed[names[i]], nullptr).share();
        ++known;
      }
      if (known == feed.size()) return;
      for (const auto& [key, value] : feed) {
        const std::string name = nb::cast<std::string>(nb::str(key));
        bool found = false;
        for (size_t i = 0; i < count; ++i) found |= name == names[i];
        if (!found)
          check(linnet_status_create(LINNET_NOT_FOUND, ("the model has no input named '" + name + "'").c_str()),
                Missing::name);
      }
    });
  }
  static void tell(void* user, size_t done, size_t total, const char* what) {
    Call::tell(&static_cast<Samples*>(user)->call, done, total, what);
  }
};

template <class T>
T setting(const nb::dict& settings, const char* name) {
  try {
    return nb::cast<T>(settings[name]);
  } catch (const std::bad_cast&) {
    throw nb::type_error((std::string(name) + " has a value of another type, or one that is too large").c_str());
  }
}

template <class T>
T given(const nb::dict& settings, const char* name, T otherwise) {
  return settings.contains(name) ? setting<T>(settings, name) : otherwise;
}

std::string quantize(const Engine& engine, nb::handle from, const std::string& to, int scheme, const LoadOptions& load,
                     const std::vector<std::string>& include, const std::vector<std::string>& exclude,
                     const nb::dict& settings, nb::handle next, nb::handle progress) {
  Call call(progress);
  Source source(from);
  Samples samples{call, nb::borrow(next)};
  const std::vector<const char*> included = pointers_to(include), excluded = pointers_to(exclude);
  const auto calibration = given<std::string>(settings, "calibration_method", "");
  const auto method = given<std::string>(settings, "method", "");
  const auto label_output = given<std::string>(settings, "label_output", "");
  const auto labels = given<std::vector<int64_t>>(settings, "labels", {});
  linnet_quantize_options options{};
  options.struct_size = sizeof options;
  options.scheme = static_cast<linnet_quantize_scheme>(scheme);
  options.include = included.data();
  options.include_count = included.size();
  options.exclude = excluded.data();
  options.exclude_count = excluded.size();
  const std::pair<const char*, int32_t linnet_quantize_options::*> numbers[] = {
      {"per_channel", &linnet_quantize_options::per_channel},
      {"reduce_range", &linnet_quantize_options::reduce_range},
      {"bits", &linnet_quantize_options::bits},
      {"block", &linnet_quantize_options::block},
      {"embeddings", &linnet_quantize_options::embeddings},
      {"accuracy_level", &linnet_quantize_options::accuracy_level},
      {"activation_symmetric", &linnet_quantize_options::activation_symmetric},
      {"q_operator", &linnet_quantize_options::q_operator},
      {"equalise", &linnet_quantize_options::equalise},
      {"smooth", &linnet_quantize_options::smooth},
      {"keep_biases", &linnet_quantize_options::keep_biases},
      {"moving_average", &linnet_quantize_options::moving_average},
      {"symmetric_range", &linnet_quantize_options::symmetric_range},
      {"num_bins", &linnet_quantize_options::num_bins},
      {"num_quantized_bins", &linnet_quantize_options::num_quantized_bins},
      {"act_order", &linnet_quantize_options::act_order},
      {"search_ranges", &linnet_quantize_options::search_ranges},
      {"explain", &linnet_quantize_options::explain},
      {"only_faster", &linnet_quantize_options::only_faster},
  };
  for (const auto& [name, field] : numbers) options.*field = given<int32_t>(settings, name, 0);
  options.weight_type = static_cast<linnet_dtype>(given<int>(settings, "weight_type", 0));
  options.activation_type = static_cast<linnet_dtype>(given<int>(settings, "activation_type", 0));
  options.weight_symmetry = static_cast<linnet_symmetry>(given<int>(settings, "weight_symmetry", 0));
  options.percentile = given<double>(settings, "percentile", 0);
  options.smooth_alpha = given<double>(settings, "smooth_alpha", 0);
  options.damping = given<double>(settings, "damping", 0);
  options.calibration_method = calibration.empty() ? nullptr : calibration.c_str();
  options.method = method.empty() ? nullptr : method.c_str();
  options.labels = labels.data();
  options.label_count = labels.size();
  options.label_output = label_output.empty() ? nullptr : label_output.c_str();
  options.sensitivity = given<size_t>(settings, "sensitivity", 0);
  if (!next.is_none()) options.next = Samples::read<&Samples::next>;
  options.progress = Samples::tell;
  options.user = &samples;
  options.cancel = call.cancel();
  options.source = &source.get();
  Handle<linnet_value> report;
  const Watched watched(load, call);
  call.run(source, [&] {
    return linnet_quantize(engine.handle.get(), nullptr, load.handle.get(), &options, to.c_str(), report.out());
  });
  return text_of(report);
}

std::string tune(const std::string& path, const std::string& folder, const nb::dict& settings, nb::handle next,
                 nb::handle calibration, nb::handle progress) {
  Call call(progress);
  Source source(nb::cast(path));
  Samples samples{call, nb::borrow(next), nb::borrow(calibration)};
  const auto text = [&](const char* name) { return setting<std::string>(settings, name); };
  const std::string measure = text("measure"), prefer = text("prefer"), output = text("output"),
                    sample_path = text("sample_path"), calibration_path = text("calibration_path");
  const auto labels = setting<std::vector<int64_t>>(settings, "labels");
  const auto threads = setting<std::vector<size_t>>(settings, "threads");
  linnet_tune_options options{};
  options.struct_size = sizeof options;
  options.folder = folder.c_str();
  options.output = output.empty() ? nullptr : output.c_str();
  options.max_loss = setting<double>(settings, "max_loss");
  options.p95_ms = setting<double>(settings, "p95_ms");
  options.max_bytes = setting<uint64_t>(settings, "max_bytes");
  options.max_memory = setting<uint64_t>(settings, "max_memory");
  options.measure = measure.empty() ? nullptr : measure.c_str();
  options.prefer = prefer.c_str();
  options.labels = labels.data();
  options.label_count = labels.size();
  options.threads = threads.data();
  options.thread_count = threads.size();
  options.budget_seconds = setting<double>(settings, "budget_seconds");
  options.resume = setting<bool>(settings, "resume");
  options.sample_path = sample_path.empty() ? nullptr : sample_path.c_str();
  options.next = Samples::read<&Samples::next>;
  options.no_loss = setting<bool>(settings, "no_loss");
  if (!calibration.is_none()) options.calibration_next = Samples::read<&Samples::calibration>;
  options.calibration_path = calibration_path.empty() ? nullptr : calibration_path.c_str();
  options.progress = Samples::tell;
  options.user = &samples;
  options.cancel = call.cancel();
  Handle<linnet_value> report;
  call.run(source, [&] { return linnet_tune(path.c_str(), &options, report.out()); });
  return text_of(report);
}

}  // namespace

void bind_writing(nb::module_& module) {
  module.def("optimize", &optimize, nb::arg("source"), nb::arg("to"), nb::arg("level"), nb::arg("load"),
             nb::arg("floats"), nb::arg("convert_io"), nb::arg("keep_float"), nb::arg("external_from"),
             nb::arg("shapes"), nb::arg("progress").none());
  module.def("compile", &compile, nb::arg("engine"), nb::arg("source"), nb::arg("to"), nb::arg("load"),
             nb::arg("progress").none());
  module.def("quantize", &quantize, nb::arg("engine"), nb::arg("source"), nb::arg("to"), nb::arg("scheme"),
             nb::arg("load"), nb::arg("include"), nb::arg("exclude"), nb::arg("settings"), nb::arg("next").none(),
             nb::arg("progress").none());
  module.def("tune", &tune, nb::arg("path"), nb::arg("folder"), nb::arg("settings"), nb::arg("next"),
             nb::arg("calibration").none(), nb::arg("progress").none());
  module.def("cancel_writing", [] {
    const nb::gil_scoped_release unlocked;
    Calls::all().cancel_and_wait();
  });
}

}  // namespace linnet_python
