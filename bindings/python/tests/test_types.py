"""Every element type and kind of value, in and out."""

import ml_dtypes
import numpy as np
import pytest
from conftest import model_bytes, tensor, through
from onnx import TensorProto, helper

import linnet

NUMPY_TYPES = {
    np.float32: TensorProto.FLOAT, np.uint8: TensorProto.UINT8, np.int8: TensorProto.INT8, np.uint16: TensorProto.UINT16,
    np.int16: TensorProto.INT16, np.int32: TensorProto.INT32, np.int64: TensorProto.INT64, np.bool_: TensorProto.BOOL,
    np.float16: TensorProto.FLOAT16, np.float64: TensorProto.DOUBLE, np.uint32: TensorProto.UINT32, np.uint64: TensorProto.UINT64,
    np.complex64: TensorProto.COMPLEX64, np.complex128: TensorProto.COMPLEX128,
}  # fmt: skip
ML_TYPES = {
    ml_dtypes.bfloat16: TensorProto.BFLOAT16, ml_dtypes.float8_e4m3fn: TensorProto.FLOAT8E4M3FN,
    ml_dtypes.float8_e4m3fnuz: TensorProto.FLOAT8E4M3FNUZ, ml_dtypes.float8_e5m2: TensorProto.FLOAT8E5M2,
    ml_dtypes.float8_e5m2fnuz: TensorProto.FLOAT8E5M2FNUZ, ml_dtypes.uint4: TensorProto.UINT4, ml_dtypes.int4: TensorProto.INT4,
    ml_dtypes.float4_e2m1fn: TensorProto.FLOAT4E2M1,
}  # fmt: skip


@pytest.mark.parametrize("dtype,onnx_type", [*NUMPY_TYPES.items(), *ML_TYPES.items()], ids=lambda t: getattr(t, "__name__", str(t)))
@pytest.mark.parametrize("shape", [(), (0,), (5,), (2, 3, 1)], ids=str)
def test_numbers(dtype, onnx_type, shape):
    count = int(np.prod(shape))
    values = (np.arange(count) % 2 if dtype is np.bool_ else np.arange(count) % 7 if np.dtype(dtype).name.startswith("u") else np.arange(count) % 7 - 3).astype(dtype).reshape(shape)
    model = linnet.load(through(dtype=onnx_type, shape=shape, opset=23))
    result = model(x=values)
    assert result.dtype == values.dtype and result.shape == shape
    assert result.tobytes() == values.tobytes()


def test_an_output_is_a_view_of_native_memory(add):
    ones = np.ones((2, 3), np.float32)
    y = linnet.load(add).run({"a": ones, "b": ones})["y"]
    assert y.base is not None and not y.flags.owndata and y.flags.writeable and y.flags.c_contiguous
    y += 1  # the value is the array's alone
    np.testing.assert_array_equal(y, 3)


def test_an_output_does_not_share_the_memory_of_an_input():
    x = np.arange(4, dtype=np.float32)
    y = linnet.load(through())(x=x)
    x[:] = 7
    np.testing.assert_array_equal(y, np.arange(4))


def test_an_output_outlives_its_session():
    y = linnet.load(through("Neg"))(x=np.ones(100_000, np.float32))
    np.testing.assert_array_equal(y, -1)


@pytest.mark.parametrize(
    "make",
    [
        lambda a: np.asfortranarray(a), lambda a: a[::-1], lambda a: a.astype(a.dtype.newbyteorder(">")), lambda a: a.tolist(),
        lambda a: linnet.OrtValue.ortvalue_from_numpy(a), lambda a: linnet.OrtValue.from_dlpack(a), lambda a: memoryview(a),
    ],
    ids=["column major", "reversed", "big endian", "list", "OrtValue", "DLPack", "memoryview"],
)  # fmt: skip
def test_what_an_input_may_be(make):
    array = np.arange(12, dtype=np.float32).reshape(3, 4)
    given = make(array)
    expected = -(array[::-1] if isinstance(given, np.ndarray) and given.strides[0] < 0 else array)
    np.testing.assert_array_equal(linnet.load(through("Neg", shape=[3, 4]))(x=given), expected)


