// https://onnx.ai/onnx/operators/onnx__Unique.html
#include "kernels/movement/topk.h"
#include "ops/element_types.h"
#include "ops/infer_shapes.h"

namespace linnet {
namespace {

template <class T>
int compare_elements(const T& x, const T& y) {
  const auto p = order_key(x), q = order_key(y);
  return p == q ? 0 : p < q ? -1 : 1;
}
template <class T>
int compare_elements(const std::complex<T>& x, const std::complex<T>& y) {  // as numpy orders them
  const int order = compare_elements(x.real(), y.real());
  return order ? order : compare_elements(x.imag(), y.imag());
}
int compare_elements(const std::string& x, const std::string& y) { return x.compare(y); }

// The slices of a tensor along one axis, compared element by element.
template <class T>
struct Slices {
  const T* data;
  int64_t outer, count, inner;  // without an axis: 1 x count x 1

  // Below 0 when a comes first, 0 when they are equal.
  int compare(int64_t a, int64_t b) const {
    for (int64_t o = 0; o < outer; ++o)
      for (int64_t i = 0; i < inner; ++i) {
        const int order = compare_elements(data[(o * count + a) * inner + i], data[(o * count + b) * inner + i]);
        if (order != 0) return order;
      }
    return 0;
  }
};

class Unique final : public Op {
 public:
  Status parse(NodeReader& reader) {
    flat_ = !reader.has("axis");
    axis_ = reader.integer("axis", 0);
    sorted_ = reader.flag("sorted", true);
    return {};
  }

  Status infer(InferContext& context) const override {
    LINNET_TRY(expect_type(context, 0, kNumberTypes | TypeSet{DType::boolean, DType::string, DType::c64, DType::c128}));
    Dim places;  // of the inverse
    if (context.ranked(0)) {
      SymShape shape = context.shape(0);
      if (flat_) {
        places = context.symbols().product(shape, 0, shape.size());
        shape = {Dim()};
      } else {
        LINNET_ASSIGN(const size_t axis, checked_axis(axis_, shape.size()));
        places = shape[axis];
        shape[axis] = Dim();
      }
      context.set(0, context.dtype(0), std::move(shape));
    } else if (flat_) {
      context.set(0, context.dtype(0), {Dim()});
    } else {
      context.set_unranked(0, context.dtype(0));
    }
    context.set(1, DType::i64, {Dim()});
    context.set(2, DType::i64, {places});
    context.set(3, DType::i64, {Dim()});
    return {};
  }

  Status bind(BindContext& context) const override {
    LINNET_ASSIGN(const int64_t places, places_of(context.shape(0)));
    context.request_scratch(3 * static_cast<size_t>(places) * sizeof(int64_t));
    return {};
  }

  Status run(RunContext& context) const override {
    const DType dtype = context.in(0).dtype;
    if (dtype == DType::string) return find<std::string>(context);
    if (dtype == DType::boolean) return find<uint8_t>(context);
    if (dtype == DType::c64) return find<std::complex<float>>(context);
    if (dtype == DType::c128) return find<std::complex<double>>(context);
    return visit_number(dtype, [&]<class T>(TypeTag<T>) { return find<T>(context); });
  }

 private:
  Result<int64_t> places_of(const Shape& in) const {
    if (flat_) return in.count();
    LINNET_ASSIGN(const size_t axis, checked_axis(axis_, in.rank()));
    return in[axis];
  }

  template <class T>
  Status find(RunContext& context) const {
    const Tensor& in = context.in(0);
    LINNET_ASSIGN(const int64_t count, places_of(in.shape));
    Slices<T> slices{in.ptr<T>(), 1, count, 1};
    Shape out_shape{0};
    size_t axis = 0;
    if (!flat_) {
      LINNET_ASSIGN(axis, checked_axis(axis_, in.shape.rank()));
      slices.outer = in.shape.count(0, axis);
      slices.inner = in.shape.count(axis + 1, in.shape.rank());
      out_shape = in.shape;
    }
    // order: places sorted by slice, the earlier of equals first; group: for each place the number of its value;
    // first: for each value the place where it stands first.
    auto* order = reinterpret_cast<int64_t*>(context.scratch());
    int64_t *group = order + count, *first = group + count;
    for (int64_t i = 0; i < count; ++i) order[i] = i;
    const auto sort = [&](auto compare) {
      std::sort(order, order + count, [&](int64_t a, int64_t b) {
        const int c = compare(a, b);
        return c ? c < 0 : a < b;
      });
    };
    if (slices.outer == 1 && slices.inner == 1) {
      sort([data = slices.data](int64_t a, int64_t b) { return compare_elements(data[a], data[b]); });
    } else {
      sort([&](int64_t a, int64_t b) { return slices.compare(a, b); });
    }
    int64_t values = 0;
    for (int64_t i = 0; i < count; ++i) {
      if (i == 0 || slices.compare(order[i - 1], order[i]) != 0) first[values++] = order[i];
      group[order[i]] = values - 1;
    }
    if (!sorted_) {  // number the values by where they stand first
      int64_t* number = order;
      values = 0;
      for (int64_t i = 0; i < count; ++i) {
        const int64_t g = group[i];
        const bool fresh = first[g] == i;
        if (fresh) number[g] = values++;
        group[i] = number[g];
      }
      std::sort(first, first + values);
    }
    out_shape[axis] = values;
    if (context.wants(0)) {
      LINNET_TRY(context.allocate(0, in.dtype, out_shape));
      T* dst = context.out(0).ptr<T>();
      for (int64_t o = 0; o < slices.outer; ++o)
        for (int64_t v = 0; v < values; ++v, dst += slices.inner)
          std::copy_n(slices.data + (o * count + first[v]) * slices.inner, slices.inner, dst);
    }
    if (context.wants(1)) {
      LINNET_TRY(context.allocate(1, DType::i64, {values}));
      std::copy_n(first, values, context.out(1).ptr<int64_t>());
    }
    if (context.wants(2)) std::copy_n(group, count, context.out(2).ptr<int64_t>());
    if (context.wants(3)) {
      LINNET_TRY(context.allocate(3, DType::i64, {values}));
      int64_t* counts = context.out(3).ptr<int64_t>();
      std::fill_n(counts, values, 0);
      for (int64_t i = 0; i < count; ++i) ++counts[group[i]];
    }
    return {};
  }

  bool flat_ = true, sorted_ = true;
  int64_t axis_ = 0;
};

constexpr OpDef kDefs[] = {
    {"", "Unique", 11, 1, 1, 1, 4, create<Unique>, OpDef::kAllocates},
};

}  // namespace

extern const std::span<const OpDef> kUniqueOps = kDefs;

}  // namespace linnet
