"""Recurrent networks, attention, and signals."""

import numpy as np
from case import dtype_of, generator, node_case
from engines import versions


@generator("LSTM", "GRU", "RNN")
def recurrent(draw, op):
    opset = draw.one(versions(op, least=7))
    gates = {"LSTM": 4, "GRU": 3, "RNN": 1}[op]
    direction = draw.one(["forward", "reverse", "bidirectional"])
    d = 2 if direction == "bidirectional" else 1
    steps, batch, size, hidden = draw.integer(1, 6), draw.one([1, 1, 2, 3, 5]), draw.integer(1, 9), draw.one([1, 2, 3, 8, 16, 17])
    attributes = {"hidden_size": hidden}
    if draw.chance(0.8) or d == 2 or direction == "reverse":
        attributes["direction"] = direction
    else:
        direction = "forward"
    # Their batch-first form has no kernel.
    if draw.chance(0.2):
        attributes["clip"] = draw.number(0.3, 2)
    kind = "float"
    names = ["Sigmoid", "Tanh", "Relu", "HardSigmoid", "Softsign", "LeakyRelu", "Affine", "ThresholdedRelu", "ScaledTanh", "Elu"]
    count = {"LSTM": 3, "GRU": 2, "RNN": 1}[op] * d
    if draw.chance(0.3):
        attributes["activations"] = [draw.one(names[:5]) for _ in range(count)]
    if op == "GRU" and draw.chance(0.5):
        attributes["linear_before_reset"] = draw.integer(0, 1)
    if op == "LSTM" and draw.chance(0.2):
        attributes["input_forget"] = draw.integer(0, 1)
    array = lambda *shape: draw.array(kind, shape, -1, 1)  # noqa: E731
    inputs = [
        array(steps, batch, size), array(d, gates * hidden, size), array(d, gates * hidden, hidden),
        array(d, 2 * gates * hidden) if draw.chance(0.7) else None,
        draw.rng.integers(1, steps + 1, batch).astype(np.int32) if draw.chance(0.4) else None,
        array(d, batch, hidden) if draw.chance(0.5) else None,
    ]  # fmt: skip
    outputs = [draw.chance(0.8), draw.chance(0.8)]
    if op == "LSTM":
        inputs.append(array(d, batch, hidden) if draw.chance(0.5) else None)
        inputs.append(array(d, 3 * hidden) if draw.chance(0.3) else None)
        outputs.append(draw.chance(0.8))
    if not any(outputs):
        outputs[0] = True
    return node_case(draw, op, inputs, attributes, outputs=outputs, opset=opset, constants=0.8, never_constant=(0,), atol=2e-5, rtol=1e-4)


@generator("Attention")
def attention(draw, op):
    opset = draw.one([23, 24])
    kind = "float"
    batch, kv_heads, queries, keys, width = draw.integer(1, 3), draw.integer(1, 3), draw.integer(1, 9), draw.integer(1, 9), draw.one([2, 4, 8, 16])
    heads, v_width = kv_heads * draw.one([1, 1, 2, 3]), width if draw.chance(0.8) else draw.one([3, 8])
    past = draw.integer(1, 5) if draw.chance(0.3) else 0
    flat = draw.chance(0.4)
    shape = lambda h, s, w: (batch, s, h * w) if flat else (batch, h, s, w)  # noqa: E731
    inputs = [draw.array(kind, shape(heads, queries, width), -2, 2), draw.array(kind, shape(kv_heads, keys, width), -2, 2), draw.array(kind, shape(kv_heads, keys, v_width), -2, 2)]
    attributes = {}
    if flat:
        attributes |= {"q_num_heads": heads, "kv_num_heads": kv_heads}
    if draw.chance(0.3):
        attributes["scale"] = draw.number(0.1, 1)
    if draw.chance(0.4):
        attributes["is_causal"] = draw.integer(0, 1)
    if draw.chance(0.2):
        attributes["softcap"] = draw.number(1, 5)
    total = keys + past
    mask = None
    if draw.chance(0.4):
        outer = draw.one([(), (1, 1), (batch, 1), (batch, heads)])
        mask = draw.array("float", (*outer, queries, total), -2, 2) if draw.chance(0.6) else draw.rng.random((*outer, queries, total)) < 0.8
        if mask.dtype == bool:
            mask[..., 0] = True
    inputs.append(mask)
    if past:
        inputs += [draw.array(kind, (batch, kv_heads, past, width), -2, 2), draw.array(kind, (batch, kv_heads, past, v_width), -2, 2)]
    outputs = [True, bool(past), bool(past), draw.chance(0.1)]
    if outputs[3]:
        attributes["qk_matmul_output_mode"] = draw.integer(0, 3)
    return node_case(draw, op, inputs, attributes, outputs=outputs, opset=opset, constants=0, atol=2e-5, rtol=1e-4)


