// What passes find in models that exporters made: node counts of the shared test models, which are of real
// architectures in small.
#include <cstdlib>
#include <filesystem>

#include <gtest/gtest.h>

#include "load.h"
#include "optimize/rewritten.h"

namespace linnet {
namespace {

struct Expected {
  const char* model;
  const char* op;
  size_t count;
};

class RealExports : public testing::TestWithParam<Expected> {};

TEST_P(RealExports, HaveTheirPatternsFused) {
  const char* shared = std::getenv("LINNET_SHARED");
  const Expected& expected = GetParam();
  const std::filesystem::path path =
      std::filesystem::path(shared ? shared : "") / "models" / expected.model / "model.onnx";
  if (!shared || !std::filesystem::exists(path)) GTEST_SKIP() << "no model " << path << ": LINNET_SHARED names none";
  ModelSource source;
  source.path = path;
  const LoadOptions options;
  Result<LoadedGraph> loaded = load_graph(source, options);
  ASSERT_TRUE(loaded.ok()) << loaded.status().message();
  const auto reports = optimize(*loaded->graph, *loaded->symbols, options.optimize);
  ASSERT_TRUE(reports.ok()) << reports.status().message();
  EXPECT_EQ(count_of(*loaded->graph, expected.op), expected.count);
}

constexpr Expected kExpected[] = {{"albert_script13", "Attention", 2},
                                  {"bart_encoder_script17", "Attention", 2},
                                  {"bert_dynamo18", "Attention", 2},
                                  {"bert_script11", "Attention", 2},
                                  {"clip_script17", "Attention", 4},
                                  {"deberta_v2_script17", "Attention", 2},
                                  {"distilbert_script13", "Attention", 2},
                                  {"fp16_bert_classifier_script17", "Attention", 2},
                                  {"gemma_past_dynamo18", "Attention", 2},
                                  {"gpt2_past_dynamo18", "Attention", 2},
                                  {"gpt2_past_script13", "Attention", 2},

                                  {"gpt_neox_script17", "Attention", 2},
                                  {"llama_gqa_past_dynamo18", "Attention", 2},
                                  {"llama_gqa_past_script17", "Attention", 2},
                                  {"llama_gqa_past_script17", "Expand", 2},
                                  {"mistral_window_dynamo18", "Attention", 2},
                                  {"modernbert_dynamo18", "Attention", 2},
                                  {"mpnet_script17", "Attention", 2},
                                  {"opt_script17", "Attention", 2},
                                  {"phi_script17", "Attention", 2},
                                  {"qwen2_past_dynamo18", "Attention", 2},
                                  {"qwen3_past_dynamo20", "Attention", 2},
                                  {"roberta_script17", "Attention", 2},
                                  {"swin_script17", "Attention", 4},
                                  {"t5_decoder_past_script17", "Attention", 4},
                                  {"t5_decoder_script17", "Attention", 4},
                                  {"t5_encoder_script13", "Attention", 2},
                                  {"vit_script17", "Attention", 2},
                                  {"wav2vec2_ctc_script17", "Attention", 2},
                                  {"gemma_past_dynamo18", "RotaryEmbedding", 4},
                                  {"gpt_neox_script17", "RotaryEmbedding", 4},
                                  {"llama_gqa_past_dynamo18", "RotaryEmbedding", 4},
                                  {"llama_gqa_past_script17", "RotaryEmbedding", 4},
                                  {"mistral_window_dynamo18", "RotaryEmbedding", 4},
                                  {"modernbert_dynamo18", "RotaryEmbedding", 4},
                                  {"phi_script17", "RotaryEmbedding", 4},
                                  {"qwen2_past_dynamo18", "RotaryEmbedding", 4},
                                  {"qwen3_past_dynamo20", "RotaryEmbedding", 4},
                                  {"whisper_encoder_script17", "Attention", 2},
                                  {"gpt2_past_dynamo18", "GroupedMatMul", 2},
                                  {"gpt2_past_dynamo18", "Split", 0},
                                  {"gpt2_past_script13", "GroupedMatMul", 2},
                                  {"gpt2_past_script13", "FusedMatMul", 6},
                                  {"modernbert_dynamo18", "GroupedMatMul", 2},
                                  {"modernbert_dynamo18", "Split", 0},
                                  {"bert_dynamo18", "EmbedLayerNormalization", 1},
                                  {"bert_script11", "EmbedLayerNormalization", 1},
                                  {"bert_dynamo18", "GroupedMatMul", 2},
                                  {"bert_script11", "GroupedMatMul", 2},
                                  {"deberta_v2_script17", "GroupedMatMul", 2},
                                  {"llama_gqa_past_dynamo18", "GroupedMatMul", 4},
                                  {"llama_gqa_past_script17", "GroupedMatMul", 4},
                                  {"mistral_window_dynamo18", "GroupedMatMul", 4},
                                  {"qwen2_past_dynamo18", "GroupedMatMul", 4},
                                  {"qwen3_past_dynamo20", "GroupedMatMul", 4},
                                  {"gemma_past_dynamo18", "GroupedMatMul", 4},
                                  {"t5_decoder_past_script17", "GroupedMatMul", 4},
                                  {"nbits4_b32_asym_bert", "GroupedMatMulNBits", 2},
                                  {"nbits4_b32_sym_acc4_phi", "GroupedMatMulNBits", 2},
                                  {"nbits8_b32_sym_llama", "GroupedMatMulNBits", 4},
                                  {"vit_script17", "GroupedMatMul", 2},
                                  {"bert_script11", "Elementwise", 2},
                                  {"convnext_script17", "Elementwise", 4},
                                  {"dbnet_detector_script13", "Elementwise", 1},
                                  {"deberta_v2_script17", "Elementwise", 3},
                                  {"densenet_script17", "Elementwise", 10},
                                  {"densenet_script17", "Relu", 0},
                                  {"fp16_keep_io_gpt2_past_script13", "Elementwise", 16},
                                  {"hifigan_script13", "Elementwise", 2},
                                  {"swin_script17", "Elementwise", 2},
                                  {"t5_encoder_script13", "Elementwise", 2},
                                  {"yolo_head_nms_script13", "Elementwise", 2}};

INSTANTIATE_TEST_SUITE_P(Shared, RealExports, testing::ValuesIn(kExpected),
                         [](const auto& one) { return std::string(one.param.model) + "_" + one.param.op; });

}  // namespace
}  // namespace linnet
