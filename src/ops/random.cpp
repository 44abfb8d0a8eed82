// Random tensors. The same seed gives the same numbers on every machine and for every number of threads.
// https://onnx.ai/onnx/operators/onnx__RandomNormal.html, ...RandomUniform, ...RandomNormalLike, ...RandomUniformLike,
// ...Bernoulli, ...Multinomial
#include <bit>

#include "kernels/random/philox.h"
#include "ops/element_types.h"
#include "ops/infer_shapes.h"

namespace linnet {
namespace {

class RandomOp : public Op {
 protected:
  void parse_seed(NodeReader& reader) {
    if (reader.has("seed")) seed_ = std::bit_cast<uint32_t>(reader.number("seed", 0.0f));
  }
  Philox generator(const RunContext& context) const { return Philox(seed_.value_or(context.seed())); }

 private:
  std::optional<uint64_t> seed_;
};

// scale and offset a standard distribution.
template <bool normal, bool like>
class Random final : public RandomOp {
 public:
  Status parse(NodeReader& reader) {
    parse_seed(reader);
    dtype_ = reader.dtype("dtype", like ? DType::undefined : DType::f32);
    LINNET_REQUIRE(dtype_ == DType::undefined || kFloatTypes.has(dtype_),
                   unsupported("dtype ", dtype_name(dtype_), " is not supported"));
    if constexpr (normal) {
      offset_ = reader.number("mean", 0.0f);
      scale_ = reader.number("scale", 1.0f);
    } else {
      offset_ = reader.number("low", 0.0f);
      scale_ = static_cast<double>(reader.number("high", 1.0f)) - offset_;
    }
    if constexpr (!like) {
      for (const int64_t size : reader.integers("shape")) {
        LINNET_REQUIRE(size >= 0, invalid_model("attribute 'shape' has size ", size));
        shape_.push_back(size);
      }
    }
    return {};
  }

  Status infer(InferContext& context) const override {
    if constexpr (!like) {
      context.set(0, dtype_, DimVector(shape_));
      return {};
    } else {
      if (dtype_ == DType::undefined) LINNET_TRY(expect_type(context, 0, kFloatTypes));
      LINNET_REQUIRE(context.ranked(0) || context.symbolic(), invalid_argument("the input is not a tensor"));
      const DType dtype = dtype_ == DType::undefined ? context.dtype(0) : dtype_;
      if (context.ranked(0))
        context.set(0, dtype, context.shape(0));
      else
        context.set_unranked(0, dtype);
      return {};
    }
  }

  Status run(RunContext& context) const override {
    Tensor& out = context.out(0);
    const size_t count = static_cast<size_t>(out.count());
    const Philox random = generator(context);
    visit_float(out.dtype, [&]<class T>(TypeTag<T>) {
      T* dst = out.ptr<T>();
      context.parallel.for_range(count / 2 + count % 2, 512, [&](size_t begin, size_t end, size_t) {
        for (size_t pair = begin; pair < end; ++pair) {
          if (pair % 4096 == 0 && context.parallel.stopped()) return;
          const auto [a, b] = normal ? random.normal_pair(pair) : random.uniform_pair(pair);
          dst[2 * pair] = rounded<T>(offset_ + scale_ * a);
          if (2 * pair + 1 < count) dst[2 * pair + 1] = rounded<T>(offset_ + scale_ * b);
        }
      });
    });
    return {};
  }

 private:
  DType dtype_ = DType::f32;
  double offset_ = 0, scale_ = 1;
  Shape shape_;
};

class Bernoulli final : public RandomOp {
 public:
  Status parse(NodeReader& reader) {
    parse_seed(reader);
    dtype_ = reader.dtype("dtype", DType::undefined);
    LINNET_REQUIRE(dtype_ == DType::undefined || dtype_ == DType::boolean || kNumberTypes.has(dtype_),
                   unsupported("dtype ", dtype_name(dtype_), " is not supported"));
    return {};
  }
  Status infer(InferContext& context) const override {
    LINNET_TRY(expect_type(context, 0, kFloatTypes));
    const DType dtype = dtype_ == DType::undefined ? context.dtype(0) : dtype_;
    if (context.ranked(0))
      context.set(0, dtype, context.shape(0));
    else
      context.set_unranked(0, dtype);
    return {};
  }
  Status run(RunContext& context) const override {
    const Tensor& in = context.in(0);
    Tensor& out = context.out(0);
    const Philox random = generator(context);
    const auto draw = [&]<class T>(TypeTag<T>) {
      T* dst = out.ptr<T>();
      const auto count = static_cast<size_t>(in.count());
      context.parallel.for_range(count / 2 + count % 2, 512, [&](size_t begin, size_t end, size_t) {
        for (size_t pair = begin; pair < end; ++pair) {
          if (pair % 4096 == 0 && context.parallel.stopped()) return;
          const auto [a, b] = random.uniform_pair(pair);
          dst[2 * pair] = rounded<T>(a < number_at(in, static_cast<int64_t>(2 * pair)) ? 1.0 : 0.0);
          if (2 * pair + 1 < count)
            dst[2 * pair + 1] = rounded<T>(b < number_at(in, static_cast<int64_t>(2 * pair + 1)) ? 1.0 : 0.0);
        }
      });
    };
    if (out.dtype == DType::boolean)
      draw(TypeTag<bool>());
    else
      visit_number(out.dtype, draw);
    return {};
  }

