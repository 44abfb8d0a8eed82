// A mixture of experts: each row goes through the k feed-forward networks that its router prefers.
// https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md#com.microsoft.MoE, ...QMoE
#include <cmath>
#include <limits>
#include <vector>

#include "kernels/gemm/gemm.h"
#include "kernels/quant/nbits.h"
#include "ops/float_scratch.h"
#include "ops/infer_shapes.h"
#include "ops/packing.h"

namespace linnet {
namespace {

enum Input : size_t { kX, kRouter };
constexpr size_t kNone = SIZE_MAX;
constexpr size_t kRouterWeights = 14;  // of QMoE

// The inputs of each of the three layers.
struct LayerSlots {
  size_t weights, bias, scales, zeros;
};
constexpr LayerSlots kFloatLayers[3] = {{2, 3, kNone, kNone}, {4, 5, kNone, kNone}, {6, 7, kNone, kNone}};
constexpr LayerSlots kQuantizedLayers[3] = {{2, 4, 3, 11}, {5, 7, 6, 12}, {8, 10, 9, 13}};

enum class Gate : uint8_t { none, interleaved, halves, separate };

class MoE final : public Op {
 public:
  Status parse(NodeReader& reader) {
    quantized_ = reader.op_type() == "QMoE";
    layers_ = quantized_ ? kQuantizedLayers : kFloatLayers;
    if (quantized_) LINNET_TRY(parse_quantization(reader));
    k_ = reader.integer("k", 1);
    normalize_ = reader.flag("normalize_routing_weights", false);
    alpha_ = reader.number("activation_alpha", 1.0f);
    beta_ = reader.number("activation_beta", 0.0f);
    limit_ = reader.number("swiglu_limit", std::numeric_limits<float>::infinity());
    const int64_t fusion = reader.integer("swiglu_fusion", 0);
    const std::string type = reader.text("activation_type", "relu");
    LINNET_REQUIRE(limit_ >= 0, invalid_model("swiglu_limit is ", limit_, "; it must not be negative"));
    LINNET_REQUIRE(k_ >= 1, invalid_model("k is ", k_, "; it must be positive"));
    sparse_ = reader.flag("use_sparse_mixer", false);
    LINNET_REQUIRE(!sparse_ || k_ == 2, invalid_model("use_sparse_mixer chooses two experts, and k is ", k_));
    LINNET_REQUIRE(!reader.flag("swiglu_limit_after_activation", false),
                   unsupported("swiglu_limit_after_activation is not supported"));
    LINNET_REQUIRE(reader.has_input(layers_[1].weights), invalid_model("the second layer's weights are missing"));
    if (reader.has_input(layers_[2].weights)) gate_ = Gate::separate;
    if (type == "swiglu") {
      LINNET_REQUIRE(fusion >= 0 && fusion <= 2, invalid_model("swiglu_fusion is ", fusion, "; it must be 0 to 2"));
      LINNET_REQUIRE((fusion == 0) == (gate_ == Gate::separate),
                     invalid_model("swiglu needs either a third layer or a fused first one"));
      swiglu_ = true;
      if (fusion != 0) gate_ = fusion == 1 ? Gate::interleaved : Gate::halves;
    } else if (type == "relu") {
      activation_.kind = Activation::relu;
    } else if (type == "gelu") {
      activation_.kind = Activation::gelu_tanh;
    } else if (type == "silu") {
      activation_ = {Activation::silu, 1.0f, 0.0f};
    } else {
      LINNET_REQUIRE(type == "identity", unsupported("activation_type ", type));
    }
    return {};
  }

  Status infer(InferContext& context) const override {
    LINNET_REQUIRE(is_float_or_half(context.dtype(kX)), unsupported("experts of type ", dtype_name(context.dtype(kX))));
    for (size_t i = 1; i < context.inputs(); ++i) {
      bool of_codes = false, of_scales = false;
      for (size_t l = 0; quantized_ && l < 3; ++l) {
        of_codes = of_codes || i == layers_[l].weights || i == layers_[l].zeros;
        of_scales = of_scales || i == layers_[l].scales;
      }
      LINNET_REQUIRE(!context.has(i) || (of_codes    ? context.dtype(i) == DType::u8
                                         : of_scales ? is_float_or_half(context.dtype(i))
                                                     : context.dtype(i) == context.dtype(kX)),
                     invalid_model("input ", i, " is of type ", dtype_name(context.dtype(i))));
    }
    return infer_same_as_input(context);
  }

