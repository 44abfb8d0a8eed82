// Sums of embeddings, normalised. linnet.EmbedLayerNormalization is what passes make of Gathers: ids may be int64 and
// count from the end when they are negative; position_ids may be a row, or one number for each sequence.
// https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md#com.microsoft.EmbedLayerNormalization
#include <algorithm>
#include <cstring>

#include "kernels/norm/norm.h"
#include "ops/float_scratch.h"
#include "ops/infer_shapes.h"
#include "ops/type_switch.h"

namespace linnet {
namespace {

// Inputs of the plain form; the quantised one has no position ids, and scales and zero points from 8 and 13 on.
enum Input : size_t { kIds, kSegments, kWords, kPositions, kSegmentRows, kGamma, kBeta, kMask, kPositionIds };

bool is_table(DType t, bool quantized) noexcept {
  return quantized ? t == DType::u8 || t == DType::i8 : is_float_or_half(t);
}

class EmbedLayerNormalization final : public Op {
 public:
  Status parse(NodeReader& reader) {
    quantized_ = reader.op_type() == "QEmbedLayerNormalization";
    as_gather_ = reader.domain() == "linnet";
    epsilon_ = reader.number("epsilon", 1e-12f);
    reader.ignore("mask_index_type");
    for (const size_t i : {kIds, kWords, kPositions, kGamma, kBeta})
      LINNET_REQUIRE(reader.has_input(i), invalid_model("input ", i, " is missing"));
    LINNET_REQUIRE(!as_gather_ || reader.has_input(kPositionIds), invalid_model("position_ids are missing"));
    LINNET_REQUIRE(reader.has_input(kSegments) == reader.has_input(kSegmentRows),
                   invalid_model("segment_ids and segment_embedding come together"));
    for (size_t table = 0; quantized_ && table < 5; ++table)
      LINNET_REQUIRE(
          (table == 2 && !reader.has_input(kSegments)) || (reader.has_input(8 + table) && reader.has_input(13 + table)),
          invalid_model("a scale or a zero point is missing"));
    return {};
  }

  Status infer(InferContext& context) const override {
    for (const size_t i : {kIds, kSegments, kMask, kPositionIds})
      LINNET_REQUIRE(!context.has(i) || (quantized_ && i == kPositionIds) || context.dtype(i) == DType::i32 ||
                         (as_gather_ && i != kMask && context.dtype(i) == DType::i64),
                     unsupported("input ", i, " is of type ", dtype_name(context.dtype(i))));
    for (const size_t i : {kWords, kPositions, kSegmentRows, kGamma, kBeta})
      LINNET_REQUIRE(!context.has(i) || is_table(context.dtype(i), quantized_),
                     unsupported("input ", i, " is of type ", dtype_name(context.dtype(i))));
    const DType type = quantized_ ? context.dtype(8) : context.dtype(kWords);
    LINNET_REQUIRE(is_float_or_half(type), unsupported("embeddings of type ", dtype_name(type)));
    if (!context.ranked(kIds) || !context.ranked(kWords)) {
      for (size_t o = 0; o < context.outputs(); ++o) context.set_unranked(o, o == 1 ? DType::i32 : type);
      return {};
    }
    const SymShape& ids = context.shape(kIds);
    LINNET_REQUIRE(ids.size() == 2 && context.shape(kWords).size() == 2,
                   invalid_argument("input_ids and word_embedding must be matrices"));
    const SymShape shape{ids[0], ids[1], context.shape(kWords)[1]};
    context.set(0, type, shape);
    context.set(1, DType::i32, {ids[0]});
    context.set(2, type, shape);
    return {};
  }

