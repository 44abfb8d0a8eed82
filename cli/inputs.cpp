#include "inputs.h"

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <map>
#include <optional>
#include <set>

#include "base/nearest_name.h"
#include "files/random_tensor.h"
#include "files/tensor_file.h"
#include "model_options.h"
#include "size_advice.h"
#include "value_file.h"

namespace linnet::cli {
namespace {

namespace fs = std::filesystem;

constexpr const char* kUnnamed = "?";  // how a size without a name is written
constexpr std::string_view kPlus = " + ";

std::optional<int64_t> parse_size(std::string_view text) {
  int64_t size = 0;
  const auto [end, failed] = std::from_chars(text.data(), text.data() + text.size(), size);
  if (failed != std::errc() || end != text.data() + text.size() || size < 0) return std::nullopt;
  return size;
}

std::optional<Shape> parse_shape(std::string_view text) {
  Shape shape;
  if (text == "scalar") return shape;
  for (size_t begin = 0; begin <= text.size();) {
    const size_t end = std::min(text.find('x', begin), text.size());
    const std::optional<int64_t> size = parse_size(text.substr(begin, end - begin));
    if (!size) return std::nullopt;
    shape.push_back(*size);
    begin = end + 1;
  }
  return shape;
}

// A size, and what it is the sum of.
void add_with_terms(const std::string& name, std::set<std::string, std::less<>>& to) {
  if (parse_size(name)) return;
  to.insert(name);
  const size_t at = name.rfind(kPlus);
  if (at == std::string::npos) return;
  add_with_terms(name.substr(0, at), to);
  add_with_terms(name.substr(at + kPlus.size()), to);
}

class Maker {
 public:
  Maker(std::span<const Model::Port> ports, const SymbolTable& symbols, const InputOptions& options)
      : ports_(ports), symbols_(symbols), options_(options), shapes_(ports.size()) {
    inputs_.values.resize(ports.size());
    inputs_.sources.resize(ports.size());
  }

  Result<Inputs> make(uint64_t seed) {
    LINNET_TRY(read_options());
    LINNET_TRY(read_files());
    if (!options_.folder.empty()) LINNET_TRY(read_folder());
    learn_sizes();
    for (size_t i = 0; i < ports_.size(); ++i)
      if (inputs_.sources[i].empty()) LINNET_TRY(make_random(i, seed + i));
    for (const std::string& text : options_.sizes)
      LINNET_REQUIRE(used_.contains(text.substr(0, text.rfind('='))),
                     invalid_argument("--size ", text, " has no use: no random input has that size"));
    return std::move(inputs_);
  }

 private:
  Status no_such_input(std::string_view option, std::string_view text) const {
    std::vector<std::string_view> names;
    for (const Model::Port& port : ports_) names.push_back(port.name);
    return invalid_argument(option, " ", text, " names no input of the model",
                            nearest_or_all(text.substr(0, text.find('=')), names));
  }

  // The port of "name=rest", and where the rest begins. Names may contain '='.
  std::optional<size_t> port_of(std::string_view text, std::string_view* rest) const {
    for (size_t i = 0; i < ports_.size(); ++i) {
      const std::string& name = ports_[i].name;
      if (!text.starts_with(name) || text.size() <= name.size() || text[name.size()] != '=') continue;
      *rest = text.substr(name.size() + 1);
      return i;
    }
    return std::nullopt;
  }

  Status read_options() {
    for (const std::string& text : options_.random_shapes) {
      std::string_view rest;
      const std::optional<size_t> port = port_of(text, &rest);
      if (!port) return no_such_input("--random-shape", text);
      shapes_[*port] = parse_shape(rest);
      LINNET_REQUIRE(shapes_[*port], invalid_argument("--random-shape ", text, " is not of the form name=1x3x224x224"));
    }
    std::set<std::string, std::less<>> declared;
    for (const Model::Port& port : ports_)
      for (const Dim& d : port.info.shape)
        if (!d.known()) add_with_terms(symbols_.to_string(d), declared);
    const std::vector<std::string_view> names(declared.begin(), declared.end());
    for (const std::string& text : options_.sizes) {
      const size_t at = text.rfind('=');
      const std::optional<int64_t> size =
          at == std::string::npos ? std::nullopt : parse_size(std::string_view(text).substr(at + 1));
      LINNET_REQUIRE(size, invalid_argument("--size ", text, " is not of the form batch=1"));
      const std::string name = text.substr(0, at);
      LINNET_REQUIRE(declared.contains(name), invalid_argument("--size ", text, " names no symbolic size of an input",
                                                               nearest_or_all(name, names)));
      sizes_[name] = *size;
    }
    return {};
  }

