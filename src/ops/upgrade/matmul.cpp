// Gemm: C is broadcast whatever an attribute says.
#include "ops/upgrade/upgrade.h"

namespace linnet {
namespace {

Status gemm_broadcast(Graph& graph, NodeId id) {
  graph.node(id).erase("broadcast");
  return {};
}

constexpr Upgrade kUpgrades[] = {
    {"", "Gemm", 7, gemm_broadcast},
};

}  // namespace

extern const std::span<const Upgrade> kMatMulUpgrades = kUpgrades;

}  // namespace linnet
