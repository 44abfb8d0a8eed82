// Any bytes as a model: loaded, planned, and run on small inputs under a deadline and a limit on memory.
#include "load.h"

using namespace linnet;

namespace {

constexpr size_t kMemory = size_t{256} << 20;
constexpr int64_t kMaxElements = int64_t{1} << 20;  // of one input
constexpr int64_t kUnknownSize = 2;
constexpr std::chrono::milliseconds kDeadline{200};

// Of the declared type and shape, all zeros or with ones; nothing for what is no tensor of bearable size.
std::optional<Value> input_for(const Model::Port& port, bool ones) {
  if (port.info.kind == ValueKind::optional) return Value();
  if (port.info.kind == ValueKind::sequence) {
    auto sequence = std::make_shared<Sequence>();
    sequence->dtype = port.info.dtype;
    Value value;
    value.sequence = std::move(sequence);
    return value;
  }
  if (port.info.kind != ValueKind::tensor || port.info.dtype == DType::undefined) return std::nullopt;
  Shape shape;
  for (const Dim& d : port.info.shape) shape.push_back(d.known() ? d.value() : kUnknownSize);
  const std::optional<int64_t> count = shape.checked_count();
  if (!count || *count > kMaxElements) return std::nullopt;
  Result<Tensor> tensor = make_tensor(port.info.dtype, shape);
  if (!tensor.ok()) return std::nullopt;
  // The lowest bit of every element is a small integer, true, or a denormal float: bytes of 0x3f make a float near
  // 0.75.
  const size_t width =
      port.info.dtype == DType::string ? 0 : tensor->bytes() / static_cast<size_t>(std::max<int64_t>(*count, 1));
  const bool is_float = port.info.dtype == DType::f32 || port.info.dtype == DType::f64 ||
                        port.info.dtype == DType::f16 || port.info.dtype == DType::bf16;
  if (ones && is_float) std::memset(tensor->data, 0x3f, tensor->bytes());
  if (ones && !is_float)
    for (size_t i = 0; width != 0 && i < tensor->bytes(); i += width) tensor->ptr<uint8_t>()[i] = 1;
  return Value(*tensor);
}

void load_and_run(const onnx::Bytes bytes, OptimizationLevel level, bool ones) {
  const auto engine = std::make_shared<Engine>(1);
  engine->memory()->set(kMemory);
  LoadOptions options;
  options.optimize.level = level;
  options.optimize.fold_bytes = size_t{1} << 20;
  ModelSource source;
  source.bytes = bytes;
  source.owner = std::make_shared<std::vector<std::byte>>(bytes.begin(), bytes.end());
  source.bytes = *std::static_pointer_cast<const std::vector<std::byte>>(source.owner);
  const auto model = load_model(*engine, source, options);
  if (!model.ok()) return;

  std::vector<Value> inputs, outputs((*model)->outputs.size());
  for (const Model::Port& port : (*model)->inputs) {
    std::optional<Value> input = input_for(port, ones);
    if (!input) return;
    inputs.push_back(std::move(*input));
  }
  Session session(engine, *model);
  RunOptions run;
  run.deadline = StopToken::Clock::now() + kDeadline;
  static_cast<void>(session.run(inputs, outputs, run).ok());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  uint32_t hash = 2166136261u;
  for (size_t i = 0; i < size; ++i) hash = (hash ^ data[i]) * 16777619u;
  const onnx::Bytes bytes(reinterpret_cast<const std::byte*>(data), size);
  load_and_run(bytes, (hash & 1) != 0 ? OptimizationLevel::none : OptimizationLevel::all, (hash & 2) != 0);
  return 0;
}
