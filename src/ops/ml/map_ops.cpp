// Operators from and to maps.
// https://onnx.ai/onnx/operators/onnx_aionnxml_CastMap.html, ...DictVectorizer, ...ZipMap
#include <algorithm>
#include <charconv>
#include <numeric>

#include "ops/ml/class_labels.h"
#include "ops/ml/features.h"
#include "ops/ml/label_table.h"

namespace linnet {
namespace {

class ZipMap final : public Op {
 public:
  Status parse(NodeReader& reader) {
    ClassLabels labels;
    LINNET_TRY(labels.parse(reader, "classlabels_int64s", "classlabels_strings"));
    LINNET_ASSIGN(keys_, labels.strings.empty() ? label_tensor(labels.integers) : label_tensor(labels.strings));
    return {};
  }
  Status infer(InferContext& context) const override {
    LINNET_REQUIRE(context.dtype(0) == DType::f32, invalid_model("takes floats, not ", dtype_name(context.dtype(0))));
    LINNET_ASSIGN(const FeatureShape shape, feature_shape(context, 0));
    LINNET_REQUIRE(!shape.features.known() || shape.features.value() == keys_.count(),
                   invalid_argument("has ", keys_.count(), " labels for ", shape.features.value(), " columns"));
    ValueInfo map;
    map.kind = ValueKind::map;
    map.dtype = DType::f32;
    map.key = keys_.dtype;
    ValueInfo info;
    info.kind = ValueKind::sequence;
    info.dtype = DType::f32;
    info.element = std::make_shared<const ValueInfo>(std::move(map));
    context.set_info(0, std::move(info));
    return {};
  }
  Status run(RunContext& context) const override {
    const Tensor& in = context.in(0);
    LINNET_ASSIGN(Tensor all, context.make(DType::f32, in.shape));
    copy_elements(in, all);
    auto sequence = std::make_shared<Sequence>();
    sequence->dtype = DType::f32;
    const size_t rows = row_count(in.shape), columns = feature_count(in.shape);
    sequence->values.reserve(rows);
    for (size_t row = 0; row < rows; ++row) {
      auto map = std::make_shared<Map>();
      map->keys = keys_;
      map->values = Tensor{DType::f32, {static_cast<int64_t>(columns)}, all.ptr<float>() + row * columns, all.owner};
      sequence->values.emplace_back().map = std::move(map);
    }
    context.out_value(0).sequence = std::move(sequence);
    return {};
  }

 private:
  Tensor keys_;
};

Result<const Map*> map_input(const RunContext& context) {
  if (!context.in_value(0).is_map()) return invalid_argument("the input holds no map");
  return context.in_value(0).map.get();
}

class DictVectorizer final : public Op {
 public:
  Status parse(NodeReader& reader) {
    ClassLabels vocabulary;
    LINNET_TRY(vocabulary.parse(reader, "int64_vocabulary", "string_vocabulary"));
    LINNET_ASSIGN(vocabulary_,
                  vocabulary.strings.empty() ? label_tensor(vocabulary.integers) : label_tensor(vocabulary.strings));
    return {};
  }
  Status infer(InferContext& context) const override {
    LINNET_REQUIRE(context.info(0).kind == ValueKind::map, invalid_model("takes a map"));
    context.set(0, context.dtype(0), {1, Dim(vocabulary_.count())});
    return {};
  }
  Status run(RunContext& context) const override {
    LINNET_ASSIGN(const Map* map, map_input(context));
    Tensor& out = context.out(0);
    LINNET_REQUIRE(map->keys.dtype == vocabulary_.dtype && map->values.dtype == out.dtype && !is_packed(out.dtype),
                   invalid_argument("the map is of other types than the vocabulary and the model say"));
    KeyIndex index;
    LINNET_TRY(index.build(map->keys));
    const size_t size = element_size(out.dtype);
    for (int64_t i = 0; i < vocabulary_.count(); ++i) {
      const size_t found = index.find(vocabulary_, i);
      const bool there = found != KeyIndex::kAbsent;
      if (out.dtype == DType::string) {
        out.ptr<std::string>()[i] = there ? map->values.ptr<std::string>()[found] : std::string();
      } else if (there) {
        std::memcpy(out.ptr<std::byte>() + static_cast<size_t>(i) * size, map->values.ptr<std::byte>() + found * size,
                    size);
      } else {
        std::memset(out.ptr<std::byte>() + static_cast<size_t>(i) * size, 0, size);
      }
    }
    return {};
  }

