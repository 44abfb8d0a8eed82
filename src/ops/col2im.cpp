// https://onnx.ai/onnx/operators/onnx__Col2Im.html
#include <algorithm>

#include "ops/element_types.h"
#include "ops/type_switch.h"

namespace linnet {
namespace {

constexpr int64_t kMost = int64_t{1} << 30;

// One axis of the image and how blocks slide over it.
struct BlockAxis {
  int64_t image = 0, block = 0, dilation = 1, stride = 1, pad_begin = 0, pad_end = 0;
  int64_t steps() const noexcept {
    const int64_t room = image + pad_begin + pad_end - (block - 1) * dilation - 1;
    return room < 0 ? 0 : room / stride + 1;
  }
};
using BlockAxes = InlineVector<BlockAxis, 4>;

class Col2Im final : public Op {
 public:
  Status parse(NodeReader& reader) {
    dilations_ = reader.integers("dilations");
    pads_ = reader.integers("pads");
    strides_ = reader.integers("strides");
    return {};
  }

  Status infer(InferContext& context) const override {
    LINNET_TRY(expect_type(context, 0, kNumberTypes | TypeSet{DType::boolean, DType::c64, DType::c128}));
    DimVector image, block;
    if (!context.ranked(0) || !context.list(1, image) || !context.list(2, block) || !image.known() || !block.known()) {
      context.set_unranked(0, context.dtype(0));
      return {};
    }
    LINNET_ASSIGN(const BlockAxes axes, block_axes(image.values(), block.values()));
    const SymShape& x = context.shape(0);
    LINNET_REQUIRE(x.size() == 3, invalid_argument("the input has rank ", x.size(), " instead of 3"));
    int64_t area = 1, steps = 1;
    for (const BlockAxis& axis : axes) {
      const auto more_area = checked_mul(area, axis.block), more_steps = checked_mul(steps, axis.steps());
      LINNET_REQUIRE(more_area && more_steps, invalid_argument("the blocks are too many"));
      area = *more_area;
      steps = *more_steps;
    }
    LINNET_REQUIRE(!x[1].known() || x[1].value() % area == 0,
                   invalid_argument(x[1].value(), " rows do not divide into blocks of ", area));
    LINNET_REQUIRE(!x[2].known() || x[2].is(steps),
                   invalid_argument("the image has ", steps, " blocks, the input ", x[2].value()));
    SymShape shape(2 + axes.size());
    shape[0] = x[0];
    shape[1] = context.symbols().div(x[1], area);
    for (size_t a = 0; a < axes.size(); ++a) shape[a + 2] = axes[a].image;
    context.set(0, context.dtype(0), shape);
    return {};
  }

  Status run(RunContext& context) const override {
    const Tensor& block = context.in(2);
    const Shape image(context.out(0).shape.begin() + 2, context.out(0).shape.end());
    LINNET_ASSIGN(const BlockAxes axes, block_axes(image, Shape(block.as<int64_t>())));
    const auto add_all = [&](auto type) {
      using T = typename decltype(type)::type;
      // Sums of signed integers that wrap have the bits of unsigned ones.
      if constexpr (std::is_integral_v<T> && !std::is_same_v<T, bool>) {
        add<std::make_unsigned_t<T>>(context, axes);
      } else {
        add<T>(context, axes);
      }
    };
    const DType type = context.in(0).dtype;
    if (!switch_number(type, add_all)) switch_type<bool, std::complex<float>, std::complex<double>>(type, add_all);
    return {};
  }

 private:
  Result<BlockAxes> block_axes(const Shape& image, const Shape& block) const {
    const size_t count = image.size();
    LINNET_REQUIRE(block.size() == count && count > 0,
                   invalid_argument("image_shape has ", count, " sizes, block_shape ", block.size()));
    LINNET_REQUIRE((dilations_.empty() || dilations_.size() == count) &&
                       (strides_.empty() || strides_.size() == count) && (pads_.empty() || pads_.size() == 2 * count),
                   invalid_model("dilations, pads or strides do not fit an image of ", count, " axes"));
    BlockAxes axes(count);
    for (size_t a = 0; a < count; ++a) {
      axes[a] = {image[a],
                 block[a],
                 dilations_.empty() ? 1 : dilations_[a],
                 strides_.empty() ? 1 : strides_[a],
                 pads_.empty() ? 0 : pads_[a],
                 pads_.empty() ? 0 : pads_[count + a]};
      const BlockAxis& axis = axes[a];
      const auto within = [](int64_t v, int64_t least) { return v >= least && v <= kMost; };
      LINNET_REQUIRE(within(axis.image, 0) && within(axis.block, 1) && within(axis.dilation, 1) &&
                         within(axis.stride, 1) && within(axis.pad_begin, 0) && within(axis.pad_end, 0),
                     invalid_argument("axis ", a, " has an invalid size, block, dilation, stride or pad"));
    }
    return axes;
  }

