// linnet.ActivatedMul: activation(a) b of one shape, a piece at a time while it is in the cache.
#include <algorithm>

#include "kernels/elementwise/binary.h"
#include "kernels/elementwise/unary.h"
#include "ops/element_types.h"
#include "ops/fused_activation.h"
#include "ops/infer_shapes.h"

namespace linnet {
namespace {

constexpr size_t kPiece = 2048;

UnaryFn function_of(Activation kind) {
  switch (kind) {
    case Activation::clip: return UnaryFn::clip;
    case Activation::leaky_relu: return UnaryFn::leaky_relu;
    case Activation::hard_sigmoid: return UnaryFn::hard_sigmoid;
    case Activation::hard_swish: return UnaryFn::hard_swish;
    case Activation::sigmoid: return UnaryFn::sigmoid;
    case Activation::silu: return UnaryFn::swish;
    case Activation::gelu_erf: return UnaryFn::gelu_erf;
    case Activation::gelu_tanh: return UnaryFn::gelu_tanh;
    case Activation::tanh: return UnaryFn::tanh;
    default: return UnaryFn::relu;
  }
}

class ActivatedMul final : public Op {
 public:
  Status parse(NodeReader& reader) {
    LINNET_ASSIGN(const ActivationSpec activation, parse_fused_activation(reader));
    LINNET_REQUIRE(activation.kind != Activation::none, invalid_model("'activation' is missing"));
    function_ = function_of(activation.kind);
    parameters_ = {activation.a, activation.b};
    return {};
  }
  Status infer(InferContext& context) const override {
    for (const size_t i : {0, 1}) LINNET_TRY(expect_type(context, i, TypeSet{DType::f32}));
    if (context.ranked(0) && context.shape(0).known() && context.ranked(1) && context.shape(1).known())
      LINNET_REQUIRE(context.shape(0) == context.shape(1), invalid_argument("a and b are of different shapes"));
    return infer_same_as_input(context);
  }
  Status bind(BindContext& context) const override {
    LINNET_REQUIRE(context.shape(0) == context.shape(1), invalid_argument("a and b are of different shapes"));
    return {};
  }

  Status run(RunContext& context) const override {
    const float *a = context.in(0).ptr<float>(), *b = context.in(1).ptr<float>();
    float* y = context.out(0).ptr<float>();
    const auto count = static_cast<size_t>(context.out(0).count());
    const double piece_ns = (unary_ns(function_) + 0.1) * static_cast<double>(kPiece);
    context.parallel.for_range(ceil_div(count, kPiece), grain_for(piece_ns), [&](size_t first, size_t last, size_t) {
      for (size_t piece = first; piece < last && !context.parallel.stopped(); ++piece) {
        BroadcastBlock block;
        block.dst = block.src[0] = block.src[1] = piece * kPiece;
        block.rows = 1;
        block.columns = std::min(kPiece, count - block.dst);
        block.stride[0] = block.stride[1] = 1;
        unary_range(function_, parameters_, a + block.dst, y + block.dst, block.columns);
        binary_block(BinaryFn::mul, block, y, b, y);
      }
    });
    return {};
  }

 private:
  UnaryFn function_ = UnaryFn::relu;
  UnaryParams parameters_;
};

constexpr OpDef kDefs[] = {
    {"linnet", "ActivatedMul", 1, 2, 2, 1, 1, create<ActivatedMul>},
};

}  // namespace

extern const std::span<const OpDef> kActivatedMulOps = kDefs;

}  // namespace linnet
