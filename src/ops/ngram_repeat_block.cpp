// https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md#com.microsoft.NGramRepeatBlock
#include <algorithm>
#include <limits>

#include "ops/op.h"

namespace linnet {
namespace {

class NGramRepeatBlock final : public Op {
 public:
  Status parse(NodeReader& reader) {
    size_ = reader.integer("ngram_size", 0);
    LINNET_REQUIRE(size_ > 0, invalid_model("ngram_size is ", size_));
    return {};
  }
  Status infer(InferContext& context) const override {
    LINNET_REQUIRE(context.dtype(0) == DType::i64 && context.dtype(1) == DType::f32,
                   unsupported("takes int64 tokens and float scores"));
    if (context.ranked(0) && context.ranked(1)) {
      const SymShape &ids = context.shape(0), &scores = context.shape(1);
      LINNET_REQUIRE(ids.size() == 2 && scores.size() == 2,
                     invalid_argument("takes tokens [rows, tokens] and scores [rows, vocabulary]"));
      LINNET_REQUIRE(!ids[0].known() || !scores[0].known() || ids[0] == scores[0],
                     invalid_argument("its inputs have ", ids[0].value(), " and ", scores[0].value(), " rows"));
    }
    context.set_info(0, context.info(1));
    return {};
  }
  Status run(RunContext& context) const override {
    copy_elements(context.in(1), context.out(0));
    const size_t rows = static_cast<size_t>(context.in(0).shape[0]),
                 tokens = static_cast<size_t>(context.in(0).shape[1]);
    const size_t vocabulary = static_cast<size_t>(context.in(1).shape[1]);
    if (static_cast<uint64_t>(size_) > tokens) return {};
    const size_t n = static_cast<size_t>(size_);
    for (size_t row = 0; row < rows; ++row) {
      const int64_t* ids = context.in(0).ptr<int64_t>() + row * tokens;
      float* scores = context.out(0).ptr<float>() + row * vocabulary;
      const int64_t* prefix = ids + tokens - (n - 1);
      for (size_t i = 0; i + n <= tokens; ++i) {
        if (!std::equal(prefix, ids + tokens, ids + i)) continue;
        const int64_t next = ids[i + n - 1];
        LINNET_REQUIRE(next >= 0 && static_cast<uint64_t>(next) < vocabulary,
                       invalid_argument("token ", next, " is outside of the vocabulary of ", vocabulary));
        scores[next] = -std::numeric_limits<float>::infinity();
      }
    }
    return {};
  }
  bool can_overwrite(size_t input, size_t) const override { return input == 1; }

 private:
  int64_t size_ = 1;
};

constexpr OpDef kDefs[] = {{"com.microsoft", "NGramRepeatBlock", 1, 2, 2, 1, 1, create<NGramRepeatBlock>}};

}  // namespace

extern const std::span<const OpDef> kNGramRepeatBlockOps = kDefs;

}  // namespace linnet
