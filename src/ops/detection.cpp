// https://onnx.ai/onnx/operators/onnx__NonMaxSuppression.html
#include <algorithm>

#include "kernels/movement/topk.h"
#include "ops/element_types.h"
#include "ops/infer_shapes.h"

namespace linnet {
namespace {

struct Corners {
  float y1, x1, y2, x2, area;

  static Corners of(const float* box, bool center) {
    Corners c{};
    if (center) {
      const float x = box[0], y = box[1], half_width = box[2] / 2, half_height = box[3] / 2;
      c = {y - half_height, x - half_width, y + half_height, x + half_width, 0};
    } else {
      c = {std::min(box[0], box[2]), std::min(box[1], box[3]), std::max(box[0], box[2]), std::max(box[1], box[3]), 0};
    }
    c.area = (c.y2 - c.y1) * (c.x2 - c.x1);
    return c;
  }
  bool overlaps(const Corners& other, float threshold) const {
    const float height = std::min(y2, other.y2) - std::max(y1, other.y1),
                width = std::min(x2, other.x2) - std::max(x1, other.x1);
    if (!(height > 0) || !(width > 0) || !(area > 0) || !(other.area > 0)) return false;
    const float common = height * width, joint = area + other.area - common;
    return joint > 0 && common / joint > threshold;
  }
};

class NonMaxSuppression final : public Op {
 public:
  Status parse(NodeReader& reader) {
    center_ = reader.flag("center_point_box", false);
    return {};
  }

  Status infer(InferContext& context) const override {
    for (size_t i = 0; i < 5; ++i) {
      LINNET_TRY(expect_type(context, i, TypeSet{i == 2 ? DType::i64 : DType::f32}));
      if (i >= 2) LINNET_TRY(expect_one_element(context, i));
    }
    if (context.ranked(0) && context.ranked(1)) {
      const SymShape &boxes = context.shape(0), &scores = context.shape(1);
      LINNET_REQUIRE(boxes.size() == 3 && scores.size() == 3 && (!boxes[2].known() || boxes[2].is(4)),
                     invalid_argument("boxes must be of shape [batch, boxes, 4], scores [batch, classes, boxes]"));
      LINNET_REQUIRE((!boxes[0].known() || !scores[0].known() || boxes[0] == scores[0]) &&
                         (!boxes[1].known() || !scores[2].known() || boxes[1] == scores[2]),
                     invalid_argument("boxes and scores differ in the batch or the number of boxes"));
      LINNET_REQUIRE(!boxes[1].known() || boxes[1].value() < int64_t{0xffffffff},
                     unsupported(boxes[1].value(), " boxes are too many"));
    }
    context.set(0, DType::i64, {Dim(), 3});
    return {};
  }

  Status bind(BindContext& context) const override {
    const Work work(context.shape(1));
    context.request_scratch(work.selected_bytes + context.threads() * work.worker_bytes);
    return {};
  }

  Status run(RunContext& context) const override {
    const Shape& scores = context.in(1).shape;
    const Work work(scores);
    const int64_t classes = scores[1], count = scores[2];
    const int64_t limit = context.has(2) ? *context.in(2).ptr<int64_t>() : 0;
    const float overlap = context.has(3) ? *context.in(3).ptr<float>() : 0.0f;
    LINNET_REQUIRE(overlap >= 0.0f && overlap <= 1.0f,
                   invalid_argument("iou_threshold is ", overlap, "; it must be between 0 and 1"));
    const size_t most = static_cast<size_t>(std::clamp<int64_t>(limit, 0, count));
    // For each batch and class: how many were selected, and which.
    auto* found = reinterpret_cast<uint32_t*>(context.scratch());
    uint32_t* selected = found + work.groups;
    context.parallel.for_range(
        work.groups, grain_for(static_cast<double>(count) * 10.0), [&](size_t begin, size_t end, size_t worker) {
          std::byte* scratch = context.scratch() + work.selected_bytes + worker * work.worker_bytes;
          auto* kept = reinterpret_cast<Corners*>(scratch + static_cast<size_t>(count) * sizeof(uint64_t));
          for (size_t g = begin; g < end; ++g)
            found[g] = select(context, g, most, overlap, reinterpret_cast<uint64_t*>(scratch), kept,
                              selected + g * static_cast<size_t>(count));
        });
    int64_t total = 0;
    for (size_t g = 0; g < work.groups; ++g) total += found[g];
    LINNET_TRY(context.allocate(0, DType::i64, {total, 3}));
    int64_t* dst = context.out(0).ptr<int64_t>();
    for (size_t g = 0; g < work.groups; ++g)
      for (uint32_t i = 0; i < found[g]; ++i, dst += 3) {
        dst[0] = static_cast<int64_t>(g) / classes;
        dst[1] = static_cast<int64_t>(g) % classes;
        dst[2] = selected[g * static_cast<size_t>(count) + i];
      }
    return {};
  }

 private:
  struct Work {
    size_t groups, selected_bytes, worker_bytes;
    explicit Work(const Shape& scores)
        : groups(static_cast<size_t>(scores[0] * scores[1])),
          selected_bytes(round_up(groups * (static_cast<size_t>(scores[2]) + 1) * sizeof(uint32_t), 64)),
          worker_bytes(round_up(static_cast<size_t>(scores[2]) * (sizeof(uint64_t) + sizeof(Corners)), 64)) {}
  };

  uint32_t select(RunContext& context, size_t group, size_t most, float overlap, uint64_t* candidates, Corners* kept,
                  uint32_t* selected) const {
    const Tensor& scores = context.in(1);
    const size_t count = static_cast<size_t>(scores.shape[2]);
    const float* score = scores.ptr<float>() + group * count;
    const float* boxes = context.in(0).ptr<float>() + group / static_cast<size_t>(scores.shape[1]) * count * 4;
    const Tensor* threshold = context.maybe(4);
    size_t left = 0;
    for (size_t i = 0; i < count; ++i)
      if (!threshold || score[i] > *threshold->ptr<float>())
        candidates[left++] = uint64_t{order_key(score[i])} << 32 | (0xffffffffu - static_cast<uint32_t>(i));
    std::make_heap(candidates, candidates + left);  // the best score in front, the earlier box of equals
    uint32_t n = 0;
    while (left > 0 && n < most) {
      if (left % 256 == 0 && context.parallel.stopped()) break;
      std::pop_heap(candidates, candidates + left);
      const uint32_t box = 0xffffffffu - static_cast<uint32_t>(candidates[--left]);
      const Corners corners = Corners::of(boxes + size_t{box} * 4, center_);
      if (std::any_of(kept, kept + n, [&](const Corners& k) { return corners.overlaps(k, overlap); })) continue;
      kept[n] = corners;
      selected[n++] = box;
    }
    return n;
  }

  bool center_ = false;
};

constexpr OpDef kDefs[] = {
    {"", "NonMaxSuppression", 10, 2, 5, 1, 1, create<NonMaxSuppression>, OpDef::kAllocates},
};

}  // namespace

extern const std::span<const OpDef> kDetectionOps = kDefs;

}  // namespace linnet
