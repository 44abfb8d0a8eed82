// Models that are written, whole or not at all: optimised, compiled, quantised, tuned. The reports are JSON. A part of
// linnet.hpp, which includes it.
#pragma once

#include "linnet/linnet.hpp"

namespace linnet {
inline namespace cpp {

namespace detail {

inline std::vector<const char*> pointers_to(const std::vector<std::string>& texts) {
  std::vector<const char*> pointers;
  for (const std::string& text : texts) pointers.push_back(text.c_str());
  return pointers;
}

// To be closed by somebody else; NULL for nothing.
inline linnet_value* another_handle(const Tensor& tensor) {
  if (!tensor || tensor.kind() == LINNET_NONE) return nullptr;
  linnet_value* handle = nullptr;
  result_of(linnet_value_share(tensor.get(), &handle)).value();
  return handle;
}

// What the functions of options with samples, progress and cancel token do; `user` is the options.
template <auto kSamples, class Options>
linnet_status* next_sample(void* user, size_t pass, const char* const*, linnet_value** inputs, size_t count,
                           int32_t* ended) {
  return status_of([&] {
    const std::vector<Tensor> sample = (static_cast<const Options*>(user)->*kSamples)(pass);
    *ended = sample.empty();
    if (!sample.empty() && sample.size() != count)
      throw Error(LINNET_INVALID_ARGUMENT, "a sample has a value for each input of the model");
    for (size_t i = 0; i < sample.size(); ++i) inputs[i] = another_handle(sample[i]);
  });
}
template <class Options, class Settings>
void connect(const Options& options, Settings& c) {
  c.user = const_cast<Options*>(&options);
  c.labels = options.labels.data();
  c.label_count = options.labels.size();
  if (options.samples) c.next = next_sample<&Options::samples, Options>;
  if (options.progress)
    c.progress = [](void* user, size_t done, size_t total, const char* what) {
      static_cast<const Options*>(user)->progress(done, total, what);
    };
  if (options.cancel) c.cancel = options.cancel->get();
}

}  // namespace detail

// Fields as in linnet_optimize_options.
struct OptimizeOptions {
  linnet_level level = LINNET_LEVEL_EXTENDED;
  linnet_dtype floats = LINNET_UNDEFINED;
  bool convert_io = false;
  std::vector<std::string> keep_float;
  size_t external_from = 0;
  std::map<std::string, std::vector<int64_t>> shapes;  // of inputs
};

inline Result<std::string> try_optimize(const Source& source, const std::string& path,
                                        const OptimizeOptions& options = {}, const LoadOptions& load = LoadOptions()) {
  if (load.error()) return *load.error();
  const std::vector<const char*> kept = detail::pointers_to(options.keep_float);
  std::vector<const char*> names;
  std::vector<const int64_t*> shapes;
  std::vector<size_t> ranks;
  for (const auto& [name, shape] : options.shapes) {
    names.push_back(name.c_str());
    shapes.push_back(shape.data());
    ranks.push_back(shape.size());
  }
  linnet_value* report = nullptr;
  linnet_optimize_options c{};
  c.struct_size = sizeof c;
  c.floats = options.floats;
  c.convert_io = options.convert_io;
  c.keep_float = kept.data();
  c.keep_float_count = kept.size();
  c.external_from = options.external_from;
  c.shaped_inputs = names.data();
  c.shapes = shapes.data();
  c.ranks = ranks.data();
  c.shape_count = names.size();
  c.report = &report;
  if (linnet_status* const failed = source.with(
          [&](const linnet_source& s) { return linnet_optimize(&s, options.level, load.get(), &c, path.c_str()); }))
    return detail::error_of(failed);
  return std::string(Tensor(report).text(0));
}
inline std::string optimize(const Source& source, const std::string& path, const OptimizeOptions& options = {},
                            const LoadOptions& load = LoadOptions()) {
  return try_optimize(source, path, options, load).value();
}

inline Result<void> try_compile(const Engine& engine, const Source& source, const std::string& path,
                                const LoadOptions& load = LoadOptions()) {
  if (load.error()) return *load.error();
  return detail::result_of(
      source.with([&](const linnet_source& s) { return linnet_compile(engine.get(), &s, load.get(), path.c_str()); }));
}
inline void compile(const Engine& engine, const Source& source, const std::string& path,
                    const LoadOptions& load = LoadOptions()) {
  try_compile(engine, source, path, load).value();
}

struct QuantizeOptions {
  linnet_quantize_options settings{};  // its plain fields; those below go before the others
  std::vector<std::string> include, exclude;
  // The next sample, a value for each input of the model in its order; none after the last one. `pass` counts up when
  // they are needed again from the first one on. It throws to give up.
  std::function<std::vector<Tensor>(size_t pass)> samples;
  std::vector<int64_t> labels;  // the samples' right answers
  LoadOptions::Progress progress;
  const CancelToken* cancel = nullptr;
};

inline Result<std::string> try_quantize(const Engine& engine, const std::string& path, const std::string& output,
                                        const QuantizeOptions& options = {}, const LoadOptions& load = LoadOptions()) {
  if (load.error()) return *load.error();
  const std::vector<const char*> include = detail::pointers_to(options.include);
  const std::vector<const char*> exclude = detail::pointers_to(options.exclude);
  linnet_quantize_options c = options.settings;
  c.struct_size = sizeof c;
  c.include = include.data();
  c.include_count = include.size();
  c.exclude = exclude.data();
  c.exclude_count = exclude.size();
  detail::connect(options, c);
  linnet_value* report = nullptr;
  if (linnet_status* const failed =
          linnet_quantize(engine.get(), path.c_str(), load.get(), &c, output.c_str(), &report))
    return detail::error_of(failed);
  return std::string(Tensor(report).text(0));
}
inline std::string quantize(const Engine& engine, const std::string& path, const std::string& output,
                            const QuantizeOptions& options = {}, const LoadOptions& load = LoadOptions()) {
  return try_quantize(engine, path, output, options, load).value();
}

struct TuneOptions {
  linnet_tune_options settings{};  // its plain fields; those below go before the others
  std::string output;              // the model to write; empty: model.onnx in the folder
  std::vector<size_t> threads;     // numbers to try; none: one thread
  // As QuantizeOptions has them.
  std::function<std::vector<Tensor>(size_t pass)> samples;
  std::function<std::vector<Tensor>(size_t pass)> calibration;  // other ones to calibrate with
  std::vector<int64_t> labels;
  LoadOptions::Progress progress;
  const CancelToken* cancel = nullptr;
};

inline Result<std::string> try_tune(const std::string& path, const std::string& folder, const TuneOptions& options) {
  linnet_tune_options c = options.settings;
  c.struct_size = sizeof c;
  c.folder = folder.c_str();
  c.output = options.output.empty() ? nullptr : options.output.c_str();
  c.threads = options.threads.data();
  c.thread_count = options.threads.size();
  detail::connect(options, c);
  if (options.calibration) c.calibration_next = detail::next_sample<&TuneOptions::calibration, TuneOptions>;
  linnet_value* report = nullptr;
  if (linnet_status* const failed = linnet_tune(path.c_str(), &c, &report)) return detail::error_of(failed);
  return std::string(Tensor(report).text(0));
}
inline std::string tune(const std::string& path, const std::string& folder, const TuneOptions& options) {
  return try_tune(path, folder, options).value();
}

}  // namespace cpp
}  // namespace linnet
