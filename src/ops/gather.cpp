// Elements, rows and slices picked by index.
// https://onnx.ai/onnx/operators/onnx__Gather.html, ...GatherElements, ...GatherND
#include "kernels/movement/gather.h"

#include <atomic>

#include "ops/indexed.h"
#include "ops/infer_shapes.h"

namespace linnet {
namespace {

template <class I>
void gather_strings(const GatherSizes& sizes, const I* indices, const std::string* src, std::string* dst) {
  const size_t run = sizes.unit / sizeof(std::string);
  for (size_t o = 0; o < sizes.outer; ++o, src += sizes.size * run)
    for (size_t k = 0; k < sizes.indices; ++k, dst += run) {
      const int64_t index = indices[k];
      std::copy_n(src + static_cast<size_t>(index < 0 ? index + static_cast<int64_t>(sizes.size) : index) * run, run,
                  dst);
    }
}

class Gather final : public Op {
 public:
  Status parse(NodeReader& reader) {
    axis_ = reader.integer("axis", 0);
    return {};
  }

  Status infer(InferContext& context) const override {
    LINNET_TRY(expect_type(context, 0, kWholeTypes));
    LINNET_TRY(expect_type(context, 1, kIndexTypes));
    if (!context.ranked(0) || !context.ranked(1)) {
      context.set_unranked(0, context.dtype(0));
      return {};
    }
    const SymShape &data = context.shape(0), &indices = context.shape(1);
    LINNET_ASSIGN(const size_t axis, checked_axis(axis_, data.size()));
    SymShape shape(data.begin(), data.begin() + axis);
    for (const Dim& d : indices) shape.push_back(d);
    for (size_t a = axis + 1; a < data.size(); ++a) shape.push_back(data[a]);
    DimVector elements, picks;
    if (data.size() == 1 && shape.size() <= 1 && context.ints(0, elements) && context.ints(1, picks) && picks.known()) {
      for (Dim& pick : picks) {
        const std::optional<size_t> k = normalize_axis(pick.value(), elements.size());
        LINNET_REQUIRE(k, index_out_of_range(pick.value(), static_cast<int64_t>(elements.size())));
        pick = elements[*k];
      }
      context.set_ints(0, picks);
    }
    context.set(0, context.dtype(0), std::move(shape));
    return {};
  }

  Status bind(BindContext& context) const override {
    const Shape& data = context.shape(0);
    LINNET_ASSIGN(const size_t axis, checked_axis(axis_, data.rank()));
    GatherSizes& sizes = context.state<GatherSizes>();
    sizes.outer = static_cast<size_t>(data.count(0, axis));
    sizes.size = static_cast<size_t>(data[axis]);
    sizes.indices = static_cast<size_t>(context.shape(1).count());
    sizes.unit = static_cast<size_t>(data.count(axis + 1, data.rank())) * element_size(context.dtype(0));
    // One slice at a known place is a view.
    if (sizes.outer == 1 && sizes.indices == 1 && sizes.unit && context.dtype(0) != DType::string && context.known(1)) {
      const int64_t index = integer_at(*context.known(1), 0);
      const std::optional<size_t> k = normalize_axis(index, sizes.size);
      LINNET_REQUIRE(k, index_out_of_range(index, data[axis]));
      context.alias(0, 0, *k * sizes.unit);
    }
    return {};
  }

  Status run(RunContext& context) const override {
    const GatherSizes& sizes = context.state<GatherSizes>();
    const Tensor &data = context.in(0), &indices = context.in(1);
    Tensor& out = context.out(0);
    return visit_index(indices.dtype, [&]<class I>(TypeTag<I>) -> Status {
      if (const auto bad = bad_index(indices.as<I>(), sizes.size))
        return index_out_of_range(*bad, static_cast<int64_t>(sizes.size));
      if (data.dtype == DType::string) {
        gather_strings(sizes, indices.ptr<I>(), data.ptr<std::string>(), out.ptr<std::string>());
      } else {
        gather(sizes, indices.ptr<I>(), data.data, out.data, context.parallel);
      }
      return {};
    });
  }

 private:
  int64_t axis_ = 0;
};

class GatherElements final : public Op {
 public:
  Status parse(NodeReader& reader) {
    axis_ = reader.integer("axis", 0);
    return {};
  }

  Status infer(InferContext& context) const override {
    LINNET_TRY(expect_type(context, 0, kWholeTypes));
    LINNET_TRY(expect_type(context, 1, kIndexTypes));
    if (!context.ranked(1)) {
      context.set_unranked(0, context.dtype(0));
      return {};
    }
    if (context.ranked(0)) LINNET_TRY(check_element_indices(context, axis_));
    context.set(0, context.dtype(0), context.shape(1));
    return {};
  }

