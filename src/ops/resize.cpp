// https://onnx.ai/onnx/operators/onnx__Resize.html (Upsample is rewritten to it).
//
// An attribute that only passes set: channels_last says that input and output are [batch][...][channels], while roi,
// scales, sizes and axes still name the axes in ONNX's order.
#include "kernels/resize/resize.h"

#include <algorithm>
#include <cmath>
#include <new>

#include "ops/element_types.h"
#include "ops/float_scratch.h"
#include "ops/infer_shapes.h"
#include "ops/op.h"

namespace linnet {
namespace {

enum class AspectRatio : uint8_t { stretch, not_larger, not_smaller };

// How each axis of the tensor changes, in the tensor's own order of axes.
struct AxisChange {
  double scale = 1.0;  // a float where the model gives it
  bool resized = false;
  size_t entry = 0;  // where roi, scales and sizes speak of it
};
using Changes = InlineVector<AxisChange, 8>;

template <class E, size_t N>
Result<E> choice(NodeReader& reader, std::string_view name, std::string_view fallback,
                 const std::pair<std::string_view, E> (&names)[N]) {
  const std::string text = reader.text(name, fallback);
  for (const auto& [known, value] : names)
    if (known == text) return value;
  return invalid_model(name, " is '", text, "'");
}

int64_t scaled(int64_t size, float scale) noexcept {
  return static_cast<int64_t>(std::floor(static_cast<float>(size) * scale));
}

// The extrapolation value as an element of a type that Resize takes; zero for others.
void store_number(DType type, float value, std::byte* to) noexcept {
  const auto put = [&](auto number) { std::memcpy(to, &number, sizeof(number)); };
  const auto integer = [&] { return static_cast<int64_t>(std::clamp(value, -9e18f, 9e18f)); };
  switch (type) {
    case DType::f32: return put(value);
    case DType::f64: return put(static_cast<double>(value));
    case DType::f16: return put(f16(value));
    case DType::bf16: return put(bf16(value));
    case DType::i8:
    case DType::u8: return put(static_cast<int8_t>(integer()));
    case DType::i16:
    case DType::u16: return put(static_cast<int16_t>(integer()));
    case DType::i32:
    case DType::u32: return put(static_cast<int32_t>(integer()));
    case DType::i64:
    case DType::u64: return put(integer());
    default: return;
  }
}

// Of the numbers that are interpolated: the parts of complex ones.
DType part_type(DType type) noexcept {
  return type == DType::c64 ? DType::f32 : type == DType::c128 ? DType::f64 : type;
}
bool is_complex(DType type) noexcept { return part_type(type) != type; }

class Resize final : public Op {
 public:
  Status parse(NodeReader& reader) {
    using enum ResizeTransform;
    LINNET_ASSIGN(
        spec_.mode,
        (choice<ResizeMode>(
            reader, "mode", "nearest",
            {{"nearest", ResizeMode::nearest}, {"linear", ResizeMode::linear}, {"cubic", ResizeMode::cubic}})));
    LINNET_ASSIGN(spec_.transform, (choice<ResizeTransform>(reader, "coordinate_transformation_mode", "half_pixel",
                                                            {{"half_pixel", half_pixel},
                                                             {"half_pixel_symmetric", half_pixel_symmetric},
                                                             {"pytorch_half_pixel", pytorch_half_pixel},
                                                             {"align_corners", align_corners},
                                                             {"asymmetric", asymmetric},
                                                             {"tf_crop_and_resize", tf_crop_and_resize},
                                                             {"tf_half_pixel_for_nn", tf_half_pixel_for_nn}})));
    LINNET_ASSIGN(spec_.nearest, (choice<ResizeNearest>(reader, "nearest_mode", "round_prefer_floor",
                                                        {{"round_prefer_floor", ResizeNearest::round_prefer_floor},
                                                         {"round_prefer_ceil", ResizeNearest::round_prefer_ceil},
                                                         {"floor", ResizeNearest::floor},
                                                         {"ceil", ResizeNearest::ceil},
                                                         {"simple", ResizeNearest::simple}})));
    LINNET_ASSIGN(aspect_ratio_, (choice<AspectRatio>(reader, "keep_aspect_ratio_policy", "stretch",
                                                      {{"stretch", AspectRatio::stretch},
                                                       {"not_larger", AspectRatio::not_larger},
                                                       {"not_smaller", AspectRatio::not_smaller}})));
    spec_.cubic_coeff_a = reader.number("cubic_coeff_a", -0.75f);
    spec_.exclude_outside = reader.flag("exclude_outside", false);
    spec_.antialias = reader.flag("antialias", false);
    LINNET_REQUIRE(!spec_.antialias || spec_.mode != ResizeMode::nearest,
                   invalid_model("antialias does not go with mode nearest"));
    extrapolation_value_ = reader.number("extrapolation_value", 0.0f);
    axes_ = reader.integers("axes");
    channels_last_ = reader.flag("channels_last", false);
    return {};
  }