  Status prepare(PrepareContext& context) override {
    for (size_t layer = 0; layer < 3; ++layer) {
      const size_t input = layers_[layer].weights;
      if (quantized_) {
        if (context.has(input)) LINNET_TRY(pack_codes(context, layer));
        continue;
      }
      const Tensor* w = packing(context).stored(input);
      if (!w || w->shape.rank() != 3 || w->dtype != DType::f32) continue;
      const auto experts = static_cast<size_t>(w->shape[0]), n = static_cast<size_t>(w->shape[1]),
                 k = static_cast<size_t>(w->shape[2]);
      const size_t bytes = round_up(packed_b_size(k, n), 64);
      const std::optional<size_t> all = checked_mul(bytes, experts);
      LINNET_REQUIRE(all, invalid_model("the experts' weights are too large"));
      LINNET_ASSIGN(const std::byte* packed, context.packed(input, "float panels of experts", *all, [&](std::byte* to) {
        for (size_t e = 0; e < experts; ++e)
          pack_b(w->ptr<float>() + e * n * k, k, n, k, true, reinterpret_cast<float*>(to + e * bytes),
                 context.parallel());
      }));
      packed_[layer] = packed;
      context.release(input);
    }
    return {};
  }

  Status bind(BindContext& context) const override {
    State& s = context.state<State>();
    const Shape& x = context.shape(kX);
    const Shape& router = context.shape(kRouter);
    const Shape& fc1 = context.shape(layers_[0].weights);
    const Shape& fc2 = context.shape(layers_[1].weights);
    LINNET_REQUIRE(x.rank() == 2 || x.rank() == 3,
                   invalid_argument("the input has ", x.rank(), " axes; it must have 2 or 3"));
    LINNET_REQUIRE(router.rank() == 2 && fc1.rank() == 3 && fc2.rank() == 3,
                   invalid_argument("router_probs must have two axes and the weights three"));
    const int64_t rows = x.count(0, x.rank() - 1), hidden = x.back(), experts = router[1];
    const int64_t fused = gate_ == Gate::interleaved || gate_ == Gate::halves ? 2 : 1, inner = depth(1, fc2);
    bool fits = router[0] == rows && fc1[0] == experts && fc2[0] == experts && fc1[1] == fused * inner &&
                depth(0, fc1) == hidden && fc2[1] == hidden;
    if (gate_ == Gate::separate) {
      const Shape& fc3 = context.shape(layers_[2].weights);
      fits = fits && fc3.rank() == 3 && fc3[0] == experts && fc3[1] == inner && depth(2, fc3) == hidden;
    }
    LINNET_REQUIRE(fits, invalid_argument("weights ", fc1, " and ", fc2, " and router_probs ", router,
                                          " do not fit the input ", x));
    const int64_t widths[] = {fused * inner, hidden, inner};
    for (size_t layer = 0; layer < 3; ++layer) {
      const size_t bias = layers_[layer].bias;
      LINNET_REQUIRE(!context.has(bias) || context.shape(bias) == Shape({experts, widths[layer]}),
                     invalid_argument("input ", bias, " does not have a row of ", widths[layer], " for each expert"));
    }
    if (quantized_ && context.has(kRouterWeights))
      LINNET_REQUIRE(context.shape(kRouterWeights) == router,
                     invalid_argument("router_weights do not have the shape of router_probs"));
    LINNET_REQUIRE(k_ <= experts, invalid_argument("k is ", k_, ", but there are ", experts, " experts"));
    const auto n = [](int64_t v) { return static_cast<size_t>(v); };
    s.rows = n(rows), s.hidden = n(hidden), s.inner = n(inner), s.experts = n(experts), s.fused = n(fused);
    size_t bytes = 0;
    const auto take = [&](size_t size) {
      const size_t at = bytes;
      bytes += round_up(size, 64);
      return at;
    };
    s.weights = take(s.rows * s.experts * sizeof(float));
    s.picked = take(s.rows * sizeof(uint32_t));
    s.gathered = take(s.rows * s.hidden * sizeof(float));
    s.first = take(s.rows * s.fused * s.inner * sizeof(float));
    s.third = take(gate_ == Gate::separate ? s.rows * s.inner * sizeof(float) : 0);
    s.second = take(s.rows * s.hidden * sizeof(float));
    size_t product = 0;
    for (size_t layer = 0; layer < 3 && s.rows; ++layer)  // any number of rows may come to an expert
      for (size_t m = 1; m <= s.rows; m = m < 64 ? m + 1 : m == s.rows ? m + 1 : std::min(s.rows, m * 2))
        product = std::max(product, quantized_ ? nbits_scratch_size(codes_product(layer, m), context.threads())
                                               : gemm_scratch_size(product_of(s, layer, m), context.threads()));
    s.product = take(product);
    s.floats = bytes;
    for (size_t i = 0; i < context.inputs(); ++i)
      if (context.has(i)) bytes += FloatScratch::bytes(context.dtype(i), context.shape(i).count());
    bytes += FloatScratch::bytes(context.dtype(kX), x.count());
    context.request_scratch(bytes);
    return {};
  }

