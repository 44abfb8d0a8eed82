// Any bytes as a model: read, written back, read again, and built into a graph.
#include "graph/builder.h"
#include "onnx/reader.h"
#include "onnx/writer.h"

using namespace linnet;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const onnx::Bytes bytes(reinterpret_cast<const std::byte*>(data), size);
  const Result<onnx::Model> model = onnx::read_model(bytes);
  if (!model.ok()) return 0;

  const auto written = onnx::encode(*model);
  LINNET_CHECK(written.ok());
  const auto again = onnx::read_model(*written);
  LINNET_CHECK(again.ok());
  LINNET_CHECK(*onnx::encode(*again) == *written);

  SymbolTable symbols(true);
  const auto owner = std::make_shared<std::vector<std::byte>>(bytes.begin(), bytes.end());
  Result<onnx::Model> owned = onnx::read_model(*owner);
  static_cast<void>(build_graph(*owned, {owner, nullptr}, symbols).ok());
  return 0;
}