@generator("RotaryEmbedding")
def rotary_embedding(draw, op):
    batch, heads, steps, width = draw.integer(1, 3), draw.integer(1, 4), draw.integer(1, 6), draw.one([2, 4, 8, 16, 32])
    rotary = draw.one([0, 0, width // 2 // 2 * 2])
    cached = (rotary or width) // 2
    flat = draw.chance(0.4)
    x = draw.array("float", (batch, steps, heads * width) if flat else (batch, heads, steps, width), -3, 3)
    attributes = {"interleaved": draw.integer(0, 1)} | ({"rotary_embedding_dim": rotary} if rotary else {}) | ({"num_heads": heads} if flat or rotary and flat else {})
    positions = draw.chance(0.6)
    shape = (20, cached) if positions else (batch, steps, cached)
    inputs = [x, draw.array("float", shape, -1, 1), draw.array("float", shape, -1, 1)]
    if positions:
        inputs.append(draw.rng.integers(0, 20, (batch, steps)).astype(np.int64))
    return node_case(draw, op, inputs, attributes, opset=23, atol=1e-5)


@generator("HannWindow", "HammingWindow", "BlackmanWindow")
def window_function(draw, op):
    from case import TYPE_NAMES

    size = np.array(draw.integer(2, 40), dtype_of(draw.one(["int32", "int64"])))
    attributes = {"periodic": draw.integer(0, 1)} if draw.chance(0.7) else {}
    if draw.chance(0.6):
        attributes["output_datatype"] = TYPE_NAMES[draw.one(["float", "double"])]
    return node_case(draw, op, [size], attributes, opset=17, atol=1e-6)


@generator("MelWeightMatrix")
def mel_weights(draw, op):
    rate = draw.one([8000, 16000, 22050])
    length = draw.one([64, 256, 400])
    low = draw.number(0, 200)
    inputs = [np.array(draw.integer(1, 20), np.int64), np.array(length, np.int64), np.array(rate, np.int64), np.float32(low), np.float32(draw.number(rate / 8, rate / 2 - 1))]
    return node_case(draw, op, [np.asarray(value) for value in inputs], opset=17, atol=1e-5)


@generator("DFT")
def dft(draw, op):
    opset = draw.one([17, 20])
    kind = draw.one(["float", "double"])
    rank = draw.integer(1, 3)
    parts = draw.one([1, 2])
    shape = [draw.integer(1, 3)] + [draw.integer(1, 20) for _ in range(rank)] + [parts]
    axis = draw.integer(1, rank)
    attributes = {"inverse": draw.integer(0, 1)} if draw.chance(0.6) else {}
    if parts == 1 and not attributes.get("inverse") and draw.chance(0.5):
        attributes["onesided"] = draw.integer(0, 1)
    length = np.array(draw.integer(1, 24), np.int64) if draw.chance(0.4) else None
    x = draw.array(kind, shape, -3, 3)
    if opset == 17:
        return node_case(draw, op, [x, length], attributes | {"axis": axis}, opset=17, of_max=2e-5, atol=1e-5, constants=0.5)
    return node_case(draw, op, [x, length, np.array(axis if draw.chance(0.6) else axis - len(shape), np.int64)], attributes, opset=20, of_max=2e-5, atol=1e-5, constants=0.5)


@generator("STFT")
def stft(draw, op):
    kind = draw.one(["float", "double"])
    length, frame, step = draw.integer(16, 60), draw.integer(2, 16), draw.integer(1, 8)
    parts = draw.one([1, 1, 2])
    signal = draw.array(kind, (draw.integer(1, 3), length, parts), -3, 3)
    window = draw.array(kind, (frame,), 0.1, 1) if draw.chance(0.6) else None
    inputs = [signal, np.array(step, np.int64), window, np.array(frame, np.int64) if window is None or draw.chance(0.5) else None]
    onesided = 0 if parts == 2 else draw.integer(0, 1)
    return node_case(draw, op, inputs, {"onesided": onesided}, opset=17, of_max=2e-5, atol=1e-5, constants=0.5)


