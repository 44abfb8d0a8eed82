// linnet.GroupedMatMul: products of one input by several constant matrices, which read it once and share one cut among
// threads. Inputs: x, then for each product its matrix and its bias, a row or none; an output for each. `transB` as
// Gemm has it.
//
// With `gated` two products give one output, activation(x b0 + bias0) (x b1 + bias1), as in SwiGLU
// (https://arxiv.org/abs/2002.05202). With `columns` there is one matrix and one bias, whose columns are divided among
// the products, multiples of 16 for each; `gate`, 0 by default, says which of the two gated ones has the activation.
#include <algorithm>
#include <array>
#include <limits>
#include <utility>
#include <vector>

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
    gate_ = reader.flag("gate", false) ? 1 : 0;
    columns_ = reader.integers("columns");
    LINNET_ASSIGN(activation_, parse_fused_activation(reader));
    products_ = columns_.empty() ? reader.inputs() / 2 : columns_.size();
    LINNET_REQUIRE(products_ >= 1 && products_ <= kMostProducts && reader.outputs() == (gated_ ? 1 : products_) &&
                       (!gated_ || products_ == 2) && (columns_.empty() || reader.inputs() <= 3),
                   invalid_model("GroupedMatMul of ", reader.inputs(), " inputs and ", reader.outputs(), " outputs"));
    for (size_t i = 0; i < products_; ++i)
      LINNET_REQUIRE(reader.has_input(matrix(i)) && (gated_ || reader.has_output(i)),
                     invalid_model("matrix ", i, " or its product is missing"));
    LINNET_REQUIRE(gated_ || activation_.kind == Activation::none,
                   invalid_model("an activation of GroupedMatMul needs 'gated'"));
    for (const int64_t n : columns_)
      LINNET_REQUIRE(n > 0 && n % static_cast<int64_t>(kPanelWidth) == 0 && (!gated_ || n == columns_[0]),
                     invalid_model("'columns' has ", n, "; they must be positive multiples of ", kPanelWidth,
                                   ", and the same for products that are gated"));
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
      LINNET_REQUIRE(columns_.empty() || !n.known() || n.is(sum_of_columns()),
                     invalid_argument("'columns' do not add up to those of the matrix"));
      if (!columns_.empty()) shape.back() = Dim(columns_[i]);
      context.set(output, DType::f32, std::move(shape));
    }
    return {};
  }

  Status prepare(PrepareContext& context) override {
    for (size_t i = 0; i < (columns_.empty() ? products_ : 1); ++i) {
      LINNET_ASSIGN(packed_[i], pack_matrix(context, matrix(i), form_.transposed));
    }
    LINNET_REQUIRE(columns_.empty() || packed_[0].data, invalid_model("a matrix with 'columns' must be a constant"));
    return {};
  }

  Status bind(BindContext& context) const override {
    Bound& bound = context.state<Bound>();
    for (size_t i = 0; i < products_; ++i) {
      LINNET_ASSIGN(MatrixProduct p, matrix_product(context.shape(0), context.shape(matrix(i)), {}, form_));
      p.merge_rows();
      LINNET_REQUIRE(p.axes == 0, invalid_argument("x of shape ", context.shape(0), " is no matrix"));
      LINNET_REQUIRE(!context.has(bias(i)) || context.shape(bias(i)).count() == narrow<int64_t>(p.n),
                     invalid_argument("bias ", i, " is not a row of the product's size"));
      LINNET_REQUIRE(columns_.empty() || sum_of_columns() == narrow<int64_t>(p.n),
                     invalid_argument("'columns' do not add up to those of the matrix"));
      GemmArgs& g = bound.products[i];
      g = gemm_arguments(p);
      if (packed_of(i).data) g.b_form = packed_of(i).form;
      if (!columns_.empty()) g.n = g.ldc = static_cast<size_t>(columns_[i]);
    }
    LINNET_REQUIRE(!gated_ || bound.products[0].n == bound.products[1].n,
                   invalid_argument("the two matrices of a gated product have different columns"));
    context.request_scratch(gemm_group_scratch_size(std::span(bound.products).first(products_), context.threads()));
    return {};
  }

  Status run(RunContext& context) const override {
    std::array<GemmArgs, kMostProducts> all = context.state<Bound>().products;
    size_t first = 0;  // of the columns, where products share a matrix
    for (size_t i = 0; i < products_; ++i) {
      GemmArgs& g = all[i];
      g.a = context.in(0).ptr<float>();
      g.b = packed_of(i).data ? static_cast<const void*>(packed_of(i).data) : context.in(matrix(i)).data;
      g.b = b_at(g, first * g.k);
      if (const Tensor* row = context.maybe(bias(i))) g.bias = row->ptr<float>() + first;
      g.c = context.out(gated_ ? 0 : i).ptr<float>();
      if (!columns_.empty()) first += g.n;
    }
    if (gated_) {  // the activated one first; the other multiplies it in place
      if (gate_ != 0) std::swap(all[0], all[1]);
      all[0].activation = activation_;
      all[1].addend = all[1].c;
      all[1].ld_addend = all[1].ldc;
      all[1].multiplies = true;
    }
    gemm_group(std::span(all).first(products_), reinterpret_cast<float*>(context.scratch()), context.parallel);
    return {};
  }

 private:
  struct Bound {
    std::array<GemmArgs, kMostProducts> products;  // sizes, strides and forms; no pointers
  };
  size_t matrix(size_t product) const { return columns_.empty() ? 1 + 2 * product : 1; }
  size_t bias(size_t product) const { return matrix(product) + 1; }
  const PackedMatrix& packed_of(size_t product) const { return packed_[columns_.empty() ? product : 0]; }

  // Or the greatest number, where there are more.
  int64_t sum_of_columns() const {
    int64_t sum = 0;
    for (const int64_t n : columns_) sum = checked_add(sum, n).value_or(std::numeric_limits<int64_t>::max());
    return sum;
  }

  size_t products_ = 0, gate_ = 0;
  bool gated_ = false;
  MatrixForm form_;
  std::vector<int64_t> columns_;
  ActivationSpec activation_;
  std::array<PackedMatrix, kMostProducts> packed_;
};

constexpr OpDef kDefs[] = {
    {"linnet", "GroupedMatMul", 1, 2, 1 + 2 * kMostProducts, 1, kMostProducts, create<GroupedMatMul>},
};

}  // namespace

extern const std::span<const OpDef> kGroupedMatMulOps = kDefs;

}  // namespace linnet
