#include "description.h"

namespace linnet {

void read_description(const onnx::Model& from, Model& to) {
  to.ir_version = from.ir_version;
  to.model_version = from.model_version;
  to.producer_name = from.producer_name;
  to.producer_version = from.producer_version;
  to.domain = from.domain;
  to.description = from.doc_string;
  if (from.graph) to.graph_name = from.graph->name;
  for (const auto& p : from.metadata_props) to.metadata.emplace_back(p.key, p.value);
  for (const auto& o : from.opset_import) to.opsets.emplace_back(o.domain, static_cast<int>(o.version));
}

void write_description(const Model& from, onnx::Model& to) {
  to.ir_version = from.ir_version;
  to.model_version = from.model_version;
  to.producer_name = from.producer_name;
  to.producer_version = from.producer_version;
  to.domain = from.domain;
  to.doc_string = from.description;
  for (const auto& [key, value] : from.metadata) to.metadata_props.push_back({key, value});
}

}  // namespace linnet
