#include "optimize/evaluate.h"

#include <list>

#include "base/aligned_buffer.h"
#include "ops/packing.h"
#include "ops/registry.h"
#include "tensor/alignment.h"

namespace linnet {
namespace {

constexpr size_t kMostScratch = size_t{256} << 20;

// One node with constant inputs, taken through prepare, bind and run.
class Evaluation final : public PackingContext, public BindContext, public RunContext {
 public:
  Evaluation(const Graph& graph, const Node& node, const Parallel& serial, const StopToken& never)
      : RunContext(serial, never), serial_(serial) {
    ins_.resize(node.inputs.size());
    outs_.resize(node.outputs.size());
    infos_.resize(node.inputs.size());
    out_infos_.resize(node.outputs.size());
    for (size_t i = 0; i < ins_.size(); ++i) {
      const Tensor* tensor = graph.constant(node.inputs[i]);
      if (tensor) {
        ins_[i].tensor = *tensor;
        infos_[i] = ValueInfo::tensor(tensor->dtype, tensor->shape);
      }
      in_pointers_.push_back(tensor ? &ins_[i] : nullptr);
      info_pointers_.push_back(tensor ? &infos_[i] : nullptr);
      known_.push_back(tensor && is_aligned(*tensor) ? tensor : nullptr);
    }
    for (size_t o = 0; o < outs_.size(); ++o) {
      const bool wanted = node.outputs[o] != kNoValue;
      out_pointers_.push_back(wanted ? &outs_[o] : nullptr);
      out_info_pointers_.push_back(wanted ? &out_infos_[o] : nullptr);
    }
    arguments_.in = in_pointers_;
    arguments_.out = out_pointers_;
    step_ = &arguments_;
  }

  Status compute(Op& op, const OpDef& def, size_t most_bytes) {
    SymbolTable no_symbols;
    InferContext infer(info_pointers_, known_, {}, out_info_pointers_, {}, &no_symbols, false);
    LINNET_TRY(op.infer(infer));
    size_t bytes = 0;
    for (const ValueInfo* info : out_info_pointers_) {
      if (!info) continue;
      if (info->kind != ValueKind::tensor) return unsupported("no tensor");
      if (!info->concrete() || info->dtype == DType::undefined) {
        if (!(def.flags & OpDef::kAllocates)) return unsupported("of unknown shape");
        continue;
      }
      const std::optional<int64_t> count = info->shape.values().checked_count();
      const std::optional<size_t> size = count ? storage_size(info->dtype, *count) : std::nullopt;
      if (!size || *size > most_bytes || bytes + *size > most_bytes) return unsupported("too large");
      bytes += *size;
    }
    budget_ = most_bytes;
    for (size_t i = 0; i < ins_.size(); ++i) {
      if (!in_pointers_[i]) continue;
      LINNET_ASSIGN(ins_[i].tensor, aligned(ins_[i].tensor));
      known_[i] = &ins_[i].tensor;
    }
    LINNET_TRY(op.prepare(*this));
    for (size_t o = 0; o < outs_.size(); ++o) {
      if (!out_info_pointers_[o] || !out_infos_[o].concrete()) continue;
      LINNET_ASSIGN(outs_[o].tensor, make_tensor(out_infos_[o].dtype, out_infos_[o].shape.values()));
    }
    LINNET_TRY(op.bind(*this));
    if (scratch_bytes_ > kMostScratch) return unsupported("too large");
    scratch_ = AlignedBuffer(scratch_bytes_);
    if (scratch_.size() != scratch_bytes_) return error(Code::out_of_memory, "no scratch memory");
    arguments_.scratch = scratch_.data();
    arguments_.state = state_.get();
    return op.run(*this);
  }

  std::vector<Tensor> take() {
    std::vector<Tensor> out;
    for (Value& v : outs_) out.push_back(std::move(v.tensor));
    return out;
  }