  Status run(RunContext& context) const override {
    const State& s = context.state<State>();
    std::byte* const scratch = context.scratch();
    const auto part = [&](size_t at) { return reinterpret_cast<float*>(scratch + at); };
    FloatScratch floats(context, s.floats);
    const auto view = [&](size_t i) { return i == kNone ? nullptr : floats.in(context.maybe(i)); };
    const float* x = view(kX);
    const float* router = view(kRouter);
    const float* shares = quantized_ ? view(kRouterWeights) : nullptr;
    const float *weights[3], *biases[3];
    for (size_t l = 0; l < 3; ++l) {
      weights[l] = packed_[l] ? nullptr : view(layers_[l].weights);
      biases[l] = view(layers_[l].bias);
    }
    float* out = floats.out(context.out(0));
    std::fill_n(out, s.rows * s.hidden, 0.0f);
    route(s, router, shares, part(s.weights));

    auto* picked = reinterpret_cast<uint32_t*>(scratch + s.picked);
    for (size_t e = 0; e < s.experts; ++e) {
      size_t count = 0;
      for (size_t r = 0; r < s.rows; ++r) {
        if (part(s.weights)[r * s.experts + e] < 0.0f) continue;
        std::copy_n(x + r * s.hidden, s.hidden, part(s.gathered) + count * s.hidden);
        picked[count++] = static_cast<uint32_t>(r);
      }
      if (count == 0) continue;
      const auto layer = [&](size_t l, const float* a, float* c, const ActivationSpec& activation) {
        if (quantized_) {
          NBitsGemm g = codes_product(l, count);
          g.b = packed_[l] + e * nbits_packed_size(g.format);
          g.a = a;
          g.bias = biases[l] ? biases[l] + e * g.format.n : nullptr;
          g.c = c;
          nbits_gemm(g, reinterpret_cast<std::byte*>(part(s.product)), context.parallel);
          for (size_t i = 0; activation.kind != Activation::none && i < count * g.format.n; ++i)
            c[i] = activate_reference(activation, c[i]);
          return;
        }
        GemmArgs g = product_of(s, l, count);
        g.a = a;
        g.b = packed_[l] ? reinterpret_cast<const float*>(packed_[l] + e * round_up(packed_b_size(g.k, g.n), 64))
                         : weights[l] + e * g.n * g.k;
        if (biases[l]) g.bias = biases[l] + e * g.n;
        g.activation = activation;
        g.c = c;
        g.scratch = part(s.product);
        gemm(g, context.parallel);
      };
      float* h = part(s.first);
      layer(0, part(s.gathered), h, swiglu_ ? ActivationSpec{} : activation_);
      if (gate_ == Gate::separate) layer(2, part(s.gathered), part(s.third), {});
      combine(s, h, part(s.third), count);
      layer(1, h, part(s.second), {});
      for (size_t i = 0; i < count; ++i) {
        const float weight = part(s.weights)[picked[i] * s.experts + e];
        const float* from = part(s.second) + i * s.hidden;
        float* to = out + picked[i] * s.hidden;
        for (size_t c = 0; c < s.hidden; ++c) to[c] += weight * from[c];
      }
    }
    floats.finish(context.out(0), out);
    return {};
  }

 private:
  struct State {
    size_t rows, hidden, inner, experts, fused;
    size_t weights, picked, gathered, first, third, second, product, floats;  // in scratch
  };

  GemmArgs product_of(const State& s, size_t layer, size_t rows) const {
    GemmArgs g;
    g.m = rows;
    g.n = g.ldc = layer == 0 ? s.fused * s.inner : layer == 1 ? s.hidden : s.inner;
    g.k = g.lda = g.ldb = layer == 1 ? s.inner : s.hidden;
    g.b_form = packed_[layer] ? BForm::packed : BForm::columns;
    return g;
  }

