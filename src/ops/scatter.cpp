// Elements and slices written to places that are given by index.
// https://onnx.ai/onnx/operators/onnx__ScatterElements.html, ...ScatterND, ...TensorScatter
#include "ops/indexed.h"
#include "ops/infer_shapes.h"
#include "ops/packed_scratch.h"

namespace linnet {
namespace {

enum class Reduction : uint8_t { none, add, mul, max, min };

Result<Reduction> parse_reduction(NodeReader& reader) {
  const std::string name = reader.text("reduction", "none");
  constexpr std::string_view kNames[] = {"none", "add", "mul", "max", "min"};
  for (size_t i = 0; i < std::size(kNames); ++i)
    if (name == kNames[i]) return static_cast<Reduction>(i);
  return invalid_model("reduction '", name, "' is not known");
}

template <class T>
inline constexpr bool is_complex = std::is_same_v<T, std::complex<float>> || std::is_same_v<T, std::complex<double>>;

// In float for half-precision types; integers wrap.
template <class T>
T reduce(Reduction reduction, T a, T b) noexcept {
  if constexpr (std::is_same_v<T, f16> || std::is_same_v<T, bf16>) {
    return T(reduce<float>(reduction, a, b));
  } else if constexpr (is_complex<T>) {
    return reduction == Reduction::add ? a + b : a * b;
  } else {  // for bool: or, and
    using Wide = std::conditional_t<std::is_integral_v<T>, uint64_t, T>;
    switch (reduction) {
      case Reduction::add: return static_cast<T>(static_cast<Wide>(a) + static_cast<Wide>(b));
      case Reduction::mul: return static_cast<T>(static_cast<Wide>(a) * static_cast<Wide>(b));
      case Reduction::max: return b > a || b != b ? b : a;  // NaN wins
      case Reduction::min: return b < a || b != b ? b : a;
      case Reduction::none: break;
    }
    return b;
  }
}

// What both operators do: data goes to the output, and updates over it, one after the other.
class Scatter : public Op {
 public:
  Status infer(InferContext& context) const override {
    const bool ordered = reduction_ == Reduction::max || reduction_ == Reduction::min;
    LINNET_TRY(expect_type(context, 0,
                           reduction_ == Reduction::none ? kWholeTypes
                           : ordered                     ? kReducedTypes
                                                         : kReducedTypes | TypeSet{DType::c64, DType::c128}));
    LINNET_TRY(expect_same_type(context, 2, 0));
    if (context.ranked(0) && context.ranked(1)) LINNET_TRY(check_shapes(context));
    return infer_same_as_input(context);
  }
  bool can_overwrite(size_t input, size_t) const override { return input == 0; }

 protected:
  virtual Status check_shapes(InferContext& context) const = 0;
  // Calls f(TypeTag<T>()) with the type of what is reduced.
  template <class F>
  static void visit_reduced(DType type, F&& f) {
    switch (type) {
      case DType::boolean: return f(TypeTag<bool>());
      case DType::c64: return f(TypeTag<std::complex<float>>());
      case DType::c128: return f(TypeTag<std::complex<double>>());
      default: return visit_number(type, f);
    }
  }
  static constexpr TypeSet kReducedTypes = kNumberTypes | TypeSet{DType::boolean};
  Reduction reduction_ = Reduction::none;
};

class ScatterElements final : public Scatter {
 public:
  Status parse(NodeReader& reader) {
    axis_ = reader.integer("axis", 0);
    LINNET_ASSIGN(reduction_, parse_reduction(reader));
    return {};
  }

