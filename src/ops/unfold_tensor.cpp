// https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md#com.microsoft.UnfoldTensor
#include "ops/element_types.h"
#include "ops/infer_shapes.h"

namespace linnet {
namespace {

class UnfoldTensor final : public Op {
 public:
  Status parse(NodeReader& reader) {
    axis_ = reader.integer("dim", -1);
    size_ = reader.integer("size", 0);
    step_ = reader.integer("step", 1);
    LINNET_REQUIRE(size_ >= 1 && step_ >= 1, invalid_model("size ", size_, " and step ", step_, " must be positive"));
    return {};
  }
  Status infer(InferContext& context) const override {
    LINNET_TRY(expect_type(context, 0, kWholeTypes));
    if (!context.ranked(0)) {
      context.set_unranked(0, context.dtype(0));
      return {};
    }
    SymShape shape = context.shape(0);
    LINNET_ASSIGN(const size_t axis, checked_axis(axis_, shape.size()));
    const Dim room = context.symbols().sub(shape[axis], size_);
    LINNET_REQUIRE(!room.known() || room.value() >= 0,
                   invalid_argument("slices of ", size_, " do not fit into axis ", axis_));
    shape[axis] = context.symbols().add(context.symbols().div(room, step_), 1);
    shape.push_back(Dim(size_));
    context.set(0, context.dtype(0), std::move(shape));
    return {};
  }
  Status run(RunContext& context) const override {
    const Tensor& in = context.in(0);
    Tensor& out = context.out(0);
    if (out.count() == 0) return {};
    LINNET_ASSIGN(const size_t axis, checked_axis(axis_, in.shape.rank()));
    const int64_t inner = in.shape.count(axis + 1, in.shape.rank());
    const int64_t slices = out.shape[axis];
    // A row is what one slice takes from the input: `inner` places by `size` elements.
    const size_t rows = static_cast<size_t>(out.count() / (inner * size_));
    visit_width(in.dtype, [&]<class T>(TypeTag<T>) {
      const double cost = static_cast<double>(inner) * static_cast<double>(size_);
      context.parallel.for_range(rows, grain_for(cost), [&](size_t begin, size_t end, size_t) {
        for (int64_t row = static_cast<int64_t>(begin); row < static_cast<int64_t>(end); ++row) {
          const T* src = in.ptr<T>() + (row / slices * in.shape[axis] + row % slices * step_) * inner;
          T* dst = out.ptr<T>() + row * inner * size_;
          for (int64_t place = 0; place < inner; ++place)
            for (int64_t i = 0; i < size_; ++i) *dst++ = src[i * inner + place];
        }
      });
    });
    return {};
  }

 private:
  int64_t axis_ = -1, size_ = 0, step_ = 1;
};

constexpr OpDef kDefs[] = {{"com.microsoft", "UnfoldTensor", 1, 1, 1, 1, 1, create<UnfoldTensor>}};

}  // namespace

extern const std::span<const OpDef> kUnfoldTensorOps = kDefs;

}  // namespace linnet
