// What a search has measured, in a file, so that another one can go on.
#pragma once

#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"

namespace linnet {

// Of a candidate. Whether it keeps the limits is not kept: they may differ the next time.
struct TuneRecord {
  std::string failure;  // why it could not be made
  uint64_t bytes = 0, quantized = 0;
  std::string sha256;
  std::optional<double> loss;
  std::string quality;
  std::optional<uint64_t> memory;
  uint64_t memory_threads = 0;  // that it was measured with

  friend bool operator==(const TuneRecord&, const TuneRecord&) = default;
};

class TuneState {
 public:
  // `identity` stands for all that the measurements depend on: model, samples, measure, engine.
  TuneState(std::filesystem::path path, std::string identity)
      : path_(std::move(path)), identity_(std::move(identity)) {}

  // An empty state that replaces what was there; an error where another search was interrupted.
  Status begin();
  // What is there; an error where there is nothing, or the state of a search for something else.
  Status resume();
  // Written whole. `finished`: the search is over.
  Status save(bool finished) const;

  std::map<std::string, TuneRecord> records;                 // by the recipe's key
  std::map<std::string, std::vector<std::string>> rankings;  // of nodes, by the recipe's key

 private:
  // `finished` is set as soon as the file is known to be a state.
  Status read(std::optional<bool>& finished);
  Status parse(std::string_view text, std::optional<bool>& finished);

  std::filesystem::path path_;
  std::string identity_;
};

}  // namespace linnet
