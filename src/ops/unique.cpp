// https://onnx.ai/onnx/operators/onnx__Unique.html
#include <numeric>
#include <utility>

#include "kernels/movement/topk.h"
#include "ops/element_types.h"
#include "ops/float_scratch.h"
#include "ops/infer_shapes.h"

namespace linnet {
namespace {

// Places and the keys that they are sorted by.
struct Keyed {
  int64_t* places;
  uint64_t* keys;
};

// Sorts by key, what comes earlier first among equals; `spare` is as long, and either may hold the result. One pass for
// each byte in which keys differ: https://en.wikipedia.org/wiki/Radix_sort
void radix_sort(Keyed& sorted, Keyed& spare, size_t count) noexcept {
  uint64_t differ = 0;
  for (size_t i = 1; i < count; ++i) differ |= sorted.keys[i] ^ sorted.keys[0];
  for (size_t shift = 0; shift < 64; shift += 8) {
    if ((differ >> shift & 0xff) == 0) continue;
    size_t at[256] = {};
    for (size_t i = 0; i < count; ++i) ++at[sorted.keys[i] >> shift & 0xff];
    size_t before = 0;
    for (size_t& place : at) before += std::exchange(place, before);
    for (size_t i = 0; i < count; ++i) {
      const size_t to = at[sorted.keys[i] >> shift & 0xff]++;
      spare.keys[to] = sorted.keys[i];
      spare.places[to] = sorted.places[i];
    }
    std::swap(sorted, spare);
  }
}

// A tensor's slices along one axis; without an axis, its elements.
struct Slices {
  int64_t outer = 1, count = 0, inner = 1;

  int64_t size() const { return outer * inner; }
};

// Slice after slice, numbers that order as the elements do; two for a complex number, the real part first as in numpy.
template <class T>
void write_keys(const T* src, const Slices& slices, uint64_t* keys) {
  for (int64_t s = 0; s < slices.count; ++s)
    for (int64_t o = 0; o < slices.outer; ++o)
      for (int64_t i = 0; i < slices.inner; ++i) {
        const T& value = src[(o * slices.count + s) * slices.inner + i];
        if constexpr (requires { value.real(); }) {
          *keys++ = order_key(value.real());
          *keys++ = order_key(value.imag());
        } else {
          *keys++ = order_key(value);
        }
      }
}

int64_t keys_of(DType dtype) noexcept {  // for an element
  return dtype == DType::string ? 0 : dtype == DType::c64 || dtype == DType::c128 ? 2 : 1;
}

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
    LINNET_ASSIGN(const Slices slices, slices_of(context.shape(0)));
    const int64_t width = slices.size() * keys_of(context.dtype(0));
    context.request_scratch(scratch_size(slices.count, 3 * sizeof(int64_t)) +
                            scratch_size(slices.count * (width == 1 ? 2 : width), sizeof(uint64_t)));
    return {};
  }

