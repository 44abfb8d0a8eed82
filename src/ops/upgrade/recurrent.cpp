// LSTM, GRU, RNN: whether Y is computed follows from whether anything reads it.
#include "ops/upgrade/upgrade.h"

namespace linnet {
namespace {

Status output_sequence(Graph& graph, NodeId id) {
  graph.node(id).erase("output_sequence");
  return {};
}

constexpr Upgrade kUpgrades[] = {
    {"", "LSTM", 7, output_sequence},
    {"", "GRU", 7, output_sequence},
    {"", "RNN", 7, output_sequence},
};

}  // namespace

extern const std::span<const Upgrade> kRecurrentUpgrades = kUpgrades;

}  // namespace linnet
