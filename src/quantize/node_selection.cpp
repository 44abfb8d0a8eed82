#include "quantize/node_selection.h"

#include <algorithm>
#include <set>

#include "base/nearest_name.h"
#include "ops/registry.h"

namespace linnet {
namespace {

void collect_names(const Graph& graph, std::set<std::string>& names) {
  for (const NodeId id : graph.order()) {
    const Node& node = graph.node(id);
    names.insert(node.name);
    names.insert(node.op_type);
    for (const auto& body : subgraphs_of(node)) collect_names(*body, names);
  }
}

bool is_operator(std::string_view name) {
  const auto defs = all_ops();
  return std::any_of(defs.begin(), defs.end(), [&](const OpDef* def) { return def->name == name; });
}

Status check(const std::string& wanted, const std::set<std::string>& names, bool any_operator) {
  if (wanted.find_first_of("*?") != std::string::npos) {
    const bool any = std::any_of(names.begin(), names.end(), [&](const auto& n) { return matches_pattern(wanted, n); });
    LINNET_REQUIRE(any, error(Code::not_found, "no node or operator of the model matches '", wanted, "'"));
    return {};
  }
  if (!wanted.empty() && (names.contains(wanted) || (any_operator && is_operator(wanted)))) return {};
  const std::vector<std::string_view> all(names.begin(), names.end());
  return error(Code::not_found, "the model has no node or operator named '", wanted, "'", did_you_mean(wanted, all));
}

const std::string* find_match(const std::vector<std::string>& patterns, const Node& node) {
  const auto found = std::find_if(patterns.begin(), patterns.end(), [&](const std::string& p) {
    return matches_pattern(p, node.name) || matches_pattern(p, node.op_type);
  });
  return found == patterns.end() ? nullptr : &*found;
}

}  // namespace

bool matches_pattern(std::string_view pattern, std::string_view text) noexcept {
  // After a mismatch the last "*" takes one character more.
  size_t p = 0, t = 0, star = std::string_view::npos, resume = 0;
  while (t < text.size()) {
    if (p < pattern.size() && pattern[p] == '*') {
      star = p++;
      resume = t;
    } else if (p < pattern.size() && (pattern[p] == '?' || pattern[p] == text[t])) {
      ++p;
      ++t;
    } else if (star != std::string_view::npos) {
      p = star + 1;
      t = ++resume;
    } else {
      return false;
    }
  }
  return pattern.find_first_not_of('*', p) == std::string_view::npos;
}

Result<NodeSelection> NodeSelection::make(const Graph& graph, std::vector<std::string> include,
                                          std::vector<std::string> exclude) {
  NodeSelection selection;
  if (!include.empty() || !exclude.empty()) {
    std::set<std::string> names;
    collect_names(graph, names);
    for (const auto* list : {&include, &exclude})
      for (const std::string& wanted : *list) LINNET_TRY(check(wanted, names, list == &exclude));
  }
  selection.include_ = std::move(include);
  selection.exclude_ = std::move(exclude);
  return selection;
}

std::string NodeSelection::refusal(const Node& node) const {
  if (const std::string* pattern = find_match(exclude_, node)) return concat("excluded by '", *pattern, "'");
  if (!include_.empty() && !find_match(include_, node)) return "not among those included";
  return {};
}

}  // namespace linnet
