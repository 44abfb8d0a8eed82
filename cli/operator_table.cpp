#include "operator_table.h"

#include <algorithm>
#include <set>

#include "ops/operator_types.h"
#include "ops/registry.h"
#include "ops/upgrade/upgrade.h"
#include "terminal.h"

namespace linnet::cli {
namespace {

using Json = nlohmann::ordered_json;
using Name = std::pair<std::string, std::string>;

std::string domain_of(std::string_view domain) { return std::string(domain.empty() ? "ai.onnx" : domain); }

struct Group {
  const char* name;
  TypeSet types;
};
// What people say in place of long lists, longest first.
constexpr Group kGroups[] = {
    {"all", kWholeTypes | kPackedTypes},
    {"of whole bytes", kWholeTypes},
    {"numbers", kNumberTypes},
    {"integers", kIntegerTypes},
    {"floats", kFloatTypes},
    {"float8", TypeSet{DType::f8e4m3fn, DType::f8e4m3fnuz, DType::f8e5m2, DType::f8e5m2fnuz}},
    {"packed", kPackedTypes},
    {"complex", TypeSet{DType::c64, DType::c128}},
};

template <class F>
void for_types(TypeSet set, F&& f) {
  for (int i = 1; i < kDTypeCount; ++i)
    if (set.has(static_cast<DType>(i))) f(static_cast<DType>(i));
}

std::string types_text(TypeSet set) {
  std::string text;
  const auto add = [&](std::string_view word) { (text += text.empty() ? "" : ", ") += word; };
  TypeSet told{};
  for (const Group& group : kGroups) {
    bool whole = true, fresh = false;
    for_types(group.types, [&](DType t) {
      whole = whole && set.has(t);
      fresh = fresh || !told.has(t);
    });
    if (!whole || !fresh) continue;
    add(group.name);
    told = told | group.types;
  }
  for_types(set, [&](DType t) {
    if (!told.has(t)) add(dtype_name(t));
  });
  return text;
}

Json most(uint8_t count) { return count == kAnyNumber ? Json() : Json(count); }

}  // namespace

Json operators_json() {
  std::set<Name> rewritten;
  for (const Upgrade* upgrade : all_upgrades())
    rewritten.insert({domain_of(upgrade->domain), std::string(upgrade->name)});
  Json list = Json::array();
  for (const OpDef* def : all_ops()) {
    const OperatorTypes* declared = types_of(def->domain, def->name);
    const TypeSet set = declared ? declared->types : TypeSet{};
    Json types = Json::array();
    for_types(set, [&](DType t) { types.push_back(dtype_name(t)); });
    const bool older = rewritten.erase({domain_of(def->domain), std::string(def->name)}) != 0;
    list.push_back({{"domain", domain_of(def->domain)},
                    {"name", def->name},
                    {"since", def->since},
                    {"older", older},
                    {"inputs", {def->min_inputs, most(def->max_inputs)}},
                    {"outputs", {def->min_outputs, most(def->max_outputs)}},
                    {"typed", !declared || declared->typed == OperatorTypes::kOutput ? Json() : Json(declared->typed)},
                    {"types", types},
                    {"types_text", types_text(set)},
                    {"simd", declared && declared->simd}});
  }
  for (const auto& [domain, name] : rewritten)
    list.push_back({{"domain", domain}, {"name", name}, {"rewritten", true}});
  std::stable_sort(list.begin(), list.end(), [](const Json& a, const Json& b) { return a["domain"] < b["domain"]; });
  return list;
}

std::string operators_text() {
  std::vector<std::vector<std::string>> rows{{"domain", "operator", "since", "types", "kernels"}};
  for (const Json& op : operators_json()) {
    if (op.contains("rewritten")) {
      rows.push_back({op["domain"], op["name"], "", "", "rewritten to others"});
      continue;
    }
    rows.push_back({op["domain"], op["name"],
                    std::to_string(op["since"].get<int>()) + (op["older"] ? " and older" : ""), op["types_text"],
                    op["simd"] ? "SIMD" : "plain"});
  }
  return table(rows);
}

}  // namespace linnet::cli