  Status read_one(size_t i, const fs::path& path) {
    Result<Value> value = read_value_file(path, ports_[i]);
    if (!value.ok()) return std::move(value).status().within(concat("input '", ports_[i].name, "'"));
    set(i, std::move(*value), path.string());
    return {};
  }

  Status read_files() {
    for (const std::string& text : options_.files) {
      std::string_view rest;
      std::optional<size_t> port = port_of(text, &rest);
      if (!port && ports_.size() == 1 && text.find('=') == std::string::npos) {
        port = 0;
        rest = text;
      }
      std::error_code ignored;
      for (const Model::Port& named : ports_)
        LINNET_REQUIRE(
            named.name != text || fs::exists(text, ignored),
            invalid_argument("--input ", text, " names no file; give one as in --input ", text, "=FILE.npy"));
      LINNET_REQUIRE(port || text.find('=') != std::string::npos || !fs::exists(text, ignored),
                     invalid_argument("--input ", text, " does not say of which input it is; give its name, as in ",
                                      "--input ", ports_.empty() ? "x" : ports_[0].name, "=", text));
      if (!port) return no_such_input("--input", text);
      LINNET_REQUIRE(inputs_.sources[*port].empty(),
                     invalid_argument("input '", ports_[*port].name, "' is given twice"));
      LINNET_REQUIRE(!shapes_[*port], invalid_argument("--random-shape has no use: input '", ports_[*port].name,
                                                       "' is read from ", std::string(rest)));
      LINNET_TRY(read_one(*port, fs::path(rest)));
    }
    return {};
  }

  Status read_folder() {
    const fs::path folder = options_.folder;
    std::error_code ignored;
    if (!fs::is_directory(folder, ignored)) return read_archive(folder);
    if (fs::exists(folder / "input_0.pb", ignored)) {
      LINNET_ASSIGN(std::vector<std::optional<Value>> values, read_value_set(folder, "input_", ports_));
      for (size_t i = 0; i < ports_.size(); ++i)
        if (is_open(i) && values[i] && !values[i]->is_none()) set(i, std::move(*values[i]), folder.string());
    } else {
      for (size_t i = 0; i < ports_.size(); ++i)
        if (is_open(i)) LINNET_TRY(find_in(folder, i));
    }
    for (size_t i = 0; i < ports_.size(); ++i)
      LINNET_REQUIRE(!is_open(i) || ports_[i].info.kind == ValueKind::optional, missing_in(folder, i));
    return {};
  }

  Status find_in(const fs::path& folder, size_t i) {
    std::error_code ignored;
    for (const char* extension : kTensorExtensions) {
      const fs::path path = folder / (file_name_of(ports_[i].name) + extension);
      if (fs::exists(path, ignored)) return read_one(i, path);
    }
    return {};
  }

  Status read_archive(const fs::path& path) {
    LINNET_ASSIGN(std::vector<NamedTensor> tensors, read_tensor_archive(path));
    for (size_t i = 0; i < ports_.size(); ++i) {
      if (!is_open(i)) continue;
      for (NamedTensor& named : tensors)
        if (named.name == ports_[i].name || named.name == file_name_of(ports_[i].name))
          set(i, named.tensor, path.string());
      LINNET_REQUIRE(!is_open(i) || ports_[i].info.kind == ValueKind::optional, missing_in(path, i));
    }
    return {};
  }

  Status missing_in(const fs::path& where, size_t i) const {
    return error(Code::not_found, "input '", ports_[i].name, "' is not in '", where.string(), "'; expected ",
                 file_name_of(ports_[i].name), " as .npy, .json, .pb or an image");
  }

  // Neither read yet nor asked to be random.
  bool is_open(size_t i) const { return inputs_.sources[i].empty() && !shapes_[i]; }

  void set(size_t i, Value value, std::string source) {
    inputs_.values[i] = std::move(value);
    inputs_.sources[i] = std::move(source);
  }

  void learn_sizes() {
    for (size_t i = 0; i < ports_.size(); ++i) {
      const SymShape& declared = ports_[i].info.shape;
      if (!shapes_[i] && !inputs_.values[i].is_tensor()) continue;
      const Shape& shape = shapes_[i] ? *shapes_[i] : inputs_.values[i].tensor.shape;
      for (size_t d = 0; d < declared.size() && d < shape.rank(); ++d)
        if (!declared[d].known()) sizes_.emplace(symbols_.to_string(declared[d]), shape[d]);
    }
  }