  Status infer(InferContext& context) const override {
    const DType type = context.dtype(0);
    LINNET_REQUIRE(spec_.mode == ResizeMode::nearest || kNumberTypes.has(part_type(type)),
                   unsupported("no interpolation of ", dtype_name(type)));
    LINNET_REQUIRE(!is_packed(type), unsupported("cannot resize ", dtype_name(type)));
    if (!context.ranked(0)) {
      context.set_unranked(0, type);
      return {};
    }
    const SymShape& in = context.shape(0);
    LINNET_ASSIGN(Changes changes, named_axes(in.size()));
    const size_t entries = axes_.empty() ? in.size() : axes_.size();
    SymShape out = in;
    const bool sized =
        context.has(3) && !(context.ranked(3) && context.shape(3).size() == 1 && context.shape(3)[0].is(0));
    DimVector sizes;
    const Tensor* scales = nullptr;
    if (sized) {
      if (!context.list(3, sizes)) {
        for (size_t a = 0; a < in.size(); ++a)
          if (changes[a].resized) out[a] = Dim();
        context.set(0, type, out);
        return {};
      }
      LINNET_REQUIRE(sizes.size() == entries,
                     invalid_argument("sizes has ", sizes.size(), " entries instead of ", entries));
      for (const Dim& size : sizes)
        LINNET_REQUIRE(!size.known() || size.value() >= 0, invalid_argument("sizes has an entry of ", size.value()));
    } else {
      LINNET_REQUIRE(context.has(2), invalid_model("neither scales nor sizes are given"));
      scales = context.known(2);
      if (scales) LINNET_TRY(check_scales(*scales, entries));
    }
    float common = 0.0f;
    if (sized && aspect_ratio_ != AspectRatio::stretch && in.known() && sizes.known())
      common = common_scale(changes, in.values(), [&](size_t entry) { return sizes[entry].value(); });
    for (size_t a = 0; a < in.size(); ++a) {
      if (!changes[a].resized) continue;
      if (sized) {
        if (aspect_ratio_ == AspectRatio::stretch) {
          out[a] = sizes[changes[a].entry];
        } else {
          out[a] = in.known() && sizes.known() ? Dim(kept_size(in[a].value(), common)) : context.symbols().fresh();
        }
      } else {
        out[a] = scales ? scaled_size(in[a], scales->ptr<float>()[changes[a].entry], context.symbols()) : Dim();
      }
      LINNET_REQUIRE(!in[a].is(0) || !out[a].known() || out[a].is(0),
                     invalid_argument("an empty axis cannot be resized to ", out[a].value()));
      LINNET_REQUIRE(!out[a].known() || (out[a].value() <= INT32_MAX && (!in[a].known() || in[a].value() <= INT32_MAX)),
                     unsupported("an axis of more than 2^31 elements"));
    }
    context.set(0, type, out);
    return {};
  }

