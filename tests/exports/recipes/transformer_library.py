"""Architectures of the transformers library, tiny and with random weights."""

import torch
import transformers as tf
from torch import nn

from recipes.from_torch import from_torch, randomise
from recipes.product import recipe

SCRIPT, DYNAMO = (17, False), (18, True)
IMAGE = {0: "batch"}
TEXT = {0: "batch", 1: "length"}


class Fields(nn.Module):
    """Tensors in, chosen fields of the model's answer out."""

    def __init__(self, model, inputs, outputs, method=None, **constants):
        super().__init__()
        self.model, self.inputs, self.outputs, self.constants = model, list(inputs), list(outputs), constants
        self.method = method

    def answer(self, *values):
        answer = (getattr(self.model, self.method) if self.method else self.model)(**dict(zip(self.inputs, values)), **self.constants)
        return tuple(getattr(answer, name) for name in self.outputs)


def with_names(module):
    """torch.export wants the inputs as named arguments."""
    scope, names = {}, ", ".join(module.inputs)
    exec(f"def forward(self, {names}):\n    return self.answer({names})", scope)
    module.__class__ = type("Named", (Fields,), {"forward": scope["forward"]})
    return module


def model(name, what, model_class, config, cases, inputs, outputs, exporters=(SCRIPT, DYNAMO), gain=1.3, tolerance=None, method=None, **constants):
    """cases: a function of nothing. inputs, outputs: name -> {axis: its name}."""

    def build(opset, dynamo):
        net = model_class(config() if callable(config) else config)
        net = with_names(Fields(randomise(net, gain), inputs, outputs, method, **constants))
        return from_torch(net, cases(), inputs, outputs, opset, dynamo, **(tolerance or {}))

    for opset, dynamo in exporters:
        recipe(f"hf_{name}_{'dynamo' if dynamo else 'script'}{opset}", what)(lambda opset=opset, dynamo=dynamo: build(opset, dynamo))


def images(*shapes):
    return lambda: [(torch.randn(*shape),) for shape in shapes]


def texts(vocabulary, *shapes):
    def cases():
        made = []
        for batch, length in shapes:
            mask = torch.ones(batch, length, dtype=torch.int64)
            for row in range(1, batch):
                mask[row, max(1, length - 2 * row) :] = 0
            made.append((torch.randint(2, vocabulary, (batch, length)), mask))
        return made

    return cases


SMALL = dict(hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=24)
VISION = dict(**SMALL, image_size=16, patch_size=4)
LANGUAGE = dict(**SMALL, vocab_size=50, max_position_embeddings=32)

# ---------------------------------------------------------------- images


def resnet_config():
    return tf.ResNetConfig(embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1], layer_type="basic", out_features=["stage2"])


def detr(config_class):
    return lambda: config_class(
        use_timm_backbone=False, use_pretrained_backbone=False, backbone=None, backbone_config=resnet_config(), num_queries=5, d_model=16, encoder_layers=1, decoder_layers=2,
        encoder_attention_heads=2, decoder_attention_heads=2, encoder_ffn_dim=24, decoder_ffn_dim=24, num_labels=4)  # fmt: skip


def detr_cases():
    mask = torch.ones(2, 40, 48, dtype=torch.int64)
    mask[1, 30:] = 0
    mask[1, :, 33:] = 0
    return [(torch.randn(2, 3, 40, 48), mask)]


FOUND = {"logits": {0: "batch"}, "pred_boxes": {0: "batch"}}
model("detr", "DetrForObjectDetection with a padding mask", tf.DetrForObjectDetection, detr(tf.DetrConfig), detr_cases, {"pixel_values": {0: "batch"}, "pixel_mask": {0: "batch"}}, FOUND)
model("conditional_detr", "ConditionalDetrForObjectDetection", tf.ConditionalDetrForObjectDetection, detr(tf.ConditionalDetrConfig), detr_cases,
      {"pixel_values": {0: "batch"}, "pixel_mask": {0: "batch"}}, FOUND, [SCRIPT])  # fmt: skip
