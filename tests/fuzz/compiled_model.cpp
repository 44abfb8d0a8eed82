// Any bytes as the description of a compiled model, under a header that fits: loaded, and run when it takes one small
// input.
#include "base/checked.h"
#include "load.h"

using namespace linnet;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  constexpr size_t kPayload = 16384;
  const std::span<const std::byte> description(reinterpret_cast<const std::byte*>(data), size);
  const auto header = compiled::header_of(description, kPayload);
  auto bytes = std::make_shared<std::vector<std::byte>>(header.begin(), header.end());
  bytes->insert(bytes->end(), description.begin(), description.end());
  bytes->resize(round_up(bytes->size(), compiled::kPage) + kPayload);
  // Small numbers, which packed integers would take for offsets and counts.
  for (size_t i = bytes->size() - kPayload; i < bytes->size(); ++i) (*bytes)[i] = static_cast<std::byte>(i % 64 == 1);
  const auto engine = std::make_shared<Engine>(1);
  engine->memory()->set(size_t{256} << 20);
  const auto model = load_model(*engine, {{}, *bytes, bytes}, {});
  if (!model.ok() || (*model)->inputs.size() != 1) return 0;
  const Model::Port& port = (*model)->inputs.front();
  if (port.info.kind != ValueKind::tensor || port.info.dtype == DType::undefined) return 0;
  Shape shape;
  for (const Dim& d : port.info.shape) shape.push_back(d.known() ? d.value() : 2);
  const std::optional<int64_t> count = shape.checked_count();
  if (!count || *count > int64_t{1} << 16) return 0;
  Result<Tensor> tensor = make_tensor(port.info.dtype, shape);
  if (!tensor.ok()) return 0;
  const std::vector<Value> inputs = {Value(std::move(*tensor))};
  std::vector<Value> outputs((*model)->outputs.size());
  RunOptions run;
  run.deadline = StopToken::Clock::now() + std::chrono::milliseconds(200);
  static_cast<void>(Session(engine, *model).run(inputs, outputs, run).ok());
  return 0;
}