  Status run(RunContext& context) const override {
    const Tensor &data = context.in(0), &indices = context.in(1);
    LINNET_ASSIGN(const size_t axis, checked_axis(axis_, data.shape.rank()));
    const int64_t rows = indices.count() ? rows_of_indices(indices) : 0;
    const size_t grain = grain_for(static_cast<double>(rows ? indices.count() / rows : 1));
    std::atomic<bool> failed{false};
    std::atomic<int64_t> wrong{0};
    visit_width(data.dtype, [&]<class T>(TypeTag<T>) {
      const T* src = data.ptr<T>();
      T* dst = context.out(0).ptr<T>();
      context.parallel.for_range(static_cast<size_t>(rows), grain, [&](size_t begin, size_t end, size_t) {
        const auto bad = visit_index(indices.dtype, [&]<class I>(TypeTag<I>) {
          return for_each_element_index(data.shape, axis, indices.shape, indices.ptr<I>(), static_cast<int64_t>(begin),
                                        static_cast<int64_t>(end),
                                        [=](int64_t position, int64_t place) { dst[position] = src[place]; });
        });
        if (!bad) return;
        wrong = *bad;
        failed = true;
      });
    });
    return failed ? index_out_of_range(wrong, data.shape[axis]) : Status();
  }

 private:
  int64_t axis_ = 0;
};

class GatherNd final : public Op {
 public:
  Status parse(NodeReader& reader) {
    batch_ = reader.integer("batch_dims", 0);
    LINNET_REQUIRE(batch_ >= 0, invalid_model("batch_dims is ", batch_));
    return {};
  }

  Status infer(InferContext& context) const override {
    LINNET_TRY(expect_type(context, 0, kWholeTypes));
    LINNET_TRY(expect_type(context, 1, TypeSet{DType::i64}));
    if (!context.ranked(0) || !context.ranked(1)) {
      context.set_unranked(0, context.dtype(0));
      return {};
    }
    const SymShape &data = context.shape(0), &indices = context.shape(1);
    const size_t batch = static_cast<size_t>(batch_);
    LINNET_REQUIRE(
        batch < std::min(data.size(), indices.size()),
        invalid_argument("batch_dims ", batch_, " is too large for ranks ", data.size(), " and ", indices.size()));
    for (size_t a = 0; a < batch; ++a)
      LINNET_REQUIRE(!data[a].known() || !indices[a].known() || data[a] == indices[a],
                     invalid_argument("data and indices differ in the size of batch axis ", a));
    const Dim m = indices[indices.size() - 1];
    if (!m.known()) {
      context.set_unranked(0, context.dtype(0));
      return {};
    }
    LINNET_REQUIRE(m.value() >= 1 && m.value() <= static_cast<int64_t>(data.size() - batch),
                   invalid_argument("rows of ", m.value(), " indices do not fit data of rank ", data.size()));
    SymShape shape(indices.begin(), indices.end() - 1);
    for (size_t a = batch + static_cast<size_t>(m.value()); a < data.size(); ++a) shape.push_back(data[a]);
    context.set(0, context.dtype(0), std::move(shape));
    return {};
  }

  Status bind(BindContext& context) const override {
    const Shape& indices = context.shape(1);
    context.request_scratch(static_cast<size_t>(indices.count(0, indices.rank() - 1)) * sizeof(int64_t));
    return {};
  }

  Status run(RunContext& context) const override {
    const Tensor &data = context.in(0), &indices = context.in(1);
    Tensor& out = context.out(0);
    auto* numbers = reinterpret_cast<int64_t*>(context.scratch());
    const size_t batch = static_cast<size_t>(batch_);
    if (const auto bad = slice_numbers(data.shape, batch, indices, numbers))
      return invalid_argument("index ", *bad, " is out of range for data of shape ", data.shape);
    const size_t indexed = batch + static_cast<size_t>(indices.shape[indices.shape.rank() - 1]);
    const size_t run = static_cast<size_t>(data.shape.count(indexed, data.shape.rank()));
    const size_t rows = static_cast<size_t>(indices.shape.count(0, indices.shape.rank() - 1));
    if (data.dtype == DType::string) {
      for (size_t r = 0; r < rows; ++r)
        std::copy_n(data.ptr<std::string>() + static_cast<size_t>(numbers[r]) * run, run,
                    out.ptr<std::string>() + r * run);
    } else {
      const size_t slices = static_cast<size_t>(data.shape.count(0, indexed));
      gather({1, slices, rows, run * element_size(data.dtype)}, numbers, data.data, out.data, context.parallel);
    }
    return {};
  }

 private:
  int64_t batch_ = 0;
};

constexpr OpDef kDefs[] = {
    {"", "Gather", 1, 2, 2, 1, 1, create<Gather>, OpDef::kPlain, 1 << 0},
    {"", "GatherElements", 11, 2, 2, 1, 1, create<GatherElements>},
    {"", "GatherND", 11, 2, 2, 1, 1, create<GatherNd>},
};

}  // namespace

extern const std::span<const OpDef> kGatherOps = kDefs;

}  // namespace linnet