  // PrepareContext
  bool has(size_t i) const override { return i < in_pointers_.size() && in_pointers_[i]; }
  const ValueInfo& info(size_t i) const override { return infos_[i]; }
  const Tensor* constant(size_t i) const override { return i < known_.size() ? known_[i] : nullptr; }
  const Tensor* stored(size_t i) const override { return constant(i); }
  Result<const std::byte*> packed(size_t, std::string_view, size_t bytes, FunctionRef<void(std::byte*)> fill) override {
    const AlignedBuffer& buffer = packed_.emplace_back(bytes ? bytes : 1);
    if (!buffer.data()) return error(Code::out_of_memory, "cannot allocate ", bytes, " bytes");
    fill(buffer.data());
    return static_cast<const std::byte*>(buffer.data());
  }
  Result<const std::byte*> packed_with(std::span<const size_t>, size_t input, std::string_view form, size_t bytes,
                                       FunctionRef<void(std::byte*)> fill) override {
    return packed(input, form, bytes, fill);
  }
  std::span<const std::byte> supplied(size_t, std::string_view) const override { return {}; }
  void release(size_t) override {}
  const Parallel& parallel() const override { return serial_; }

  // BindContext
  DType dtype(size_t i) const override { return infos_[i].dtype; }
  const Shape& shape(size_t i) const override { return ins_[i].tensor.shape; }
  const Tensor* known(size_t i) const override { return constant(i); }
  size_t inputs() const override { return ins_.size(); }
  size_t outputs() const override { return outs_.size(); }
  bool wants(size_t o) const override { return o < out_pointers_.size() && out_pointers_[o]; }
  bool has_shape(size_t o) const override { return wants(o) && out_infos_[o].concrete(); }
  DType out_dtype(size_t o) const override { return out_infos_[o].dtype; }
  const Shape& out_shape(size_t o) const override { return outs_[o].tensor.shape; }
  size_t threads() const override { return 1; }
  void* allocate_state(size_t bytes) override {
    state_ = std::make_unique<std::max_align_t[]>(bytes / sizeof(std::max_align_t) + 1);
    return state_.get();
  }
  void request_scratch(size_t bytes) override { scratch_bytes_ = std::max(scratch_bytes_, bytes); }
  void alias(size_t, size_t, size_t) override {}

  // RunContext
  Status allocate(size_t o, DType type, const Shape& size) override {
    if (!wants(o)) return {};
    LINNET_ASSIGN(outs_[o].tensor, make(type, size));
    return {};
  }
  Result<Tensor> make(DType type, const Shape& size) override {
    const std::optional<int64_t> count = size.checked_count();
    const std::optional<size_t> bytes = count ? storage_size(type, *count) : std::nullopt;
    if (!bytes || *bytes > budget_) return unsupported("too large");
    return make_tensor(type, size);
  }

 private:
  const Parallel& serial_;
  std::vector<Value> ins_, outs_;
  std::vector<ValueInfo> infos_, out_infos_;
  std::vector<const Value*> in_pointers_;
  std::vector<Value*> out_pointers_;
  std::vector<const ValueInfo*> info_pointers_;
  std::vector<ValueInfo*> out_info_pointers_;
  std::vector<const Tensor*> known_;
  std::list<AlignedBuffer> packed_;
  std::unique_ptr<std::max_align_t[]> state_;
  AlignedBuffer scratch_;
  size_t scratch_bytes_ = 0, budget_ = 0;
  StepArguments arguments_;
};

}  // namespace

std::optional<std::vector<Tensor>> evaluate(const Graph& graph, NodeId id, size_t most_bytes) {
  const Node& node = graph.node(id);
  const OpDef* def = find_op(node);
  if (!def || (def->flags & OpDef::kNonDeterministic) || !subgraphs_of(node).empty() || node.inputs.empty())
    return std::nullopt;
  for (const ValueId v : node.inputs)
    if (v != kNoValue && !graph.constant(v)) return std::nullopt;
  Result<std::unique_ptr<Op>> op = create_op(node);
  if (!op.ok()) return std::nullopt;
  const Parallel serial;
  const StopToken never;
  Evaluation evaluation(graph, node, serial, never);
  if (!evaluation.compute(**op, *def, most_bytes).ok()) return std::nullopt;
  std::vector<Tensor> out = evaluation.take();
  for (size_t o = 0; o < out.size(); ++o)
    if (node.outputs[o] != kNoValue && (out[o].dtype == DType::undefined || !out[o].data)) return std::nullopt;
  return out;
}

}  // namespace linnet