  Status parse_quantization(NodeReader& reader) {
    const int64_t bits = reader.integer("expert_weight_bits", 4);
    constexpr const char* kOverrides[] = {"fc1_expert_weight_bits", "fc2_expert_weight_bits", "fc3_expert_weight_bits"};
    for (size_t l = 0; l < 3; ++l) {
      const int64_t own = reader.integer(kOverrides[l], bits);
      LINNET_REQUIRE(own == 2 || own == 4 || own == 8, unsupported("experts with weights of ", own, " bits"));
      formats_[l].bits = static_cast<int>(own);
    }
    block_ = reader.integer("block_size", 0);
    a_int8_ = reader.integer("accuracy_level", 0) == 4;
    const std::string type = reader.text("quant_type", "int");
    LINNET_REQUIRE(type == "int", unsupported("quant_type ", type));
    LINNET_REQUIRE(
        reader.integer("weights_prepacked", -1) != 1,
        unsupported("weights packed for a device's kernels are not supported: export with weights_prepacked 0"));
    LINNET_REQUIRE(block_ == 0 || (block_ >= 16 && block_ % 16 == 0 && block_ <= (1 << 20)),
                   invalid_model("block_size is ", block_));
    for (size_t i = kRouterWeights + 1; i < reader.inputs(); ++i)
      LINNET_REQUIRE(!reader.has_input(i), unsupported("input ", i, " is not supported"));
    return {};
  }

  // Columns of a layer's weights.
  int64_t depth(size_t layer, const Shape& weights) const noexcept {
    return quantized_ && weights[2] <= INT64_MAX / 8 ? weights[2] * (8 / formats_[layer].bits) : weights[2];
  }

  NBitsGemm codes_product(size_t layer, size_t rows) const {
    NBitsGemm g;
    g.format = formats_[layer];
    g.m = rows;
    g.a_int8 = a_int8_;
    return g;
  }

  Status pack_codes(PrepareContext& context, size_t layer) {
    const LayerSlots& slots = layers_[layer];
    const Tensor* codes = packing(context).stored(slots.weights);
    const Tensor* scales = context.constant(slots.scales);
    const Tensor* zeros = context.constant(slots.zeros);
    LINNET_REQUIRE(codes && scales && (zeros || !context.has(slots.zeros)),
                   unsupported("the experts' weights, scales and zero points must be constants"));
    LINNET_REQUIRE(codes->shape.rank() == 3, invalid_model("the experts' weights must have three axes"));
    NBitsFormat& f = formats_[layer];
    const int64_t k = depth(layer, codes->shape), block = block_ ? block_ : k;
    LINNET_REQUIRE(k > 0 && block % 16 == 0, unsupported("blocks of ", block, " weights are not supported"));
    const auto experts = static_cast<size_t>(codes->shape[0]);
    f.n = static_cast<size_t>(codes->shape[1]);
    f.k = static_cast<size_t>(k);
    f.block = static_cast<size_t>(block);
    f.has_zeros = zeros != nullptr;
    const size_t blocks = f.blocks(), bits = static_cast<size_t>(f.bits), per_byte = 8 / bits, each = f.n * blocks;
    // Without blocks, zero points are packed along the rows, else along the blocks of each row.
    const size_t line = block_ ? blocks : f.n, line_bytes = ceil_div(line * bits, size_t{8}), lines = block_ ? f.n : 1;
    LINNET_REQUIRE(static_cast<size_t>(scales->count()) == experts * each &&
                       (!zeros || static_cast<size_t>(zeros->count()) == experts * lines * line_bytes),
                   invalid_model("the scales or zero points do not fit weights of shape ", codes->shape));
    const std::optional<size_t> bytes = checked_mul(nbits_packed_size(f), experts);
    LINNET_REQUIRE(bytes, invalid_model("the experts' weights are too large"));
    const size_t scaling[] = {slots.scales, slots.zeros};
    LINNET_ASSIGN(packed_[layer],
                  packing(context).packed_with(
                      scaling, slots.weights, concat("experts' blocks of codes, ", block, " by ", bits), *bytes,
                      [&](std::byte* to) {
                        std::vector<float> scale(each), zero(each);
                        // The last block of a row may be shorter in the model than when packed.
                        const size_t row = f.k / per_byte, padded = blocks * f.block / per_byte;
                        std::vector<uint8_t> whole(row == padded ? 0 : f.n * padded);
                        for (size_t e = 0; e < experts; ++e) {
                          for (size_t i = 0; i < each; ++i) {
                            scale[i] = static_cast<float>(number_at(*scales, static_cast<int64_t>(e * each + i)));
                            const size_t at = (e * lines + i / line) * line_bytes + i % line / per_byte;
                            if (zeros)
                              zero[i] = static_cast<float>((zeros->ptr<uint8_t>()[at] >> (i % line % per_byte * bits)) &
                                                           ((1u << bits) - 1u));
                          }
                          const uint8_t* rows = codes->ptr<uint8_t>() + e * f.n * row;
                          for (size_t i = 0; !whole.empty() && i < f.n; ++i)
                            std::copy_n(rows + i * row, row, &whole[i * padded]);
                          nbits_pack(f, whole.empty() ? rows : whole.data(), scale.data(),
                                     zeros ? zero.data() : nullptr, to + e * nbits_packed_size(f), context.parallel());
                        }
                      }));
    context.release(slots.weights);
    return {};
  }

