// https://onnx.ai/onnx/operators/onnx__Softmax.html, ...LogSoftmax, ...Hardmax
#include "kernels/softmax/softmax.h"

#include <cstring>

#include "kernels/reduce/reduce.h"
#include "ops/float_scratch.h"
#include "ops/infer_shapes.h"
#include "ops/op.h"
#include "ops/type_switch.h"

namespace linnet {
namespace {

// Operator sets before 13 take all axes from `axis` on as one.
class SoftmaxOp final : public Op {
 public:
  Status parse(NodeReader& reader) {
    flatten_ = reader.version() < 13;
    axis_ = reader.integer("axis", flatten_ ? 1 : -1);
    hard_ = reader.op_type() == "Hardmax";
    log_ = reader.op_type() == "LogSoftmax";
    return {};
  }
  Status infer(InferContext& context) const override {
    LINNET_REQUIRE(is_float(context.dtype(0)),
                   unsupported("cannot take elements of type ", dtype_name(context.dtype(0))));
    if (context.ranked(0)) LINNET_TRY(axis_of(context.shape(0).size()).status());
    return infer_same_as_input(context);
  }
  Status bind(BindContext& context) const override {
    const Shape& in = context.shape(0);
    LINNET_ASSIGN(const size_t axis, axis_of(in.rank()));
    SoftmaxShape& shape = context.state<SoftmaxShape>();
    shape.outer = static_cast<size_t>(in.count(0, axis));
    shape.n = static_cast<size_t>(flatten_ ? in.count(axis, in.rank()) : in.rank() == 0 ? 1 : in[axis]);
    shape.inner = flatten_ || in.rank() == 0 ? 1 : static_cast<size_t>(in.count(axis + 1, in.rank()));
    if (hard_) {
      context.request_scratch(scratch_size(static_cast<int64_t>(shape.outer * shape.inner), sizeof(int64_t)));
    } else if (context.dtype(0) != DType::f64) {
      request_float_scratch(context);
    }
    return {};
  }
  Status run(RunContext& context) const override {
    const Tensor& src = context.in(0);
    Tensor& dst = context.out(0);
    const SoftmaxShape& shape = context.state<SoftmaxShape>();
    if (hard_) {
      switch_float(src.dtype, [&]<class T>(std::type_identity<T>) { run_hard<T>(context, shape); });
    } else if (src.dtype == DType::f64) {
      softmax(log_, shape, src.ptr<double>(), dst.ptr<double>(), context.parallel);
    } else {
      FloatScratch scratch(context);
      const float* from = scratch.in(src);
      float* to = scratch.out(dst);
      softmax(log_, shape, from, to, context.parallel);
      scratch.finish(dst, to);
    }
    return {};
  }
  bool can_overwrite(size_t, size_t) const override { return !hard_; }

 private:
  Result<size_t> axis_of(size_t rank) const {
    if (rank == 0 || (flatten_ && axis_ == static_cast<int64_t>(rank))) return rank;
    return checked_axis(axis_, rank);
  }
  template <class T>
  static void run_hard(RunContext& context, const SoftmaxShape& shape) {
    Tensor& dst = context.out(0);
    std::memset(dst.data, 0, dst.bytes());
    if (shape.n == 0) return;
    int64_t* index = reinterpret_cast<int64_t*>(context.scratch());
    arg_reduce({shape.outer, shape.n, shape.inner, true, false}, context.in(0).ptr<T>(), index, context.parallel);
    for (size_t o = 0; o < shape.outer; ++o)
      for (size_t k = 0; k < shape.inner; ++k)
        dst.ptr<T>()[(o * shape.n + static_cast<size_t>(index[o * shape.inner + k])) * shape.inner + k] = T(1.0f);
  }

  bool flatten_ = false, hard_ = false, log_ = false;
  int64_t axis_ = -1;
};

constexpr OpDef kDefs[] = {
    {"", "Softmax", 1, 1, 1, 1, 1, create<SoftmaxOp>},
    {"", "LogSoftmax", 1, 1, 1, 1, 1, create<SoftmaxOp>},
    {"", "Hardmax", 1, 1, 1, 1, 1, create<SoftmaxOp>},
};

}  // namespace

extern const std::span<const OpDef> kSoftmaxOps = kDefs;

}  // namespace linnet