  Status bind(BindContext& context) const override {
    const Shape& in = context.shape(0);
    const Shape& out = context.out_shape(0);
    LINNET_ASSIGN(Changes changes, named_axes(in.rank()));
    fill_scales(context, in, out, changes);

    // Axes that stay as they are merge with their neighbours.
    State plan{};
    for (size_t a = 0; a < in.rank(); ++a) {
      const bool keeps = !changes[a].resized || (in[a] == out[a] && changes[a].scale == 1.0 && is_identity_at_one());
      if (keeps && plan.rank > 0 && plan.entry[plan.rank - 1] == kKept) {
        plan.axes[plan.rank - 1].src *= static_cast<size_t>(in[a]);
        plan.axes[plan.rank - 1].dst = plan.axes[plan.rank - 1].src;
        continue;
      }
      LINNET_REQUIRE(plan.rank < kMostResizeAxes, unsupported("more than ", kMostResizeAxes, " groups of axes"));
      plan.axes[plan.rank].src = static_cast<size_t>(in[a]);
      plan.axes[plan.rank].dst = static_cast<size_t>(out[a]);
      plan.entry[plan.rank] = keeps ? kKept : changes[a].entry;
      plan.scale[plan.rank] = changes[a].scale;
      ++plan.rank;
    }
    if (is_complex(context.dtype(0)) && spec_.mode != ResizeMode::nearest) {  // a last axis of two parts
      if (plan.rank == 0 || plan.entry[plan.rank - 1] != kKept) {
        LINNET_REQUIRE(plan.rank < kMostResizeAxes, unsupported("more than ", kMostResizeAxes, " groups of axes"));
        plan.axes[plan.rank].src = 1;
        plan.entry[plan.rank] = kKept;
        plan.scale[plan.rank++] = 1.0;
      }
      plan.axes[plan.rank - 1].src *= 2;
      plan.axes[plan.rank - 1].dst = plan.axes[plan.rank - 1].src;
    }
    plan.entries = axes_.empty() ? in.rank() : axes_.size();
    if (out.count() == 0) {
      context.state<State>() = plan;
      return {};
    }

    uint64_t wanted = 0;
    for (size_t a = 0; a < plan.rank; ++a) {
      const auto scale = static_cast<float>(plan.scale[a]);
      if (plan.entry[a] != kKept)
        wanted += uint64_t{plan.axes[a].dst} * resize_table_size(spec_, plan.axes[a].src, 1, scale);
    }
    LINNET_REQUIRE(wanted <= kMostTables, unsupported("axes of so many elements need tables of ", wanted, " bytes"));
    const auto tables = static_cast<size_t>(wanted);
    plan.strings = round_up(tables, sizeof(uint64_t));
    if (context.dtype(0) == DType::string) {
      const std::optional<int64_t> count = checked_add(in.count(), out.count());
      context.request_scratch(plan.strings + (count ? scratch_size(*count, sizeof(uint64_t)) : SIZE_MAX / 4));
    }
    if (crops()) {
      if (context.dtype(0) != DType::string) context.request_scratch(tables);
      context.state<State>() = plan;
      return {};
    }
    std::byte* memory = static_cast<std::byte*>(context.allocate_state(sizeof(State) + tables));
    State& state = *new (memory) State(plan);
    build_tables(state, memory + sizeof(State), nullptr);
    if (separable(context.dtype(0))) {
      state.floats = round_up(resize_scratch_size(state.used(), context.threads()), 64);
      const auto copy = [&](const Shape& shape) {
        return is_half(context.dtype(0)) ? FloatScratch::bytes(context.dtype(0), shape) : 0;
      };
      context.request_scratch(state.floats + copy(in) + copy(out));
    }
    return {};
  }