def test_unaligned_input():
    raw = np.zeros(4 * 8 + 1, np.uint8)[1:].view(np.float32)
    raw[:] = np.arange(8)
    np.testing.assert_array_equal(linnet.load(through("Neg"))(x=raw), -np.arange(8))


@pytest.mark.parametrize("texts", [np.array([["a", "äöü"], ["", "日本"]], dtype=object), np.array([["a", "äöü"], ["", "日本"]])], ids=["object", "str"])
def test_strings(texts):
    result = linnet.load(through(dtype=TensorProto.STRING, shape=[2, 2]))(x=texts)
    assert result.dtype == object and result.tolist() == texts.tolist()


def test_bytes_are_strings():
    assert linnet.load(through(dtype=TensorProto.STRING))(x=np.array([b"one", b"two"])).tolist() == ["one", "two"]


def test_strings_that_are_none():
    with pytest.raises(linnet.InvalidArgumentError):
        linnet.load(through(dtype=TensorProto.STRING))(x=np.array(["a", 1], dtype=object))


def sequence_model():
    make = helper.make_tensor_sequence_value_info
    return model_bytes([helper.make_node("SequenceInsert", ["s", "x"], ["t"])], [make("s", TensorProto.FLOAT, None), tensor("x", shape=None)],
                       [make("t", TensorProto.FLOAT, None)])  # fmt: skip


def test_sequences():
    session = linnet.InferenceSession(sequence_model())
    assert [port.type for port in session.get_inputs()] == ["seq(tensor(float))", "tensor(float)"]
    first, second = np.ones(2, np.float32), np.zeros((1, 3), np.float32)
    (result,) = session.run(None, {"s": [first], "x": second})
    assert [array.tolist() for array in result] == [[1, 1], [[0, 0, 0]]]
    assert len(session.run(None, {"s": [], "x": second})[0]) == 1


def test_maps():
    node = helper.make_node("DictVectorizer", ["m"], ["y"], domain="ai.onnx.ml", int64_vocabulary=[3, 5, 9])
    port = helper.make_value_info("m", helper.make_map_type_proto(TensorProto.INT64, helper.make_tensor_type_proto(TensorProto.FLOAT, [])))
    session = linnet.InferenceSession(model_bytes([node], [port], [tensor("y", shape=[None, 3])]))
    assert session.get_inputs()[0].type == "map(int64,tensor(float))"
    assert session.run(None, {"m": {5: 2.5, 9: 1.0}})[0].ravel().tolist() == [0, 2.5, 1]


def test_maps_come_out_as_dicts():
    node = helper.make_node("ZipMap", ["x"], ["maps"], domain="ai.onnx.ml", classlabels_strings=["cat", "dog"])
    entry = helper.make_map_type_proto(TensorProto.STRING, helper.make_tensor_type_proto(TensorProto.FLOAT, []))
    output = helper.make_value_info("maps", helper.make_sequence_type_proto(entry))
    model = linnet.load(model_bytes([node], [tensor("x", shape=[None, 2])], [output]))
    assert model(x=np.array([[0.25, 0.75], [1, 0]], np.float32)) == [{"cat": 0.25, "dog": 0.75}, {"cat": 1, "dog": 0}]


def test_optionals():
    port = helper.make_value_info("o", helper.make_optional_type_proto(helper.make_tensor_type_proto(TensorProto.FLOAT, None)))
    model = linnet.load(model_bytes([helper.make_node("OptionalHasElement", ["o"], ["y"])], [port], [tensor("y", TensorProto.BOOL, [])], opset=18))
    assert bool(model(o=np.ones(2, np.float32))) is True
    assert bool(model(o=None)) is False


def test_dlpack():
    value = linnet.OrtValue.ortvalue_from_numpy(np.arange(6, dtype=np.int32).reshape(2, 3))
    seen = np.from_dlpack(value)
    assert value.__dlpack_device__() == (1, 0) and seen.tolist() == [[0, 1, 2], [3, 4, 5]]
    assert np.shares_memory(seen, value.numpy())
    del value
    assert seen.sum() == 15


def test_ortvalue():
    value = linnet.OrtValue.ortvalue_from_shape_and_type([2, 3], np.float32)
    assert (value.shape(), value.data_type(), value.element_type(), value.is_tensor()) == ([2, 3], "tensor(float)", 1, True)
    value.numpy()[:] = 4
    assert value.numpy().sum() == 24
