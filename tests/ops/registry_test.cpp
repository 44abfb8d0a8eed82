#include "ops/registry.h"

#include <gtest/gtest.h>

#include <set>

#include "ops/operator_types.h"

namespace linnet {
namespace {

TEST(Registry, EveryOperatorDeclaresItsTypes) {
  std::set<std::pair<std::string_view, std::string_view>> known;
  for (const OpDef* def : all_ops()) {
    known.insert({def->domain, def->name});
    EXPECT_TRUE(types_of(def->domain, def->name))
        << def->domain << "." << def->name << " lacks a row in operator_types.inc";
  }
  EXPECT_EQ(all_operator_types().size(), known.size()) << "a row of operator_types.inc has no operator";
}

}  // namespace
}  // namespace linnet