model("rt_detr", "RTDetrForObjectDetection: hybrid encoder, queries chosen by TopK, deformable decoder", tf.RTDetrForObjectDetection,
      lambda: tf.RTDetrConfig(backbone_config=tf.RTDetrResNetConfig(embedding_size=8, hidden_sizes=[8, 12, 16, 20], depths=[1, 1, 1, 1], layer_type="basic", out_features=["stage2", "stage3", "stage4"]),
                              encoder_hidden_dim=16, encoder_in_channels=[12, 16, 20], encoder_ffn_dim=24, encoder_attention_heads=2, d_model=16, num_queries=6, decoder_in_channels=[16, 16, 16],
                              decoder_ffn_dim=24, decoder_layers=2, decoder_attention_heads=2, num_labels=4, eval_size=None),
      images((2, 3, 64, 64)), {"pixel_values": {0: "batch"}}, FOUND, [SCRIPT])  # fmt: skip
model("yolos", "YolosForObjectDetection", tf.YolosForObjectDetection, lambda: tf.YolosConfig(**{**VISION, "image_size": [16, 24]}, num_detection_tokens=5, num_labels=4),
      images((1, 3, 16, 24), (2, 3, 16, 24)), {"pixel_values": IMAGE}, FOUND)  # fmt: skip
model("owlvit", "OwlViTForObjectDetection: text and image, class scores and boxes", tf.OwlViTForObjectDetection,
      lambda: tf.OwlViTConfig(text_config=dict(**LANGUAGE, eos_token_id=49, pad_token_id=0), vision_config=VISION, projection_dim=16),
      lambda: [(torch.randint(2, 49, (2, 7)), torch.randn(1, 3, 16, 16), torch.ones(2, 7, dtype=torch.int64))], {"input_ids": {}, "pixel_values": {}, "attention_mask": {}}, {"logits": {}, "pred_boxes": {}}, [SCRIPT])  # fmt: skip
model("segformer", "SegformerForSemanticSegmentation: overlapping patches, reduced attention, depthwise MLP", tf.SegformerForSemanticSegmentation,
      lambda: tf.SegformerConfig(num_encoder_blocks=3, depths=[1, 1, 1], sr_ratios=[4, 2, 1], hidden_sizes=[8, 12, 16], patch_sizes=[7, 3, 3], strides=[4, 2, 2], num_attention_heads=[1, 2, 2], mlp_ratios=[2, 2, 2], decoder_hidden_size=16, num_labels=4),
      images((1, 3, 32, 64), (2, 3, 64, 48)), {"pixel_values": {0: "batch", 2: "height", 3: "width"}}, {"logits": {0: "batch", 2: "h", 3: "w"}})  # fmt: skip
model("mobilevit", "MobileViTForImageClassification: convolutions, attention over unfolded patches", tf.MobileViTForImageClassification,
      lambda: tf.MobileViTConfig(image_size=64, hidden_sizes=[12, 16, 20], neck_hidden_sizes=[6, 8, 8, 12, 12, 12, 16], num_attention_heads=2, mlp_ratio=2.0, num_labels=5),
      images((1, 3, 64, 64), (2, 3, 64, 64)), {"pixel_values": IMAGE}, {"logits": IMAGE})  # fmt: skip
model("mobilevit_v2", "MobileViTV2: separable self-attention", tf.MobileViTV2ForImageClassification,
      lambda: tf.MobileViTV2Config(image_size=64, width_multiplier=0.1, base_attn_unit_dims=[8, 8, 8], n_attn_blocks=[1, 1, 1], num_labels=5),
      images((1, 3, 64, 64), (2, 3, 64, 64)), {"pixel_values": IMAGE}, {"logits": IMAGE}, [(18, False)])  # fmt: skip
model("levit", "LevitForImageClassification: attention biases, downsampling attention", tf.LevitForImageClassification,
      lambda: tf.LevitConfig(image_size=64, hidden_sizes=[16, 24, 32], num_attention_heads=[2, 2, 2], depths=[1, 1, 1], key_dim=[4, 4, 4], num_labels=5),
      images((2, 3, 64, 64)), {"pixel_values": IMAGE}, {"logits": IMAGE}, [SCRIPT])  # fmt: skip
model("depth_anything", "DepthAnythingForDepthEstimation: DINOv2 backbone, reassembled pyramid, fusion", tf.DepthAnythingForDepthEstimation,
      lambda: tf.DepthAnythingConfig(backbone_config=tf.Dinov2Config(hidden_size=16, num_hidden_layers=4, num_attention_heads=2, mlp_ratio=2, image_size=28, patch_size=7, out_features=["stage1", "stage2", "stage3", "stage4"], reshape_hidden_states=False),
                                     patch_size=7, reassemble_hidden_size=16, neck_hidden_sizes=[8, 8, 12, 12], fusion_hidden_size=8, head_hidden_size=8),
      images((1, 3, 42, 56)), {"pixel_values": IMAGE}, {"predicted_depth": IMAGE})  # fmt: skip
