"""com.microsoft's operators, with random attributes, masks, past lengths and odd sizes."""

from collections import namedtuple

import case as frame
import engines
import numpy as np
import onnx
from onnx import helper, numpy_helper

# inputs: arrays by name. tolerance: (relative, absolute). valid: for some outputs a mask of the elements that are defined.
# shared: outputs that ONNX Runtime has to write into the memory of inputs. formula: gives the outputs as the documentation has them.
Made = namedtuple("Made", "model inputs tolerance valid shared formula")
CASES = {}
OPSETS = [("", 21), ("com.microsoft", 1)]


def case(function):
    """function(rng) -> Made, named like the operator."""
    CASES[function.__name__] = function
    return function


def difference(made, ours, theirs):
    for o, (a, b) in enumerate(zip(ours, theirs, strict=True)):
        if a.shape != b.shape or a.dtype != b.dtype:
            return f"output {o}: {a.dtype}{list(a.shape)}, theirs {b.dtype}{list(b.shape)}"
        defined = made.valid.get(o) if made.valid else None
        if defined is not None:
            a, b = a[defined], b[defined]
        rtol, atol = made.tolerance
        a, b = a.astype(np.float64), b.astype(np.float64)
        wrong = ~np.isclose(a, b, rtol=rtol, atol=atol, equal_nan=True)
        if wrong.any():
            worst = np.unravel_index(np.argmax(np.where(wrong, np.nan_to_num(np.abs(a - b), nan=np.inf), -1)), a.shape)
            return f"output {o}: {np.count_nonzero(wrong)} of {a.size} elements, at {[int(i) for i in worst]} ours {a[worst]} theirs {b[worst]}"
    return ""


def pick(rng, *choices):
    return choices[rng.integers(len(choices))]


def chance(rng, p=0.5):
    return bool(rng.random() < p)


def floats(rng, *shape, dtype=np.float32, scale=1.0):
    return (rng.standard_normal(shape) * scale).astype(dtype)


def ints(rng, low, high, *shape, dtype=np.int32):
    return rng.integers(low, high, shape).astype(dtype)


def tolerance_of(dtype, tolerance=(1e-4, 2e-5)):
    return tolerance if dtype == np.float32 else (6e-3, 6e-3)


class Constant:
    """An input that the model holds."""

    def __init__(self, array):
        self.array = np.asarray(array)


def onnx_type(dtype):
    return helper.np_dtype_to_tensor_dtype(np.dtype(dtype))


def one_node(rng, op, inputs, outputs, tolerance, *, domain="com.microsoft", valid=None, shared=None, formula=None, **attributes):
    """inputs: an array, a Constant or None each. outputs: a dtype each, or None where the output is left out."""
    feeds, names, declared, initializers = {}, [], [], []
    known = chance(rng)
    for i, value in enumerate(inputs):
        names.append("" if value is None else f"x{i}")
        if isinstance(value, Constant):
            initializers.append(numpy_helper.from_array(value.array, f"x{i}"))
        elif value is not None:
            feeds[f"x{i}"] = value = np.asarray(value)
            shape = list(value.shape) if known else [f"d{i}_{axis}" for axis in range(value.ndim)]
            declared.append(helper.make_tensor_value_info(f"x{i}", onnx_type(value.dtype), shape))
    while names and not names[-1]:
        names.pop()
    outs = [f"y{o}" if dtype is not None else "" for o, dtype in enumerate(outputs)]
    attributes = {name: value for name, value in attributes.items() if value is not None}
    node = helper.make_node(op, names, outs, domain=domain, name="node", **attributes)
    results = [helper.make_tensor_value_info(f"y{o}", onnx_type(dtype), None) for o, dtype in enumerate(outputs) if dtype is not None]
    graph = helper.make_graph([node], "case", declared, results, initializers)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid(*pair) for pair in OPSETS], ir_version=10)
    return Made(model, feeds, tolerance, valid, shared, formula)


def maybe_constant(rng, value, p=0.7):
    return Constant(value) if value is not None and chance(rng, p) else value


def float_type(rng):
    return np.float16 if chance(rng, 0.25) else np.float32


# --- products of matrices


def unpacked(codes, bits):
    """Numbers of some bits, the lowest of each byte first, along the last axis."""
    parts = codes[..., None] >> np.arange(0, 8, bits, dtype=np.uint8) & (1 << bits) - 1
    return parts.reshape(*codes.shape[:-1], -1).astype(np.float32)