 private:
  Tensor vocabulary_;
};

class CastMap final : public Op {
 public:
  Status parse(NodeReader& reader) {
    const std::string to = reader.text("cast_to", "TO_FLOAT"), form = reader.text("map_form", "DENSE");
    LINNET_REQUIRE(to == "TO_FLOAT" || to == "TO_STRING" || to == "TO_INT64",
                   invalid_model("cast_to '", to, "' is not known"));
    LINNET_REQUIRE(form == "DENSE" || form == "SPARSE", invalid_model("map_form '", form, "' is not known"));
    to_ = to == "TO_FLOAT" ? DType::f32 : to == "TO_STRING" ? DType::string : DType::i64;
    sparse_ = form == "SPARSE";
    length_ = reader.integer("max_map", 1);
    LINNET_REQUIRE(!sparse_ || length_ > 0, invalid_model("max_map is ", length_));
    return {};
  }
  Status infer(InferContext& context) const override {
    LINNET_REQUIRE(context.info(0).kind == ValueKind::map, invalid_model("takes a map"));
    context.set(0, to_, {1, sparse_ ? Dim(length_) : Dim()});
    return {};
  }
  Status run(RunContext& context) const override {
    LINNET_ASSIGN(const Map* map, map_input(context));
    LINNET_REQUIRE(
        map->keys.dtype == DType::i64 && (map->values.dtype == DType::string || map->values.dtype == DType::f32),
        invalid_argument("takes a map from int64 to strings or floats"));
    const int64_t count = map->keys.count();
    const int64_t* keys = map->keys.ptr<int64_t>();
    LINNET_TRY(context.allocate(0, to_, Shape{1, sparse_ ? length_ : count}));
    if (sparse_) {
      for (int64_t i = 0; i < length_; ++i) LINNET_TRY(write(nullptr, 0, context.out(0), i));
      for (int64_t i = 0; i < count; ++i) {
        LINNET_REQUIRE(keys[i] >= 0, invalid_argument("key ", keys[i], " of the map is negative"));
        if (keys[i] < length_) LINNET_TRY(write(&map->values, i, context.out(0), keys[i]));
      }
      return {};
    }
    std::vector<int64_t> order(static_cast<size_t>(count));
    std::iota(order.begin(), order.end(), int64_t{0});
    std::sort(order.begin(), order.end(), [&](int64_t a, int64_t b) { return keys[a] < keys[b]; });
    for (int64_t i = 0; i < count; ++i)
      LINNET_TRY(write(&map->values, order[static_cast<size_t>(i)], context.out(0), i));
    return {};
  }

 private:
  // Element i of `from`, or what stands for a missing one.
  Status write(const Tensor* from, int64_t i, Tensor& to, int64_t at) const {
    const bool text = from && from->dtype == DType::string;
    if (to_ == DType::string) {
      to.ptr<std::string>()[at] = !from  ? "0.f"
                                  : text ? from->ptr<std::string>()[i]
                                         : std::to_string(from->ptr<float>()[i]);
      return {};
    }
    double number = from && !text ? static_cast<double>(from->ptr<float>()[i]) : 0;
    int64_t integer = number > -9e18 && number < 9e18 ? static_cast<int64_t>(number) : INT64_MIN;
    if (text) {
      const std::string& s = from->ptr<std::string>()[i];
      const auto parsed = to_ == DType::f32 ? std::from_chars(s.data(), s.data() + s.size(), number)
                                            : std::from_chars(s.data(), s.data() + s.size(), integer);
      LINNET_REQUIRE(parsed.ec == std::errc(), invalid_argument("the map's value '", s, "' is no number"));
    }
    if (to_ == DType::f32) {
      to.ptr<float>()[at] = static_cast<float>(number);
    } else {
      to.ptr<int64_t>()[at] = integer;
    }
    return {};
  }

  DType to_ = DType::f32;
  bool sparse_ = false;
  int64_t length_ = 1;
};

constexpr OpDef kDefs[] = {
    {"ai.onnx.ml", "CastMap", 1, 1, 1, 1, 1, create<CastMap>, OpDef::kTakesValues | OpDef::kAllocates},
    {"ai.onnx.ml", "DictVectorizer", 1, 1, 1, 1, 1, create<DictVectorizer>, OpDef::kTakesValues | OpDef::kAllocates},
    {"ai.onnx.ml", "ZipMap", 1, 1, 1, 1, 1, create<ZipMap>},
};

}  // namespace

extern const std::span<const OpDef> kMapOps = kDefs;

}  // namespace linnet