  Status run(RunContext& context) const override {
    const Tensor& x = context.in(0);
    Tensor& y = context.out(0);
    if (y.count() == 0) return {};
    State state = context.state<State>();
    if (crops()) {
      LINNET_REQUIRE(context.has(1) && context.in(1).count() == static_cast<int64_t>(2 * state.entries),
                     invalid_argument("roi must have ", 2 * state.entries, " entries"));
      build_tables(state, context.scratch(), &context.in(1));
    }
    if (x.dtype == DType::string) {  // by their numbers; 0 is the empty one outside
      auto* numbers = reinterpret_cast<uint64_t*>(context.scratch() + state.strings);
      const size_t count = static_cast<size_t>(x.count());
      for (size_t i = 0; i < count; ++i) numbers[i] = i + 1;
      const uint64_t outside = 0;
      resize_nearest(state.used(), sizeof(uint64_t), reinterpret_cast<const std::byte*>(numbers),
                     reinterpret_cast<std::byte*>(numbers + count), reinterpret_cast<const std::byte*>(&outside),
                     context.parallel);
      for (size_t i = 0; i < static_cast<size_t>(y.count()); ++i) {
        const uint64_t number = numbers[count + i];
        y.ptr<std::string>()[i] = number ? x.ptr<std::string>()[number - 1] : std::string();
      }
      return {};
    }
    if (spec_.mode == ResizeMode::nearest) {
      std::byte outside[16] = {};
      store_number(y.dtype, extrapolation_value_, outside);
      resize_nearest(state.used(), element_size(x.dtype), x.ptr<std::byte>(), y.ptr<std::byte>(), outside,
                     context.parallel);
      return {};
    }
    if (separable(x.dtype) && is_half(x.dtype)) {
      FloatScratch floats(context, state.floats);
      const float* src = floats.in(x);
      float* dst = floats.out(y);
      resize_separable(state.used(), src, dst, context.scratch(), context.parallel);
      floats.finish(y, dst);
      return {};
    }
    if (separable(x.dtype)) {
      resize_separable(state.used(), x.ptr<float>(), y.ptr<float>(), context.scratch(), context.parallel);
      return {};
    }
    return visit_number(part_type(x.dtype), [&]<class T>(TypeTag<T>) -> Status {
      resize_plain(state.used(), x.ptr<T>(), y.ptr<T>(), extrapolation_value_, spec_.antialias, context.parallel);
      return {};
    });
  }

 private:
  static constexpr size_t kKept = SIZE_MAX;

  struct State {
    size_t rank = 0;
    size_t entries = 0;  // of roi, scales or sizes
    size_t strings = 0;  // where their numbers stand in scratch memory
    size_t floats = 0;   // where halves stand there as floats
    ResizeAxis axes[kMostResizeAxes];
    double scale[kMostResizeAxes];
    size_t entry[kMostResizeAxes];  // of roi; kKept for an axis without a table

    std::span<const ResizeAxis> used() const noexcept { return {axes, rank}; }
  };

  bool crops() const noexcept { return spec_.transform == ResizeTransform::tf_crop_and_resize; }
  bool separable(DType type) const noexcept {
    return (part_type(type) == DType::f32 || is_half(type)) && spec_.mode != ResizeMode::nearest && !crops();
  }
  // An axis of scale one comes out as it was.
  bool is_identity_at_one() const noexcept {
    return !crops() && !(spec_.transform == ResizeTransform::tf_half_pixel_for_nn && spec_.mode != ResizeMode::nearest);
  }

  // Which axes roi, scales and sizes name, in the tensor's order.
  Result<Changes> named_axes(size_t rank) const {
    Changes changes(rank);
    const auto place = [&](size_t axis) {
      if (!channels_last_ || axis == 0 || rank < 3) return axis;
      return axis == 1 ? rank - 1 : axis - 1;
    };
    if (axes_.empty()) {
      for (size_t a = 0; a < rank; ++a) changes[place(a)] = {1.0f, true, a};
      return changes;
    }
    LINNET_ASSIGN(const auto axes, checked_axes(axes_, rank));
    for (size_t i = 0; i < axes.size(); ++i) changes[place(axes[i])] = {1.0f, true, i};
    return changes;
  }

