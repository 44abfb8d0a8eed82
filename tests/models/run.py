"""The shared test models, made by real exporters, against the lists beside this file."""

import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
import conformance  # noqa: E402

if __name__ == "__main__":
    arguments = conformance.arguments_for(__doc__)
    manifest = Path(__file__).with_name("manifest.txt")
    models = Path(os.environ.get("LINNET_SHARED", conformance.ROOT / "../shared")) / "models"
    if not models.is_dir():
        print(f"SKIPPED: there are no models at {models} (set LINNET_SHARED to the folder that holds models/)")
        print(f"0 passed, 0 failed, {len(manifest.read_text().split())} skipped")
        sys.exit(0)
    cases = {model.parent.name: model.parent for model in models.glob("*/model.onnx")}
    left_out = manifest.with_name("left_out.txt")
    sys.exit(conformance.hold_against_manifest(arguments, cases, manifest, left_out))
