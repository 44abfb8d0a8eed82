// Attention of com.microsoft: lengths, beams, layouts and scales that do not fit must be refused before they are used,
// and what ONNX Runtime's CPU cannot run.
#include <cmath>

#include "contrib_node.h"

namespace linnet {
namespace {

std::vector<Attribute> heads(int64_t queries, int64_t keys) {
  return {attribute("num_heads", queries), attribute("kv_num_heads", keys)};
}

// A past of three rows, and one more.
std::vector<std::optional<Tensor>> grouped(int32_t last = 3, int32_t total = 4) {
  return {counting({1, 1, 16}),   counting({1, 1, 8}), counting({1, 1, 8}), counting({1, 1, 3, 8}),
          counting({1, 1, 3, 8}), int32s({1}, {last}), int32s({}, {total})};
}
std::vector<std::optional<Tensor>> with(std::vector<std::optional<Tensor>> inputs, size_t i, Tensor tensor) {
  if (inputs.size() <= i) inputs.resize(i + 1);
  inputs[i] = std::move(tensor);
  return inputs;
}

TEST(GroupQueryAttention, RefusesQueryLengthsBeyondTheChunk) {
  const auto run = [&](int32_t length) {
    return contrib("GroupQueryAttention", with(grouped(), 16, int32s({1}, {length})), heads(2, 1), 3);
  };
  EXPECT_TRUE(run_node(run(1)).ok());
  expect_refused(run(-1), "query_seqlens has -1");
  expect_refused(run(2), "query_seqlens has 2");
  expect_refused(contrib("GroupQueryAttention", with(grouped(), 16, int32s({3}, {1, 1, 1})), heads(2, 1), 3),
                 "query_seqlens");
}

TEST(GroupQueryAttention, RefusesQuantizedCachesThatDoNotFit) {
  const auto run = [&](int64_t stored, const char* type, int64_t bits, Shape scale) {
    std::vector<std::optional<Tensor>> inputs = grouped();
    const Tensor past =
        bits == 8 ? tensor_of<int8_t>({1, 1, 3, stored}, std::vector<int8_t>(static_cast<size_t>(3 * stored), 1))
                  : bytes({1, 1, 3, stored}, {});
    inputs[3] = inputs[4] = past;
    inputs.resize(14);
    inputs[12] = inputs[13] = counting(scale);
    std::vector<Attribute> attributes = heads(2, 1);
    attributes.push_back(attribute("k_quant_type", std::string(type)));
    attributes.push_back(attribute("v_quant_type", std::string(type)));
    attributes.push_back(attribute("kv_cache_bit_width", bits));
    return contrib("GroupQueryAttention", std::move(inputs), attributes, 3);
  };
  EXPECT_TRUE(run_node(run(8, "PER_TENSOR", 8, {1})).ok());
  EXPECT_TRUE(run_node(run(4, "PER_CHANNEL", 4, {1, 1, 1, 8})).ok());
  expect_refused(run(8, "PER_CHANNEL", 8, {1}), "a scale of shape 1");
  expect_refused(run(8, "PER_TENSOR", 4, {1}), "do not fit");
  expect_refused(run(8, "PER_TENSOR", 3, {1}), "kv_cache_bit_width is 3");
  expect_refused(run(8, "PER_ROW", 8, {1}), "PER_ROW");
}

TEST(GroupQueryAttention, RefusesWindowsThatTheCacheDoesNotHold) {
  const auto run = [&](int64_t window, std::vector<std::optional<Tensor>> inputs, int64_t scores = 0) {
    std::vector<Attribute> attributes = heads(2, 1);
    attributes.push_back(attribute("sliding_window_cache", int64_t{1}));
    attributes.push_back(attribute("local_window_size", window));
    attributes.push_back(attribute("qk_output", scores));
    return contrib("GroupQueryAttention", std::move(inputs), attributes, 3);
  };
  EXPECT_TRUE(run_node(run(3, grouped())).ok());
  EXPECT_TRUE(run_node(run(1, with(grouped(), 5, int32s({1}, {INT32_MAX})))).ok());
  expect_refused(run(4, grouped()), "window of 4");
  expect_refused(run(0, grouped()), "local_window_size");
  expect_refused(run(2, grouped(), 1), "output_qk");
  expect_refused(run(2, with(grouped(), 5, int32s({1}, {-1}))), "seqlens_k has -1");
  expect_refused(run(2, with(with(grouped(), 10, counting({1, 1, 1, 2})), 5, int32s({1}, {40}))), "2 columns");
}

TEST(GroupQueryAttention, NeedsNobodyToWantTheCache) {
  const auto alone = run_node(contrib("GroupQueryAttention", grouped(), heads(2, 1), 1));
  const auto kept = run_node(contrib("GroupQueryAttention", grouped(), heads(2, 1), 3));
  ASSERT_TRUE(alone.ok()) << alone.status().message();
  ASSERT_TRUE(kept.ok());
  for (int i = 0; i < 16; ++i)
    EXPECT_EQ(alone.value()[0].tensor.ptr<float>()[i], kept.value()[0].tensor.ptr<float>()[i]);
}

TEST(GroupQueryAttention, NormalizesQueriesAndKeys) {
  // With weights of 1, a head of equal numbers becomes one of ones: all scores are the same, and values are averaged.
  const Tensor ones = floats({4}, {1, 1, 1, 1});
  std::vector<std::optional<Tensor>> inputs{floats({1, 2, 4}, {3, 3, 3, 3, -5, -5, -5, -5}),
                                            floats({1, 2, 4}, {9, 9, 9, 9, 2, 2, 2, 2}),
                                            floats({1, 2, 4}, {0, 0, 0, 0, 4, 4, 4, 4}),
                                            none(),
                                            none(),
                                            int32s({1}, {1}),
                                            int32s({}, {2})};
  inputs.resize(16);
  inputs[14] = inputs[15] = ones;
  const auto result = run_node(contrib("GroupQueryAttention", inputs, heads(1, 1), 3));
  ASSERT_TRUE(result.ok()) << result.status().message();
  for (int i = 0; i < 4; ++i) EXPECT_NEAR(result.value()[0].tensor.ptr<float>()[4 + i], 2.0f, 1e-4f);
  for (int i = 0; i < 8; ++i) EXPECT_NEAR(result.value()[1].tensor.ptr<float>()[i], 1.0f, 1e-4f);
  expect_refused(contrib("GroupQueryAttention", with(inputs, 14, counting({5})), heads(1, 1), 3), "input 14");
}

// Two sequences that are two beams of one, a cache of four rows of which two are filled.
std::vector<std::optional<Tensor>> decoding(int32_t past, int32_t beams, std::vector<int32_t> from) {
  return {counting({2, 1, 4}),
          counting({2, 1, 4}),
          counting({2, 1, 4}),
          none(),
          none(),
          counting({2, 1, 4, 4}),
          counting({2, 1, 4, 4}),
          int32s({1}, {past}),
          int32s({1}, {beams}),
          int32s({1, 2, 4}, std::move(from))};
}
NodeRun decoder(std::vector<std::optional<Tensor>> inputs) {
  return contrib("DecoderMaskedMultiHeadAttention", std::move(inputs),
                 {attribute("num_heads", int64_t{1}), attribute("past_present_share_buffer", int64_t{1})}, 3);
}

TEST(DecoderMaskedMultiHeadAttention, RefusesLengthsAndBeamsThatTheCacheDoesNotHave) {
  EXPECT_TRUE(run_node(decoder(decoding(2, 2, {0, 1, 9, 9, 1, 0, 9, 9}))).ok());  // rows behind the past do not matter
  expect_refused(decoder(decoding(-1, 2, {})), "past_sequence_length is -1");
  expect_refused(decoder(decoding(4, 2, {})), "past_sequence_length is 4");
  expect_refused(decoder(decoding(INT32_MAX, 2, {})), "past_sequence_length is");
  expect_refused(decoder(decoding(2, 2, {0, 2, 0, 0, 0, 0, 0, 0})), "names beam 2");
  expect_refused(decoder(decoding(2, 2, {0, -1, 0, 0, 0, 0, 0, 0})), "names beam -1");
  expect_refused(decoder(decoding(2, 3, {})), "cache_indirection");
  expect_refused(decoder(decoding(2, 0, {})), "cache_indirection");
  expect_refused(decoder(with(decoding(2, 2, {}), 9, int32s({1, 2, 1}, {}))), "cache_indirection");
  expect_refused(decoder(with(decoding(2, 2, {}), 3, int32s({2, 4}, {}))), "a mask of shape 2x4");
}

TEST(DecoderMaskedMultiHeadAttention, ReadsEachRowFromItsBeam) {
  // The queries are 0: values are averaged. Beam 0 reads rows of beams 1 and 0, beam 1 both of beam 0.
  std::vector<std::optional<Tensor>> inputs = decoding(2, 2, {1, 0, 0, 0, 0, 0, 0, 0});
  inputs[0] = floats({2, 1, 4}, std::vector<float>(8, 0.0f));
  const auto result = run_node(decoder(inputs));
  ASSERT_TRUE(result.ok()) << result.status().message();
  const float* out = result.value()[0].tensor.ptr<float>();
  EXPECT_NEAR(out[0], (16.0f + 4.0f + 0.0f) / 3.0f, 1e-4f);  // the caches' numbers count up, as the new rows' do
  EXPECT_NEAR(out[4], (0.0f + 4.0f + 4.0f) / 3.0f, 1e-4f);
}

TEST(DecoderMaskedSelfAttention, IsAttentionWithASharedCache) {
  // Weights of 0 leave the bias: keys and queries 0, values 6.
  std::vector<float> bias(12, 0.0f);
  std::fill(bias.begin() + 8, bias.end(), 6.0f);
  const std::vector<std::optional<Tensor>> inputs{counting({1, 1, 2}),
                                                  floats({2, 12}, std::vector<float>(24, 0.0f)),
                                                  floats({12}, bias),
                                                  none(),
                                                  floats({2, 1, 1, 3, 4}, std::vector<float>(24, 3.0f)),
                                                  none(),
                                                  int32s({1}, {1})};
  const NodeRun run =
      contrib("DecoderMaskedSelfAttention", inputs,
              {attribute("num_heads", int64_t{1}), attribute("past_present_share_buffer", int64_t{1})}, 2);
  const auto result = run_node(run);
  ASSERT_TRUE(result.ok()) << result.status().message();
  EXPECT_NEAR(result.value()[0].tensor.ptr<float>()[0], 4.5f, 1e-4f);
  EXPECT_EQ(result.value()[1].tensor.shape, Shape({2, 1, 1, 3, 4}));
  EXPECT_EQ(result.value()[1].tensor.ptr<float>()[12 + 4], 6.0f);
}

NodeRun sparse(std::vector<int32_t> rows, std::vector<int32_t> columns, int32_t length, int32_t total = 32) {
  const auto listed = static_cast<int64_t>(columns.size());
  return contrib("SparseAttention",
                 {counting({1, 32, 4}), counting({1, 32, 4}), counting({1, 32, 4}), counting({1, 1, 32, 4}),
                  counting({1, 1, 32, 4}), int32s({1, 3}, std::move(rows)), int32s({1, listed}, std::move(columns)),
                  int32s({}, {total}), int32s({1}, {length})},
                 {attribute("num_heads", int64_t{1}), attribute("kv_num_heads", int64_t{1}),
                  attribute("sparse_block_size", int64_t{16})},
                 3);
}

// Each input in turn as truth values: refused, since its bytes would be read as the type it should be.
void expect_types_matter(NodeRun run) {
  ASSERT_TRUE(run_node(run).ok()) << run.op_type << ": " << run_node(run).status().message();
  for (size_t i = 0; i < run.inputs.size(); ++i) {
    if (!run.inputs[i]) continue;
    NodeRun wrong = run;
    wrong.inputs[i] = make_tensor(DType::boolean, run.inputs[i]->shape).value();
    SCOPED_TRACE("input " + std::to_string(i));
    expect_refused(wrong, "");
  }
}

TEST(ContribAttention, RefusesInputsOfOtherTypes) {
  const std::vector<Attribute> one = {attribute("num_heads", int64_t{1})};
  const auto x = [](Shape shape) { return std::optional(counting(shape)); };
  expect_types_matter(decoder(decoding(2, 2, {0, 1, 9, 9, 1, 0, 9, 9})));
  expect_types_matter(contrib("MultiHeadAttention",
                              {x({1, 2, 4}), x({1, 2, 4}), x({1, 2, 4}), x({12}), int32s({1, 5}, {1}), x({1, 1, 2, 5}),
                               x({1, 1, 3, 4}), x({1, 1, 3, 4})},
                              one, 3));
  expect_types_matter(
      contrib("Attention",
              {x({1, 2, 4}), x({4, 12}), x({12}), int32s({1, 5}, {1}), x({2, 1, 1, 3, 4}), x({1, 1, 2, 5})}, one, 2));
  expect_types_matter(contrib("QAttention",
                              {bytes({1, 2, 4}, {}), bytes({4, 12}, {}), x({12}), number(1), number(1),
                               int32s({1, 5}, {1}), bytes({}, {}), bytes({}, {}), x({2, 1, 1, 3, 4})},
                              one, 2));
  expect_types_matter(contrib("GroupQueryAttention", grouped(), heads(2, 1), 3));
}

TEST(MultiHeadAttention, LetsTheLastQueryGoWithTheLastKey) {
  // Queries are 0: what is seen is averaged. A cache may be appended outside of the node.
  for (const int64_t rows : {1, 2}) {
    const auto result =
        run_node(contrib("MultiHeadAttention",
                         {floats({1, rows, 1}, std::vector<float>(2, 0.0f)), counting({1, 4, 1}), counting({1, 4, 1})},
                         {attribute("num_heads", int64_t{1}), attribute("unidirectional", int64_t{1})}));
    ASSERT_TRUE(result.ok()) << result.status().message();
    const float* out = result.value()[0].tensor.ptr<float>();
    EXPECT_NEAR(out[rows - 1], 1.5f, 1e-5f);
    EXPECT_NEAR(out[0], rows == 1 ? 1.5f : 1.0f, 1e-5f);
  }
}

TEST(SparseAttention, RefusesLayoutsAndLengthsThatDoNotFit) {
  EXPECT_TRUE(run_node(sparse({0, 1, 3}, {0, 0, 1}, 32)).ok());
  EXPECT_TRUE(run_node(sparse({0, 1, 3}, {7, -3, INT32_MAX}, 32)).ok());  // blocks that no row may see
  expect_refused(sparse({0, 1, 4}, {0, 0, 1}, 32), "block_row_indices has 4");
  expect_refused(sparse({0, 2, 1}, {0, 0, 1}, 32), "block_row_indices has 1");
  expect_refused(sparse({-5, 1, 3}, {0, 0, 1}, 32), "block_row_indices has -5");
  expect_refused(sparse({0, 1, 3}, {0, 0, 1}, 33), "key_total_sequence_lengths has 33");
  expect_refused(sparse({0, 1, 3}, {0, 0, 1}, 0), "key_total_sequence_lengths has 0");
  expect_refused(sparse({0, 1, 3}, {0, 0, 1}, 5, 40), "key_total_sequence_lengths has 5");
}

TEST(QMoE, RefusesScalesBlocksAndExpertsThatDoNotFit) {
  const auto run = [](int64_t k, int64_t block, Shape scales) {
    return contrib("QMoE",
                   {counting({1, 32}), counting({1, 2}), bytes({2, 16, 16}, {}), counting(scales), none(),
                    bytes({2, 32, 8}, {}), counting({2, 32})},
                   {attribute("k", k), attribute("block_size", block)}, 1, 2);
  };
  EXPECT_TRUE(run_node(run(2, 0, {2, 16})).ok());
  expect_refused(run(3, 0, {2, 16}), "there are 2 experts");
  expect_refused(run(0, 0, {2, 16}), "k is 0");
  expect_refused(run(1, 0, {2, 15}), "do not fit");
  expect_refused(run(1, -16, {2, 16}), "block_size is -16");
  expect_refused(run(1, 24, {2, 16}), "block");
}

}  // namespace
}  // namespace linnet