  Status bind(BindContext& context) const override {
    const Shape& ids = context.shape(kIds);
    const int64_t width = context.shape(kWords)[1];
    for (const size_t i : {kPositions, kSegmentRows})
      LINNET_REQUIRE(!context.has(i) || (context.shape(i).rank() == 2 && context.shape(i)[1] == width),
                     invalid_argument("input ", i, " of shape ", context.shape(i), " does not have rows of ", width));
    for (const size_t i : {kGamma, kBeta})
      LINNET_REQUIRE(context.shape(i).count() == width,
                     invalid_argument("input ", i, " does not have ", width, " elements"));
    for (const size_t i : {kSegments, kMask})
      LINNET_REQUIRE(!context.has(i) || context.shape(i) == ids,
                     invalid_argument("input ", i, " does not have the shape of input_ids, ", ids));
    if (!quantized_ && context.has(kPositionIds)) {
      const Shape& positions = context.shape(kPositionIds);
      const int64_t rows = positions.rank() == 2 ? positions[0] : as_gather_ && positions.rank() == 1 ? 1 : -1;
      LINNET_REQUIRE(
          (rows == ids[0] || rows == 1) && (positions.back() == ids[1] || (as_gather_ && positions.back() == 1)),
          invalid_argument("position_ids of shape ", positions, " do not fit ", ids));
    } else {
      LINNET_REQUIRE(
          ids[1] <= context.shape(kPositions)[0],
          invalid_argument(ids[1], " tokens are more than the ", context.shape(kPositions)[0], " positions"));
    }
    for (size_t i = 8; quantized_ && i < context.inputs(); ++i)
      LINNET_REQUIRE(!context.has(i) || context.shape(i).count() == 1,
                     invalid_argument("input ", i, " must be one number"));
    context.request_scratch(
        round_up((static_cast<size_t>(ids.count()) + 2) * static_cast<size_t>(width) * sizeof(float), 64));
    return {};
  }

  Status run(RunContext& context) const override {
    const Tensor& ids = context.in(kIds);
    const auto rows = static_cast<size_t>(ids.count()), length = static_cast<size_t>(ids.shape[1]);
    const auto width = static_cast<size_t>(context.in(kWords).shape[1]);
    const Tensor* segments = context.maybe(kSegments);
    const Tensor* position_ids = quantized_ ? nullptr : context.maybe(kPositionIds);
    LINNET_TRY(check_rows(ids, context.in(kWords), "input_ids"));
    if (segments) LINNET_TRY(check_rows(*segments, context.in(kSegmentRows), "segment_ids"));
    if (position_ids) LINNET_TRY(check_rows(*position_ids, context.in(kPositions), "position_ids"));

    auto* sums = reinterpret_cast<float*>(context.scratch());
    float* gamma = sums + rows * width;
    float* beta = gamma + width;
    std::fill(gamma, gamma + 2 * width, 0.0f);
    add_row(context, kGamma, 0, width, gamma);
    add_row(context, kBeta, 0, width, beta);
    context.parallel.for_range(rows, grain_for(static_cast<double>(width)), [&](size_t first, size_t last, size_t) {
      for (size_t i = first; i < last; ++i) {
        float* sum = sums + i * width;
        std::fill_n(sum, width, 0.0f);
        add_row(context, kWords, row_of(ids, i, context.in(kWords)), width, sum);
        add_row(
            context, kPositions,
            position_ids ? row_of(*position_ids, place(*position_ids, i, length), context.in(kPositions)) : i % length,
            width, sum);
        if (segments) add_row(context, kSegmentRows, row_of(*segments, i, context.in(kSegmentRows)), width, sum);
      }
    });
    if (context.wants(2)) write(sums, context.out(2), context.parallel);
    LayerNorm norm{};
    norm.rows = rows;
    norm.n = width;
    norm.epsilon = epsilon_;
    norm.src = sums;
    norm.scale = gamma;
    norm.shift = beta;
    norm.dst = context.out(0).dtype == DType::f32 ? context.out(0).ptr<float>() : sums;
    layer_norm(norm, context.parallel);
    if (norm.dst == sums) write(sums, context.out(0), context.parallel);

    if (context.wants(1)) {
      const Tensor* mask = context.maybe(kMask);
      for (size_t b = 0; b < static_cast<size_t>(ids.shape[0]); ++b) {
        const int32_t* row = mask ? mask->ptr<int32_t>() + b * length : nullptr;
        context.out(1).ptr<int32_t>()[b] = row ? static_cast<int32_t>(std::count(row, row + length, 1)) : 0;
      }
    }
    return {};
  }

