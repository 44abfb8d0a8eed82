// linnet.GroupedMatMul: products of one input by several constant matrices, which read it once and share one cut among
// threads. Inputs: x, then for each product its matrix and its bias, a row or none; an output for each. `transB` as
// Gemm has it. With `gated` two products give one output, activation(x b0 + bias0) (x b1 + bias1), as in SwiGLU
// (https://arxiv.org/abs/2002.05202).
#include <array>

#include "ops/element_types.h"
#include "ops/fused_activation.h"
#include "ops/matrix_product.h"
#include "ops/packed_matrix.h"

namespace linnet {
namespace {

constexpr size_t kMostProducts = 8;

class GroupedMatMul final : public Op {
 public:
  Status parse(NodeReader& reader) {
    form_.transposed = reader.flag("transB", false);
    gated_ = reader.flag("gated", false);
    LINNET_ASSIGN(activation_, parse_fused_activation(reader));
    products_ = reader.inputs() / 2;
    LINNET_REQUIRE(products_ >= 1 && products_ <= kMostProducts && reader.outputs() == (gated_ ? 1 : products_) &&
                       (!gated_ || products_ == 2),
                   invalid_model("GroupedMatMul of ", reader.inputs(), " inputs and ", reader.outputs(), " outputs"));
    for (size_t i = 0; i < products_; ++i)
      LINNET_REQUIRE(reader.has_input(matrix(i)) && (gated_ || reader.has_output(i)),
                     invalid_model("matrix ", i, " or its product is missing"));
    LINNET_REQUIRE(gated_ || activation_.kind == Activation::none,
                   invalid_model("an activation of GroupedMatMul needs 'gated'"));
    return {};
  }

  Status infer(InferContext& context) const override {
    for (size_t i = 0; i < context.inputs(); ++i) LINNET_TRY(expect_type(context, i, TypeSet{DType::f32}));
    LINNET_REQUIRE(!context.ranked(0) || context.shape(0).size() >= 2,
                   invalid_argument("x must have two axes or more"));
    for (size_t i = 0; i < products_; ++i) {
      const size_t output = gated_ ? 0 : i;
      if (!context.ranked(0) || !context.ranked(matrix(i))) {
        context.set_unranked(output, DType::f32);
        continue;
      }
      const SymShape& b = context.shape(matrix(i));
      LINNET_REQUIRE(b.size() == 2, invalid_argument("matrix ", i, " has ", b.size(), " axes"));
      LINNET_ASSIGN(SymShape shape, matrix_product_shape(context.shape(0), b, {}, form_, context.symbols()));
      const Dim n = shape.back();
      if (context.has(bias(i)) && context.ranked(bias(i))) {
        const SymShape& row = context.shape(bias(i));
        LINNET_REQUIRE(row.size() == 1 && (!row[0].known() || !n.known() || row[0] == n),
                       invalid_argument("bias ", i, " is not a row of the product's size"));
      }
      const SymShape& first = context.shape(matrix(0));
      LINNET_REQUIRE(!gated_ || first.size() != 2 || !first[0].known() || !first[1].known() || !b.known() || first == b,
                     invalid_argument("the two matrices of a gated product must be of one shape"));
      context.set(output, DType::f32, std::move(shape));
    }
    return {};
  }

  Status prepare(PrepareContext& context) override {
    for (size_t i = 0; i < products_; ++i) {
      LINNET_ASSIGN(packed_[i], pack_matrix(context, matrix(i), form_.transposed));
    }
    return {};
  }

  Status bind(BindContext& context) const override {
    Bound& bound = context.state<Bound>();
    for (size_t i = 0; i < products_; ++i) {
      LINNET_ASSIGN(bound.products[i], matrix_product(context.shape(0), context.shape(matrix(i)), {}, form_));
      bound.products[i].merge_rows();
      LINNET_REQUIRE(bound.products[i].axes == 0, invalid_argument("x of shape ", context.shape(0), " is no matrix"));
      LINNET_REQUIRE(!context.has(bias(i)) || context.shape(bias(i)).count() == narrow<int64_t>(bound.products[i].n),
                     invalid_argument("bias ", i, " is not a row of the product's size"));
    }
    LINNET_REQUIRE(!gated_ || bound.products[0].n == bound.products[1].n,
                   invalid_argument("the two matrices of a gated product must be of one shape"));
    std::array<GemmArgs, kMostProducts> all;
    const std::span<const GemmArgs> products = arguments(bound, all);
    bound.scratch = round_up(gemm_group_scratch_size(products, context.threads()), 64);
    context.request_scratch(bound.scratch);
    return {};
  }

  Status run(RunContext& context) const override {
    const Bound& bound = context.state<Bound>();
    std::array<GemmArgs, kMostProducts> all;
    const std::span<GemmArgs> products = arguments(bound, all);
    for (size_t i = 0; i < products_; ++i) {
      GemmArgs& g = products[i];
      g.a = context.in(0).ptr<float>();
      g.b = packed_[i].data ? static_cast<const void*>(packed_[i].data) : context.in(matrix(i)).data;
      if (const Tensor* row = context.maybe(bias(i))) g.bias = row->ptr<float>();
      g.c = context.out(gated_ ? 0 : i).ptr<float>();
      if (gated_ && i == 1) {
        g.addend = g.c;
        g.ld_addend = g.ldc;
        g.multiplies = true;
      }
    }
    gemm_group(products, reinterpret_cast<float*>(context.scratch()), context.parallel);
    return {};
  }

 private:
  struct Bound {
    std::array<MatrixProduct, kMostProducts> products;
    size_t scratch;
  };
  static size_t matrix(size_t product) { return 1 + 2 * product; }
  static size_t bias(size_t product) { return 2 + 2 * product; }

  // Sizes, strides and forms; no pointers.
  std::span<GemmArgs> arguments(const Bound& bound, std::array<GemmArgs, kMostProducts>& all) const {
    for (size_t i = 0; i < products_; ++i) {
      all[i] = gemm_arguments(bound.products[i]);
      if (packed_[i].data) all[i].b_form = packed_[i].form;
    }
    if (gated_) all[0].activation = activation_;
    return std::span(all).first(products_);
  }

  size_t products_ = 0;
  bool gated_ = false;
  MatrixForm form_;
  ActivationSpec activation_;
  std::array<PackedMatrix, kMostProducts> packed_;
};

constexpr OpDef kDefs[] = {
    {"linnet", "GroupedMatMul", 1, 2, 1 + 2 * kMostProducts, 1, kMostProducts, create<GroupedMatMul>},
};

}  // namespace

extern const std::span<const OpDef> kGroupedMatMulOps = kDefs;

}  // namespace linnet
