#include "labels.h"

#include <charconv>
#include <fstream>
#include <map>

namespace linnet::cli {

namespace fs = std::filesystem;

Result<std::vector<int64_t>> read_labels(const std::filesystem::path& path, const Samples& samples) {
  std::ifstream file(path);
  LINNET_REQUIRE(file, error(Code::not_found, "cannot read the labels in '", path.string(), "'"));
  std::map<std::string, size_t> names;
  for (size_t i = 0; i < samples.count; ++i) {
    const fs::path sample = samples.name(i);
    names[sample.filename().string()] = names[sample.stem().string()] = i;
  }
  std::vector<std::optional<int64_t>> labels;
  size_t line_number = 0, unnamed = 0;
  bool named = false;
  for (std::string line; std::getline(file, line);) {
    if (++line_number == 1 && line.starts_with("\xef\xbb\xbf")) line.erase(0, 3);  // a byte order mark
    line.erase(line.find_last_not_of(" \t\r,") + 1);
    if (line.empty()) continue;
    const size_t at = line.find_last_of(" \t,");
    const std::string number = line.substr(at == std::string::npos ? 0 : at + 1);
    int64_t label = 0;
    const auto [end, failed] = std::from_chars(number.data(), number.data() + number.size(), label);
    LINNET_REQUIRE(failed == std::errc() && end == number.data() + number.size(),
                   invalid_argument("line ", line_number, " of '", path.string(), "' ends in no label, an integer",
                                    line_number == 1 ? ": a line of headings has to go" : ""));
    const bool is_named = at != std::string::npos;
    LINNET_REQUIRE(labels.empty() || is_named == named,
                   invalid_argument("line ", line_number, " of '", path.string(), "' ",
                                    is_named ? "names" : "does not name", " its sample, unlike the lines before it"));
    named = is_named;
    size_t index = unnamed++;
    if (named) {
      const std::string name = line.substr(0, line.find_last_not_of(" \t,", at) + 1);
      const auto found = names.find(name);
      LINNET_REQUIRE(found != names.end(), invalid_argument("line ", line_number, " of '", path.string(), "' is of '",
                                                            name, "', which is no sample"));
      index = found->second;
    }
    if (labels.size() <= index) labels.resize(index + 1);
    LINNET_REQUIRE(!labels[index], invalid_argument("line ", line_number, " of '", path.string(),
                                                    "' is of a sample that has a label already"));
    labels[index] = label;
  }
  std::vector<int64_t> out;
  for (const std::optional<int64_t>& label : labels)
    if (label) out.push_back(*label);
  LINNET_REQUIRE(out.size() == samples.count && labels.size() == out.size(),
                 invalid_argument("'", path.string(), "' has ", out.size(), " labels for ", samples.count,
                                  " samples: each sample needs one"));
  return out;
}

}  // namespace linnet::cli