model("dpt", "DPTForDepthEstimation", tf.DPTForDepthEstimation,
      lambda: tf.DPTConfig(**{**VISION, "num_hidden_layers": 4}, backbone_out_indices=[0, 1, 2, 3], neck_hidden_sizes=[8, 8, 12, 12], fusion_hidden_size=8, is_hybrid=False),
      images((1, 3, 16, 16)), {"pixel_values": {}}, {"predicted_depth": {}}, [SCRIPT])  # fmt: skip
model("dinov2", "Dinov2Model, positions resized to the image", tf.Dinov2Model, lambda: tf.Dinov2Config(hidden_size=16, num_hidden_layers=2, num_attention_heads=2, mlp_ratio=2, image_size=28, patch_size=7, use_swiglu_ffn=True),
      images((1, 3, 28, 28), (2, 3, 42, 35)), {"pixel_values": {0: "batch", 2: "height", 3: "width"}}, {"last_hidden_state": {0: "batch", 1: "patches"}}, [SCRIPT, DYNAMO])  # fmt: skip
model("beit", "BeitForImageClassification: relative position bias", tf.BeitForImageClassification, lambda: tf.BeitConfig(**VISION, use_relative_position_bias=True, num_labels=5), images((2, 3, 16, 16)), {"pixel_values": IMAGE}, {"logits": IMAGE}, [SCRIPT])
model("pvt", "PvtForImageClassification", tf.PvtForImageClassification,
      lambda: tf.PvtConfig(image_size=32, num_encoder_blocks=2, depths=[1, 1], sequence_reduction_ratios=[2, 1], hidden_sizes=[8, 16], patch_sizes=[4, 2], strides=[4, 2], num_attention_heads=[1, 2], mlp_ratios=[2, 2], num_labels=5),
      images((2, 3, 32, 32)), {"pixel_values": IMAGE}, {"logits": IMAGE}, [SCRIPT])  # fmt: skip
model("convnextv2", "ConvNextV2: global response normalisation", tf.ConvNextV2ForImageClassification, lambda: tf.ConvNextV2Config(hidden_sizes=[8, 12, 16, 20], depths=[1, 1, 1, 1], num_labels=5),
      images((1, 3, 64, 64), (2, 3, 32, 64)), {"pixel_values": {0: "batch", 2: "height", 3: "width"}}, {"logits": IMAGE}, [SCRIPT])  # fmt: skip
model("swin2sr", "Swin2SRForImageSuperResolution", tf.Swin2SRForImageSuperResolution,
      lambda: tf.Swin2SRConfig(image_size=16, embed_dim=12, depths=[2], num_heads=[2], window_size=4, mlp_ratio=2.0, upscale=2, upsampler="pixelshuffle"), images((1, 3, 16, 16)), {"pixel_values": {}}, {"reconstruction": {}}, [SCRIPT])  # fmt: skip
model("poolformer", "PoolFormerForImageClassification", tf.PoolFormerForImageClassification, lambda: tf.PoolFormerConfig(hidden_sizes=[8, 12, 16, 20], depths=[1, 1, 1, 1], mlp_ratio=2.0, num_labels=5), images((2, 3, 64, 64)), {"pixel_values": IMAGE}, {"logits": IMAGE}, [SCRIPT])
model("focalnet", "FocalNetForImageClassification", tf.FocalNetForImageClassification, lambda: tf.FocalNetConfig(image_size=32, embed_dim=8, hidden_sizes=[8, 16], depths=[1, 1], focal_levels=[2, 2], focal_windows=[3, 3], num_labels=5), images((2, 3, 32, 32)), {"pixel_values": IMAGE}, {"logits": IMAGE}, [SCRIPT])
model("sam", "SamModel: windowed image encoder with relative positions, prompts, mask decoder", tf.SamModel,
      lambda: tf.SamConfig(vision_config=dict(hidden_size=16, output_channels=16, num_hidden_layers=2, num_attention_heads=2, image_size=64, patch_size=8, mlp_dim=24, num_pos_feats=8, window_size=3, global_attn_indexes=[1]),
                           prompt_encoder_config=dict(hidden_size=16, image_size=64, patch_size=8, mask_input_channels=8), mask_decoder_config=dict(hidden_size=16, num_attention_heads=2, mlp_dim=24, num_hidden_layers=2, iou_head_hidden_dim=16)),
      lambda: [(torch.randn(1, 3, 64, 64), 64 * torch.rand(1, 1, 3, 2), torch.tensor([[[1, 0, 1]]]))], {"pixel_values": {}, "input_points": {}, "input_labels": {}}, {"iou_scores": {}, "pred_masks": {}}, [SCRIPT])  # fmt: skip