  Status run(RunContext& context) const override {
    copy_elements(context.in(0), context.out(0));
    const Tensor &indices = context.in(1), &updates = context.in(2);
    Tensor& out = context.out(0);
    LINNET_ASSIGN(const size_t axis, checked_axis(axis_, out.shape.rank()));
    const auto scatter = [&](auto write) {
      const auto bad = for_each_element_index(out.shape, axis, indices.shape, AnyIndices(indices), 0,
                                              rows_of_indices(indices), write);
      return bad ? index_out_of_range(*bad, out.shape[axis]) : Status();
    };
    if (reduction_ == Reduction::none)
      return visit_width(out.dtype, [&]<class T>(TypeTag<T>) {
        return scatter([from = updates.ptr<T>(), to = out.ptr<T>()](int64_t position, int64_t place) {
          to[place] = from[position];
        });
      });
    Status status;
    visit_reduced(out.dtype, [&]<class T>(TypeTag<T>) {
      status = scatter([from = updates.ptr<T>(), to = out.ptr<T>(), r = reduction_](int64_t position, int64_t place) {
        to[place] = reduce(r, to[place], from[position]);
      });
    });
    return status;
  }

 private:
  Status check_shapes(InferContext& context) const override {
    LINNET_TRY(expect_type(context, 1, kIndexTypes));
    LINNET_TRY(check_element_indices(context, axis_));
    if (!context.ranked(2)) return {};
    const SymShape &indices = context.shape(1), &updates = context.shape(2);
    LINNET_REQUIRE(indices.size() == updates.size() && (!indices.known() || !updates.known() || indices == updates),
                   invalid_argument("updates and indices differ in shape"));
    return {};
  }

  int64_t axis_ = 0;
};

class ScatterNd final : public Scatter {
 public:
  Status parse(NodeReader& reader) {
    LINNET_ASSIGN(reduction_, parse_reduction(reader));
    return {};
  }

  Status bind(BindContext& context) const override {
    const Shape& indices = context.shape(1);
    context.request_scratch(static_cast<size_t>(indices.count(0, indices.rank() - 1)) * sizeof(int64_t));
    return {};
  }

  Status run(RunContext& context) const override {
    const Tensor &indices = context.in(1), &updates = context.in(2);
    Tensor& out = context.out(0);
    auto* numbers = reinterpret_cast<int64_t*>(context.scratch());
    if (const auto bad = slice_numbers(out.shape, 0, indices, numbers))
      return invalid_argument("index ", *bad, " is out of range for data of shape ", out.shape);
    copy_elements(context.in(0), out);
    const int64_t rows = indices.shape.count(0, indices.shape.rank() - 1);
    const int64_t run = out.shape.count(static_cast<size_t>(indices.shape[indices.shape.rank() - 1]), out.shape.rank());
    if (reduction_ == Reduction::none) {
      visit_width(out.dtype, [&]<class T>(TypeTag<T>) {
        for (int64_t r = 0; r < rows; ++r)
          std::copy_n(updates.ptr<T>() + r * run, run, out.ptr<T>() + numbers[r] * run);
      });
    } else {
      visit_reduced(out.dtype, [&]<class T>(TypeTag<T>) {
        for (int64_t r = 0; r < rows; ++r) {
          const T* from = updates.ptr<T>() + r * run;
          T* to = out.ptr<T>() + numbers[r] * run;
          for (int64_t i = 0; i < run; ++i) to[i] = reduce(reduction_, to[i], from[i]);
        }
      });
    }
    return {};
  }

 private:
  Status check_shapes(InferContext& context) const override {
    LINNET_TRY(expect_type(context, 1, TypeSet{DType::i64}));
    const SymShape &data = context.shape(0), &indices = context.shape(1);
    LINNET_REQUIRE(!data.empty() && !indices.empty(), invalid_argument("data and indices must have an axis"));
    const Dim m = indices[indices.size() - 1];
    LINNET_REQUIRE(!m.known() || (m.value() >= 1 && m.value() <= static_cast<int64_t>(data.size())),
                   invalid_argument("rows of ", m.value(), " indices do not fit data of rank ", data.size()));
    if (!context.ranked(2) || !m.known()) return {};
    SymShape wanted(indices.begin(), indices.end() - 1);
    for (size_t a = static_cast<size_t>(m.value()); a < data.size(); ++a) wanted.push_back(data[a]);
    const SymShape& updates = context.shape(2);
    LINNET_REQUIRE(wanted.size() == updates.size() && (!wanted.known() || !updates.known() || wanted == updates),
                   invalid_argument("updates have shape ", context.symbols().to_string(updates), " in place of ",
                                    context.symbols().to_string(wanted)));
    return {};
  }
};

class TensorScatter final : public Op {
 public:
  Status parse(NodeReader& reader) {
    axis_ = reader.integer("axis", -2);
    const std::string mode = reader.text("mode", "linear");
    circular_ = mode == "circular";
    LINNET_REQUIRE(circular_ || mode == "linear", invalid_model("mode '", mode, "' is not known"));
    return {};
  }

