// https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md#com.microsoft.CDist
#include <cmath>

#include "ops/op.h"

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
  Status run(RunContext& context) const override {
    return context.in(0).dtype == DType::f32 ? run_as<float>(context) : run_as<double>(context);
  }

 private:
  template <class T>
  Status run_as(RunContext& context) const {
    const T *a = context.in(0).ptr<T>(), *b = context.in(1).ptr<T>();
    T* out = context.out(0).ptr<T>();
    const size_t rows = static_cast<size_t>(context.in(0).shape[0]),
                 columns = static_cast<size_t>(context.in(1).shape[0]);
    const size_t length = static_cast<size_t>(context.in(0).shape[1]);
    const double row_ns = static_cast<double>(columns * (length + 2));
    context.parallel.for_range(rows, grain_for(row_ns), [&](size_t begin, size_t end, size_t) {
      for (size_t i = begin; i < end; ++i) {
        for (size_t j = 0; j < columns; ++j) {
          T sum = 0;
          for (size_t k = 0; k < length; ++k) {
            const T difference = a[i * length + k] - b[j * length + k];
            sum += difference * difference;
          }
          out[i * columns + j] = root_ ? std::sqrt(sum) : sum;
        }
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
