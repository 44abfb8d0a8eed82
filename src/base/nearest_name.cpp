#include "base/nearest_name.h"

#include <algorithm>
#include <vector>

#include "base/result.h"

namespace linnet {
namespace {

// Characters to insert, remove or replace.
size_t distance(std::string_view a, std::string_view b) {
  std::vector<size_t> row(b.size() + 1);
  for (size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    size_t diagonal = row[0];
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t replaced = diagonal + (a[i - 1] != b[j - 1]);
      diagonal = row[j];
      row[j] = std::min({replaced, row[j] + 1, row[j - 1] + 1});
    }
  }
  return row.back();
}

}  // namespace

std::string did_you_mean(std::string_view wanted, std::span<const std::string_view> names) {
  std::string_view nearest;
  size_t least = wanted.size() / 2 + 1;
  for (const std::string_view name : names) {
    const size_t changes = name.empty() ? least : distance(wanted, name);
    if (changes >= least) continue;
    least = changes;
    nearest = name;
  }
  return nearest.empty() ? std::string() : concat("; did you mean '", nearest, "'?");
}

std::string nearest_or_all(std::string_view wanted, std::span<const std::string_view> names) {
  std::string said = did_you_mean(wanted, names);
  if (!said.empty()) return said;
  if (names.empty()) return "; there are none";
  for (const std::string_view name : names) said += concat(said.empty() ? "; there are '" : ", '", name, "'");
  return said;
}

}  // namespace linnet
