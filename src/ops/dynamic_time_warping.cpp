// The cheapest way through a matrix of costs, from its first element to its last.
// https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md#com.microsoft.DynamicTimeWarping
#include <algorithm>
#include <limits>

#include "ops/element_types.h"
#include "ops/float_scratch.h"

namespace linnet {
namespace {

class DynamicTimeWarping final : public Op {
 public:
  Status parse(NodeReader&) { return {}; }
  Status infer(InferContext& context) const override {
    LINNET_TRY(expect_type(context, 0, TypeSet{DType::f32}));
    if (context.ranked(0)) {
      const SymShape& in = context.shape(0);
      LINNET_REQUIRE(in.size() == 2 || (in.size() == 3 && (!in[0].known() || in[0].is(1))),
                     invalid_argument("the input must be one matrix"));
      for (const Dim size : in)
        LINNET_REQUIRE(!size.known() || size.value() < std::numeric_limits<int32_t>::max(),
                       unsupported("a matrix of ", size.value(), " rows or columns is too large"));
    }
    context.set(0, DType::i32, {Dim(2), Dim()});
    return {};
  }
  Status bind(BindContext& context) const override {
    const Shape& in = context.shape(0);
    context.request_scratch(scratch_size(in.sizes().back() + 1, 2 * sizeof(float)) + scratch_size(in.count(), 1));
    return {};
  }
  Status run(RunContext& context) const override {
    const Tensor& in = context.in(0);
    const int64_t rows = in.shape[in.shape.rank() - 2], columns = in.shape.sizes().back();
    auto* above = reinterpret_cast<float*>(context.scratch());
    float* costs = above + columns + 1;
    auto* steps = reinterpret_cast<Step*>(costs + columns + 1);
    constexpr float kNever = std::numeric_limits<float>::infinity();
    std::fill_n(above, columns + 1, kNever);
    above[0] = 0.0f;
    for (int64_t r = 0; r < rows; ++r) {
      costs[0] = kNever;
      for (int64_t c = 0; c < columns; ++c) {
        // Which of equal ones is taken is part of the contract.
        const float both = above[c], row = above[c + 1], column = costs[c];
        const Step step = both < row && both < column  ? Step::both
                          : row < both && row < column ? Step::row
                                                       : Step::column;
        steps[r * columns + c] = step;
        costs[c + 1] = in.ptr<float>()[r * columns + c] + (step == Step::both  ? both
                                                           : step == Step::row ? row
                                                                               : column);
      }
      std::swap(above, costs);
    }
    int64_t length = 0;
    walk(steps, rows, columns, [&](int64_t, int64_t) { ++length; });
    LINNET_TRY(context.allocate(0, DType::i32, {2, length}));
    int32_t* out = context.out(0).ptr<int32_t>();
    int64_t at = length;
    walk(steps, rows, columns, [&](int64_t r, int64_t c) {
      out[--at] = static_cast<int32_t>(r);
      out[length + at] = static_cast<int32_t>(c);
    });
    return {};
  }

 private:
  enum class Step : uint8_t { both, row, column };

  // From the last element back until an edge is left.
  template <class F>
  static void walk(const Step* steps, int64_t rows, int64_t columns, const F& visit) {
    for (int64_t r = rows - 1, c = columns - 1; r >= 0 && c >= 0;) {
      visit(r, c);
      const Step step = steps[r * columns + c];
      if (step != Step::column) --r;
      if (step != Step::row) --c;
    }
  }
};

constexpr OpDef kDefs[] = {
    {"com.microsoft", "DynamicTimeWarping", 1, 1, 1, 1, 1, create<DynamicTimeWarping>, OpDef::kAllocates}};

}  // namespace

extern const std::span<const OpDef> kDynamicTimeWarpingOps = kDefs;

}  // namespace linnet