  static Status check_scales(const Tensor& scales, size_t entries) {
    LINNET_REQUIRE(scales.dtype == DType::f32, invalid_model("scales are of type ", dtype_name(scales.dtype)));
    LINNET_REQUIRE(scales.count() == static_cast<int64_t>(entries),
                   invalid_argument("scales has ", scales.count(), " entries instead of ", entries));
    for (const float scale : scales.as<float>())
      LINNET_REQUIRE(std::isfinite(scale) && scale >= kLeastResizeScale && scale <= 1e9f,
                     invalid_argument("scales has an entry of ", scale));
    return {};
  }

  static Dim scaled_size(Dim in, float scale, SymbolTable& symbols) {
    if (in.known()) return scaled(in.value(), scale);
    if (scale == std::floor(scale)) return symbols.mul(in, static_cast<int64_t>(scale));
    const float whole = 1.0f / scale;
    if (whole == std::floor(whole) && 1.0f / whole == scale) return symbols.div(in, static_cast<int64_t>(whole));
    return symbols.fresh();
  }

  // keep_aspect_ratio_policy: one scale for all resized axes.
  template <class Size>
  float common_scale(const Changes& changes, const Shape& in, Size size) const {
    float common = 0.0f;
    for (size_t a = 0; a < in.rank(); ++a) {
      if (!changes[a].resized || in[a] == 0) continue;
      const float scale = static_cast<float>(size(changes[a].entry)) / static_cast<float>(in[a]);
      if (common == 0.0f || (aspect_ratio_ == AspectRatio::not_larger ? scale < common : scale > common))
        common = scale;
    }
    return common;
  }
  static int64_t kept_size(int64_t in, float scale) noexcept {
    return static_cast<int64_t>(std::floor(static_cast<float>(in) * scale + 0.5f));
  }

  // After infer: shapes are known, and so are scales and (where they decide a common scale) sizes.
  void fill_scales(BindContext& context, const Shape& in, const Shape& out, Changes& changes) const {
    const Tensor* scales = context.has(2) ? context.known(2) : nullptr;
    const Tensor* sizes = context.has(3) ? context.known(3) : nullptr;
    const bool sized = context.has(3) && context.shape(3).count() > 0;  // as in infer, which looked at one of the two
    const bool scaled = !sized && scales && scales->count() > 0;
    float common = 0.0f;
    if (sized && sizes && aspect_ratio_ != AspectRatio::stretch)
      common = common_scale(changes, in, [&](size_t entry) { return integer_at(*sizes, static_cast<int64_t>(entry)); });
    for (size_t a = 0; a < in.rank(); ++a) {
      if (!changes[a].resized || in[a] == 0) continue;
      changes[a].scale = scaled          ? static_cast<double>(scales->ptr<float>()[changes[a].entry])
                         : common > 0.0f ? static_cast<double>(common)
                                         : static_cast<double>(out[a]) / static_cast<double>(in[a]);
    }
  }

  void build_tables(State& state, std::byte* memory, const Tensor* roi) const {
    for (size_t a = 0; a < state.rank; ++a) {
      if (state.entry[a] == kKept) continue;
      const ResizeAxis& axis = state.axes[a];
      const int64_t entry = static_cast<int64_t>(state.entry[a]);
      const float start = roi ? static_cast<float>(number_at(*roi, entry)) : 0.0f;
      const float end = roi ? static_cast<float>(number_at(*roi, entry + static_cast<int64_t>(state.entries))) : 1.0f;
      const size_t size = resize_table_size(spec_, axis.src, axis.dst, static_cast<float>(state.scale[a]));
      state.axes[a] = resize_table(spec_, axis.src, axis.dst, state.scale[a], start, end, memory);
      memory += size;
    }
  }

  static constexpr size_t kMostTables = size_t{1} << 27;  // they are made before the output's memory is asked for

  ResizeSpec spec_;
  AspectRatio aspect_ratio_ = AspectRatio::stretch;
  float extrapolation_value_ = 0.0f;
  std::vector<int64_t> axes_;
  bool channels_last_ = false;
};

constexpr OpDef kDefs[] = {{"", "Resize", 11, 1, 4, 1, 1, create<Resize>}};

}  // namespace

extern const std::span<const OpDef> kResizeOps = kDefs;

}  // namespace linnet
