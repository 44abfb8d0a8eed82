// https://onnx.ai/onnx/operators/onnx__SequenceMap.html
#include "ops/op.h"
#include "ops/sequence_values.h"

namespace linnet {
namespace {

class SequenceMap final : public Op {
 public:
  Status parse(NodeReader& reader) {
    body_ = reader.subgraph("body");
    const Graph* body = reader.graph("body");
    LINNET_REQUIRE(body, invalid_model("lacks the attribute 'body'"));
    LINNET_REQUIRE(body->inputs.size() == reader.inputs() && body->outputs.size() == reader.outputs(),
                   invalid_model("its body takes ", body->inputs.size(), " inputs and gives ", body->outputs.size(),
                                 " outputs, unlike the node"));
    for (const GraphPort& port : body->outputs)
      declared_.push_back(port.value == kNoValue ? DType::undefined : body->value(port.value).info.dtype);
    return {};
  }

  Status infer(InferContext& context) const override {
    std::vector<ValueInfo> results;
    if (context.infer_subgraph) {
      std::vector<ValueInfo> formal;
      for (size_t i = 0; i < context.inputs(); ++i) {
        LINNET_REQUIRE(context.has(i), invalid_model("leaves out input ", i));
        const ValueInfo& info = context.info(i);
        formal.push_back(info.kind == ValueKind::sequence ? element_info(info) : info);
      }
      LINNET_ASSIGN(results, context.infer_subgraph(body_, formal));
    }
    for (size_t o = 0; o < context.outputs(); ++o)
      context.set_info(o, o < results.size() ? sequence_info(results[o]) : sequence_info(declared_[o]));
    return {};
  }

  Status run(RunContext& context) const override {
    LINNET_ASSIGN(const Sequence* first, sequence_input(context, 0));
    const size_t count = first->values.size();
    for (size_t i = 1; i < context.inputs(); ++i)
      LINNET_REQUIRE(!context.in_value(i).is_sequence() || context.in_value(i).sequence->values.size() == count,
                     invalid_argument("its sequences differ in length"));
    std::vector<std::shared_ptr<Sequence>> results;
    for (const DType dtype : declared_) {
      results.push_back(std::make_shared<Sequence>());
      results.back()->dtype = dtype;
    }
    std::vector<Value> in(context.inputs()), out(declared_.size());
    for (size_t step = 0; step < count; ++step) {
      LINNET_REQUIRE(!context.stop.stopped(), error(Code::cancelled, "stopped"));
      for (size_t i = 0; i < in.size(); ++i) {
        const Value& value = context.in_value(i);
        in[i] = value.is_sequence() ? value.sequence->values[step] : value;
      }
      out.assign(out.size(), Value());
      LINNET_TRY(context.subgraph(body_).run(context, in, out));
      for (size_t o = 0; o < out.size(); ++o) {
        // What shares the memory of a plain input does not outlive the step.
        LINNET_ASSIGN(Value kept, keep(context, out[o]));
        if (kept.is_tensor()) results[o]->dtype = kept.tensor.dtype;
        results[o]->values.push_back(std::move(kept));
      }
    }
    for (size_t o = 0; o < results.size(); ++o)
      if (context.wants(o)) context.out_value(o).sequence = std::move(results[o]);
    return {};
  }

 private:
  int body_ = -1;
  std::vector<DType> declared_;
};

constexpr OpDef kDefs[] = {{"", "SequenceMap", 17, 1, kAnyNumber, 1, kAnyNumber, create<SequenceMap>}};

}  // namespace

extern const std::span<const OpDef> kSequenceMapOps = kDefs;

}  // namespace linnet