 private:
  DType dtype_ = DType::undefined;
};

class Multinomial final : public RandomOp {
 public:
  Status parse(NodeReader& reader) {
    parse_seed(reader);
    dtype_ = reader.dtype("dtype", DType::i32);
    samples_ = reader.integer("sample_size", 1);
    LINNET_REQUIRE(kIndexTypes.has(dtype_), unsupported("dtype ", dtype_name(dtype_), " is not supported"));
    LINNET_REQUIRE(samples_ >= 0, invalid_model("sample_size is ", samples_));
    return {};
  }
  Status infer(InferContext& context) const override {
    LINNET_TRY(expect_type(context, 0, kFloatTypes));
    Dim batch;
    if (context.ranked(0)) {
      LINNET_REQUIRE(context.shape(0).size() == 2 && !context.shape(0)[1].is(0),
                     invalid_argument("the input must be of shape [batch, classes]"));
      batch = context.shape(0)[0];
    }
    context.set(0, dtype_, {batch, samples_});
    return {};
  }
  Status bind(BindContext& context) const override {
    context.request_scratch(context.threads() * worker_bytes(context.shape(0)));
    return {};
  }
  Status run(RunContext& context) const override {
    const Tensor& in = context.in(0);
    Tensor& out = context.out(0);
    const Philox random = generator(context);
    const int64_t classes = in.shape[1];
    visit_index(out.dtype, [&]<class I>(TypeTag<I>) {
      context.parallel.for_range(static_cast<size_t>(in.shape[0]), 1, [&](size_t begin, size_t end, size_t worker) {
        auto* sums = reinterpret_cast<double*>(context.scratch() + worker * worker_bytes(in.shape));
        for (size_t b = begin; b < end; ++b) {
          const int64_t row = static_cast<int64_t>(b) * classes;
          double greatest = number_at(in, row), sum = 0;
          for (int64_t c = 1; c < classes; ++c) greatest = std::max(greatest, number_at(in, row + c));
          for (int64_t c = 0; c < classes; ++c) sums[c] = sum += std::exp(number_at(in, row + c) - greatest);
          for (int64_t s = 0; s < samples_; ++s) {
            const int64_t i = static_cast<int64_t>(b) * samples_ + s;
            const double* found =
                std::upper_bound(sums, sums + classes, random.uniform(static_cast<uint64_t>(i)) * sum);
            out.ptr<I>()[i] = static_cast<I>(std::min<int64_t>(found - sums, classes - 1));
          }
        }
      });
    });
    return {};
  }

 private:
  static size_t worker_bytes(const Shape& in) { return round_up(static_cast<size_t>(in[1]) * sizeof(double), 64); }
  DType dtype_ = DType::i32;
  int64_t samples_ = 1;
};

constexpr OpDef kDefs[] = {
    {"", "RandomNormal", 1, 0, 0, 1, 1, create<Random<true, false>>, OpDef::kNonDeterministic},
    {"", "RandomUniform", 1, 0, 0, 1, 1, create<Random<false, false>>, OpDef::kNonDeterministic},
    {"", "RandomNormalLike", 1, 1, 1, 1, 1, create<Random<true, true>>, OpDef::kNonDeterministic},
    {"", "RandomUniformLike", 1, 1, 1, 1, 1, create<Random<false, true>>, OpDef::kNonDeterministic},
    {"", "Bernoulli", 15, 1, 1, 1, 1, create<Bernoulli>, OpDef::kNonDeterministic},
    {"", "Multinomial", 7, 1, 1, 1, 1, create<Multinomial>, OpDef::kNonDeterministic},
};

}  // namespace

extern const std::span<const OpDef> kRandomOps = kDefs;

}  // namespace linnet
