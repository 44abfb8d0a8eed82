// LabelEncoder of ai.onnx.ml 1: the position of a string in a list, or back.
#include <numeric>

#include "ops/upgrade/upgrade.h"

namespace linnet {
namespace {

Status to_category_mapper(Graph& graph, NodeId id) {
  Node& node = graph.node(id);
  const Attribute* classes = node.find("classes_strings");
  const auto* strings = classes ? std::get_if<std::vector<std::string>>(&classes->data) : nullptr;
  LINNET_REQUIRE(strings, invalid_model("LabelEncoder lacks the attribute 'classes_strings'"));
  std::vector<int64_t> positions(strings->size());
  std::iota(positions.begin(), positions.end(), int64_t{0});
  node.set("cats_strings", std::vector<std::string>(*strings));
  node.set("cats_int64s", std::move(positions));
  node.erase("classes_strings");
  node.op_type = "CategoryMapper";
  return {};
}

constexpr Upgrade kUpgrades[] = {{"ai.onnx.ml", "LabelEncoder", 2, to_category_mapper}};

}  // namespace

extern const std::span<const Upgrade> kLabelEncoderUpgrades = kUpgrades;

}  // namespace linnet
