// https://onnx.ai/onnx/operators/onnx__DepthToSpace.html, ...SpaceToDepth
// Passes may set channels_last: input and output are [batch][height][width][channels].
#include "ops/transpose_elements.h"

namespace linnet {
namespace {

// Both are a transposition of the tensor seen with six axes.
class BlockMove : public Op {
 public:
  Status infer(InferContext& context) const override {
    const DType type = context.dtype(0);
    if (!context.ranked(0)) {
      context.set(0, type, SymShape(4));
      return {};
    }
    SymShape shape = context.shape(0);
    LINNET_REQUIRE(shape.size() == 4, invalid_argument("the input has rank ", shape.size(), " instead of 4"));
    SymbolTable& symbols = context.symbols();
    const size_t channel = channels_last_ ? 3 : 1;
    const int64_t area = blocksize_ * blocksize_;
    const auto divided = [&](Dim& size, int64_t by) -> Status {
      LINNET_REQUIRE(!size.known() || size.value() % by == 0,
                     invalid_argument("a size of ", size.value(), " does not divide by ", by));
      size = symbols.div(size, by);
      return {};
    };
    if (to_space_) {
      LINNET_TRY(divided(shape[channel], area));
    } else {
      shape[channel] = symbols.mul(shape[channel], area);
    }
    for (size_t a = channels_last_ ? 1 : 2, end = a + 2; a < end; ++a) {
      if (to_space_) {
        shape[a] = symbols.mul(shape[a], blocksize_);
      } else {
        LINNET_TRY(divided(shape[a], blocksize_));
      }
    }
    context.set(0, type, shape);
    return {};
  }

  Status bind(BindContext& context) const override {
    // In the order of the smaller space: batch, height, width, and channels in `depth` parts.
    const Shape& x = context.shape(0);
    const Shape& small = to_space_ ? x : context.out_shape(0);
    const int64_t b = blocksize_;
    const int64_t n = small[0], channels = small[channels_last_ ? 3 : 1] / (b * b);
    const int64_t height = small[channels_last_ ? 1 : 2], width = small[channels_last_ ? 2 : 3];
    InlineVector<int64_t, 8> shape;
    InlineVector<size_t, 8> order;
    if (to_space_ && !channels_last_) {
      shape = columns_first_ ? InlineVector<int64_t, 8>{n, channels, b, b, height, width}
                             : InlineVector<int64_t, 8>{n, b, b, channels, height, width};
      order = columns_first_ ? InlineVector<size_t, 8>{0, 1, 4, 2, 5, 3} : InlineVector<size_t, 8>{0, 3, 4, 1, 5, 2};
    } else if (to_space_) {
      shape = columns_first_ ? InlineVector<int64_t, 8>{n, height, width, channels, b, b}
                             : InlineVector<int64_t, 8>{n, height, width, b, b, channels};
      order = columns_first_ ? InlineVector<size_t, 8>{0, 1, 4, 2, 5, 3} : InlineVector<size_t, 8>{0, 1, 3, 2, 4, 5};
    } else if (!channels_last_) {
      shape = {n, channels, height, b, width, b};
      order = {0, 3, 5, 1, 2, 4};
    } else {
      shape = {n, height, b, width, b, channels};
      order = {0, 1, 3, 2, 4, 5};
    }
    const std::optional<TransposePlan> plan =
        plan_transpose({shape.data(), shape.size()}, {order.data(), order.size()}, transposed_width(context.dtype(0)));
    LINNET_CHECK(plan.has_value());
    context.state<TransposePlan>() = *plan;
    request_transpose_scratch(context);
    return {};
  }

  Status run(RunContext& context) const override {
    transpose_elements(context.state<TransposePlan>(), context);
    return {};
  }

 protected:
  explicit BlockMove(bool to_space) noexcept : to_space_(to_space) {}

  Status parse_common(NodeReader& reader) {
    blocksize_ = reader.integer("blocksize", 0);
    LINNET_REQUIRE(blocksize_ >= 1 && blocksize_ <= (1 << 15), invalid_model("blocksize is ", blocksize_));
    channels_last_ = reader.flag("channels_last", false);
    return {};
  }

  bool columns_first_ = false;  // mode CRD: the channel before the place within the block

 private:
  bool to_space_, channels_last_ = false;
  int64_t blocksize_ = 1;
};

class DepthToSpace final : public BlockMove {
 public:
  DepthToSpace() : BlockMove(true) {}
  Status parse(NodeReader& reader) {
    const std::string mode = reader.text("mode", "DCR");
    LINNET_REQUIRE(mode == "DCR" || mode == "CRD", invalid_model("mode is '", mode, "'"));
    columns_first_ = mode == "CRD";
    return parse_common(reader);
  }
};

class SpaceToDepth final : public BlockMove {
 public:
  SpaceToDepth() : BlockMove(false) {}
  Status parse(NodeReader& reader) { return parse_common(reader); }
};

constexpr OpDef kDefs[] = {
    {"", "DepthToSpace", 1, 1, 1, 1, 1, create<DepthToSpace>},
    {"", "SpaceToDepth", 1, 1, 1, 1, 1, create<SpaceToDepth>},
};

}  // namespace

extern const std::span<const OpDef> kDepthToSpaceOps = kDefs;

}  // namespace linnet