model("clipseg", "CLIPSegForImageSegmentation", tf.CLIPSegForImageSegmentation,
      lambda: tf.CLIPSegConfig(text_config=dict(**LANGUAGE, eos_token_id=49), vision_config={**VISION, "num_hidden_layers": 3}, projection_dim=16, extract_layers=[1, 2], reduce_dim=8, decoder_num_attention_heads=2, decoder_intermediate_size=16, conditional_layer=0),
      lambda: [(torch.randint(2, 50, (2, 6)), torch.randn(2, 3, 16, 16), torch.ones(2, 6, dtype=torch.int64))], {"input_ids": {}, "pixel_values": {}, "attention_mask": {}}, {"logits": {}}, [SCRIPT])  # fmt: skip
model("siglip", "SiglipModel: similarity of text and image", tf.SiglipModel, lambda: tf.SiglipConfig(text_config=LANGUAGE, vision_config=VISION),
      lambda: [(torch.randint(2, 50, (2, 6)), torch.randn(3, 3, 16, 16))], {"input_ids": {0: "texts", 1: "length"}, "pixel_values": {0: "images"}}, {"logits_per_image": {}}, [SCRIPT])  # fmt: skip
model("blip_vision", "BlipVisionModel", tf.BlipVisionModel, lambda: tf.BlipVisionConfig(**VISION), images((2, 3, 16, 16)), {"pixel_values": IMAGE}, {"last_hidden_state": IMAGE}, [SCRIPT])
model("maskformer", "MaskFormerForInstanceSegmentation: pixel decoder, queries, masks by Einsum", tf.MaskFormerForInstanceSegmentation,
      lambda: tf.MaskFormerConfig(fpn_feature_size=32, mask_feature_size=32, num_labels=4, decoder_config=tf.DetrConfig(d_model=16, num_queries=5, encoder_layers=1, decoder_layers=1, encoder_attention_heads=2, decoder_attention_heads=2, encoder_ffn_dim=16, decoder_ffn_dim=16),
                                  backbone_config=tf.ResNetConfig(embedding_size=8, hidden_sizes=[8, 12, 16, 20], depths=[1, 1, 1, 1], layer_type="basic", out_features=["stage1", "stage2", "stage3", "stage4"])),
      images((1, 3, 64, 64)), {"pixel_values": {}}, {"class_queries_logits": {}, "masks_queries_logits": {}}, [SCRIPT])  # fmt: skip

# ---------------------------------------------------------------- speech


def vits_config():
    return tf.VitsConfig(
        vocab_size=20, hidden_size=16, num_hidden_layers=2, num_attention_heads=2, window_size=3, ffn_dim=24, layerdrop=0.0, flow_size=16, spectrogram_bins=17, use_stochastic_duration_prediction=False,
        upsample_initial_channel=16, upsample_rates=[4, 2], upsample_kernel_sizes=[8, 4], resblock_kernel_sizes=[3, 5], resblock_dilation_sizes=[[1, 3], [1, 2]], prior_encoder_num_flows=2,
        prior_encoder_num_wavenet_layers=2, duration_predictor_num_flows=2, duration_predictor_filter_channels=16, depth_separable_num_layers=2, noise_scale=0.0)  # fmt: skip


model("vits", "VitsModel with plain durations and without noise", tf.VitsModel, vits_config, lambda: [(torch.randint(1, 20, (1, n)), torch.ones(1, n, dtype=torch.int64)) for n in (5, 9)],
      {"input_ids": {0: "batch", 1: "length"}, "attention_mask": {0: "batch", 1: "length"}}, {"waveform": {0: "batch", 1: "samples"}, "sequence_lengths": {0: "batch"}}, [SCRIPT], tolerance={"atol": 1e-3})  # fmt: skip
