"""Makes models with the exporters that people use, random weights, and the framework's own outputs.

  make.py                           all of them into build/exports
  make.py --only 'detr*' --trace    some
  make.py --keep                    those of models/ (small enough for the tree) made anew there

A framework that is not installed is left out. TensorFlow asks for an environment of its own:

  pip install -r requirements-torch.txt        PyTorch, transformers, scikit-learn, XGBoost, LightGBM
  pip install -r requirements-tensorflow.txt   Keras and TensorFlow
"""

import argparse
import fnmatch
import importlib
import os
import random
import sys
import time
import traceback
import warnings
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
os.environ.update(CUDA_VISIBLE_DEVICES="", OMP_NUM_THREADS="1", TF_CPP_MIN_LOG_LEVEL="3", ORT_DISABLE_TELEMETRY="1", HF_HUB_OFFLINE="1")

import numpy as np  # noqa: E402
from recipes import product as made  # noqa: E402

MODULES = ["pytorch", "transformer_library", "keras_tensorflow", "tables"]


def load(module):
    try:
        importlib.import_module(f"recipes.{module}")
    except ModuleNotFoundError as missing:
        if missing.name.startswith("recipes"):
            raise
        print(f"{module} is left out: there is no {missing.name}")


def build(recipe, folder):
    seed = made.seed_of(recipe.name)
    random.seed(seed)
    np.random.seed(seed)
    if "torch" in sys.modules:
        sys.modules["torch"].manual_seed(seed)
    if "keras" in sys.modules:
        sys.modules["keras"].utils.set_random_seed(seed)
    product = recipe.build()
    made.check_lively(product)
    size = made.write(recipe, product, folder)
    return size, made.difference_to_onnxruntime(product)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=HERE.parent.parent / "build/exports")
    parser.add_argument("--only", action="append", default=[], help="a name or pattern; may be repeated")
    parser.add_argument("--module", action="append", choices=MODULES, default=[])
    parser.add_argument("--missing", action="store_true", help="only those that are not there yet")
    parser.add_argument("--keep", action="store_true", help="make the models of models/ anew")
    parser.add_argument("--trace", action="store_true", help="tracebacks of what fails")
    arguments = parser.parse_args()
    warnings.filterwarnings("ignore")
    for module in arguments.module or MODULES:
        load(module)
    chosen = [r for name, r in made.RECIPES.items() if not arguments.only or any(fnmatch.fnmatch(name, o) for o in arguments.only)]
    if arguments.keep:
        arguments.out = HERE / "models"
        chosen = [r for r in chosen if (arguments.out / r.name).exists()]
    failures = 0
    for recipe in chosen:
        if arguments.missing and (arguments.out / recipe.name / "meta.json").exists():
            continue
        start = time.monotonic()
        try:
            size, difference = build(recipe, arguments.out / recipe.name)
            print(f"{recipe.name}: {size // 1024} KiB, {time.monotonic() - start:.1f} s {'; ONNX Runtime: ' * bool(difference)}{difference}", flush=True)
        except Exception as error:  # an exporter's exceptions have no common base
            failures += 1
            print(f"FAILED {recipe.name}: {type(error).__name__}: {(str(error).strip().splitlines() or [''])[0][:300]}", flush=True)
            if arguments.trace:
                traceback.print_exc()
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