  Status run(RunContext& context) const override {
    const Tensor& in = context.in(0);
    LINNET_ASSIGN(const Slices slices, slices_of(in.shape));
    const int64_t count = slices.count;
    // order: slices sorted, the earlier of equals first; group: for each slice the number of its value; first: for each
    // value the slice that has it first.
    auto* order = reinterpret_cast<int64_t*>(context.scratch());
    int64_t *group = order + count, *first = group + count;
    auto* keys = reinterpret_cast<uint64_t*>(first + count);
    std::iota(order, order + count, int64_t{0});
    int64_t values = 0;
    const auto number = [&](auto starts) {  // starts(i): slice order[i] differs from that before it
      for (int64_t i = 0; i < count; ++i) {
        if (i == 0 || starts(i)) first[values++] = order[i];
        group[order[i]] = values - 1;
      }
    };
    const auto sort_and_number = [&](auto compare) {  // below 0 when slice a comes first, 0 when they are equal
      std::sort(order, order + count, [&](int64_t a, int64_t b) {
        const int c = compare(a, b);
        return c != 0 ? c < 0 : a < b;
      });
      number([&](int64_t i) { return compare(order[i - 1], order[i]) != 0; });
    };
    if (in.dtype == DType::string) {
      sort_and_number([&, data = in.ptr<std::string>()](int64_t a, int64_t b) {
        for (int64_t o = 0; o < slices.outer; ++o)
          for (int64_t i = 0; i < slices.inner; ++i) {
            const int64_t row = o * count;
            const int c = data[(row + a) * slices.inner + i].compare(data[(row + b) * slices.inner + i]);
            if (c != 0) return c;
          }
        return 0;
      });
    } else {
      LINNET_TRY(write_keys_of(in, slices, keys));
      const int64_t width = slices.size() * keys_of(in.dtype);
      if (width == 1) {
        Keyed sorted{order, keys}, spare{group, keys + count};
        radix_sort(sorted, spare, static_cast<size_t>(count));
        order = sorted.places;
        group = spare.places;
        number([&](int64_t i) { return sorted.keys[i - 1] != sorted.keys[i]; });
      } else {
        sort_and_number([&](int64_t a, int64_t b) {
          const uint64_t *p = keys + a * width, *q = keys + b * width;
          for (int64_t i = 0; i < width; ++i)
            if (p[i] != q[i]) return p[i] < q[i] ? -1 : 1;
          return 0;
        });
      }
    }
    if (!sorted_) {  // number the values by where they stand first
      int64_t* renumbered = order;
      values = 0;
      for (int64_t i = 0; i < count; ++i) {
        const int64_t g = group[i];
        const bool fresh = first[g] == i;
        if (fresh) renumbered[g] = values++;
        group[i] = renumbered[g];
      }
      std::sort(first, first + values);
    }
    LINNET_TRY(write_values(context, slices, first, values));
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

 private:
  Result<Slices> slices_of(const Shape& in) const {
    if (flat_) return Slices{1, in.count(), 1};
    LINNET_ASSIGN(const size_t axis, checked_axis(axis_, in.rank()));
    if (in.count() == 0) return Slices{0, in[axis], 0};  // a walk over nothing may take for ever, too
    return Slices{in.count(0, axis), in[axis], in.count(axis + 1, in.rank())};
  }

  static Status write_keys_of(const Tensor& in, const Slices& slices, uint64_t* keys) {
    const auto write = [&]<class T>(TypeTag<T>) {
      write_keys(in.ptr<T>(), slices, keys);
      return Status();
    };
    if (in.dtype == DType::boolean) return write(TypeTag<uint8_t>());
    if (in.dtype == DType::c64) return write(TypeTag<std::complex<float>>());
    if (in.dtype == DType::c128) return write(TypeTag<std::complex<double>>());
    return visit_number(in.dtype, write);
  }

  // Output 0: the slices `first`.
  Status write_values(RunContext& context, const Slices& slices, const int64_t* first, int64_t values) const {
    if (!context.wants(0)) return {};
    const Tensor& in = context.in(0);
    Shape shape{values};
    if (!flat_) {
      shape = in.shape;
      LINNET_ASSIGN(const size_t axis, checked_axis(axis_, shape.rank()));
      shape[axis] = values;
    }
    LINNET_TRY(context.allocate(0, in.dtype, shape));
    const auto copy = [&](auto* dst, const auto* src, int64_t inner) {
      for (int64_t o = 0; o < slices.outer; ++o)
        for (int64_t v = 0; v < values; ++v, dst += inner)
          std::copy_n(src + (o * slices.count + first[v]) * inner, inner, dst);
    };
    Tensor& out = context.out(0);
    if (in.dtype == DType::string) {
      copy(out.ptr<std::string>(), in.ptr<std::string>(), slices.inner);
    } else {
      const auto size = static_cast<int64_t>(element_size(in.dtype));
      copy(static_cast<std::byte*>(out.data), static_cast<const std::byte*>(in.data), slices.inner * size);
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
