// The contract of an operator: what a family file in this folder answers for each ONNX operator.
// docs/adding-an-operator.md walks through one from start to end.
//
//   create   once, from the node: reads and validates the attributes
//   infer    types and shapes of the outputs: with symbolic sizes at load, with numbers for each new input shape
//   prepare  once, after inference: choose the algorithm, pack constants
//   bind     for each new input shape: strides, tiles, scratch size, aliases
//   run      writes the outputs for shapes that bind saw: no allocation, no validation of shapes again
//
// An Op is immutable after prepare and shared by all threads: what differs by shape lives in the bound state.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>

#include "base/parallel.h"
#include "base/result.h"
#include "graph/graph.h"
#include "tensor/dim.h"
#include "tensor/tensor.h"
#include "tensor/value_info.h"

namespace linnet {

// Reads a node's attributes. After create, the registry fails the load when an attribute was never asked for.
class NodeReader {
 public:
  explicit NodeReader(const Node& node) : node_(node), seen_(node.attributes.size(), false) {}

  std::string_view domain() const noexcept { return node_.domain; }
  std::string_view op_type() const noexcept { return node_.op_type; }
  int version() const noexcept { return node_.version; }
  size_t inputs() const noexcept { return node_.inputs.size(); }
  size_t outputs() const noexcept { return node_.outputs.size(); }
  bool has_input(size_t i) const noexcept { return node_.input(i) != kNoValue; }
  bool has_output(size_t i) const noexcept { return node_.output(i) != kNoValue; }
  const std::shared_ptr<const OpDef>& custom() const noexcept { return node_.custom; }
  bool has(std::string_view name);  // marks it as read

  // An attribute of another type than asked for is an error that finish() reports; the default is returned meanwhile.
  int64_t integer(std::string_view name, int64_t fallback);
  bool flag(std::string_view name, bool fallback) { return integer(name, fallback ? 1 : 0) != 0; }
  float number(std::string_view name, float fallback);
  std::string text(std::string_view name, std::string_view fallback);
  std::vector<int64_t> integers(std::string_view name, std::vector<int64_t> fallback = {});
  std::vector<float> numbers(std::string_view name, std::vector<float> fallback = {});
  std::vector<std::string> texts(std::string_view name, std::vector<std::string> fallback = {});
  const Tensor* tensor(std::string_view name);  // nullptr when absent
  const ValueInfo* type(std::string_view name);
  const Attribute* attribute(std::string_view name) { return take(name); }  // of any type; nullptr when absent
  // Element type from an integer attribute such as `to`.
  DType dtype(std::string_view name, DType fallback);
  // The number of the subgraph for RunContext::subgraph, and the graph; -1 and nullptr when absent.
  int subgraph(std::string_view name);
  const Graph* graph(std::string_view name);
  // Accepts an attribute that does not matter here.
  void ignore(std::string_view name) { static_cast<void>(has(name)); }

  // Ok, or the first attribute of a wrong type, or one that was never asked for.
  Status finish() const;

 private:
  const Attribute* take(std::string_view name);
  template <class T>
  const T* get(std::string_view name);

  const Node& node_;
  std::vector<bool> seen_;
  std::string wrong_;
};

class Op;

// What infer sees of a node's inputs and says of its outputs.
class InferContext {
 public:
  size_t inputs() const noexcept { return in_.size(); }
  size_t outputs() const noexcept { return out_.size(); }
  bool has(size_t i) const noexcept { return i < in_.size() && in_[i] != nullptr; }
  bool wants(size_t o) const noexcept { return o < out_.size() && out_[o] != nullptr; }

  // Of a present input.
  const ValueInfo& info(size_t i) const noexcept { return *in_[i]; }
  DType dtype(size_t i) const noexcept { return in_[i]->dtype; }
  bool ranked(size_t i) const noexcept { return has(i) && in_[i]->ranked; }
  const SymShape& shape(size_t i) const noexcept { return in_[i]->shape; }
  // The input's whole value when it is known: a constant, computed from shapes, or (behind a data-dependent shape) at
  // run time.
  const Tensor* known(size_t i) const noexcept { return i < known_.size() ? known_[i] : nullptr; }
  // The elements of an integer tensor of rank 0 or 1 where they are tracked, symbolic ones included. False when not.
  bool ints(size_t i, DimVector& elements) const;
  // The same of an input that has to be a list of integers (axes, sizes, pads): where it cannot be one, this step's
  // inference fails with a sentence that says so, whatever infer returns.
  bool list(size_t i, DimVector& elements);
  // The value of a one-element integer input where it is a known number.
  std::optional<int64_t> known_int(size_t i) const;
  // True at load, false once the inputs' shapes are numbers.
  bool symbolic() const noexcept { return symbolic_; }
  SymbolTable& symbols() const noexcept { return *symbols_; }