model("wav2vec2_conformer", "Wav2Vec2ConformerForCTC with rotary positions", tf.Wav2Vec2ConformerForCTC,
      lambda: tf.Wav2Vec2ConformerConfig(**SMALL, vocab_size=20, conv_dim=(8, 8), conv_kernel=(10, 3), conv_stride=(5, 2), num_feat_extract_layers=2, num_conv_pos_embeddings=8, num_conv_pos_embedding_groups=2, position_embeddings_type="rotary", conv_depthwise_kernel_size=5, mask_time_prob=0.0),
      lambda: [(torch.randn(1, 400),), (torch.randn(2, 700),)], {"input_values": {0: "batch", 1: "samples"}}, {"logits": {0: "batch", 1: "frames"}}, [SCRIPT])  # fmt: skip
model("hubert", "HubertModel, layer norm in the feature extractor", tf.HubertModel,
      lambda: tf.HubertConfig(**SMALL, conv_dim=(8, 8), conv_kernel=(10, 3), conv_stride=(5, 2), num_feat_extract_layers=2, num_conv_pos_embeddings=8, num_conv_pos_embedding_groups=2, feat_extract_norm="layer", do_stable_layer_norm=True, mask_time_prob=0.0),
      lambda: [(torch.randn(1, 400),), (torch.randn(2, 700),)], {"input_values": {0: "batch", 1: "samples"}}, {"last_hidden_state": {0: "batch", 1: "frames"}}, [SCRIPT])  # fmt: skip
model("wavlm", "WavLMModel: gated relative position bias", tf.WavLMModel,
      lambda: tf.WavLMConfig(**SMALL, conv_dim=(8, 8), conv_kernel=(10, 3), conv_stride=(5, 2), num_feat_extract_layers=2, num_conv_pos_embeddings=8, num_conv_pos_embedding_groups=2, num_buckets=16, mask_time_prob=0.0),
      lambda: [(torch.randn(2, 400),)], {"input_values": {0: "batch"}}, {"last_hidden_state": {0: "batch"}}, [SCRIPT])  # fmt: skip
model("encodec", "EncodecModel's encoder: LSTM and residual vector quantisation", tf.EncodecModel,
      lambda: tf.EncodecConfig(num_filters=4, hidden_size=16, upsampling_ratios=[4, 2], codebook_size=16, codebook_dim=16, num_lstm_layers=1, target_bandwidths=[1.5], sampling_rate=800, normalize=False, chunk_length_s=None),
      lambda: [(torch.randn(1, 1, 200),)], {"input_values": {}}, {"audio_codes": {}}, [SCRIPT], method="encode")  # fmt: skip
model("audio_spectrogram", "ASTForAudioClassification", tf.ASTForAudioClassification, lambda: tf.ASTConfig(**SMALL, patch_size=4, max_length=24, num_mel_bins=16, num_labels=4, frequency_stride=3, time_stride=3),
      lambda: [(torch.randn(2, 24, 16),)], {"input_values": IMAGE}, {"logits": IMAGE}, [SCRIPT])  # fmt: skip

# ---------------------------------------------------------------- text

STATE = {"last_hidden_state": TEXT}
PADDED = {"input_ids": TEXT, "attention_mask": TEXT}
LENGTHS = texts(50, (1, 1), (1, 7), (3, 12))
for _name, _class, _config, _exporters in [
    ("electra", tf.ElectraModel, lambda: tf.ElectraConfig(**LANGUAGE, embedding_size=8), [SCRIPT]),
    ("camembert", tf.CamembertModel, lambda: tf.CamembertConfig(**LANGUAGE), [SCRIPT]),
    ("mobilebert", tf.MobileBertModel, lambda: tf.MobileBertConfig(**LANGUAGE, embedding_size=8, intra_bottleneck_size=8, num_feedforward_networks=2), [SCRIPT]),
    ("squeezebert", tf.SqueezeBertModel, lambda: tf.SqueezeBertConfig(**LANGUAGE, embedding_size=16, q_groups=2, k_groups=2, v_groups=2, post_attention_groups=1, intermediate_groups=2, output_groups=2), [SCRIPT]),
    ("nystromformer", tf.NystromformerModel, lambda: tf.NystromformerConfig(**LANGUAGE, num_landmarks=32, segment_means_seq_len=32, conv_kernel_size=3), [SCRIPT]),
    ("deberta", tf.DebertaModel, lambda: tf.DebertaConfig(**LANGUAGE, relative_attention=True, pos_att_type=["p2c", "c2p"], max_relative_positions=8), [SCRIPT]),
    ("xlnet", tf.XLNetModel, lambda: tf.XLNetConfig(vocab_size=50, d_model=16, n_layer=2, n_head=2, d_inner=24), [SCRIPT]),
    ("esm", tf.EsmModel, lambda: tf.EsmConfig(**LANGUAGE, position_embedding_type="rotary", pad_token_id=0), [SCRIPT]),
    ("roformer", tf.RoFormerModel, lambda: tf.RoFormerConfig(**LANGUAGE, embedding_size=16), [SCRIPT, DYNAMO]),
]:  # fmt: skip
    model(_name, f"{_class.__name__}, padded batches", _class, _config, LENGTHS, PADDED, STATE, _exporters)