  int64_t size_of(const std::string& name, OpenAxis open) {
    used_.insert(name);
    if (const auto found = sizes_.find(name); found != sizes_.end()) return found->second;
    if (const size_t at = name.rfind(kPlus); at != std::string::npos) {
      const std::string last = name.substr(at + kPlus.size());
      const int64_t term = parse_size(last).value_or(-1);
      return checked_add(size_of(name.substr(0, at), open), term >= 0 ? term : size_of(last, open)).value_or(1);
    }
    open.name = name;
    if (name != kUnnamed) inputs_.assumed.push_back(concat(name, "=", example_size(open)));
    assumed_.insert(name);
    return sizes_[name] = 1;
  }

  // What to write for it where sizes that nobody gave have to be others.
  int64_t example_of(const std::string& name, OpenAxis open) const {
    const auto found = sizes_.find(name);
    if (found != sizes_.end() && !assumed_.contains(name)) return found->second;
    open.name = name;
    const size_t at = name.rfind(kPlus);
    if (at == std::string::npos) return parse_size(name).value_or(example_size(open));
    return checked_add(example_of(name.substr(0, at), open), example_of(name.substr(at + kPlus.size()), open))
        .value_or(1);
  }

  Shape default_shape(const Model::Port& port) {
    const bool given = sizes_.contains(kUnnamed) && !assumed_.contains(kUnnamed);
    const size_t before = inputs_.assumed.size();
    bool unnamed = false;
    std::string example = port.name;
    Shape shape;
    for (const Dim& d : port.info.shape) {
      const std::string name = symbols_.to_string(d);
      const bool open = !d.known() && name == kUnnamed && !given;
      const bool of_samples = shape.rank() == 0 && port.info.shape.size() > 1;
      const OpenAxis axis{name, port.name, shape.rank(), port.info.shape.size()};
      int64_t number = d.known() ? d.value() : example_of(name, axis);
      if (open && of_samples) number = 1;
      example += concat(shape.rank() == 0 ? '=' : 'x', number);
      unnamed |= open;
      shape.push_back(d.known() ? d.value() : size_of(name, axis));
    }
    if (unnamed) {  // its shape will be given, and with it the sizes that have names
      inputs_.assumed.resize(before);
      inputs_.unnamed.push_back(example);
    }
    return shape;
  }

  Status make_random(size_t i, uint64_t seed) {
    const Model::Port& port = ports_[i];
    if (port.info.kind == ValueKind::optional) {
      inputs_.sources[i] = "nothing";
      return {};
    }
    LINNET_REQUIRE(port.info.kind == ValueKind::tensor && port.info.dtype != DType::undefined,
                   invalid_argument("input '", port.name,
                                    "' is no tensor of a known type, so it cannot be random; give it with --input ",
                                    port.name, "=FILE.pb"));
    LINNET_REQUIRE(shapes_[i] || port.info.ranked,
                   invalid_argument("input '", port.name, "' has no declared shape; give one with --random-shape ",
                                    port.name, "=1x3"));
    const Shape shape = shapes_[i] ? *shapes_[i] : default_shape(port);
    Result<Tensor> tensor = random_tensor(port.info.dtype, shape, seed);
    if (!tensor.ok()) return std::move(tensor).status().within(concat("input '", port.name, "'"));
    set(i, std::move(*tensor), "random");
    return {};
  }

  std::span<const Model::Port> ports_;
  const SymbolTable& symbols_;
  const InputOptions& options_;
  std::vector<std::optional<Shape>> shapes_;  // asked for, by port
  std::map<std::string, int64_t, std::less<>> sizes_;
  std::set<std::string, std::less<>> used_;     // names of sizes of random inputs
  std::set<std::string, std::less<>> assumed_;  // of those that nobody gave
  Inputs inputs_;
};

}  // namespace

void add_input_options(CLI::App& command, InputOptions& options) {
  command.add_option("--inputs", options.folder,
                     "folder with a file for each input, named after it (.npy, .json, .pb, image) or input_0.pb, "
                     "input_1.pb, ...; or an .npz archive");
  add_repeatable(
      command, "--input", options.files,
      "name=FILE: an input's .npy, .json, .pb or image (0 to 255 become 0 to 1 for floats, nothing is resized); "
      "inputs without one are random");
  add_repeatable(command, "--random-shape", options.random_shapes,
                 "name=1x3x224x224: make this input random, of this shape");
  add_repeatable(command, "--size", options.sizes, "batch=1: a symbolic size of random inputs");
}

Result<Inputs> make_inputs(std::span<const Model::Port> ports, const SymbolTable& symbols, const InputOptions& options,
                           uint64_t seed) {
  return Maker(ports, symbols, options).make(seed);
}

}  // namespace linnet::cli