@case
def MatMulNBits(rng):
    bits, block = pick(rng, 2, 4, 4, 4, 8), pick(rng, 16, 32, 32, 64, 128)
    k, n = int(rng.integers(1, 200)), int(rng.integers(1, 70))
    dtype = float_type(rng)
    blocks = -(-k // block)
    b = ints(rng, 0, 256, n, blocks, block * bits // 8, dtype=np.uint8)
    scales = (rng.random((n, blocks)) * 0.1 + 0.01).astype(dtype)
    if chance(rng, 0.3):
        scales = scales.reshape(-1)
    zeros = None
    if chance(rng):
        zeros = ints(rng, 0, 256, n, -(-blocks * bits // 8), dtype=np.uint8)
        if chance(rng, 0.3) and bits == 4:
            zeros = (rng.random((n, blocks)) * 15).astype(dtype)
    bias = floats(rng, n, dtype=dtype) if chance(rng, 0.3) else None
    level = pick(rng, 0, 0, 1, 4)
    a = floats(rng, *pick(rng, (k,), (1, k), (7, k), (2, 3, k), (1, 0, k), (33, k))[-4:], dtype=dtype)
    groups = np.arange(k, dtype=np.int32) // block
    inputs = [a, Constant(b), Constant(scales), zeros if zeros is None else Constant(zeros), None, bias if bias is None else Constant(bias)]
    if chance(rng, 0.2) and dtype == np.float32:
        level = 0
        if chance(rng) and bits != 8:
            groups = ints(rng, 0, blocks, k)
            inputs[4] = Constant(groups)
        else:
            inputs = [value.array if isinstance(value, Constant) and chance(rng) else value for value in inputs]

    def formula():
        each = scales.reshape(n, blocks).astype(np.float32)
        zero = np.float32(1 << (bits - 1)) if zeros is None else zeros if zeros.dtype != np.uint8 else unpacked(zeros, bits)[:, :blocks]
        zero = np.broadcast_to(zero, (n, blocks)).astype(np.float32)
        w = (unpacked(b.reshape(n, -1), bits)[:, :k] - zero[:, groups]) * each[:, groups]
        return [(a.astype(np.float32) @ w.T + (0 if bias is None else bias.astype(np.float32))).astype(dtype)]

    # At level 4 A "can be quantized with the same block_size to int8": ours does it where the zero points are floats, too, theirs does not.
    loose = (5e-2, (0.4 if bits == 8 else 0.1) * float(np.sqrt(k))) if level == 4 else (2e-3, 2e-3) if dtype == np.float32 else (1e-2, 3e-2)
    return one_node(rng, "MatMulNBits", inputs, [dtype], loose, formula=formula, K=k, N=n, bits=bits, block_size=block, accuracy_level=level)


@case
def MatMulBnb4(rng):
    k, n, block = int(rng.integers(1, 40)) * 2, int(rng.integers(1, 40)), pick(rng, 16, 32, 64, 128)
    codes = ints(rng, 0, 256, (n * k + 1) // 2, dtype=np.uint8)
    scales = (rng.random(-(-n * k // block)) * 0.5 + 0.1).astype(np.float32)
    transposed = True  # otherwise ONNX Runtime leaves some columns of the output as they are
    a = floats(rng, *pick(rng, (3,), (2, 5), (1,)), k if transposed else n)
    return one_node(rng, "MatMulBnb4", [a, Constant(codes), Constant(scales)], [np.float32], (1e-3, 1e-3), K=k, N=n, block_size=block,
                    quant_type=int(rng.integers(2)), transB=int(transposed))


@case
def FusedMatMul(rng):
    dtype = float_type(rng)
    m, k, n = rng.integers(1, 9, 3)
    batch = tuple(rng.integers(1, 4, rng.integers(0, 3)))
    trans_a, trans_b, batch_a, batch_b = (chance(rng) for _ in range(4))
    if not batch:
        batch_a = batch_b = False

    def operand(rows, columns, transposed, rows_first):
        # transBatch: the batch's first axis stands last but one, rows first
        core = [columns, rows] if transposed else [rows, columns]
        if rows_first:
            return (core[0], *batch[: len(batch)], core[1])
        return (*batch, *core)

    if batch_a != batch_b:
        batch_a = batch_b = False
    a, b = operand(m, k, trans_a, batch_a), operand(k, n, trans_b, batch_b)
    if chance(rng, 0.2) and not batch_b:
        b = b[-2:]
    return one_node(rng, "FusedMatMul", [floats(rng, *a, dtype=dtype), maybe_constant(rng, floats(rng, *b, dtype=dtype), 0.4)], [dtype], tolerance_of(dtype),
                    alpha=float(rng.normal()), transA=int(trans_a), transB=int(trans_b), transBatchA=int(batch_a), transBatchB=int(batch_b))


@case
def FusedGemm(rng):
    m, k, n = (int(v) for v in rng.integers(1, 20, 3))
    trans_a, trans_b = chance(rng), chance(rng)
    a = floats(rng, *((k, m) if trans_a else (m, k)))
    b = floats(rng, *((n, k) if trans_b else (k, n)))
    c = floats(rng, *pick(rng, (n,), (1, n), (m, 1), (m, n), (1,), ())) if chance(rng, 0.7) else None
    activation = pick(rng, "Relu", "LeakyRelu", "Sigmoid", "Tanh", "HardSigmoid", "Elu", "Softplus", "Softsign", "Selu", "ThresholdedRelu", "Celu")
    parameters = {"LeakyRelu": ["alpha"], "HardSigmoid": ["alpha", "beta"], "Elu": ["alpha"], "Selu": ["alpha", "gamma"], "ThresholdedRelu": ["alpha"], "Celu": ["alpha"]}
    values = {f"activation_{name}": float(rng.random() + 0.1) for name in parameters.get(activation, [])}
    return one_node(rng, "FusedGemm", [a, maybe_constant(rng, b), maybe_constant(rng, c)], [np.float32], (1e-4, 1e-5), alpha=float(rng.normal()),
                    beta=float(rng.normal()) if chance(rng) else None, transA=int(trans_a), transB=int(trans_b), activation=activation, **values)


def quantization(rng, dtype, n=None, zero=True):
    scale = np.float32(rng.random() * 0.05 + 0.01) if n is None else (rng.random(n) * 0.05 + 0.01).astype(np.float32)
    info = np.iinfo(dtype)
    zeros = rng.integers(info.min // 4 if info.min else 100, info.max // 4 if info.min else 156, () if n is None else (n,)).astype(dtype)
    return scale, zeros if zero else np.zeros_like(zeros)


def codes(rng, dtype, *shape):
    info = np.iinfo(dtype)
    return rng.integers(info.min, info.max + 1, shape).astype(dtype)


def weights(rng, dtype, *shape):
    """Signed ones keep to 7 bits: without VNNI, ONNX Runtime's sums of two products with unsigned inputs saturate at 16 bits."""
    return codes(rng, dtype, *shape) if dtype == np.uint8 else rng.integers(-64, 64, shape).astype(dtype)


def int8_type(rng):
    return pick(rng, np.uint8, np.int8)


@case
def DynamicQuantizeMatMul(rng):
    k, n = int(rng.integers(1, 40)), int(rng.integers(1, 40))
    dtype = int8_type(rng)
    by_column = chance(rng)
    scale, zero = quantization(rng, dtype, n if by_column else None)
    if chance(rng, 0.4):
        zero = None
    bias = floats(rng, n) if chance(rng) else None
    a = floats(rng, *pick(rng, (3,), (2, 3), (1,), (17,)), k)
    return one_node(rng, "DynamicQuantizeMatMul", [a, maybe_constant(rng, weights(rng, dtype, k, n)), scale, zero, bias], [np.float32], (1e-3, 1e-3))


@case
def MatMulIntegerToFloat(rng):
    k, n = int(rng.integers(1, 40)), int(rng.integers(1, 40))
    a_type, b_type = int8_type(rng), int8_type(rng)
    by_column = chance(rng)
    a_scale, a_zero = quantization(rng, a_type)
    b_scale, b_zero = quantization(rng, b_type, n if by_column else None)
    a = codes(rng, a_type, *pick(rng, (3,), (2, 3), (1,), (17,)), k)
    inputs = [a, maybe_constant(rng, weights(rng, b_type, k, n)), a_scale, b_scale, a_zero if chance(rng) else None, b_zero if chance(rng) else None,
              floats(rng, n) if chance(rng) else None]
    return one_node(rng, "MatMulIntegerToFloat", inputs, [np.float32], (1e-4, 1e-4))


@case
def QGemm(rng):
    m, k, n = (int(v) for v in rng.integers(1, 30, 3))
    trans_a, trans_b = chance(rng), chance(rng)
    a_type, b_type = int8_type(rng), int8_type(rng)
    by_column = chance(rng)
    a_scale, a_zero = quantization(rng, a_type)
    b_scale, b_zero = quantization(rng, b_type, n if by_column else None)
    bias = ints(rng, -500, 500, *pick(rng, (n,), (1, n), (1,), (m, 1), (m, n))) if chance(rng, 0.7) else None
    y_scale, y_zero = quantization(rng, a_type) if chance(rng) else (None, None)
    out = np.float32 if y_scale is None else a_type
    inputs = [codes(rng, a_type, *((k, m) if trans_a else (m, k))), Constant(a_scale), Constant(a_zero),
              maybe_constant(rng, weights(rng, b_type, *((n, k) if trans_b else (k, n)))), Constant(b_scale), Constant(b_zero),
              None if bias is None else Constant(bias), None if y_scale is None else Constant(y_scale * 10), None if y_zero is None else Constant(y_zero)]
    return one_node(rng, "QGemm", inputs, [out], (1e-4, 1e-4 if out == np.float32 else 1), alpha=float(rng.random() + 0.5), transA=int(trans_a), transB=int(trans_b))


# --- normalisation and activations


@case
def SimplifiedLayerNormalization(rng):
    dtype = float_type(rng)
    shape = tuple(int(v) for v in rng.integers(1, 20, rng.integers(1, 4)))
    axis = pick(rng, -1, len(shape) - 1, *range(-len(shape), 0))
    x = floats(rng, *shape, dtype=dtype)
    outputs = [dtype, np.float32] if chance(rng, 0.3) else [dtype]
    return one_node(rng, "SimplifiedLayerNormalization", [x, maybe_constant(rng, floats(rng, *shape[axis:], dtype=dtype))], outputs, tolerance_of(dtype), domain="",
                    axis=axis, epsilon=pick(rng, 1e-5, 1e-6, 0.1), stash_type=1)


def skip_normalization(rng, op, has_beta):
    dtype = float_type(rng)
    b, s, h = (int(v) for v in rng.integers(1, 20, 3))
    shape = (b, s, h) if chance(rng, 0.7) else (s, h)
    x = floats(rng, *shape, dtype=dtype)
    skip = floats(rng, *pick(rng, shape, shape, shape, (1, s, h), (s, h)), dtype=dtype)
    inputs = [x, skip, maybe_constant(rng, floats(rng, h, dtype=dtype))]
    if has_beta:
        inputs.append(maybe_constant(rng, floats(rng, h, dtype=dtype)) if chance(rng, 0.7) else None)
    inputs.append(maybe_constant(rng, floats(rng, h, dtype=dtype)) if chance(rng) else None)
    outputs = [dtype, None, None, dtype] if chance(rng) else [dtype]
    return one_node(rng, op, inputs, outputs, tolerance_of(dtype), epsilon=pick(rng, 1e-5, 1e-12, 0.1))


@case
def SkipSimplifiedLayerNormalization(rng):
    return skip_normalization(rng, "SkipSimplifiedLayerNormalization", False)


@case
def SkipLayerNormalization(rng):
    return skip_normalization(rng, "SkipLayerNormalization", True)


@case
def EmbedLayerNormalization(rng):
    b, s, h, vocabulary, positions = (int(v) for v in rng.integers(1, 12, 5))
    positions += s
    dtype = float_type(rng)
    segments = chance(rng)
    inputs = [ints(rng, 0, vocabulary, b, s), ints(rng, 0, 2, b, s) if segments else None, maybe_constant(rng, floats(rng, vocabulary, h, dtype=dtype)),
              maybe_constant(rng, floats(rng, positions, h, dtype=dtype)), maybe_constant(rng, floats(rng, 2, h, dtype=dtype)) if segments else None,
              maybe_constant(rng, floats(rng, h, dtype=dtype)), maybe_constant(rng, floats(rng, h, dtype=dtype)), ints(rng, 0, 2, b, s) if chance(rng) else None,
              ints(rng, 0, positions, pick(rng, 1, b), s) if chance(rng) else None]
    outputs = [dtype, np.int32, dtype] if chance(rng) else [dtype, np.int32]
    return one_node(rng, "EmbedLayerNormalization", inputs, outputs, tolerance_of(dtype), epsilon=1e-5)


@case
def QEmbedLayerNormalization(rng):
    b, s, h, vocabulary, positions = (int(v) for v in rng.integers(1, 12, 5))
    positions += s
    dtype = int8_type(rng)
    segments = chance(rng)
    tables = [codes(rng, dtype, *shape) for shape in ((vocabulary, h), (positions, h), (2, h), (h,), (h,))]
    scales, zeros = zip(*(quantization(rng, dtype) for _ in range(5)))
    keep = [True, True, segments, True, True]
    constants = [Constant(t) if k else None for t, k in zip(tables, keep)]
    inputs = [ints(rng, 0, vocabulary, b, s), ints(rng, 0, 2, b, s) if segments else None, *constants[:3], *constants[3:], ints(rng, 0, 2, b, s) if chance(rng) else None]
    inputs += [Constant(v) if k else None for v, k in zip(scales, keep)] + [Constant(v) if k else None for v, k in zip(zeros, keep)]
    return one_node(rng, "QEmbedLayerNormalization", inputs, [np.float32, np.int32], (1e-4, 1e-4), epsilon=1e-5)


def activation_case(rng, op, bias=None, **attributes):
    dtype = float_type(rng) if op in ("FastGelu", "QuickGelu", "Gelu") else np.float32
    shape = tuple(int(v) for v in rng.integers(0 if chance(rng, 0.1) else 1, 20, rng.integers(1, 4)))
    inputs = [floats(rng, *shape, dtype=dtype, scale=3)]
    if bias:
        inputs.append(maybe_constant(rng, floats(rng, shape[-1], dtype=dtype)))
    return one_node(rng, op, inputs, [dtype], tolerance_of(dtype), **attributes)


@case
def BiasGelu(rng):
    return activation_case(rng, "BiasGelu", bias=True)


@case
def Gelu(rng):
    return activation_case(rng, "Gelu")


@case
def FastGelu(rng):
    return activation_case(rng, "FastGelu", bias=chance(rng))


@case
def QuickGelu(rng):
    return activation_case(rng, "QuickGelu", alpha=pick(rng, None, 1.0, 0.5))


# --- attention


def mask_of(rng, batch, rows, columns, past=0, index=True):
    kind = pick(rng, None, "index", "ends", "raw", "raw3") if index else pick(rng, None, "raw", "raw3")
    if kind == "index":
        return ints(rng, 1, columns + 1, batch)
    if kind == "ends":
        ends = rng.integers(1, columns + 1, batch)
        return np.concatenate([ends, rng.integers(0, ends)]).astype(np.int32)
    if kind == "raw":
        mask = ints(rng, 0, 2, batch, columns)
        mask[:, 0] = 1
        return mask
    if kind == "raw3":
        mask = ints(rng, 0, 2, batch, rows, columns)
        mask[:, :, 0] = 1
        return mask
    return None


@case
def Attention(rng):
    batch, rows, heads, size, width = int(rng.integers(1, 4)), int(rng.integers(1, 9)), int(rng.integers(1, 5)), int(rng.integers(1, 9)) * 2, int(rng.integers(1, 20))
    past = int(rng.integers(0, 6)) if chance(rng, 0.4) else None
    v_size = size if past is not None or chance(rng, 0.6) else int(rng.integers(1, 9)) * 2
    hidden, v_hidden = heads * size, heads * v_size
    sizes = [hidden, hidden, v_hidden] if v_size != size or chance(rng, 0.3) else None
    total = rows + (past or 0)
    wants = past is not None or (chance(rng, 0.3) and v_size == size)
    inputs = [floats(rng, batch, rows, width), maybe_constant(rng, floats(rng, width, 2 * hidden + v_hidden, scale=0.3)),
              maybe_constant(rng, floats(rng, 2 * hidden + v_hidden)) if chance(rng, 0.8) else None, mask_of(rng, batch, rows, total),
              floats(rng, 2, batch, heads, past, size) if past is not None else None,
              floats(rng, pick(rng, 1, batch), pick(rng, 1, heads), rows, total) if chance(rng, 0.3) else None]
    return one_node(rng, "Attention", inputs, [np.float32, np.float32] if wants else [np.float32], (2e-3, 2e-3), num_heads=heads,
                    unidirectional=int(chance(rng)), qkv_hidden_sizes=sizes, scale=pick(rng, None, None, 0.3), mask_filter_value=pick(rng, None, -1e4, -1e9))


@case
def Attention_mask_of_one(rng):
    """A mask with one column for all keys, which says nothing."""
    batch, rows, heads, size, width = int(rng.integers(1, 4)), int(rng.integers(1, 9)), int(rng.integers(1, 4)), int(rng.integers(1, 9)), int(rng.integers(1, 9))
    inputs = [floats(rng, batch, rows, width), floats(rng, width, 3 * heads * size, scale=0.3), floats(rng, 3 * heads * size),
              rng.integers(0, 2, (pick(rng, 1, batch), 1)).astype(np.int32)]
    return one_node(rng, "Attention", inputs, [np.float32], (2e-3, 2e-3), num_heads=heads, unidirectional=int(chance(rng)))


@case
def QAttention(rng):
    batch, rows, heads, size, width = int(rng.integers(1, 4)), int(rng.integers(1, 9)), int(rng.integers(1, 5)), int(rng.integers(1, 9)), int(rng.integers(1, 20))
    past = int(rng.integers(0, 6)) if chance(rng, 0.4) else None
    x_type, w_type = int8_type(rng), int8_type(rng)
    hidden = heads * size
    x_scale, x_zero = quantization(rng, x_type)
    w_scale, w_zero = quantization(rng, w_type, 3 * hidden if chance(rng) else None)
    total = rows + (past or 0)
    inputs = [codes(rng, x_type, batch, rows, width), Constant(weights(rng, w_type, width, 3 * hidden)), Constant(floats(rng, 3 * hidden)), Constant(x_scale),
              Constant(w_scale * np.float32(0.3)), mask_of(rng, batch, rows, total), Constant(x_zero) if chance(rng, 0.8) else None, None,
              floats(rng, 2, batch, heads, past, size) if past is not None else None]
    if chance(rng, 0.8) and inputs[6] is not None:
        inputs[7] = Constant(w_zero)
    outputs = [np.float32, np.float32] if past is not None or chance(rng, 0.3) else [np.float32]
    return one_node(rng, "QAttention", inputs, outputs, (2e-3, 1e-3), num_heads=heads, unidirectional=int(chance(rng)), scale=pick(rng, None, 0.2))


@case
def MultiHeadAttention(rng):
    batch, rows, heads, size = int(rng.integers(1, 4)), int(rng.integers(1, 9)), int(rng.integers(1, 5)), int(rng.integers(1, 9))
    form = pick(rng, "separate", "separate", "cross")  # ONNX Runtime's CPU does not take packed ones
    v_size = size if form == "cross" or chance(rng, 0.6) else int(rng.integers(1, 9))
    fresh = rows if chance(rng) else int(rng.integers(1, 9))
    past = int(rng.integers(0, 6)) if form == "separate" and chance(rng, 0.5) else None
    if past is not None:
        v_size, fresh = size, rows
    total = fresh + (past or 0)
    hidden, v_hidden = heads * size, heads * v_size
    query = floats(rng, batch, rows, hidden)
    if form == "cross":
        key, value = floats(rng, batch, heads, fresh, size), floats(rng, batch, heads, fresh, v_size)
    else:
        key, value = floats(rng, batch, fresh, hidden), floats(rng, batch, fresh, v_hidden)
    mask = mask_of(rng, batch, rows, total)
    if mask is not None and mask.ndim == 1:
        mask = mask[:batch]
    if mask is not None and mask.ndim == 2 and chance(rng, 0.3):
        mask = mask[:, :fresh]
    inputs = [query, key, value, maybe_constant(rng, floats(rng, 2 * hidden + v_hidden)) if chance(rng) else None, mask,
              floats(rng, pick(rng, 1, batch), pick(rng, 1, heads), rows, total) if chance(rng, 0.3) else None,
              floats(rng, batch, heads, past, size) if past is not None else None, floats(rng, batch, heads, past, v_size) if past is not None else None]
    outputs = [np.float32]
    if past is not None or (form == "separate" and chance(rng, 0.3)):
        outputs = [np.float32] * 3
    if form == "separate" and chance(rng, 0.2):
        outputs = (outputs + [None, None])[:3] + [np.float32]
    return one_node(rng, "MultiHeadAttention", inputs, outputs, (2e-3, 2e-3), num_heads=heads, unidirectional=int(chance(rng) and fresh == rows),
                    scale=pick(rng, None, None, 0.3), mask_filter_value=pick(rng, None, -1e4, -1e9))


@case
def MultiHeadAttention_beams(rng):
    """A cache in place whose rows come from beams: cache_indirection."""
    batch, beams, heads, size = int(rng.integers(1, 4)), int(rng.integers(1, 4)), int(rng.integers(1, 4)), int(rng.integers(1, 5)) * 4
    rows, hidden, past = batch * beams, heads * size, int(rng.integers(1, 6))
    capacity = past + int(rng.integers(1, 5))
    table = rng.integers(0, beams, (batch, beams, capacity)).astype(np.int32)
    kept = np.zeros((rows, heads, capacity, size), bool)
    kept[:, :, : past + 1] = True
    inputs = [*(floats(rng, rows, 1, hidden) for _ in range(3)), None, None, None, *(floats(rng, rows, heads, capacity, size) for _ in range(2)),
              np.array([past], np.int32), table if chance(rng, 0.8) else None]
    return one_node(rng, "MultiHeadAttention", inputs, [np.float32] * 3, (2e-3, 2e-3), valid={1: kept, 2: kept}, num_heads=heads, scale=pick(rng, None, None, 0.3))


@case
def MultiHeadAttention_causal(rng):
    """unidirectional, where the keys are not as many as the queries."""
    batch, heads, size = int(rng.integers(1, 3)), int(rng.integers(1, 4)), int(rng.integers(1, 9))
    rows, keys = (int(v) for v in rng.integers(1, 9, 2))
    hidden = heads * size
    past = int(rng.integers(0, 5)) if chance(rng, 0.3) else None
    inputs = [floats(rng, batch, rows, hidden), *(floats(rng, batch, keys, hidden) for _ in range(2)), None, None, None,
              *((floats(rng, batch, heads, past, size) for _ in range(2)) if past is not None else [])]

    def formula():
        q, k, v = (x.reshape(batch, -1, heads, size).swapaxes(1, 2) for x in inputs[:3])
        if past is not None:
            k, v = (np.concatenate(pair, 2) for pair in zip(inputs[6:], (k, v)))
        total = k.shape[2]
        scores = np.where(np.tri(rows, total, max(total - rows, past or 0)), q @ k.swapaxes(2, 3) / np.sqrt(size), -np.inf)
        shares = np.exp(scores - scores.max(-1, keepdims=True))
        out = (shares / shares.sum(-1, keepdims=True) @ v).swapaxes(1, 2).reshape(batch, rows, hidden).astype(np.float32)
        return [out] if past is None else [out, k, v]

    return one_node(rng, "MultiHeadAttention", inputs, [np.float32] * (1 if past is None else 3), (2e-3, 2e-3), formula=formula, num_heads=heads, unidirectional=1)


@case
def DecoderMaskedMultiHeadAttention(rng):
    batch, beams, heads, size = int(rng.integers(1, 4)), int(rng.integers(1, 4)), int(rng.integers(1, 5)), int(rng.integers(1, 5)) * 4
    v_size = size
    rows = batch * beams
    hidden = heads * size
    past, most = int(rng.integers(1, 6)), 0
    share = chance(rng, 0.7)
    cross = chance(rng, 0.3)
    share = share or (not cross and chance(rng, 0.8))  # ONNX Runtime refuses self-attention that does not
    capacity = past + int(rng.integers(1, 5)) if share else past
    query = floats(rng, rows, 1, hidden)
    if cross:
        total = past
        key, value = floats(rng, rows, heads, past, size), floats(rng, rows, heads, past, v_size)
        past_key = past_value = past_length = None
        outputs = [np.float32]
    else:
        total = past + 1
        key, value = floats(rng, rows, 1, hidden), floats(rng, rows, 1, hidden)
        past_key, past_value = floats(rng, rows, heads, capacity, size), floats(rng, rows, heads, capacity, v_size)
        past_length = np.array([past], np.int32) if share or chance(rng, 0.3) else None
        outputs = [np.float32] * 3
    mask = None
    if chance(rng, 0.4):
        mask = ints(rng, 0, 2, rows, total)
        mask[:, 0] = 1
    bias = floats(rng, 1 if beams > 1 else pick(rng, 1, rows), pick(rng, 1, heads), 1, total) if chance(rng, 0.3) else None
    indirection = None
    if not cross and share and beams > 1 or (share and chance(rng, 0.3) and not cross):
        indirection = ints(rng, 0, beams, batch, beams, capacity)
        bias = None if bias is None else bias[:1]  # ONNX Runtime gives all rows the bias of the first
    if chance(rng, 0.2):
        outputs = (outputs + [None, None])[:3] + [np.float32]
    valid = None
    if not cross and share:
        rows_there = np.zeros((rows, heads, capacity, size), bool)
        rows_there[:, :, :total] = True
        valid = {1: rows_there, 2: rows_there}
    inputs = [query, key, value, mask, bias, past_key, past_value, past_length, np.array([beams], np.int32) if indirection is not None else None, indirection,
              floats(rng, 3 * hidden) if chance(rng, 0.4) else None]
    return one_node(rng, "DecoderMaskedMultiHeadAttention", inputs, outputs, (1e-3, 1e-4), valid=valid, num_heads=heads, past_present_share_buffer=int(share and not cross),
                    scale=pick(rng, None, 0.3), mask_filter_value=pick(rng, None, -1e9), output_qk=1 if len(outputs) > 3 else None)


def rotary_cache(rng, positions, half, dtype):
    angles = rng.random((positions, half)) * 6
    return np.cos(angles).astype(dtype), np.sin(angles).astype(dtype)


@case
def GroupQueryAttention(rng):
    dtype = float_type(rng)
    batch, kv_heads, group, size = int(rng.integers(1, 4)), int(rng.integers(1, 4)), int(rng.integers(1, 4)), int(rng.integers(1, 4)) * 16
    heads = kv_heads * group
    prompt = chance(rng)
    rows = int(rng.integers(1, 9)) if prompt or (batch == 1 and chance(rng)) else 1
    pasts = np.zeros(batch, np.int64) if prompt else rng.integers(0 if rows == 1 else 1, 6, batch)
    totals = pasts + rows
    if prompt and chance(rng, 0.4):
        totals = rng.integers(1, rows + 1, batch)
        totals[0] = rows
    total = int(totals.max())
    capacity = int(pasts.max()) if chance(rng) and not prompt else (0 if prompt else total + int(rng.integers(0, 4)))
    packed = chance(rng, 0.3)
    has_past = not prompt or chance(rng, 0.4)
    q = floats(rng, batch, rows, (heads + 2 * kv_heads) * size if packed else heads * size, dtype=dtype)
    k = None if packed else floats(rng, batch, rows, kv_heads * size, dtype=dtype)
    v = None if packed else floats(rng, batch, rows, kv_heads * size, dtype=dtype)
    if prompt and has_past and chance(rng):
        capacity = rows + int(rng.integers(0, 5))
    past_k, past_v = (floats(rng, batch, kv_heads, capacity, size, dtype=dtype) for _ in range(2))
    rotary = chance(rng)
    rotated = pick(rng, size, size, 16) // 2
    cos, sin = rotary_cache(rng, total + 9, rotated, dtype) if rotary else (None, None)
    positions = None
    if rotary and chance(rng, 0.3):
        positions = (pasts[:, None] + np.arange(rows)[None]).astype(np.int64)
    bias = floats(rng, pick(rng, 1, batch), pick(rng, 1, heads), rows, total, dtype=dtype) if chance(rng, 0.3) else None
    sink = floats(rng, heads, dtype=dtype) if chance(rng, 0.2) else None
    present = max(capacity, total) if has_past else total
    kept = np.zeros((batch, kv_heads, present, size), bool)
    scores = np.zeros((batch, heads, rows, total), bool)
    for b in range(batch):
        kept[b, :, : totals[b]] = True
        scores[b] = totals[b] == total
    wanted_scores = pick(rng, 0, 0, 0, 1, 2)
    outputs = [dtype] * 3 + ([dtype] if wanted_scores else [])
    answered = np.zeros((batch, rows, heads * size), bool)
    for b in range(batch):
        answered[b, : rows if not prompt else totals[b]] = True
    inputs = [q, k, v, past_k if has_past else None, past_v if has_past else None, (totals - 1).astype(np.int32), np.array(total, np.int32), maybe_constant(rng, cos),
              maybe_constant(rng, sin), positions, bias, sink]
    causal = None if chance(rng, 0.8) else int(chance(rng))
    return one_node(rng, "GroupQueryAttention", inputs, outputs, (1e-3, 1e-4) if dtype == np.float32 else (1e-2, 1e-2), valid={0: answered, 1: kept, 2: kept, 3: scores}, num_heads=heads,
                    kv_num_heads=kv_heads, do_rotary=int(rotary), rotary_interleaved=int(rotary and chance(rng, 0.4)), scale=pick(rng, None, None, 0.3),
                    softcap=pick(rng, None, None, 5.0), local_window_size=pick(rng, None, None, 2, 4) if causal != 0 else None,
                    smooth_softmax=1 if sink is None and chance(rng, 0.2) else None, qk_output=wanted_scores or None, causal=causal)


@case
def GroupQueryAttention_without_cache(rng):
    """Nobody wants present_key and present_value."""
    whole = GroupQueryAttention(rng)
    model = onnx.ModelProto.FromString(whole.model.SerializeToString())
    del model.graph.node[0].output[1:], model.graph.output[1:]
    valid = {0: whole.valid[0]}
    return Made(model, whole.inputs, whole.tolerance, valid, None, lambda: engines.run_ort(whole.model.SerializeToString(), whole.inputs)[:1])


@case
def GroupQueryAttention_quantized(rng):
    """A cache of 8 or 4 bits, with scales for the whole or for each channel."""
    batch, kv_heads, group, size, rows = int(rng.integers(1, 4)), int(rng.integers(1, 4)), int(rng.integers(1, 3)), int(rng.integers(1, 4)) * 16, 1
    heads, prompt = kv_heads * group, chance(rng, 0.4)
    if prompt:
        rows = int(rng.integers(1, 9))
    past = 0 if prompt else int(rng.integers(1, 6))
    total = past + rows
    capacity = total + int(rng.integers(0, 4))
    bits = pick(rng, 8, 4)
    cache_type = np.int8 if bits == 8 else np.uint8
    by_channel = chance(rng)
    kind = "PER_CHANNEL" if by_channel else "PER_TENSOR"
    scales = [(rng.random((1, kv_heads, 1, size) if by_channel else (1,)) * 0.02 + 0.02).astype(np.float32) * (1 if bits == 8 else 16) for _ in range(2)]
    stored = size if bits == 8 else size // 2
    caches = [codes(rng, cache_type, batch, kv_heads, capacity, stored) for _ in range(2)]
    kept = np.zeros((batch, kv_heads, capacity, stored), bool)
    kept[:, :, :total] = True
    inputs = [floats(rng, batch, rows, heads * size), floats(rng, batch, rows, kv_heads * size), floats(rng, batch, rows, kv_heads * size), *caches,
              np.full(batch, total - 1, np.int32), np.array(total, np.int32), None, None, None, None, None, *scales]
    return one_node(rng, "GroupQueryAttention", inputs, [np.float32, cache_type, cache_type], (1e-2, 1e-2), valid={1: kept, 2: kept}, num_heads=heads,
                    kv_num_heads=kv_heads, k_quant_type=kind, v_quant_type=kind, kv_cache_bit_width=bits)


@case
def GroupQueryAttention_chunks(rng):
    """Right-padded chunks: query_seqlens."""
    batch, kv_heads, group, size, rows = int(rng.integers(1, 4)), int(rng.integers(1, 4)), int(rng.integers(1, 3)), 16, int(rng.integers(1, 8))
    heads = kv_heads * group
    fresh = rng.integers(1, rows + 1, batch)
    pasts = rng.integers(0, 6, batch)
    totals = pasts + fresh
    capacity = int(totals.max()) + int(rng.integers(0, 4)) + rows
    rotary = chance(rng)
    cos, sin = rotary_cache(rng, capacity + 9, size // 2, np.float32) if rotary else (None, None)
    kept = np.zeros((batch, kv_heads, capacity, size), bool)
    answered = np.zeros((batch, rows, heads * size), bool)
    for b in range(batch):
        kept[b, :, : totals[b]] = True
        answered[b, : fresh[b]] = True
    inputs = [floats(rng, batch, rows, heads * size), floats(rng, batch, rows, kv_heads * size), floats(rng, batch, rows, kv_heads * size),
              floats(rng, batch, kv_heads, capacity, size), floats(rng, batch, kv_heads, capacity, size), (totals - 1).astype(np.int32),
              np.array(int(totals.max()), np.int32), cos, sin, None, None, None, None, None, None, None, fresh.astype(np.int32)]
    return one_node(rng, "GroupQueryAttention", inputs, [np.float32] * 3, (1e-3, 1e-4), valid={0: answered, 1: kept, 2: kept}, num_heads=heads,
                    kv_num_heads=kv_heads, do_rotary=int(rotary), local_window_size=pick(rng, None, 3))


@case
def GroupQueryAttention_window(rng):
    """A cache that holds the last positions only: sliding_window_cache."""
    dtype = float_type(rng)
    window = int(rng.integers(1, 7))
    capacity = window + int(rng.integers(0, 5))
    batch, kv_heads, group, size = int(rng.integers(1, 4)), int(rng.integers(1, 4)), int(rng.integers(1, 3)), 16
    heads, padded = kv_heads * group, chance(rng, 0.4)
    rows = int(rng.integers(1, 14)) if padded or batch == 1 else 1
    fresh = rng.integers(1, rows + 1, batch) if padded else np.full(batch, rows)
    pasts = rng.integers(0, 20, batch) if padded or batch > 1 else np.full(batch, int(rng.integers(0, 20)))
    totals = pasts + fresh
    total = max(int(totals.max()), rows)
    quantized, rotary, packed = dtype == np.float32 and chance(rng, 0.2), chance(rng), chance(rng, 0.3)
    cache_type = np.int8 if quantized else dtype
    step = capacity - window + 1
    kept = np.zeros((batch, kv_heads, capacity, size), bool)
    answered = np.zeros((batch, rows, heads * size), bool)
    for b in range(batch):
        kept[b, :, : totals[b] if totals[b] <= capacity else totals[b] - step * -(-(totals[b] - capacity) // step)] = True
        answered[b, : fresh[b]] = True
    cos, sin = rotary_cache(rng, total + 9, size // 2, dtype) if rotary else (None, None)
    bias = floats(rng, pick(rng, 1, batch), pick(rng, 1, heads), rows, total, dtype=dtype) if not quantized and chance(rng, 0.3) else None
    scales = [np.array([0.03], np.float32)] * 2 if quantized else [None, None]
    q = floats(rng, batch, rows, (heads + 2 * kv_heads if packed else heads) * size, dtype=dtype)
    k, v = (None if packed else floats(rng, batch, rows, kv_heads * size, dtype=dtype) for _ in range(2))
    past = [codes(rng, np.int8, batch, kv_heads, capacity, size) if quantized else floats(rng, batch, kv_heads, capacity, size, dtype=dtype) for _ in range(2)]
    inputs = [q, k, v, *past, (totals - 1).astype(np.int32), np.array(total, np.int32), cos, sin, None, bias, None, *scales]
    if padded:
        inputs += [None, None, fresh.astype(np.int32)]
    kind = "PER_TENSOR" if quantized else None
    return one_node(rng, "GroupQueryAttention", inputs, [dtype, cache_type, cache_type], (1e-2, 1e-2) if quantized or dtype != np.float32 else (1e-3, 1e-4), valid={0: answered, 1: kept, 2: kept},
                    num_heads=heads, kv_num_heads=kv_heads, sliding_window_cache=1, local_window_size=window, do_rotary=int(rotary), k_quant_type=kind, v_quant_type=kind)


@case
def SparseAttention(rng):
    batch, kv_heads, group, size, block = int(rng.integers(1, 3)), int(rng.integers(1, 4)), int(rng.integers(1, 3)), int(rng.integers(1, 4)) * 8, 16
    heads, size = kv_heads * group, size * 2
    blocks = int(rng.integers(1, 6))
    most = blocks * block
    prompt = chance(rng)
    rows = int(rng.integers(1, most + 1)) if prompt else 1
    # One length for all: ONNX Runtime gives zeros for some heads of sequences that are shorter than others.
    totals = np.full(batch, rows if prompt else rng.integers(2, most + 1))
    total = int(totals.max())
    layouts = pick(rng, 1, kv_heads, heads)
    if heads % layouts:
        layouts = 1
    masks = (rng.random((layouts, blocks, blocks)) < 0.5) & np.tri(blocks, dtype=bool)
    masks |= np.eye(blocks, dtype=bool)
    row_at = np.zeros((layouts, blocks + 1), np.int32)
    column_lists = []
    for i in range(layouts):
        columns = []
        for r in range(blocks):
            columns += np.flatnonzero(masks[i, r]).tolist()
            row_at[i, r + 1] = len(columns)
        column_lists.append(columns)
    widest = max(map(len, column_lists))
    columns_at = np.array([c + [-1] * (widest - len(c)) for c in column_lists], np.int32)
    packed = chance(rng, 0.3)
    rotary = chance(rng)
    cos, sin = rotary_cache(rng, most + 3, size // 2, np.float32) if rotary else (None, None)
    kept = np.zeros((batch, kv_heads, most, size), bool)
    answered = np.zeros((batch, rows, heads * size), bool)
    for b in range(batch):
        kept[b, :, : totals[b]] = True
        answered[b, : totals[b] if prompt else rows] = True
    inputs = [floats(rng, batch, rows, (heads + 2 * kv_heads if packed else heads) * size), None if packed else floats(rng, batch, rows, kv_heads * size),
              None if packed else floats(rng, batch, rows, kv_heads * size), floats(rng, batch, kv_heads, most, size), floats(rng, batch, kv_heads, most, size),
              Constant(row_at), Constant(columns_at), np.array(total, np.int32), totals.astype(np.int32), cos, sin]
    return one_node(rng, "SparseAttention", inputs, [np.float32] * 3, (1e-3, 1e-4), valid={0: answered, 1: kept, 2: kept}, shared={"y1": "x3", "y2": "x4"}, num_heads=heads, kv_num_heads=kv_heads,
                    sparse_block_size=block, scale=pick(rng, None, 0.3), do_rotary=int(rotary), rotary_interleaved=int(rotary and chance(rng)))


def turned(rng, dtype, most_pairs):
    """Sizes, tables of angles and an input of rotary embeddings."""
    batch, rows, heads, size = int(rng.integers(1, 4)), int(rng.integers(1, 7)), int(rng.integers(1, 4)), int(rng.integers(2, most_pairs)) * 2
    partial = chance(rng, 0.4)
    rotated = int(rng.integers(1, size // 2 + 1)) if partial else size // 2
    most = rows + int(rng.integers(1, 9))
    cos, sin = rotary_cache(rng, most, rotated, dtype)
    x = floats(rng, batch, heads, rows, size, dtype=dtype) if chance(rng, 0.3) else floats(rng, batch, rows, heads * size, dtype=dtype)
    return partial, batch, rows, heads, rotated, most, cos, sin, x


@case
def RotaryEmbedding(rng):
    dtype = float_type(rng)
    partial, batch, rows, heads, rotated, most, cos, sin, x = turned(rng, dtype, 9)
    positions = np.array([rng.integers(0, most - rows + 1)], np.int64) if chance(rng) else ints(rng, 0, most, batch, rows, dtype=np.int64)
    named = partial or chance(rng)
    return one_node(rng, "RotaryEmbedding", [x, positions, maybe_constant(rng, cos), maybe_constant(rng, sin)], [dtype], tolerance_of(dtype), interleaved=int(chance(rng)),
                    num_heads=heads if named else None, rotary_embedding_dim=rotated * 2 if partial else None, scale=pick(rng, None, 1.0))


@case
def MRotaryEmbedding(rng):
    dtype = float_type(rng)
    partial, batch, rows, heads, rotated, most, cos, sin, x = turned(rng, dtype, 12)
    cuts = sorted(int(v) for v in rng.integers(0, rotated + 1, 2))
    return one_node(rng, "MRotaryEmbedding", [x, ints(rng, 0, most, 3, batch, rows, dtype=np.int64), maybe_constant(rng, cos), maybe_constant(rng, sin)], [dtype], tolerance_of(dtype),
                    interleaved=pick(rng, None, 0, 1), num_heads=heads, rotary_embedding_dim=rotated * 2 if partial else None, scale=pick(rng, None, 1.0, 0.7),
                    mrope_section=[cuts[0], cuts[1] - cuts[0], rotated - cuts[1]], mrope_layout=pick(rng, None, 0, 1, 1))


# --- quantised


def qlinear_pair(rng, dtype):
    return [*map(Constant, quantization(rng, dtype))]


def qlinear_binary(rng, op):
    dtype = int8_type(rng)
    shape = tuple(int(v) for v in rng.integers(1, 7, rng.integers(0, 4)))
    other = tuple(pick(rng, 1, v, v) for v in shape)[int(rng.integers(0, len(shape) + 1)) if chance(rng, 0.4) else 0:]
    a, b = codes(rng, dtype, *shape), codes(rng, dtype, *other)
    if chance(rng):
        a, b = b, a
    y = qlinear_pair(rng, dtype)
    return one_node(rng, op, [a, *qlinear_pair(rng, dtype), maybe_constant(rng, b, 0.4), *qlinear_pair(rng, dtype), *y], [dtype], (0, 1))


@case
def QLinearAdd(rng):
    return qlinear_binary(rng, "QLinearAdd")


@case
def QLinearMul(rng):
    return qlinear_binary(rng, "QLinearMul")


def qlinear_unary(rng, op, **attributes):
    dtype = int8_type(rng)
    shape = tuple(int(v) for v in rng.integers(1, 12, rng.integers(1, 4)))
    return one_node(rng, op, [codes(rng, dtype, *shape), *qlinear_pair(rng, dtype), *qlinear_pair(rng, dtype)], [dtype], (0, 1), **attributes)


@case
def QLinearSigmoid(rng):
    return qlinear_unary(rng, "QLinearSigmoid")


@case
def QLinearLeakyRelu(rng):
    return qlinear_unary(rng, "QLinearLeakyRelu", alpha=pick(rng, None, 0.2))


@case
def QLinearSoftmax(rng):
    dtype = int8_type(rng)
    shape = tuple(int(v) for v in rng.integers(1, 9, rng.integers(1, 4)))
    opset = pick(rng, 11, 13)
    y = [Constant(np.float32(1 / 256)), Constant(np.array(0 if dtype == np.uint8 else -128, dtype))]
    return one_node(rng, "QLinearSoftmax", [codes(rng, dtype, *shape), *qlinear_pair(rng, dtype), *y], [dtype], (0, 1), axis=int(rng.integers(-len(shape), len(shape))),
                    opset=opset)


@case
def QLinearWhere(rng):
    dtype = int8_type(rng)
    shape = tuple(int(v) for v in rng.integers(1, 7, rng.integers(1, 4)))
    shapes = [tuple(pick(rng, 1, v, v) for v in shape) for _ in range(3)]
    whole = [x for value in (codes(rng, dtype, *shapes[1]), codes(rng, dtype, *shapes[2])) for x in (value, *map(Constant, quantization(rng, dtype)))]
    return one_node(rng, "QLinearWhere", [rng.random(shapes[0]) < 0.5, *whole, *map(Constant, quantization(rng, dtype))], [dtype], (0, 1))


@case
def QLinearConcat(rng):
    dtype = int8_type(rng)
    shape = [int(v) for v in rng.integers(1, 6, rng.integers(1, 4))]
    axis = int(rng.integers(-len(shape), len(shape)))
    inputs = [*map(Constant, quantization(rng, dtype))]
    for _ in range(int(rng.integers(1, 4))):
        shape[axis] = int(rng.integers(1, 6))
        inputs += [codes(rng, dtype, *shape), *map(Constant, quantization(rng, dtype))]
    return one_node(rng, "QLinearConcat", inputs, [dtype], (0, 1), axis=axis)


@case
def QLinearAveragePool(rng):
    dtype = int8_type(rng)
    axes = int(rng.integers(1, 4))
    spatial = [int(v) for v in rng.integers(4, 9, axes)]
    batch, channels = int(rng.integers(1, 3)), int(rng.integers(1, 20))
    last = chance(rng)
    x = codes(rng, dtype, batch, *spatial, channels) if last else codes(rng, dtype, batch, channels, *spatial)
    kernel = [int(v) for v in rng.integers(1, 4, axes)]
    pads = [int(rng.integers(0, k)) for k in kernel * 2]
    return one_node(rng, "QLinearAveragePool", [x, *qlinear_pair(rng, dtype), *qlinear_pair(rng, dtype)], [dtype], (0, 1), channels_last=int(last), kernel_shape=kernel,
                    strides=[int(v) for v in rng.integers(1, 3, axes)] if chance(rng, 0.7) else None, pads=pads if chance(rng) else None,
                    **pick(rng, {}, {"ceil_mode": 1}, {"count_include_pad": 1}))  # with both, theirs divides by what lies beyond the padding, too


@case
def QLinearGlobalAveragePool(rng):
    dtype = int8_type(rng)
    shape = [int(v) for v in rng.integers(1, 9, int(rng.integers(3, 6)))]
    pairs = [*map(Constant, quantization(rng, dtype)), *map(Constant, quantization(rng, dtype))]
    return one_node(rng, "QLinearGlobalAveragePool", [codes(rng, dtype, *shape), *pairs], [dtype], (0, 1), channels_last=int(chance(rng)))


def packed4(rng, kind, *shape):
    import ml_dtypes

    dtype = {"int4": ml_dtypes.int4, "uint4": ml_dtypes.uint4}[kind]
    low, high = (-8, 8) if kind == "int4" else (0, 16)
    return rng.integers(low, high, shape).astype(dtype)


@case
def QuantizeLinear(rng):
    dtype = pick(rng, np.uint8, np.int8, np.uint16, np.int16)
    x_type = float_type(rng)
    shape = tuple(int(v) for v in rng.integers(1, 9, rng.integers(1, 4)))
    axis = int(rng.integers(-len(shape), len(shape)))
    by_axis = chance(rng)
    scale = (rng.random(shape[axis] if by_axis else ()) * 0.1 + 0.01).astype(x_type)
    zero = codes(rng, dtype, *np.shape(scale)) if chance(rng, 0.8) or dtype != np.uint8 else None
    return one_node(rng, "QuantizeLinear", [floats(rng, *shape, dtype=x_type, scale=3), scale, zero], [dtype], (0, 1), axis=axis)


@case
def DequantizeLinear(rng):
    dtype = pick(rng, np.uint8, np.int8, np.uint16, np.int16, np.int32)
    y_type = float_type(rng)
    shape = tuple(int(v) for v in rng.integers(1, 9, rng.integers(1, 4)))
    axis = int(rng.integers(-len(shape), len(shape)))
    scale = (rng.random(shape[axis] if chance(rng) else ()) * 0.01 + 0.001).astype(y_type)
    zero = None if chance(rng, 0.3) or dtype == np.int32 else codes(rng, dtype, *np.shape(scale))
    x = codes(rng, dtype, *shape) if dtype != np.int32 else ints(rng, -500, 500, *shape)
    return one_node(rng, "DequantizeLinear", [x, scale, zero], [y_type], tolerance_of(y_type), axis=axis)


@case
def GatherBlockQuantized(rng):
    import ml_dtypes

    block = pick(rng, 16, 32)
    kind = pick(rng, "int4", "uint4", "uint8", "uint8")
    scale_type = float_type(rng)
    bits = pick(rng, 2, 4, 8) if kind == "uint8" else 4
    rank = int(rng.integers(2, 4))
    shape = [int(v) for v in rng.integers(1, 6, rank)]
    quantized = int(rng.integers(0, rank)) if kind != "uint8" else rank - 1
    shape[quantized] = int(rng.integers(1, 70))
    per_byte = 8 // bits if kind == "uint8" else 1
    shape[-1] = -(-shape[-1] // per_byte) * per_byte
    if kind != "uint8" and shape[-1] % 2:
        shape[-1] += 1
    gathered = 0 if kind == "uint8" else int(rng.integers(0, rank))
    scale_shape = list(shape)
    scale_shape[quantized] = -(-shape[quantized] // block)
    stored = list(shape)
    stored[-1] //= per_byte
    data = codes(rng, np.uint8, *stored) if kind == "uint8" else packed4(rng, kind, *stored)
    zeros = None
    if chance(rng):
        zero_shape = list(scale_shape)
        zero_shape[-1] = -(-zero_shape[-1] // per_byte)
        zeros = codes(rng, np.uint8, *zero_shape) if kind == "uint8" else packed4(rng, kind, *zero_shape)
    indices = ints(rng, -shape[gathered], shape[gathered], *pick(rng, (), (3,), (2, 2)), dtype=pick(rng, np.int32, np.int64))
    inputs = [Constant(data), indices, Constant((rng.random(scale_shape) + 0.1).astype(scale_type)), None if zeros is None else Constant(zeros)]
    return one_node(rng, "GatherBlockQuantized", inputs, [scale_type], tolerance_of(scale_type), block_size=block, gather_axis=gathered,
                    quantize_axis=quantized - pick(rng, 0, rank), bits=bits if kind == "uint8" else None)


@case
def DynamicQuantizeLSTM(rng):
    directions = int(rng.integers(1, 3))
    batch, steps, width, hidden = int(rng.integers(1, 4)), int(rng.integers(1, 6)), int(rng.integers(1, 9)), int(rng.integers(1, 9))
    dtype = int8_type(rng)
    by_column = chance(rng)
    columns = (directions, 4 * hidden) if by_column else (directions,)
    inputs = [floats(rng, steps, batch, width)]
    tables = [Constant(weights(rng, dtype, directions, rows, 4 * hidden)) for rows in (width, hidden)]
    quantized = []
    for _ in range(2):
        zero = np.full(columns, 128 if dtype == np.uint8 else 0, dtype)
        quantized += [Constant((rng.random(columns) * 0.003 + 0.001).astype(np.float32)), Constant(zero)]
    inputs += [*tables, Constant(floats(rng, directions, 8 * hidden, scale=0.2)) if chance(rng) else None,
               ints(rng, 1, steps + 1, batch) if chance(rng, 0.3) else None, floats(rng, directions, batch, hidden) if chance(rng, 0.4) else None,
               floats(rng, directions, batch, hidden) if chance(rng, 0.4) else None, None, *quantized]
    direction = "bidirectional" if directions == 2 else pick(rng, "forward", "reverse")
    return one_node(rng, "DynamicQuantizeLSTM", inputs, [np.float32] * 3, (3e-2, 3e-2), hidden_size=hidden, direction=direction)


# --- experts


@case
def MoE(rng):
    tokens, hidden, inner, experts = int(rng.integers(1, 9)), int(rng.integers(1, 12)), int(rng.integers(1, 12)), int(rng.integers(1, 6))
    kind = pick(rng, "relu", "gelu", "silu", "identity", "swiglu")
    fusion = pick(rng, 1, 2) if kind == "swiglu" else None
    wide = inner * (2 if fusion else 1)
    x = floats(rng, *pick(rng, (tokens, hidden), (1, tokens, hidden)))
    inputs = [x, floats(rng, tokens, experts), maybe_constant(rng, floats(rng, experts, wide, hidden)), floats(rng, experts, wide) if chance(rng) else None,
              maybe_constant(rng, floats(rng, experts, hidden, inner)), floats(rng, experts, hidden) if chance(rng) else None]
    return one_node(rng, "MoE", inputs, [np.float32], (1e-3, 1e-3), k=int(rng.integers(1, experts + 1)), activation_type=kind, normalize_routing_weights=int(chance(rng)),
                    swiglu_fusion=fusion, activation_alpha=pick(rng, None, 1.702), activation_beta=pick(rng, None, 1.0), swiglu_limit=pick(rng, None, 2.0) if fusion else None)


@case
def QMoE(rng):
    bits = pick(rng, 4, 4, 8, 2)
    block = pick(rng, None, None, 16, 32)
    tokens, experts = int(rng.integers(1, 9)), int(rng.integers(1, 6))
    hidden, inner = (int(v) * 16 for v in rng.integers(1, 6, 2))
    kind = pick(rng, "relu", "gelu", "silu", "identity", "swiglu")
    fusion = pick(rng, 1, 2) if kind == "swiglu" else None
    wide = inner * (2 if fusion else 1)
    per_byte = 8 // bits

    def layer(rows, columns):
        blocks = -(-columns // (block or columns))
        grid = (experts, rows, blocks) if block else (experts, rows)
        weights = Constant(codes(rng, np.uint8, experts, rows, columns // per_byte))
        scales = Constant((rng.random(grid) * 0.02 + 0.005).astype(np.float32))
        bias = Constant(floats(rng, experts, rows)) if chance(rng) else None
        zero_shape = (experts, rows, -(-blocks // per_byte)) if block else (experts, -(-rows // per_byte))
        return weights, scales, bias, Constant(codes(rng, np.uint8, *zero_shape))

    first, second = layer(wide, hidden), layer(hidden, inner)
    zeros = chance(rng, 0.4)
    inputs = [floats(rng, tokens, hidden), floats(rng, tokens, experts), first[0], first[1], first[2], second[0], second[1], second[2], None, None, None,
              first[3] if zeros else None, second[3] if zeros else None]
    if chance(rng, 0.2):
        inputs += [None] * (14 - len(inputs)) + [rng.random((tokens, experts)).astype(np.float32)]
    chosen, normalized = int(rng.integers(1, experts + 1)), int(chance(rng))
    limit = pick(rng, None, 2.0) if fusion else None

    def formula():
        x, router = inputs[0], inputs[1]
        gates = np.exp(router - router.max(-1, keepdims=True))
        shares = inputs[14] if len(inputs) > 14 else gates / gates.sum(-1, keepdims=True)
        out = np.zeros((tokens, hidden))
        for t in range(tokens):
            best = np.argsort(-router[t], kind="stable")[:chosen]
            scale = shares[t, best].sum() if normalized or len(inputs) <= 14 else 1
            for e in best:
                out[t] += shares[t, e] / scale * dense(second, e, gated(dense(first, e, x[t])))
        return [out.astype(np.float32)]

    def dense(parts, e, x):
        codes, scales, bias, points = (part.array[e] if part is not None else None for part in parts)
        scales = scales.reshape(len(codes), -1)
        points = np.float32(1 << (bits - 1)) if not zeros else unpacked(points, bits)[..., : scales.shape[1] if block else len(codes)].reshape(scales.shape)
        w = unpacked(codes, bits)
        of_column = np.arange(w.shape[1]) // (block or w.shape[1])
        w = (w - np.broadcast_to(points, scales.shape)[:, of_column]) * scales[:, of_column]
        return w @ x.astype(np.float64) + (0 if bias is None else bias)

    def gated(h):
        if fusion is None:
            return {"relu": lambda: np.maximum(h, 0), "gelu": lambda: h / (1 + np.exp(-2 * np.sqrt(2 / np.pi) * (h + 0.044715 * h**3))), "silu": lambda: h / (1 + np.exp(-h)), "identity": lambda: h}[kind]()
        gate, linear = (h[::2], h[1::2]) if fusion == 1 else np.split(h, 2)
        if limit is not None:
            gate, linear = np.minimum(gate, limit), np.clip(linear, -limit, limit)
        return gate / (1 + np.exp(-1.702 * gate)) * (linear + 1)

    return one_node(rng, "QMoE", inputs, [np.float32], (1e-2, 1e-2), formula=formula, k=chosen, activation_type=kind, expert_weight_bits=bits, normalize_routing_weights=normalized,
                    swiglu_fusion=fusion, block_size=block, activation_alpha=1.702, activation_beta=1.0, swiglu_limit=limit, weights_prepacked=0)


@case
def NGramRepeatBlock(rng):
    batch, length, vocabulary = int(rng.integers(1, 4)), int(rng.integers(1, 12)), int(rng.integers(2, 6))
    return one_node(rng, "NGramRepeatBlock", [ints(rng, 0, vocabulary, batch, length, dtype=np.int64), floats(rng, batch, vocabulary)], [np.float32], (0, 0),
                    ngram_size=int(rng.integers(1, 4)))


# --- convolution and pooling


def window(rng, axes, spatial):
    kernel = [int(v) for v in rng.integers(1, 4, axes)]
    attributes = {"kernel_shape": kernel}
    if chance(rng):
        attributes["strides"] = [int(v) for v in rng.integers(1, 3, axes)]
    if chance(rng, 0.3):
        attributes["auto_pad"] = pick(rng, "SAME_UPPER", "SAME_LOWER", "VALID")
    elif chance(rng):
        attributes["pads"] = [int(rng.integers(0, k)) for k in kernel * 2]
    return kernel, attributes


@case
def FusedConv(rng):
    axes = int(rng.integers(1, 4))
    spatial = [int(v) for v in rng.integers(4, 9, axes)]
    group = pick(rng, 1, 1, 2, 3)
    channels, filters = group * int(rng.integers(1, 5)), group * int(rng.integers(1, 5))
    kernel, attributes = window(rng, axes, spatial)
    if "auto_pad" not in attributes and chance(rng, 0.3):
        attributes["dilations"] = [int(v) for v in rng.integers(1, 3, axes)]
        kernel[:] = [min(k, 2) for k in kernel]
        attributes["pads"] = [int(rng.integers(0, k)) for k in kernel * 2]
    activation = pick(rng, "Relu", "LeakyRelu", "Sigmoid", "Tanh", "HardSigmoid", "Clip", "HardSwish", None)
    parameters = {"LeakyRelu": [0.1], "HardSigmoid": [0.3, 0.4], "Clip": [-0.5, 1.0], "HardSwish": [1 / 6, 0.5]}.get(activation)
    inputs = [floats(rng, int(rng.integers(1, 3)), channels, *spatial), maybe_constant(rng, floats(rng, filters, channels // group, *kernel)),
              maybe_constant(rng, floats(rng, filters)) if chance(rng) else None]
    return one_node(rng, "FusedConv", inputs, [np.float32], (1e-4, 1e-4), group=group, activation=activation, activation_params=parameters, **attributes)


@case
def NhwcMaxPool(rng):
    dtype = int8_type(rng)
    axes = int(rng.integers(1, 4))
    spatial = [int(v) for v in rng.integers(4, 9, axes)]
    _, attributes = window(rng, axes, spatial)
    return one_node(rng, "NhwcMaxPool", [codes(rng, dtype, int(rng.integers(1, 3)), *spatial, int(rng.integers(1, 20)))], [dtype], (0, 0), ceil_mode=int(chance(rng, 0.3)), **attributes)


@case
def QLinearConv(rng):
    axes = int(rng.integers(1, 4))
    spatial = [int(v) for v in rng.integers(4, 9, axes)]
    group = pick(rng, 1, 1, 2, 3)
    channels, filters = group * int(rng.integers(1, 9)), group * int(rng.integers(1, 9))
    kernel, attributes = window(rng, axes, spatial)
    x_type = int8_type(rng)
    w_type = int8_type(rng) if x_type == np.uint8 else np.int8
    last = chance(rng, 0.7)
    batch = int(rng.integers(1, 3))
    x = codes(rng, x_type, batch, *spatial, channels) if last else codes(rng, x_type, batch, channels, *spatial)
    x_scale, x_zero = quantization(rng, x_type)
    w_scale, w_zero = quantization(rng, w_type, filters if chance(rng) else None, zero=chance(rng, 0.3))
    if np.ndim(w_zero):
        w_zero = np.zeros_like(w_zero)
    y_scale, y_zero = quantization(rng, x_type)
    w = weights(rng, w_type, filters, channels // group, *kernel)
    inputs = [x, *map(Constant, (x_scale, x_zero, w, w_scale, w_zero, np.float32(y_scale * 5), y_zero)), Constant(ints(rng, -500, 500, filters)) if chance(rng) else None]
    return one_node(rng, "QLinearConv", inputs, [x_type], (0, 1), channels_last=int(last), group=group, **attributes)


# --- small ones


def small_shape(rng, least=0, most=4, empty=0.05):
    return tuple(0 if chance(rng, empty) else int(v) for v in rng.integers(1, 6, rng.integers(least, most + 1)))


@case
def Trilu(rng):
    shape = small_shape(rng, 2)
    x = (rng.standard_normal(shape) * 9).astype(pick(rng, np.float32, np.float64, np.int64))
    k = np.array(rng.integers(-6, 7), np.int64) if chance(rng, 0.7) else None
    return one_node(rng, "Trilu", [x, maybe_constant(rng, k, 0.5)], [x.dtype], (0, 0), upper=pick(rng, None, 0, 1))


@case
def ExpandDims(rng):
    x = floats(rng, *small_shape(rng, 1, empty=0))
    axis = np.array(rng.integers(-min(x.ndim, x.size), min(x.ndim, x.size) + 1), np.int32)
    return one_node(rng, "ExpandDims", [x, maybe_constant(rng, axis, 0.6)], [x.dtype], (0, 0))


@case
def GatherND(rng):
    x = (rng.standard_normal(small_shape(rng, 1, empty=0)) * 9).astype(pick(rng, np.float32, np.float64, np.int32, np.int64))
    m = int(rng.integers(1, x.ndim + 1))
    rows = small_shape(rng, 0, 3)
    indices = np.stack([rng.integers(-size, size, rows) for size in x.shape[:m]], -1).astype(pick(rng, np.int32, np.int64))
    return one_node(rng, "GatherND", [x, maybe_constant(rng, indices, 0.5)], [x.dtype], (0, 0))


@case
def Unique(rng):
    x = rng.integers(-9, 10, int(rng.integers(0, 40))).astype(np.float32) / 4
    return one_node(rng, "Unique", [x], [np.float32, np.int64, np.int64], (0, 0))


@case
def Inverse(rng):
    dtype = pick(rng, np.float32, np.float32, np.float64, np.float16)
    n = int(rng.integers(1, 9))
    x = floats(rng, *small_shape(rng, 0, 2), n, n) + np.eye(n) * (n + 2)
    x = x[..., rng.permutation(n), :].astype(dtype)  # the pivots lie anywhere
    return one_node(rng, "Inverse", [x], [dtype], tolerance_of(dtype, (1e-4, 2e-5)) if dtype != np.float64 else (1e-10, 1e-12))


@case
def DynamicTimeWarping(rng):
    shape = (int(rng.integers(1, 20)), int(rng.integers(1, 20)))
    costs = rng.integers(0, 5, shape).astype(np.float32) if chance(rng) else floats(rng, *shape)  # small integers: many ways cost the same
    if chance(rng, 0.1):
        costs[rng.integers(0, shape[0]), rng.integers(0, shape[1])] = pick(rng, np.inf, np.nan, -np.inf)
    return one_node(rng, "DynamicTimeWarping", [costs[None] if chance(rng, 0.3) else costs], [np.int32], (0, 0))


@case
def UnfoldTensor(rng):
    shape = small_shape(rng, 1)
    axis = int(rng.integers(-len(shape), len(shape)))
    dim = pick(rng, axis, axis, None)
    least = shape[-1 if dim is None else dim]
    x = (rng.standard_normal(shape) * 9).astype(pick(rng, np.float32, np.float64, np.int32, np.int64))
    return one_node(rng, "UnfoldTensor", [x], [x.dtype], (0, 0), dim=dim, size=int(rng.integers(1, max(least, 1) + 1)), step=pick(rng, None, 1, 2, 3))


@case
def GatedAdd(rng):
    dtype = float_type(rng)
    shape = small_shape(rng, 1)
    return one_node(rng, "GatedAdd", [floats(rng, *shape, dtype=dtype), floats(rng, *shape, dtype=dtype), floats(rng, *shape[:-1], 1, dtype=dtype)], [dtype], tolerance_of(dtype))


@case
def ScaledSiLU(rng):
    dtype = float_type(rng)
    scale = np.array(rng.standard_normal() * 2, float_type(rng)) if chance(rng) else None
    return one_node(rng, "ScaledSiLU", [floats(rng, *small_shape(rng), dtype=dtype, scale=3), maybe_constant(rng, scale, 0.5)], [dtype], tolerance_of(dtype), alpha=pick(rng, None, 0.5, -1.7))


@case
def GatedRMSNorm(rng):
    dtype = float_type(rng)
    group = int(rng.integers(1, 20))
    shape = (*small_shape(rng, 0, 3), group * int(rng.integers(1, 4)))
    inputs = [floats(rng, *shape, dtype=dtype), maybe_constant(rng, floats(rng, group, dtype=dtype)), floats(rng, *shape, dtype=dtype, scale=3)]
    return one_node(rng, "GatedRMSNorm", inputs, [dtype], tolerance_of(dtype), activation=pick(rng, None, "silu", "swish", "sigmoid"), epsilon=pick(rng, None, 1e-6, 0.1))


@case
def CausalConvWithState(rng):
    dtype = float_type(rng)
    batch, channels, length, kernel = (int(rng.integers(1, most)) for most in (4, 9, 12, 6))
    weight, bias = floats(rng, channels, 1, kernel, dtype=dtype), floats(rng, channels, dtype=dtype) if chance(rng) else None
    past = floats(rng, batch, channels, kernel - 1, dtype=dtype) if chance(rng, 0.7) else None
    inputs = [floats(rng, batch, channels, length, dtype=dtype), maybe_constant(rng, weight), maybe_constant(rng, bias), past]
    return one_node(rng, "CausalConvWithState", inputs, [dtype, dtype], tolerance_of(dtype), activation=pick(rng, None, "none", "silu", "swish"), ndim=pick(rng, None, 1), state_window=pick(rng, None, 0))


@case
def LinearAttention(rng):
    queries, states = pick(rng, (4, 2), (3, 3), (2, 6), (1, 4), (6, 1))
    keys = pick(rng, *[n for n in (1, 2, 3, 4, 6) if states % n == 0])
    batch, length, k_size, v_size = int(rng.integers(1, 3)), int(rng.integers(1, 8)), int(rng.integers(1, 20)), int(rng.integers(1, 80))
    rule = pick(rng, None, "linear", "gated", "delta", "gated_delta")
    key = floats(rng, batch, length, keys, k_size)
    key = (key / np.sqrt((key**2).sum(-1, keepdims=True) + 1e-3)).astype(np.float32)
    decay = -np.abs(floats(rng, batch, length, states * pick(rng, 1, k_size))) if rule in (None, "gated", "gated_delta") else None
    beta = rng.random((batch, length, pick(rng, 1, states)), np.float32) if rule in (None, "delta", "gated_delta") else None
    past = floats(rng, batch, states, k_size, v_size) if chance(rng, 0.7) else None
    inputs = [floats(rng, batch, length, queries * k_size), key.reshape(batch, length, -1), floats(rng, batch, length, states * v_size), past, decay, beta]
    return one_node(rng, "LinearAttention", inputs, [np.float32, np.float32], (1e-4, 1e-4), q_num_heads=queries, kv_num_heads=states, update_rule=rule, scale=pick(rng, None, 1.0, 0.3), chunk_size=pick(rng, None, 16))


@case
def LinearAttentionGate(rng):
    dtype = float_type(rng)
    shape = (int(rng.integers(1, 3)), int(rng.integers(1, 6)), int(rng.integers(1, 9)))
    vectors = [maybe_constant(rng, floats(rng, shape[2])), maybe_constant(rng, -np.abs(floats(rng, shape[2])))]
    rate = chance(rng)
    inputs = [floats(rng, *shape, dtype=dtype, scale=3), *vectors, floats(rng, *shape, dtype=dtype, scale=3) if rate else None]
    return one_node(rng, "LinearAttentionGate", inputs, [dtype, dtype if rate else None], tolerance_of(dtype))


@case
def GridSample(rng):
    n, c, h, w, rows, columns = (int(v) for v in rng.integers(1, 7, 6))
    inputs = [floats(rng, n, c, h, w), floats(rng, n, rows, columns, 2, scale=0.8)]
    return one_node(rng, "GridSample", inputs, [np.float32], (1e-3, 1e-4), mode=pick(rng, None, "bilinear", "nearest", "bicubic"), padding_mode=pick(rng, None, "zeros", "border", "reflection"), align_corners=pick(rng, None, 0, 1))


@case
def Pad(rng):
    shape = small_shape(rng, 1, 3, empty=0)
    pads = rng.integers(0, 3, 2 * len(shape))
    mode = pick(rng, None, "constant", "reflect", "edge")
    if mode == "reflect":
        pads = np.minimum(pads, np.array(shape * 2) - 1)
    pads = pads.astype(np.int64).reshape(pick(rng, (-1,), (1, -1)))
    value = floats(rng, *pick(rng, (), (1,))) if chance(rng) and mode in (None, "constant") else None
    return one_node(rng, "Pad", [floats(rng, *shape), maybe_constant(rng, pads), value], [np.float32], (0, 0), mode=mode)


@case
def Range(rng):
    dtype = pick(rng, np.float32, np.float64, np.int32, np.int64, np.int16)
    start, limit, step = (np.array(v, dtype).reshape(pick(rng, (), (1,))) for v in (rng.integers(-9, 9), rng.integers(-9, 30), pick(rng, 1, 2, 3, -2)))
    inputs = [maybe_constant(rng, start), maybe_constant(rng, limit), maybe_constant(rng, step) if chance(rng) else None]
    return one_node(rng, "Range", inputs, [dtype], (0, 0))


def register(name, function):
    def make(draw):
        made = function(draw.rng)
        node = made.model.graph.node[0]
        features = {f"op={node.op_type}"} | {f"{a.name}={helper.get_attribute_value(a)}" for a in node.attribute if a.type in (1, 2, 3)}
        features |= {a.name for a in node.attribute} | {f"in{i}" for i, name in enumerate(node.input) if name}
        features |= {f"in{i}:{frame.NAMES_OF_TYPES[t.data_type]}" for i, name in enumerate(node.input) for t in made.model.graph.initializer if t.name == name}
        return frame.Case(made.model, made.inputs, compare=lambda ours, theirs: difference(made, ours, theirs), features=features, shared=made.shared, formula=made.formula)

    frame.GENERATORS[f"com.microsoft:{name}"] = make


for case_name, case_function in CASES.items():
    register(case_name, case_function)
