#include "compiled/compiled_model.h"

#include <algorithm>
#include <charconv>

#include "base/checked.h"
#include "graph/export.h"
#include "onnx/tensor_data.h"
#include "onnx/writer.h"

namespace linnet::compiled {
namespace {

constexpr std::string_view kId = "constant", kForm = "form:";
constexpr std::string_view kFiles = "linnet:files", kContent = "linnet:content", kOptions = "linnet:options";
constexpr size_t kInline = 1024;  // bytes of a constant that stays in the description
constexpr size_t kAlignment = 64;
constexpr size_t kPageAligned = 64 * 1024;  // bytes of a section that starts a page
constexpr std::byte kZeros[kPage] = {};

template <class Model, class Visit>
void for_each_initializer(Model& graph, Visit&& visit) {
  for (auto& tensor : graph.initializer) visit(tensor);
  for (auto& node : graph.node)
    for (auto& attribute : node.attribute) {
      if (attribute.g) for_each_initializer(*attribute.g, visit);
      for (auto& inner : attribute.graphs) for_each_initializer(inner, visit);
    }
}

// Numbers with single spaces between them; false when the text is not exactly that many.
template <size_t N>
bool numbers(std::string_view text, uint64_t (&to)[N]) {
  const char *at = text.data(), *end = text.data() + text.size();
  for (size_t i = 0; i < N; ++i) {
    if (i != 0 && (at == end || *at++ != ' ')) return false;
    const auto [next, failed] = std::from_chars(at, end, to[i]);
    if (failed != std::errc()) return false;
    at = next;
  }
  return at == end;
}

std::string_view entry(const onnx::Tensor& tensor, std::string_view key) {
  for (const onnx::StringPair& pair : tensor.external_data)
    if (pair.key == key) return pair.value;
  return {};
}

}  // namespace

Writer::Writer(const Graph& graph, const SymbolTable& symbols) {
  hold(graph);
  ExportOptions options;
  options.node_versions = true;
  options.constant = [this](const Tensor& tensor, onnx::Tensor& message) {
    const auto [known, is_new] = ids_.try_emplace(&tensor, constants_.size());
    if (is_new) constants_.push_back(&tensor);
    message.external_data = {{kId, keep(std::to_string(known->second))}};
  };
  model_ = export_model(graph, symbols, options);
  if (model_.graph) model_.graph->value_info.clear();  // inferred again
}

void Writer::hold(const Graph& graph) {
  for (ValueId v = 0; v < graph.value_count(); ++v)
    if (graph.value(v).constant) held_.push_back(graph.value(v).constant);
  for (const NodeId id : graph.order())
    for (const auto& body : subgraphs_of(graph.node(id))) hold(*body);
}

Writer::Section Writer::section(std::span<const std::byte> bytes) {
  const auto [known, is_new] = sections_.try_emplace(bytes.data());
  if (is_new || known->second.bytes != bytes.size()) {
    const uint64_t offset =
        round_up(static_cast<size_t>(payload_bytes_), bytes.size() >= kPageAligned ? kPage : kAlignment);
    pieces_.push_back(std::span(kZeros, static_cast<size_t>(offset - payload_bytes_)));
    pieces_.push_back(bytes);
    payload_bytes_ = offset + bytes.size();
    known->second = {offset, bytes.size()};
  }
  return known->second;
}

void Writer::place(onnx::Tensor& message) {
  uint64_t id[1] = {};
  LINNET_CHECK(numbers(entry(message, kId), id));
  const Tensor& constant = *constants_[static_cast<size_t>(id[0])];
  const onnx::StringPair id_entry = message.external_data.front();
  message.external_data.clear();
  if (!record.in_place.contains(&constant)) {
    message.data_location = onnx::DataLocation::external;
    message.external_data = {{"location", onnx::kPackedOnly}};
    message.raw_data.reset();
    message.string_data.clear();
  } else if (message.raw_data && message.raw_data->size() >= kInline) {
    const Section at = section(*message.raw_data);
    message.data_location = onnx::DataLocation::external;
    message.external_data = {{"location", kPayload},
                             {"offset", keep(std::to_string(at.offset))},
                             {"length", keep(std::to_string(at.bytes))}};
    message.raw_data.reset();
  }
  message.external_data.push_back(id_entry);
  for (auto it = record.forms.lower_bound(PackedForm{&constant, {}, {}});
       it != record.forms.end() && it->first.source == &constant; ++it) {
    const Section at = section(it->second);
    std::string value = concat(at.offset, ' ', at.bytes);
    for (const void* also : it->first.also) {
      const auto found = ids_.find(static_cast<const Tensor*>(also));
      value += concat(' ', found == ids_.end() ? constants_.size() : found->second);  // one past the last: none
    }
    message.external_data.push_back({keep(concat(kForm, it->first.form)), keep(std::move(value))});
  }
}

Status Writer::write(const std::filesystem::path& path, const Origin& origin) {
  for_each_initializer(*model_.graph, [&](onnx::Tensor& tensor) { place(tensor); });
  model_.metadata_props.push_back({kFiles, origin.files});
  model_.metadata_props.push_back({kContent, keep(std::to_string(origin.content))});
  model_.metadata_props.push_back({kOptions, origin.options});
  LINNET_ASSIGN(const std::vector<std::byte> description, onnx::encode(model_));
  return write_container(path, description, pieces_);
}

Origin take_origin(onnx::Model& model) {
  Origin origin;
  std::erase_if(model.metadata_props, [&](const onnx::StringPair& pair) {
    if (pair.key == kFiles) origin.files = pair.value;
    if (pair.key == kOptions) origin.options = pair.value;
    if (pair.key == kContent) std::from_chars(pair.value.data(), pair.value.data() + pair.value.size(), origin.content);
    return pair.key == kFiles || pair.key == kOptions || pair.key == kContent;
  });
  return origin;
}

namespace {

// The constants of a graph and those within it, by the names of their initializers, which are unique.
void collect(const Graph& graph, std::map<std::string_view, const Tensor*>& constants) {
  for (ValueId v = 0; v < graph.value_count(); ++v)
    if (const Tensor* constant = graph.constant(v)) constants.emplace(graph.value(v).name, constant);
  for (const NodeId id : graph.order())
    for (const auto& body : subgraphs_of(graph.node(id))) collect(*body, constants);
}

}  // namespace

Result<PackedForms> packed_forms(const onnx::Model& model, const Graph& graph, std::span<const std::byte> payload) {
  std::map<std::string_view, const Tensor*> constants;
  collect(graph, constants);
  const auto constant_of = [&](const onnx::Tensor& message) -> const Tensor* {
    const auto found = constants.find(message.name);
    return found == constants.end() ? nullptr : found->second;
  };
  std::map<uint64_t, const Tensor*> by_id;
  for_each_initializer(*model.graph, [&](const onnx::Tensor& message) {
    uint64_t id[1] = {};
    if (const Tensor* constant = constant_of(message); constant && numbers(entry(message, kId), id))
      by_id.emplace(id[0], constant);
  });
  PackedForms forms;
  Status status;
  for_each_initializer(*model.graph, [&](const onnx::Tensor& message) {
    const Tensor* constant = constant_of(message);
    for (const onnx::StringPair& pair : message.external_data) {
      if (!constant || !pair.key.starts_with(kForm)) continue;
      uint64_t value[5] = {};
      const bool fits = numbers(pair.value, value) && value[0] % kAlignment == 0 && value[0] <= payload.size() &&
                        value[1] <= payload.size() - value[0];
      if (!fits) {
        status = invalid_model("the compiled model's packed form of '", message.name, "' is not within the file");
        continue;
      }
      PackedForm form{constant, std::string(pair.key.substr(kForm.size()))};
      for (size_t i = 0; i < 3; ++i)
        if (const auto also = by_id.find(value[2 + i]); also != by_id.end()) form.also[i] = also->second;
      forms.emplace(std::move(form), payload.subspan(static_cast<size_t>(value[0]), static_cast<size_t>(value[1])));
    }
  });
  if (!status.ok()) return status;
  return forms;
}

}  // namespace linnet::compiled
