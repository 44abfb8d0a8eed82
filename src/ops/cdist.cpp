// https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md#com.microsoft.CDist
#include <algorithm>
#include <cmath>

#include "ops/float_scratch.h"

namespace linnet {
namespace {

class CDist final : public Op {
 public:
  Status parse(NodeReader& reader) {
    const std::string metric = reader.text("metric", "sqeuclidean");
    LINNET_REQUIRE(metric == "euclidean" || metric == "sqeuclidean",
                   unsupported("metric '", metric, "' is not supported"));
    root_ = metric == "euclidean";
    return {};
  }
  Status infer(InferContext& context) const override {
    const DType type = context.dtype(0);
    LINNET_REQUIRE((type == DType::f32 || type == DType::f64) && context.dtype(1) == type,
                   unsupported("takes two matrices of float or double"));
    SymShape shape(2);
    Dim lengths[2];
    for (size_t i = 0; i < 2; ++i) {
      if (!context.ranked(i)) continue;
      LINNET_REQUIRE(context.shape(i).size() == 2, invalid_argument("takes two matrices of rows"));
      shape[i] = context.shape(i)[0];
      lengths[i] = context.shape(i)[1];
    }
    LINNET_REQUIRE(!lengths[0].known() || !lengths[1].known() || lengths[0] == lengths[1],
                   invalid_argument("its rows have ", lengths[0].value(), " and ", lengths[1].value(), " elements"));
    context.set(0, type, std::move(shape));
    return {};
  }
  Status bind(BindContext& context) const override {
    const Shape& b = context.shape(1);
    if (b.count() != 0) context.request_scratch(scratch_size(b.count(), element_size(context.dtype(1))));
    return {};
  }
  Status run(RunContext& context) const override {
    return context.in(0).dtype == DType::f32 ? run_as<float>(context) : run_as<double>(context);
  }

 private:
  static constexpr size_t kColumns = 16;

  template <class T>
  Status run_as(RunContext& context) const {
    const T *a = context.in(0).ptr<T>(), *b = context.in(1).ptr<T>();
    T* out = context.out(0).ptr<T>();
    const size_t rows = static_cast<size_t>(context.in(0).shape[0]),
                 columns = static_cast<size_t>(context.in(1).shape[0]);
    const size_t length = static_cast<size_t>(context.in(0).shape[1]);
    // Many columns side by side, from b turned; differences and not products, which would cancel for rows that are
    // near.
    T* turned = reinterpret_cast<T*>(context.scratch());
    for (size_t j = 0; j < columns; ++j)
      for (size_t k = 0; k < length; ++k) turned[k * columns + j] = b[j * length + k];
    const double row_ns = static_cast<double>(columns) * static_cast<double>(length + 2) * 0.3;
    context.parallel.for_range(rows, grain_for(row_ns), [&](size_t begin, size_t end, size_t) {
      for (size_t i = begin; i < end; ++i)
        for (size_t j = 0; j < columns; j += kColumns) {
          T sums[kColumns] = {};
          const T* x = a + i * length;
          const size_t there = std::min(columns - j, kColumns);
          for (size_t k = 0; k < length; ++k) {
            const T* y = turned + k * columns + j;
            if (there == kColumns) {
              for (size_t c = 0; c < kColumns; ++c) sums[c] += (x[k] - y[c]) * (x[k] - y[c]);
            } else {
              for (size_t c = 0; c < there; ++c) sums[c] += (x[k] - y[c]) * (x[k] - y[c]);
            }
          }
          for (size_t c = 0; c < there; ++c) out[i * columns + j + c] = root_ ? std::sqrt(sums[c]) : sums[c];
        }
    });
    return {};
  }

  bool root_ = false;
};

constexpr OpDef kDefs[] = {{"com.microsoft", "CDist", 1, 2, 2, 1, 1, create<CDist>}};

}  // namespace

extern const std::span<const OpDef> kCDistOps = kDefs;

}  // namespace linnet
