"""Whether the models that test_onnx wrote mean the same to the onnx package as the originals.

    LINNET_WRITTEN_MODELS=DIR build/release/test_onnx --gtest_filter='RealModels.*'
    python tests/onnx/compare_with_onnx.py DIR ORIGINALS...

ORIGINALS: folders that hold <kind>/<case>/model.onnx. A field that is present with its default value equals an absent one.
"""

import sys
from pathlib import Path

import onnx


def is_default(field, value):
    return field.type != field.TYPE_MESSAGE and value == field.default_value


def differences(a, b, path):
    """Yields the paths of the fields in which two messages of one type differ."""
    for field in a.DESCRIPTOR.fields:
        x, y = getattr(a, field.name), getattr(b, field.name)
        where = f"{path}.{field.name}"
        if field.is_repeated:
            if len(x) != len(y):
                yield where
            elif field.type == field.TYPE_MESSAGE:
                for i, (left, right) in enumerate(zip(x, y)):
                    yield from differences(left, right, f"{where}[{i}]")
            elif str(list(x)) != str(list(y)):
                yield where
        elif field.type == field.TYPE_MESSAGE:
            if a.HasField(field.name) != b.HasField(field.name):
                yield where
            elif a.HasField(field.name):
                yield from differences(x, y, where)
        elif str(x) != str(y):
            yield where
        elif a.HasField(field.name) != b.HasField(field.name) and not is_default(field, x):
            yield where


def load(path):
    return onnx.load(path, load_external_data=False)


def main():
    written, compared, bad = Path(sys.argv[1]), 0, 0
    for root in sys.argv[2:]:
        for original in sorted(Path(root).rglob("model.onnx")):
            path = written / f"{original.parent.parent.name}_{original.parent.name}.onnx"
            found = list(differences(load(original), load(path), "")) if path.exists() else ["not written"]
            compared += 1
            if found:
                bad += 1
                print(path.name, found[:3])
    print(f"{compared} compared, {bad} differ")
    return 1 if bad or not compared else 0


if __name__ == "__main__":
    sys.exit(main())