  // Of each of the two best experts, its share among those that come near it, as Phi-3.5-MoE was trained:
  // https://arxiv.org/abs/2409.12136
  static void mix_sparsely(const float* logits, size_t experts, float* w) noexcept {
    constexpr float kNear = 0.02f;  // relative to the greater of the two
    for (int i = 0; i < 2; ++i) {
      size_t best = experts;
      for (size_t e = 0; e < experts; ++e)
        if (w[e] < 0.0f && (best == experts || logits[e] > logits[best])) best = e;
      float sum = 0.0f;
      for (size_t e = 0; e < experts; ++e) {
        const float behind = logits[best] - logits[e];
        if (w[e] < 0.0f && !(behind > kNear * std::max(std::abs(logits[e]), logits[best]))) sum += std::exp(-behind);
      }
      w[best] = sum > 0.0f ? 1.0f / sum : 0.0f;  // NaN routes nothing
    }
  }

  // The weight of each expert for each row; -1 for those that are not among the row's k.
  void route(const State& s, const float* router, const float* shares, float* weights) const {
    for (size_t r = 0; r < s.rows; ++r) {
      const float* logits = router + r * s.experts;
      float* w = weights + r * s.experts;
      std::fill_n(w, s.experts, -1.0f);
      if (sparse_) {
        mix_sparsely(logits, s.experts, w);
        continue;
      }
      // QMoE's shares are always among the chosen experts, unless they come as an input.
      const bool among_chosen = normalize_ || (quantized_ && !shares);
      float greatest = -std::numeric_limits<float>::infinity(), sum = 0.0f, kept = 0.0f;
      for (size_t e = 0; e < s.experts; ++e) greatest = std::max(greatest, logits[e]);
      for (size_t e = 0; e < s.experts; ++e) sum += std::exp(logits[e] - greatest);
      for (int64_t i = 0; i < k_; ++i) {
        size_t best = s.experts;
        for (size_t e = 0; e < s.experts; ++e)
          if (w[e] < 0.0f && (best == s.experts || logits[e] > logits[best])) best = e;
        if (best == s.experts) break;
        const float share = std::exp(logits[best] - greatest) / sum;
        w[best] = share >= 0.0f ? share : 0.0f;  // NaN routes nothing
        if (shares) w[best] = std::max(0.0f, shares[r * s.experts + best]);
        kept += w[best];
      }
      for (size_t e = 0; among_chosen && e < s.experts; ++e)
        if (w[e] > 0.0f) w[e] /= kept;
    }
  }

  // The input of the second layer, in place of the first one's output.
  void combine(const State& s, float* h, const float* third, size_t count) const {
    if (!swiglu_ && gate_ == Gate::none) return;
    for (size_t r = 0; r < count; ++r) {
      const float* row = h + r * s.fused * s.inner;
      float* to = h + r * s.inner;
      for (size_t i = 0; i < s.inner; ++i) {
        const float gate = gate_ == Gate::interleaved ? row[2 * i] : row[i];
        const float linear = gate_ == Gate::separate      ? third[r * s.inner + i]
                             : gate_ == Gate::interleaved ? row[2 * i + 1]
                                                          : row[s.inner + i];
        if (swiglu_) {
          const float g = std::min(gate, limit_), l = std::clamp(linear, -limit_, limit_);
          to[i] = g / (1.0f + std::exp(-alpha_ * g)) * (l + beta_);
        } else {
          to[i] = gate * linear;
        }
      }
    }
  }

  bool quantized_ = false, a_int8_ = false;
  const LayerSlots* layers_ = kFloatLayers;
  int64_t block_ = 0;
  NBitsFormat formats_[3];  // of QMoE's layers
  int64_t k_ = 1;
  bool normalize_ = false, swiglu_ = false, sparse_ = false;
  Gate gate_ = Gate::none;
  ActivationSpec activation_;
  float alpha_ = 1.0f, beta_ = 0.0f, limit_ = 0.0f;
  const std::byte* packed_[3] = {};
};

constexpr OpDef kDefs[] = {
    {"com.microsoft", "MoE", 1, 3, 8, 1, 1, create<MoE>},
    {"com.microsoft", "QMoE", 1, 3, 20, 1, 1, create<MoE>},
};

}  // namespace

extern const std::span<const OpDef> kMixtureOfExpertsOps = kDefs;

}  // namespace linnet