  // No-ops for outputs that the node leaves out. A size that only the data decides is Dim() (the executor then asks
  // again when the data is there; if infer still cannot tell, run must allocate the output itself). Operators with
  // subgraphs are asked at load only; they are not bound, and run allocates all their outputs.
  void set(size_t o, DType dtype, SymShape shape);
  void set_unranked(size_t o, DType dtype);
  void set_info(size_t o, ValueInfo info);
  // The value of a small integer output, for the shape arithmetic behind it. Only worth it for tensors of rank 0 or 1.
  void set_ints(size_t o, const DimVector& elements);

  // Called by the drivers in src/infer and src/run. Before infer, `out_tracked` must be kUnsaid; what infer does not
  // set stays so, since no operator sets it.
  inline static const DimVector kUnsaid{Dim(), Dim(INT64_MIN)};
  static bool said(const DimVector& elements) noexcept {
    return elements.size() != 2 || !elements[0].unknown() || !elements[1].is(INT64_MIN);
  }
  Status infer(const Op& op);
  InferContext(std::span<const ValueInfo* const> in, std::span<const Tensor* const> known,
               std::span<const DimVector* const> tracked, std::span<ValueInfo* const> out,
               std::span<DimVector* const> out_tracked, SymbolTable* symbols, bool symbolic) noexcept
      : in_(in),
        known_(known),
        tracked_(tracked),
        out_(out),
        out_tracked_(out_tracked),
        symbols_(symbols),
        symbolic_(symbolic) {}
  // Output infos of the node's k-th subgraph for the given infos of its formal inputs (without captures); at load only.
  std::function<Result<std::vector<ValueInfo>>(int k, std::span<const ValueInfo> formal_inputs)> infer_subgraph;

 private:
  std::span<const ValueInfo* const> in_;
  std::span<const Tensor* const> known_;
  std::span<const DimVector* const> tracked_;
  std::span<ValueInfo* const> out_;
  std::span<DimVector* const> out_tracked_;
  SymbolTable* symbols_;
  bool symbolic_;
  Status wrong_list_;
};

// Packed forms of constants live in the program, not in the Op, so that a compiled artefact can supply them.
class PrepareContext {
 public:
  virtual ~PrepareContext() = default;
  virtual bool has(size_t i) const = 0;
  virtual const ValueInfo& info(size_t i) const = 0;  // as inferred with symbolic sizes
  DType dtype(size_t i) const { return info(i).dtype; }
  // The input's tensor when it is a constant of the program, else nullptr. Stays valid as long as the Op, unless
  // released.
  virtual const Tensor* constant(size_t i) const = 0;
  // A 64-byte aligned buffer of the program's, filled by `fill` unless an artefact holds it already.
  // Nodes that ask for the same source input, size and `form` (a name of the packing) share one buffer.
  virtual Result<const std::byte*> packed(size_t input, std::string_view form, size_t bytes,
                                          FunctionRef<void(std::byte*)> fill) = 0;
  // Says that run will not read the input any more: its memory can go once nobody else needs it.
  virtual void release(size_t input) = 0;
  virtual const Parallel& parallel() const = 0;
};

// For one set of input shapes, before memory is planned.
class BindContext {
 public:
  virtual ~BindContext() = default;
  virtual bool has(size_t i) const = 0;
  virtual DType dtype(size_t i) const = 0;
  virtual const Shape& shape(size_t i) const = 0;
  virtual const Tensor* known(size_t i) const = 0;  // as InferContext::known
  virtual size_t inputs() const = 0;
  virtual size_t outputs() const = 0;
  virtual bool wants(size_t o) const = 0;
  // Output shapes are known here except for data-dependent ones (empty then, and has_shape is false).
  virtual bool has_shape(size_t o) const = 0;
  virtual DType out_dtype(size_t o) const = 0;
  virtual const Shape& out_shape(size_t o) const = 0;
  // The most workers that Parallel will use: scratch is per worker.
  virtual size_t threads() const = 0;