 private:
  static int64_t id_at(const Tensor& ids, size_t i) {
    return ids.dtype == DType::i64 ? ids.ptr<int64_t>()[i] : ids.ptr<int32_t>()[i];
  }
  // Of [1 or batch, 1 or length] ids, that of token i.
  static size_t place(const Tensor& ids, size_t i, size_t length) {
    const auto columns = static_cast<size_t>(ids.shape.back());
    const size_t at = columns == 1 ? i / length : i;
    return at % static_cast<size_t>(ids.count());
  }
  static size_t row_of(const Tensor& ids, size_t i, const Tensor& table) {
    const int64_t id = id_at(ids, i);
    return static_cast<size_t>(id < 0 ? id + table.shape[0] : id);
  }
  Status check_rows(const Tensor& ids, const Tensor& table, std::string_view name) const {
    const int64_t least = as_gather_ ? -table.shape[0] : 0;
    for (size_t i = 0; i < static_cast<size_t>(ids.count()); ++i)
      LINNET_REQUIRE(
          id_at(ids, i) >= least && id_at(ids, i) < table.shape[0],
          invalid_argument(name, " has ", id_at(ids, i), ", outside of the ", table.shape[0], " rows of its table"));
    return {};
  }

  static void write(const float* floats, Tensor& out, const Parallel& parallel) {
    cast(NumberType::f32, floats, number_type(out.dtype), out.data, static_cast<size_t>(out.count()), {}, parallel);
  }

  // From any address.
  template <class T>
  static void add_floats(const std::byte* from, size_t width, float* to) {
    T some[64];
    for (size_t i = 0; i < width; i += std::size(some)) {
      const size_t count = std::min(std::size(some), width - i);
      std::memcpy(some, from + i * sizeof(T), count * sizeof(T));
      for (size_t k = 0; k < count; ++k) to[i + k] += static_cast<float>(some[k]);
    }
  }

  void add_row(const RunContext& context, size_t table, size_t row, size_t width, float* to) const {
    const Tensor& t = context.in(table);
    const auto at = static_cast<int64_t>(row * width);
    if (!quantized_) {
      switch_float(t.dtype, [&](auto type) {
        using T = typename decltype(type)::type;
        add_floats<T>(static_cast<const std::byte*>(t.data) + static_cast<size_t>(at) * sizeof(T), width, to);
      });
    } else {
      constexpr size_t kOrder[] = {0, 0, 0, 1, 2, 3, 4};  // of the tables' scales
      const auto scale = static_cast<float>(number_at(context.in(8 + kOrder[table]), 0));
      const auto zero = static_cast<int32_t>(integer_at(context.in(13 + kOrder[table]), 0));
      const auto add = [&](const auto* from) {
        for (size_t i = 0; i < width; ++i) to[i] += static_cast<float>(from[i] - zero) * scale;
      };
      t.dtype == DType::i8 ? add(t.ptr<int8_t>() + at) : add(t.ptr<uint8_t>() + at);
    }
  }

  bool quantized_ = false, as_gather_ = false;
  float epsilon_ = 1e-12f;
};

constexpr uint16_t kTables = 1 << kWords | 1 << kPositions | 1 << kSegmentRows;
constexpr OpDef kDefs[] = {
    {"com.microsoft", "EmbedLayerNormalization", 1, 1, 9, 1, 3, create<EmbedLayerNormalization>, OpDef::kPlain,
     kTables},
    {"linnet", "EmbedLayerNormalization", 1, 1, 9, 1, 3, create<EmbedLayerNormalization>, OpDef::kPlain, kTables},
    {"com.microsoft", "QEmbedLayerNormalization", 1, 1, 18, 1, 2, create<EmbedLayerNormalization>},
};

}  // namespace

extern const std::span<const OpDef> kEmbedLayerNormalizationOps = kDefs;

}  // namespace linnet
