// Any bytes as a model that is rewritten and saved: optimised, in half precision, or quantised. What comes of a model
// that loads must load as well.
#include <unistd.h>

#include <cstdio>
#include <cstdlib>

#include "optimize_model.h"
#include "quantize/quantize.h"

using namespace linnet;

namespace {

constexpr size_t kFoldBytes = size_t{1} << 20;

LoadOptions load_options() {
  LoadOptions options;
  options.optimize.fold_bytes = kFoldBytes;
  return options;
}

bool loads(const ModelSource& source) {
  const auto engine = std::make_shared<Engine>(1);
  engine->memory()->set(size_t{256} << 20);
  const auto model = load_model(*engine, source, load_options());
  if (!model.ok()) std::fprintf(stderr, "%s\n", std::string(model.status().message()).c_str());
  return model.ok();
}

Status rewrite(const ModelSource& source, const std::filesystem::path& to, uint32_t how) {
  if (how < 2) {
    OptimizeModelOptions options;
    options.load = load_options();
    options.load.optimize.level = OptimizationLevel::extended;
    if (how == 1) options.floats.emplace();
    return optimize_model(source, options, to).status();
  }
  if (how == 2) {
    QuantizeOptions options;
    options.load = load_options();
    return quantize_dynamic(source, options, to).status();
  }
  WeightOptions options;
  options.load = load_options();
  options.embeddings = true;
  Engine engine(1);
  return quantize_weights(engine, source, options, to).status();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const std::filesystem::path to =
      std::filesystem::temp_directory_path() / ("linnet_fuzz_" + std::to_string(getpid()) + ".onnx");
  uint32_t hash = 2166136261u;
  for (size_t i = 0; i < size; ++i) hash = (hash ^ data[i]) * 16777619u;
  const auto* bytes = reinterpret_cast<const std::byte*>(data);
  const auto owner = std::make_shared<const std::vector<std::byte>>(bytes, bytes + size);
  const ModelSource source{{}, *owner, owner};
  const bool written = rewrite(source, to, hash % 4).ok();
  const bool broken = written && !loads({to, {}, nullptr}) && loads(source);
  std::filesystem::remove(to);
  if (broken) std::abort();
  return 0;
}