  // Zeroed memory of this binding that run gets back as `state`. One call for a node.
  virtual void* allocate_state(size_t bytes) = 0;
  template <class T>
  T& state() {
    static_assert(std::is_trivially_destructible_v<T>);
    return *new (allocate_state(sizeof(T))) T{};
  }
  // Temporary memory during run, 64-byte aligned.
  virtual void request_scratch(size_t bytes) = 0;
  // Output o is the bytes of input i from `byte_offset` on. Where the executor can arrange that, run is not called;
  // where it cannot (the output belongs to the caller), run is, and must copy.
  virtual void alias(size_t o, size_t i, size_t byte_offset) = 0;
};

class RunContext;

// A subgraph as an operator runs it. Captured values are passed by the executor.
class Subgraph {
 public:
  virtual ~Subgraph() = default;
  virtual size_t inputs() const = 0;
  virtual size_t outputs() const = 0;
  // `outputs` receive values that own their memory or share that of an input.
  virtual Status run(RunContext& caller, std::span<const Value> inputs, std::span<Value> outputs) = 0;
};

// The pointers of one bound step; inputs that are left out are nullptr.
struct StepArguments {
  std::span<const Value* const> in;
  std::span<Value* const> out;
  const void* state = nullptr;
  std::byte* scratch = nullptr;
  std::span<Subgraph* const> subgraphs;
  uint64_t seed = 0;  // of this node in this run, for random operators
};

class RunContext {
 public:
  explicit RunContext(const Parallel& parallel_, const StopToken& stop_) : parallel(parallel_), stop(stop_) {}
  virtual ~RunContext() = default;

  const Parallel& parallel;
  const StopToken& stop;

  size_t inputs() const noexcept { return step_->in.size(); }
  size_t outputs() const noexcept { return step_->out.size(); }
  bool has(size_t i) const noexcept { return i < step_->in.size() && step_->in[i] != nullptr; }
  bool wants(size_t o) const noexcept { return o < step_->out.size() && step_->out[o] != nullptr; }
  const Tensor& in(size_t i) const noexcept { return step_->in[i]->tensor; }
  const Tensor* maybe(size_t i) const noexcept { return has(i) ? &step_->in[i]->tensor : nullptr; }
  // Allocated with the shape that infer gave; for data-dependent shapes after allocate().
  Tensor& out(size_t o) const noexcept { return step_->out[o]->tensor; }
  // For sequences, maps and optionals.
  const Value& in_value(size_t i) const noexcept { return *step_->in[i]; }
  Value& out_value(size_t o) const noexcept { return *step_->out[o]; }

  template <class T>
  const T& state() const noexcept {
    return *static_cast<const T*>(step_->state);
  }
  std::byte* scratch() const noexcept { return step_->scratch; }
  Subgraph& subgraph(int k) const noexcept { return *step_->subgraphs[static_cast<size_t>(k)]; }
  uint64_t seed() const noexcept { return step_->seed; }

  // Gives output o memory for a shape that only the data decides. Within the memory limit.
  virtual Status allocate(size_t o, DType dtype, const Shape& shape) = 0;
  // A tensor that owns its memory, for the elements of sequences. Within the memory limit.
  virtual Result<Tensor> make(DType dtype, const Shape& shape) = 0;

 protected:
  const StepArguments* step_ = nullptr;
};

class Op {
 public:
  virtual ~Op() = default;
  virtual Status infer(InferContext& context) const = 0;
  virtual Status prepare(PrepareContext&) { return {}; }
  virtual Status bind(BindContext&) const { return {}; }
  virtual Status run(RunContext& context) const = 0;
  // True when run may be given the same memory for both: it reads no element of the input after writing the output
  // element of the same index, and both elements are of the same width. The planner checks sizes and last uses.
  virtual bool can_overwrite(size_t input, size_t output) const {
    static_cast<void>(input);
    static_cast<void>(output);
    return false;
  }
};

inline constexpr uint8_t kAnyNumber = 255;

struct OpDef {
  enum Flag : uint8_t {
    kPlain = 0,
    kNonDeterministic = 1,  // never folded, never merged with an equal node
    kTakesValues = 2,       // an input may be a sequence, a map or an optional; others are given tensors only
    kReplaces = 4,          // of a custom operator: goes before the registry's of the same name
    kAllocates = 8,         // run makes outputs whose shape infer cannot tell; others are not run without their outputs
  };
  std::string_view domain;
  std::string_view name;
  // The operator set since which the implemented form is the standard's. Older nodes are rewritten by ops/upgrade
  // first.
  int since;
  uint8_t min_inputs, max_inputs;
  uint8_t min_outputs, max_outputs;
  Result<std::unique_ptr<Op>> (*create)(NodeReader&);
  uint8_t flags = kPlain;
  // A bit for each input whose elements run copies as bytes: constants there may lie at any address, and stay in the
  // model's file.
  uint16_t byte_inputs = 0;

  bool reads_bytes(size_t input) const noexcept { return input < 16 && (byte_inputs >> input & 1) != 0; }
};

// The usual create function: T::parse(reader) fills a default-constructed T.
//   Status parse(NodeReader& reader);
template <class T>
Result<std::unique_ptr<Op>> create(NodeReader& reader) {
  auto op = std::make_unique<T>();
  LINNET_TRY(op->parse(reader));
  return std::unique_ptr<Op>(std::move(op));
}

}  // namespace linnet