  // Each image gathers from the columns in the order of the blocks' elements, so that sums do not depend on threads.
  template <class T>
  static void add(RunContext& context, const BlockAxes& axes) {
    const T* src = reinterpret_cast<const T*>(context.in(0).data);
    Tensor& y = context.out(0);
    const size_t images = static_cast<size_t>(y.shape[0] * y.shape[1]);
    const size_t size = static_cast<size_t>(y.shape.count(2, y.shape.rank()));
    int64_t area = 1, steps = 1;
    for (const BlockAxis& axis : axes) {
      area *= axis.block;
      steps *= axis.steps();
    }
    context.parallel.for_range(images, grain_for(static_cast<double>(area * steps)),
                               [&](size_t begin, size_t end, size_t) {
                                 for (size_t i = begin; i < end; ++i) {
                                   T* image = reinterpret_cast<T*>(y.data) + i * size;
                                   std::fill_n(image, size, T(0));
                                   const T* columns = src + i * static_cast<size_t>(area * steps);
                                   for (int64_t element = 0; element < area; ++element)
                                     add_steps(steps_of(axes, element), 0, columns + element * steps, image);
                                 }
                               });
  }

  // Where one element of the blocks meets an axis of the image: the steps [first, last) fall at `shift` + step *
  // stride.
  struct Steps {
    int64_t shift = 0, first = 0, last = 0, stride = 1;
    int64_t step_size = 1, place_size = 1;  // elements of a column behind a step, of an image behind a place
  };
  static InlineVector<Steps, 4> steps_of(const BlockAxes& axes, int64_t element) {
    InlineVector<Steps, 4> all(axes.size());
    int64_t step_size = 1, place_size = 1;
    for (size_t a = axes.size(); a-- > 0; element /= axes[a].block) {
      const BlockAxis& axis = axes[a];
      const int64_t shift = element % axis.block * axis.dilation - axis.pad_begin, stride = axis.stride;
      all[a] = {shift,
                shift >= 0 ? 0 : (-shift + stride - 1) / stride,
                shift >= axis.image ? 0 : std::min(axis.steps(), (axis.image - 1 - shift) / stride + 1),
                stride,
                step_size,
                place_size};
      step_size *= axis.steps();
      place_size *= axis.image;
    }
    return all;
  }

  // Adds what one element of the blocks holds at all steps of the axes from `a` on. (Inlined into itself for every type
  // it would take four times the code.)
  template <class T>
  [[gnu::noinline]] static void add_steps(const InlineVector<Steps, 4>& axes, size_t a, const T* column, T* image) {
    const Steps& axis = axes[a];
    if (a + 1 < axes.size()) {
      for (int64_t s = axis.first; s < axis.last; ++s)
        add_steps(axes, a + 1, column + s * axis.step_size, image + (axis.shift + s * axis.stride) * axis.place_size);
    } else if (axis.stride == 1) {
      T* to = image + axis.shift;
      for (int64_t s = axis.first; s < axis.last; ++s) to[s] = static_cast<T>(to[s] + column[s]);
    } else {
      for (int64_t s = axis.first; s < axis.last; ++s) {
        T& to = image[axis.shift + s * axis.stride];
        to = static_cast<T>(to + column[s]);
      }
    }
  }

  std::vector<int64_t> dilations_, pads_, strides_;
};

constexpr OpDef kDefs[] = {{"", "Col2Im", 18, 3, 3, 1, 1, create<Col2Im>}};

}  // namespace

extern const std::span<const OpDef> kCol2ImOps = kDefs;

}  // namespace linnet
