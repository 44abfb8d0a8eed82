// https://onnx.ai/onnx/operators/onnx__Dropout.html
#include <algorithm>
#include <random>

#include "ops/element_types.h"
#include "ops/infer_shapes.h"
#include "ops/type_switch.h"

namespace linnet {
namespace {

// The input, unless training_mode is given and true. The second output is a mask of what was kept: bool from operator
// set 10 on, before of the input's type.
class Dropout final : public Op {
 public:
  Status parse(NodeReader& reader) {
    for (const std::string_view name : {"is_test", "consumed_inputs", "ratio"}) reader.ignore(name);
    if (reader.has("seed")) seed_ = reader.integer("seed", 0);
    bool_mask_ = reader.version() >= 10;
    return {};
  }
  Status infer(InferContext& context) const override {
    for (const size_t i : {0, 1}) LINNET_TRY(expect_type(context, i, kTypes));
    const DType mask = bool_mask_ ? DType::boolean : context.dtype(0);
    if (context.ranked(0)) {
      context.set(1, mask, context.shape(0));
    } else {
      context.set_unranked(1, mask);
    }
    return infer_same_as_input(context);
  }
  Status run(RunContext& context) const override {
    const Tensor& src = context.in(0);
    Tensor& dst = context.out(0);
    const Tensor* training = context.maybe(2);
    const Tensor* ratio_input = context.maybe(1);
    LINNET_REQUIRE(!training || (training->count() == 1 && training->dtype == DType::boolean),
                   invalid_argument("training_mode is not one bool"));
    LINNET_REQUIRE(!ratio_input || ratio_input->count() == 1, invalid_argument("the ratio is not one number"));
    const double ratio = ratio_input ? number_at(*ratio_input, 0) : 0.5;
    const bool drop = training && integer_at(*training, 0) != 0 && ratio > 0.0;
    LINNET_REQUIRE(!drop || (ratio >= 0.0 && ratio < 1.0),
                   invalid_argument("the ratio is ", ratio, " instead of 0 to 1"));
    if (!drop) {
      if (dst.data != src.data) copy_elements(src, dst);
      if (!context.wants(1)) return {};
      Tensor& mask = context.out(1);
      if (mask.dtype == DType::boolean) {
        std::fill_n(mask.ptr<bool>(), mask.count(), true);
      } else {
        switch_element(mask.dtype,
                       [&]<class T>(std::type_identity<T>) { std::fill_n(mask.ptr<T>(), mask.count(), T(1.0f)); });
      }
      return {};
    }
    // With a seed, the numbers of numpy's RandomState, which the standard's reference draws.
    std::mt19937 generator(static_cast<uint32_t>(seed_ ? static_cast<uint64_t>(*seed_) : context.seed()));
    switch_element(src.dtype, [&]<class T>(std::type_identity<T>) {
      for (int64_t i = 0; i < src.count(); ++i) {
        const uint32_t high = static_cast<uint32_t>(generator()) >> 5;
        const uint32_t low = static_cast<uint32_t>(generator()) >> 6;
        const bool keep =
            (static_cast<double>(high) * 67108864.0 + static_cast<double>(low)) / 9007199254740992.0 >= ratio;
        dst.ptr<T>()[i] = T(static_cast<float>(keep ? number_at(src, i) / (1.0 - ratio) : 0.0));
        if (context.wants(1) && bool_mask_) context.out(1).ptr<bool>()[i] = keep;
      }
    });
    return {};
  }
  bool can_overwrite(size_t input, size_t output) const override { return input == 0 && output == 0; }

 private:
  static constexpr TypeSet kTypes =
      kFloatTypes | TypeSet{DType::f8e4m3fn, DType::f8e4m3fnuz, DType::f8e5m2, DType::f8e5m2fnuz};
  template <class F>
  static void switch_element(DType type, F&& f) {
    if (!switch_float(type, f)) switch_type<f8e4m3fn, f8e4m3fnuz, f8e5m2, f8e5m2fnuz>(type, f);
  }

  bool bool_mask_ = true;
  std::optional<int64_t> seed_;
};

constexpr OpDef kDefs[] = {{"", "Dropout", 1, 1, 3, 1, 2, create<Dropout>, OpDef::kNonDeterministic}};

}  // namespace

extern const std::span<const OpDef> kDropoutOps = kDefs;

}  // namespace linnet