  Status infer(InferContext& context) const override {
    LINNET_TRY(expect_type(context, 0, kWholeTypes | kPackedTypes));
    LINNET_TRY(expect_same_type(context, 1, 0));
    LINNET_TRY(expect_type(context, 2, TypeSet{DType::i64}));
    if (context.ranked(0) && context.ranked(1)) {
      const SymShape &cache = context.shape(0), &update = context.shape(1);
      LINNET_ASSIGN(const size_t axis, checked_axis(axis_, cache.size()));
      LINNET_REQUIRE(axis > 0, invalid_argument("axis 0 is the batch"));
      LINNET_REQUIRE(cache.size() == update.size(), invalid_argument("the ranks of cache and update differ"));
      for (size_t a = 0; a < cache.size(); ++a) {
        if (!cache[a].known() || !update[a].known()) continue;
        LINNET_REQUIRE(a == axis ? update[a].value() <= cache[a].value() : update[a] == cache[a],
                       invalid_argument("the update's size ", update[a].value(), " of axis ", a,
                                        " does not fit the cache's ", cache[a].value()));
      }
      if (context.ranked(2)) {
        const SymShape& starts = context.shape(2);
        LINNET_REQUIRE(starts.size() == 1 && (!starts[0].known() || !cache[0].known() || starts[0] == cache[0]),
                       invalid_argument("write_indices must have one index for each sample of the batch"));
      }
    }
    return infer_same_as_input(context);
  }

  bool can_overwrite(size_t input, size_t) const override { return input == 0; }

  Status bind(BindContext& context) const override {
    request_packed_scratch(context);
    return {};
  }

  Status run(RunContext& context) const override {
    PackedScratch packed(context.scratch(), context.parallel);
    const Tensor update = packed.in(context.in(1));
    Tensor out = packed.out(context.out(0));
    LINNET_ASSIGN(const size_t axis, checked_axis(axis_, out.shape.rank()));
    const int64_t length = out.shape[axis], added = update.shape[axis];
    const Tensor* starts = context.maybe(2);
    if (starts)
      for (const int64_t start : starts->as<int64_t>())
        LINNET_REQUIRE(
            circular_ || (start >= 0 && start <= length - added),
            invalid_argument("write index ", start, " leaves no room for ", added, " entries in a cache of ", length));
    copy_elements(packed.in(context.in(0)), out);
    const int64_t rows = out.shape.count(0, axis), rows_per_sample = out.shape.count(1, axis);
    const int64_t run = out.shape.count(axis + 1, out.shape.rank());
    if (update.count() != 0)
      visit_width(out.dtype, [&]<class T>(TypeTag<T>) {
        for (int64_t r = 0; r < rows; ++r) {
          int64_t start = starts ? starts->ptr<int64_t>()[r / rows_per_sample] % length : 0;
          if (start < 0) start += length;
          const T* from = update.ptr<T>() + r * added * run;
          T* to = out.ptr<T>() + r * length * run;
          const int64_t before_wrap = std::min(added, length - start);
          std::copy_n(from, before_wrap * run, to + start * run);
          std::copy_n(from + before_wrap * run, (added - before_wrap) * run, to);
        }
      });
    packed.finish(context.out(0), out);
    return {};
  }

 private:
  int64_t axis_ = -2;
  bool circular_ = false;
};

constexpr OpDef kDefs[] = {
    {"", "ScatterElements", 11, 3, 3, 1, 1, create<ScatterElements>},
    {"", "ScatterND", 11, 3, 3, 1, 1, create<ScatterNd>},
    {"", "TensorScatter", 24, 2, 3, 1, 1, create<TensorScatter>},
};

}  // namespace

extern const std::span<const OpDef> kScatterOps = kDefs;

}  // namespace linnet
