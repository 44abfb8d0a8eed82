#include "graph_text.h"

#include "print_value.h"
#include "terminal.h"

namespace linnet::cli {
namespace {

constexpr int64_t kInline = 6;  // constants of up to so many elements are shown whole
constexpr size_t kListed = 16;  // elements of an attribute

class Writer {
 public:
  explicit Writer(const SymbolTable& symbols) : symbols_(symbols) {}

  void graph(const Graph& graph, const std::string& title, const std::string& indent) {
    out_ += concat(indent, title, " ", printable(graph.name), "\n");
    const std::string inner = indent + "  ";
    for (const GraphPort& port : graph.inputs) out_ += concat(inner, "input ", defined(graph, port.value), "\n");
    for (const ValueId v : graph.captures)
      if (v != kNoValue) out_ += concat(inner, "captures ", defined(graph, v), "\n");
    for (const NodeId id : graph.order()) node(graph, id, inner);
    for (const GraphPort& port : graph.outputs) {
      const std::string made_by = port.value == kNoValue ? std::string("nothing") : operand(graph, port.value);
      out_ +=
          concat(inner, "output ", printable(port.name), made_by == printable(port.name) ? "" : " = " + made_by, "\n");
    }
  }

 private:
  void node(const Graph& graph, NodeId id, const std::string& indent) {
    const Node& node = graph.node(id);
    std::string results, operands, attributes;
    for (const ValueId v : node.outputs)
      if (v != kNoValue) results += concat(results.empty() ? "" : ", ", defined(graph, v));
    for (size_t i = 0; i < node.inputs.size(); ++i)
      operands += concat(i ? ", " : "", node.inputs[i] == kNoValue ? "-" : operand(graph, node.inputs[i]));
    for (const Attribute& a : node.attributes)
      if (const std::string text = attribute(a); !text.empty())
        attributes += concat(attributes.empty() ? "" : ", ", printable(a.name), "=", text);
    const std::string domain = node.domain.empty() ? "" : printable(node.domain) + ".";
    out_ += concat(indent, results, " = ", domain, printable(node.op_type), "(", operands, ")",
                   attributes.empty() ? "" : " {" + attributes + "}", "\n");
    for (const Attribute& a : node.attributes) {
      if (const auto* body = std::get_if<std::shared_ptr<Graph>>(&a.data); body && *body)
        this->graph(**body, printable(a.name), indent + "  ");
      if (const auto* bodies = std::get_if<std::vector<std::shared_ptr<Graph>>>(&a.data))
        for (const auto& body : *bodies) this->graph(*body, printable(a.name), indent + "  ");
    }
  }

  static std::string name_of(const Graph& graph, ValueId v) {
    const std::string name = printable(graph.value(v).name);
    return name.empty() ? concat("%", v) : name;
  }

  std::string defined(const Graph& graph, ValueId v) const {
    return concat(name_of(graph, v), ": ", type_text(graph.value(v).info, symbols_));
  }

  static std::string operand(const Graph& graph, ValueId v) {
    const Tensor* constant = graph.constant(v);
    if (!constant) return name_of(graph, v);
    if (constant->data && constant->count() <= kInline) return elements(*constant);
    return concat(name_of(graph, v), ": ", *constant);
  }

  static std::string elements(const Tensor& tensor) {
    const std::string text = first_elements(tensor);
    return tensor.shape.rank() == 0 ? text.substr(1, text.size() - 2) : text;
  }

  template <class List, class Text>
  static std::string list(const List& values, Text text) {
    std::string out = "[";
    for (size_t i = 0; i < values.size() && i < kListed; ++i) out += (i ? ", " : "") + text(values[i]);
    return out + (values.size() > kListed ? ", ...]" : "]");
  }

  // Subgraphs have no text here.
  std::string attribute(const Attribute& a) const {
    const auto number = [](auto value) { return number_text(static_cast<double>(value)); };
    const auto whole = [](int64_t value) { return std::to_string(value); };
    const auto quoted = [](const std::string& text) {
      return '"' + printable(text.substr(0, 40)) + (text.size() > 40 ? "...\"" : "\"");
    };
    const auto tensor = [](const Tensor& t) { return t.count() <= kInline ? elements(t) : t.to_string(); };
    if (const auto* i = std::get_if<int64_t>(&a.data)) return whole(*i);
    if (const auto* f = std::get_if<float>(&a.data)) return number(*f);
    if (const auto* s = std::get_if<std::string>(&a.data)) return quoted(*s);
    if (const auto* t = std::get_if<Tensor>(&a.data)) return tensor(*t);
    if (const auto* is = std::get_if<std::vector<int64_t>>(&a.data)) return list(*is, whole);
    if (const auto* fs = std::get_if<std::vector<float>>(&a.data)) return list(*fs, number);
    if (const auto* ss = std::get_if<std::vector<std::string>>(&a.data)) return list(*ss, quoted);
    if (const auto* ts = std::get_if<std::vector<Tensor>>(&a.data)) return list(*ts, tensor);
    if (const auto* info = std::get_if<ValueInfo>(&a.data)) return type_text(*info, symbols_);
    return {};
  }

  friend std::string linnet::cli::graph_text(const Graph& graph, const SymbolTable& symbols);
  const SymbolTable& symbols_;
  std::string out_;
};

}  // namespace

std::string graph_text(const Graph& graph, const SymbolTable& symbols) {
  Writer writer(symbols);
  writer.graph(graph, "graph", "");
  return std::move(writer.out_);
}

}  // namespace linnet::cli
