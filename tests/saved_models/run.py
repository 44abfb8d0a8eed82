"""Models that ONNX Runtime has optimised and saved, at each of its levels, give what the original gives.

At the level "all", images lie in the blocks of channels that the saving machine prefers (com.microsoft.nchwc).

  run.py              a few of the shared models
  run.py --all        every one of them
  run.py resnet       those whose name has this part
"""

import argparse
import os
import shutil
import sys
import tempfile
from pathlib import Path

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
import conformance  # noqa: E402

LEVELS = {"basic": "ORT_ENABLE_BASIC", "extended": "ORT_ENABLE_EXTENDED", "all": "ORT_ENABLE_ALL"}
# Products by weights of 4 bits, which it makes products of inputs rounded to 8 bits at the level "extended" and above.
ROUNDS_INPUTS = {"weights_int4", "weights_uint4"}
CHOSEN = [
    "bert_script11", "contrib_bert", "contrib_rotary_moe", "conv_bilstm_tagger", "conv_mix", "convnext_script17", "crnn_recogniser_script11",
    "dbnet_detector_script13", "densenet_script17", "dynamic_int8_bert_classifier_script17", "efficientnet_script13", "gpt2_beam_search",
    "gpt2_past_script13", "llama_gqa_past_script17", "mobilenet_v2_script13", "nbits4_gather_phi", "old_cnn_opset9", "ort_fused_t5_encoder_script13",
    "qdq_s8s8_channels_resnet", "qdq_u16u8_unet", "qdq_u8u8_vit", "resize_modes_script17", "sparse_initializer", "unet_nearest_script13",
]  # fmt: skip


def save(model, level, folder):
    """The optimised model with the original's data beside it; what ONNX Runtime says where it cannot."""
    import onnxruntime

    folder.mkdir(parents=True)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    options.graph_optimization_level = getattr(onnxruntime.GraphOptimizationLevel, LEVELS[level])
    options.optimized_model_filepath = str(folder / "model.onnx")
    try:
        onnxruntime.InferenceSession(str(model / "model.onnx"), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # its exceptions have no common base
        return str(error)
    for path in model.iterdir():
        if path.is_dir():
            (folder / path.name).symlink_to(path)
        elif path.name != "model.onnx":
            shutil.copy(path, folder)
    return ""


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", nargs="*", help="only models whose name has one of these parts")
    parser.add_argument("--linnet", type=Path, default=conformance.ROOT / "build/release/linnet")
    parser.add_argument("--all", action="store_true", help="every shared model")
    arguments = parser.parse_args()
    models = Path(os.environ.get("LINNET_SHARED", conformance.ROOT / "../shared")).resolve() / "models"
    if not models.is_dir():
        print(f"SKIPPED: there are no models at {models} (set LINNET_SHARED to the folder that holds models/)")
        print(f"0 passed, 0 failed, {len(CHOSEN) * len(LEVELS)} skipped")
        return 0
    everything = sorted(path.parent.name for path in models.glob("*/model.onnx"))
    names = everything if arguments.all else [name for name in everything if any(part in name for part in arguments.part)] if arguments.part else CHOSEN
    with tempfile.TemporaryDirectory() as scratch:
        folders, skipped = {}, 0
        for name in names:
            for level in LEVELS:
                folder = Path(scratch).resolve() / f"{name}.{level}"
                if refusal := save(models / name, level, folder):
                    print(f"{folder.name}: ONNX Runtime does not save it: {refusal.splitlines()[0][:150]}")
                    skipped += 1
                else:
                    folders[folder] = folder.name
        rounded = [folder for folder in folders if folder.name.split(".")[0] in ROUNDS_INPUTS]
        results = conformance.check_all(arguments.linnet, [folder for folder in folders if folder not in rounded], [])
        results |= conformance.check_all(arguments.linnet, rounded, ["--atol", "0.05"])
    failed = 0
    for folder, name in folders.items():
        result = results.get(folder, {"status": "crash", "message": "no result"})
        if result["status"] != "pass":
            failed += 1
            print(f"{name}: {result['status']}: {result.get('message', '')}")
    print(f"{len(folders) - failed} passed, {failed} failed, {skipped} skipped")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