model("fnet", "FNetModel: Fourier transforms instead of attention", tf.FNetModel, lambda: tf.FNetConfig(hidden_size=16, num_hidden_layers=2, intermediate_size=24, vocab_size=50, max_position_embeddings=32),
      lambda: [(torch.randint(2, 50, (2, 8)),)], {"input_ids": {}}, {"last_hidden_state": {}}, [DYNAMO])  # fmt: skip
model("layoutlm", "LayoutLMModel: words and their boxes", tf.LayoutLMModel, lambda: tf.LayoutLMConfig(**LANGUAGE, max_2d_position_embeddings=64),
      lambda: [(torch.randint(2, 50, (2, 7)), torch.randint(0, 30, (2, 7, 4)).cumsum(-1) // 2)], {"input_ids": TEXT, "bbox": TEXT}, STATE, [SCRIPT])  # fmt: skip
model("bert_question", "BertForQuestionAnswering", tf.BertForQuestionAnswering, lambda: tf.BertConfig(**LANGUAGE), LENGTHS, PADDED, {"start_logits": TEXT, "end_logits": TEXT}, [DYNAMO])

for _name, _class, _config, _exporters in [
    ("bloom", tf.BloomForCausalLM, lambda: tf.BloomConfig(vocab_size=50, hidden_size=16, n_layer=2, n_head=2), [SCRIPT]),
    ("falcon", tf.FalconForCausalLM, lambda: tf.FalconConfig(vocab_size=50, hidden_size=16, num_hidden_layers=2, num_attention_heads=2, alibi=False), [SCRIPT]),
    ("gptj", tf.GPTJForCausalLM, lambda: tf.GPTJConfig(vocab_size=50, n_embd=16, n_layer=2, n_head=2, rotary_dim=4, n_positions=32), [SCRIPT]),
    ("gpt_neo", tf.GPTNeoForCausalLM, lambda: tf.GPTNeoConfig(vocab_size=50, hidden_size=16, num_layers=2, num_heads=2, attention_types=[[["global", "local"], 1]], window_size=4, max_position_embeddings=32), [SCRIPT]),
    ("gemma2", tf.Gemma2ForCausalLM, lambda: tf.Gemma2Config(**LANGUAGE, head_dim=8, num_key_value_heads=1, sliding_window=8), [SCRIPT, DYNAMO]),
    ("gemma3", tf.Gemma3ForCausalLM, lambda: tf.Gemma3TextConfig(**LANGUAGE, head_dim=8, num_key_value_heads=1, sliding_window=8, layer_types=["sliding_attention", "full_attention"]), [DYNAMO]),
    ("phi3", tf.Phi3ForCausalLM, lambda: tf.Phi3Config(**LANGUAGE, pad_token_id=0, num_key_value_heads=1), [SCRIPT]),
    ("olmo2", tf.Olmo2ForCausalLM, lambda: tf.Olmo2Config(**LANGUAGE), [DYNAMO]),
    ("stablelm", tf.StableLmForCausalLM, lambda: tf.StableLmConfig(**LANGUAGE, num_key_value_heads=1), [SCRIPT]),
    ("starcoder2", tf.Starcoder2ForCausalLM, lambda: tf.Starcoder2Config(**LANGUAGE, num_key_value_heads=1), [DYNAMO]),
    ("smollm3", tf.SmolLM3ForCausalLM, lambda: tf.SmolLM3Config(**LANGUAGE, num_key_value_heads=1, pad_token_id=0), [DYNAMO]),
]:  # fmt: skip
    model(_name, f"{_class.__name__}, padded batches", _class, _config, LENGTHS, PADDED, {"logits": TEXT}, _exporters, use_cache=False)

model("marian", "MarianMTModel: encoder and decoder at once", tf.MarianMTModel,
      lambda: tf.MarianConfig(vocab_size=50, d_model=16, encoder_layers=1, decoder_layers=1, encoder_attention_heads=2, decoder_attention_heads=2, encoder_ffn_dim=24, decoder_ffn_dim=24, max_position_embeddings=32, pad_token_id=0, decoder_start_token_id=0),
      lambda: [(torch.randint(2, 50, (2, 7)), torch.ones(2, 7, dtype=torch.int64), torch.randint(2, 50, (2, 4)))], {"input_ids": TEXT, "attention_mask": TEXT, "decoder_input_ids": {0: "batch", 1: "written"}}, {"logits": {0: "batch", 1: "written"}}, [SCRIPT, DYNAMO], use_cache=False)  # fmt: skip
model("trocr", "TrOCRForCausalLM over an image's features", tf.TrOCRForCausalLM,
      lambda: tf.TrOCRConfig(vocab_size=50, d_model=16, decoder_layers=2, decoder_attention_heads=2, decoder_ffn_dim=24, max_position_embeddings=32, cross_attention_hidden_size=12, is_decoder=True, add_cross_attention=True),
      lambda: [(torch.randint(2, 50, (2, 5)), torch.randn(2, 9, 12))], {"input_ids": TEXT, "encoder_hidden_states": {0: "batch", 1: "patches"}}, {"logits": TEXT}, [SCRIPT], use_cache=False)  # fmt: skip
model("time_series", "PatchTSTForPrediction", tf.PatchTSTForPrediction,
      lambda: tf.PatchTSTConfig(num_input_channels=2, context_length=24, patch_length=6, patch_stride=6, d_model=16, num_attention_heads=2, num_hidden_layers=2, ffn_dim=24, prediction_length=5),
      lambda: [(torch.randn(2, 24, 2),)], {"past_values": IMAGE}, {"prediction_outputs": IMAGE}, [SCRIPT])  # fmt: skip
model("decision_transformer", "DecisionTransformerModel", tf.DecisionTransformerModel, lambda: tf.DecisionTransformerConfig(state_dim=5, act_dim=3, hidden_size=16, n_layer=1, n_head=2, max_ep_len=20),
      lambda: [(torch.randn(1, 6, 5), torch.randn(1, 6, 3), torch.randn(1, 6, 1), torch.randn(1, 6, 1), torch.arange(6).unsqueeze(0), torch.ones(1, 6))],
      {"states": {}, "actions": {}, "rewards": {}, "returns_to_go": {}, "timesteps": {}, "attention_mask": {}}, {"action_preds": {}, "state_preds": {}}, [SCRIPT])  # fmt: skip

# ---------------------------------------------------------------- speech to text, and states in place of a cache

SPEECH = dict(d_model=16, encoder_layers=2, decoder_layers=2, encoder_attention_heads=2, decoder_attention_heads=2, encoder_ffn_dim=24, decoder_ffn_dim=24)
model("whisper", "WhisperForConditionalGeneration: spectrogram and tokens to logits", tf.WhisperForConditionalGeneration,
      lambda: tf.WhisperConfig(**SPEECH, vocab_size=50, num_mel_bins=10, max_source_positions=20, max_target_positions=16, pad_token_id=0, bos_token_id=1, eos_token_id=2, decoder_start_token_id=1),
      lambda: [(torch.randn(b, 10, 40), torch.randint(3, 50, (b, n))) for b, n in ((1, 1), (2, 6))],
      {"input_features": {0: "batch"}, "decoder_input_ids": TEXT}, {"logits": TEXT, "encoder_last_hidden_state": {0: "batch"}}, [DYNAMO], use_cache=False)  # fmt: skip
model("t5", "T5ForConditionalGeneration: encoder and decoder at once", tf.T5ForConditionalGeneration,
      lambda: tf.T5Config(vocab_size=50, d_model=16, d_kv=8, d_ff=24, num_layers=2, num_heads=2, feed_forward_proj="gated-gelu", decoder_start_token_id=0),
      lambda: [(*texts(50, (2, 7))()[0], torch.randint(2, 50, (2, 4)))], {"input_ids": TEXT, "attention_mask": TEXT, "decoder_input_ids": TEXT}, {"logits": TEXT}, [SCRIPT, DYNAMO], use_cache=False)  # fmt: skip
for _name, _class, _config, _exporters in [
    ("mamba2", tf.Mamba2ForCausalLM, lambda: tf.Mamba2Config(vocab_size=50, hidden_size=16, state_size=4, num_hidden_layers=2, num_heads=4, head_dim=8, n_groups=1, chunk_size=8), [DYNAMO]),
    ("mixtral", tf.MixtralForCausalLM, lambda: tf.MixtralConfig(**LANGUAGE, num_key_value_heads=1, num_local_experts=4, experts_implementation="batched_mm"), [DYNAMO]),
    ("qwen3_moe", tf.Qwen3MoeForCausalLM, lambda: tf.Qwen3MoeConfig(**LANGUAGE, head_dim=8, num_key_value_heads=1, moe_intermediate_size=12, num_experts=4, num_experts_per_tok=2, experts_implementation="batched_mm"), [DYNAMO]),
    ("lfm2", tf.Lfm2ForCausalLM, lambda: tf.Lfm2Config(**LANGUAGE, num_key_value_heads=1, layer_types=["conv", "full_attention"]), [DYNAMO]),
]:  # fmt: skip
    model(_name, _class.__name__, _class, _config, lambda: [(torch.randint(2, 50, (b, n)),) for b, n in ((1, 3), (2, 11))], {"input_ids": TEXT}, {"logits": TEXT}, _exporters, use_cache=False)
model("mamba", "MambaForCausalLM, the scan unrolled", tf.MambaForCausalLM, lambda: tf.MambaConfig(vocab_size=50, hidden_size=16, state_size=4, num_hidden_layers=2, time_step_rank=4),
      lambda: [(torch.randint(2, 50, (2, 7)),)], {"input_ids": {}}, {"logits": {}}, [DYNAMO], use_cache=False)  # fmt: skip

for _name, _class, _config in [
    ("deepseek_v3", tf.DeepseekV3ForCausalLM, lambda: tf.DeepseekV3Config(**LANGUAGE, num_key_value_heads=2, q_lora_rank=8, kv_lora_rank=8, qk_rope_head_dim=4, qk_nope_head_dim=4, v_head_dim=8,
        n_routed_experts=4, num_experts_per_tok=2, n_group=2, topk_group=1, moe_intermediate_size=12, first_k_dense_replace=1, experts_implementation="batched_mm")),
    ("gpt_oss", tf.GptOssForCausalLM, lambda: tf.GptOssConfig(**LANGUAGE, head_dim=8, num_key_value_heads=1, num_local_experts=4, num_experts_per_tok=2, sliding_window=8, pad_token_id=0,
        layer_types=["sliding_attention", "full_attention"], rope_parameters={"rope_type": "default", "rope_theta": 10000.0}, experts_implementation="batched_mm")),
    ("qwen3_next", tf.Qwen3NextForCausalLM, lambda: tf.Qwen3NextConfig(**LANGUAGE, head_dim=8, num_key_value_heads=1, linear_num_value_heads=2, linear_num_key_heads=2, linear_key_head_dim=8, linear_value_head_dim=8,
        moe_intermediate_size=12, shared_expert_intermediate_size=12, num_experts=4, num_experts_per_tok=2, layer_types=["linear_attention", "full_attention"], experts_implementation="batched_mm")),
    ("jamba", tf.JambaForCausalLM, lambda: tf.JambaConfig(**LANGUAGE, num_key_value_heads=1, num_experts=2, num_experts_per_tok=1, attn_layer_period=2, attn_layer_offset=1, expert_layer_period=2, expert_layer_offset=1,
        mamba_d_state=4, mamba_dt_rank=4, use_mamba_kernels=False, pad_token_id=0, experts_implementation="batched_mm")),
    ("falcon_h1", tf.FalconH1ForCausalLM, lambda: tf.FalconH1Config(**LANGUAGE, num_key_value_heads=1, mamba_d_ssm=16, mamba_n_heads=4, mamba_d_head=4, mamba_d_state=4, mamba_n_groups=1, mamba_chunk_size=8, pad_token_id=0)),
    ("ernie4_5_moe", tf.Ernie4_5_MoeForCausalLM, lambda: tf.Ernie4_5_MoeConfig(**LANGUAGE, num_key_value_heads=1, moe_num_experts=4, moe_k=2, moe_intermediate_size=12, moe_layer_start_index=1, moe_layer_end_index=1, experts_implementation="batched_mm")),
]:  # fmt: skip
    model(_name, _class.__name__, _class, _config, lambda: [(torch.randint(2, 50, (2, 9)),)], {"input_ids": {}}, {"logits": {}}, [DYNAMO], use_cache=False)
