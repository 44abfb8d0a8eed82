"""linnet.optimize and linnet.compile: files that give what the model gave."""

import numpy as np
import pytest

import linnet

FEED = {"a": np.full((2, 3), 0.5, np.float32), "b": np.ones((2, 3), np.float32)}


@pytest.fixture
def model(add, tmp_path):
    path = tmp_path / "model.onnx"
    path.write_bytes(add)
    return path


@pytest.mark.parametrize("level", ["none", "basic", "extended", "all"])
def test_levels(model, level):
    to = model.with_name("optimized.onnx")
    linnet.optimize(model, to, level=level, sizes={"n": 2})
    optimized = linnet.load(to)
    assert optimized.inputs[0].shape == [2, 3]
    assert optimized.run(FEED)["z"][0, 0] == -1.5


def test_half_floats(model):
    to = model.with_name("half.onnx")
    linnet.optimize(model, to, floats="float16")
    assert linnet.load(to).run(FEED)["y"].dtype == np.float32
    linnet.optimize(model, to, floats="float16", convert_io=True)
    halves = {name: array.astype(np.float16) for name, array in FEED.items()}
    assert linnet.load(to).run(halves)["y"].dtype == np.float16


def test_compiled(model):
    to = model.with_name("model.linnet")
    linnet.compile(model, to)
    assert linnet.load(to).run(FEED)["y"][0, 0] == 1.5


def test_errors(model):
    with pytest.raises(linnet.InvalidArgumentError):
        linnet.optimize(model, model)
    with pytest.raises(linnet.UnknownNameError, match="'Sofmax'"):
        linnet.optimize(model, model.with_name("x.onnx"), floats="float16", keep_float=["Sofmax"])
    with pytest.raises(linnet.UnknownNameError, match="'c'"):
        linnet.optimize(model, model.with_name("x.onnx"), shapes={"c": [1]})
    with pytest.raises(linnet.MissingFileError):
        linnet.compile(model.with_name("missing.onnx"), model.with_name("model.linnet"))
    with pytest.raises(ValueError, match="level"):
        linnet.optimize(model, model.with_name("x.onnx"), level="best")
    assert sorted(path.name for path in model.parent.iterdir()) == ["model.onnx"]
