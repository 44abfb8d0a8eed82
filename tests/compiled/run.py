"""Processes that race for one compiled model, and compiled models that somebody has edited."""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
import conformance  # noqa: E402

PROCESSES, ROUNDS = 6, 3


def write_model(path):
    weight = np.random.default_rng(1).standard_normal((256, 256), dtype=np.float32)
    nodes = [helper.make_node("MatMul", ["x", "w"], ["p"]), helper.make_node("Relu", ["p"], ["y"])]
    graph = helper.make_graph(nodes, "g", [helper.make_tensor_value_info("x", TensorProto.FLOAT, [3, 256])],
                              [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)], [numpy_helper.from_array(weight, "w")])  # fmt: skip
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)


def outputs_of(folder):
    return {path.name: path.read_bytes() for path in sorted(Path(folder).iterdir())}


class Checks:
    def __init__(self, linnet, folder):
        self.linnet, self.folder, self.model = linnet, folder, folder / "model.onnx"
        write_model(self.model)
        done = self.run(self.model, "plain")
        assert done.returncode == 0, done.stderr
        self.expected = outputs_of(folder / "plain")

    def command(self, model, to, *more):
        (self.folder / to).mkdir(exist_ok=True)
        return [str(self.linnet), "run", str(model), "--save-outputs", str(self.folder / to), *map(str, more)]

    def run(self, model, to, *more):
        return subprocess.run(self.command(model, to, *more), capture_output=True, text=True)

    def race(self):
        """All get the right outputs, whoever writes the file; one whole file is left."""
        for number in range(ROUNDS):
            cache = self.folder / f"cache_{number}"
            cache.mkdir()
            started = [subprocess.Popen(self.command(self.model, f"race_{k}", "--cache", cache), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) for k in range(PROCESSES)]
            for k, process in enumerate(started):
                _, told = process.communicate()
                assert process.returncode == 0, told
                assert outputs_of(self.folder / f"race_{k}") == self.expected
            files = list(cache.iterdir())
            assert len(files) == 1 and files[0].suffix == ".linnet", files

    def edited_cache(self):
        """Whatever is wrong with the file, it costs the speed, and a good one takes its place."""
        cache = self.folder / "edited"
        cache.mkdir()
        self.run(self.model, "edit", "--cache", cache)
        (file,) = cache.iterdir()
        good = file.read_bytes()
        for bad in good[: len(good) // 2], b"", good[:100] + bytes([good[100] ^ 1]) + good[101:], good[:20] + b"\xff" + good[21:]:
            file.write_bytes(bad)
            done = self.run(self.model, "edit", "--cache", cache)
            assert done.returncode == 0, done.stderr
            assert outputs_of(self.folder / "edit") == self.expected
            assert len(file.read_bytes()) == len(good)

    def edited_artefact(self):
        """A file that was asked for by its own name is refused."""
        to = self.folder / "model.linnet"
        done = subprocess.run([self.linnet, "compile", self.model, "-o", to], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        good = to.read_bytes()
        done = self.run(to, "compiled")
        assert done.returncode == 0 and outputs_of(self.folder / "compiled") == self.expected, done.stderr
        for place in (9, 20, 40, 70, 200):
            to.write_bytes(good[:place] + bytes([good[place] ^ 0x40]) + good[place + 1 :])
            done = self.run(to, "compiled")
            assert done.returncode == 2 and done.stderr.count("\n") == 1, (place, done.returncode, done.stderr)

    def stale_cache(self):
        cache = self.folder / "stale"
        cache.mkdir()
        self.run(self.model, "stale_out", "--cache", cache)
        (file,) = cache.iterdir()
        before = file.stat().st_ino
        copy = self.model.read_bytes()
        self.model.unlink()
        self.model.write_bytes(copy)  # the same content at another inode and time
        done = self.run(self.model, "stale_out", "--cache", cache)
        assert done.returncode == 0 and outputs_of(self.folder / "stale_out") == self.expected
        (file,) = cache.iterdir()
        assert file.stat().st_ino != before


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--linnet", type=Path, default=conformance.ROOT / "build/release/linnet")
    arguments = parser.parse_args()
    failed = 0
    names = ["race", "edited_cache", "edited_artefact", "stale_cache"]
    with tempfile.TemporaryDirectory() as scratch:
        for name in names:
            folder = Path(scratch, name)
            folder.mkdir()
            try:
                getattr(Checks(arguments.linnet, folder), name)()
            except AssertionError as error:
                failed += 1
                print(f"{name}: {error!r}")
    print(f"{len(names) - failed} passed, {failed} failed, 0 skipped")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
