"""com.microsoft's generation operators around a GPT-2, a T5 and a Whisper of one layer with random weights."""

import case as frame
import numpy as np
from onnx import helper, numpy_helper, parser

HEADS, SIZE, VOCABULARY = 2, 8, 60
WIDTH = HEADS * SIZE
PAD, END = 0, VOCABULARY - 25
# Of Whisper; those behind them are timestamps.
TOKENS = {
    "decoder_start_token_id": END + 1, "translate_token_id": END + 2, "transcribe_token_id": END + 3, "start_of_lm_token_id": END + 4,
    "no_timestamps_token_id": END + 5, "beginning_timestamp_token_id": END + 6,
}  # fmt: skip


def weights(draw):
    def normal(*shape, scale=0.4):
        return (draw.rng.standard_normal(shape) * scale).astype(np.float32)

    matrices = {name: normal(WIDTH, WIDTH) for name in ("wq", "wk", "wv", "wcq", "wck", "wcv")}
    return matrices | {
        "words": normal(VOCABULARY, WIDTH, scale=1.0), "places": normal(64, WIDTH, scale=0.7), "wqkv": normal(WIDTH, 3 * WIDTH), "bqkv": normal(3 * WIDTH),
        "head": normal(WIDTH, VOCABULARY, scale=0.5), "split": np.array([0, 0, HEADS, SIZE]), "minus": np.float32(-10000), "one": np.float32(1),
        "bias_axes": np.array([1, 2]),
    }  # fmt: skip


def graph(name, inputs, outputs, body, constants):
    model = parser.parse_model(f'<ir_version: 8, opset_import: ["" : 17, "com.microsoft" : 1]> {name} ({inputs}) => ({outputs}) {{ {body} }}')
    used = {i for node in model.graph.node for i in node.input}
    model.graph.initializer.extend(numpy_helper.from_array(np.asarray(array), key) for key, array in constants.items() if key in used)
    return model.graph


def heads_of(name, source, weight):
    return f"{name}_flat = MatMul ({source}, {weight}) {name}_split = Reshape ({name}_flat, split) {name} = Transpose <perm = [0, 2, 1, 3]> ({name}_split)"


def gpt(constants):
    return graph(
        "gpt",
        f"int32[batch, step] input_ids, int32[batch, step] position_ids, int32[batch, total] attention_mask, float[2, batch, {HEADS}, past, {SIZE}] past_0",
        f"float[batch, step, {VOCABULARY}] logits, float[2, batch, {HEADS}, total, {SIZE}] present_0",
        f"""w = Gather (words, input_ids) p = Gather (places, position_ids) x = Add (w, p)
        a, present_0 = com.microsoft.Attention <num_heads = {HEADS}, unidirectional = 1> (x, wqkv, bqkv, attention_mask, past_0)
        r = Add (a, x) logits = MatMul (r, head)""",
        constants,
    )


CACHE = f"float[batch, {HEADS}, {{}}, {SIZE}] {{}}"
MASK_BIAS = "seen = Cast <to = 1> (encoder_attention_mask) hidden = Sub (one, seen) large = Mul (hidden, minus) bias = Unsqueeze (large, bias_axes)"


def decoder_body(own_key, own_value, cross_key, cross_value, bias):
    return f"""own = com.microsoft.MultiHeadAttention <num_heads = {HEADS}, unidirectional = {{causal}}> (q, {own_key}, {own_value})
        z = Add (own, y) cq = MatMul (z, wcq)
        cross = com.microsoft.MultiHeadAttention <num_heads = {HEADS}> (cq, {cross_key}, {cross_value}{bias})
        o = Add (cross, z) logits = MatMul (o, head)"""


def encoder(constants, whisper):
    """It runs the decoder's first step, too."""
    source = f"float[batch, {WIDTH}, source] encoder_input_ids" if whisper else "int32[batch, source] encoder_input_ids, int32[batch, source] encoder_attention_mask"
    states = "encoder_hidden_states = Transpose <perm = [0, 2, 1]> (encoder_input_ids)" if whisper else f"{MASK_BIAS} encoder_hidden_states = Gather (words, encoder_input_ids)"
    caches = ", ".join(
        CACHE.format(rows, f"present_{kind}_{place}_0") for place, rows in (("self", "step"), ("cross", "source")) for kind in ("key", "value")
    )
    return graph(
        "encoder",
        f"{source}, int32[batch, step] decoder_input_ids",
        f"float[batch, step, {VOCABULARY}] logits, float[batch, source, {WIDTH}] encoder_hidden_states, {caches}",
        f"""{states} y = Gather (words, decoder_input_ids) q = MatMul (y, wq)
        {heads_of("present_key_self_0", "y", "wk")} {heads_of("present_value_self_0", "y", "wv")}
        {heads_of("present_key_cross_0", "encoder_hidden_states", "wck")} {heads_of("present_value_cross_0", "encoder_hidden_states", "wcv")}
        """
        + decoder_body("present_key_self_0", "present_value_self_0", "present_key_cross_0", "present_value_cross_0", "" if whisper else ", , , bias").format(causal=1),
        constants,
    )


def decoder(constants, whisper):
    mask = "" if whisper else "int32[batch, source] encoder_attention_mask,"
    past = [CACHE.format("past", f"past_{kind}_self_0") for kind in ("key", "value")] + [CACHE.format("source", f"past_{kind}_cross_0") for kind in ("key", "value")]
    present = [CACHE.format("total", f"present_{kind}_self_0") for kind in ("key", "value")]
    return graph(
        "decoder",
        f"int32[batch, 1] input_ids, {mask} {', '.join(past)}",
        f"float[batch, 1, {VOCABULARY}] logits, {', '.join(present)}",
        f"""{'' if whisper else MASK_BIAS} y = Gather (words, input_ids) q = MatMul (y, wq) {heads_of("k", "y", "wk")} {heads_of("v", "y", "wv")}
        present_key_self_0 = Concat <axis = 2> (past_key_self_0, k) present_value_self_0 = Concat <axis = 2> (past_value_self_0, v)
        """
        + decoder_body("present_key_self_0", "present_value_self_0", "past_key_cross_0", "past_value_cross_0", "" if whisper else ", , , bias").format(causal=0),
        constants,
    )


def around(draw, op, names, feeds, outputs, attributes):
    """The model of one node. `names`: its inputs in order; those without a value in `feeds` are left out."""
    names = [name if name in feeds else "" for name in names]
    while not names[-1]:
        names.pop()
    node = helper.make_node(op, names, [name if name else "" for name in outputs], domain="com.microsoft", eos_token_id=END, pad_token_id=PAD, **attributes)
    inputs = [helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(feeds[name].dtype), None) for name in names if name]
    results = [helper.make_tensor_value_info(name, 6 if name == "sequences" else 1, None) for name in outputs if name]
    model = helper.make_model(
        helper.make_graph([node], "generation", inputs, results), opset_imports=[helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)], ir_version=8
    )
    features = {f"op={op}"} | {f"{key}={value}" for key, value in attributes.items() if isinstance(value, int)}
    features |= {"several rows"} if len(feeds["input_ids"]) > 1 else set()
    return frame.Case(model, {name: feeds[name] for name in names if name}, compare=equal_sequences, features=features)


def equal_sequences(ours, theirs):
    for o, (a, b) in enumerate(zip(ours, theirs, strict=True)):
        if a.shape != b.shape or a.dtype != b.dtype:
            return f"output {o}: {a.dtype}{list(a.shape)}, theirs {b.dtype}{list(b.shape)}"
        if a.ndim == 4:  # scores of steps: ONNX Runtime leaves those that do not run as it finds them
            b = np.where(a.any(axis=(1, 2, 3), keepdims=True), b, a)
        same = np.array_equal(a, b) if a.dtype.kind == "i" else np.allclose(np.maximum(a, -1e30), np.maximum(b, -1e30), rtol=1e-3, atol=1e-3)
        if not same:
            return f"output {o}: ours {a.ravel()[:40].tolist()} theirs {b.ravel()[:40].tolist()}"
    return ""


def ended_sequences(start):
    """ONNX Runtime leaves what lies behind the end of a sequence as it finds it."""

    def compare(ours, theirs):
        theirs = [theirs[0].copy()]
        for row, mine in zip(theirs[0], ours[0]):
            for t in range(start, len(mine)):
                if (mine[t:] == PAD).all():
                    row[t:] = PAD
                    break
        return equal_sequences(ours, theirs)

    return compare


def number(value, dtype=np.int32):
    return np.array([value], dtype)


def limits(draw, start):
    feeds = {"max_length": number(start + draw.integer(2, 12))}
    if draw.chance(0.5):
        feeds["min_length"] = number(draw.integer(0, int(feeds["max_length"][0]) - 1))
    if draw.chance(0.4):
        feeds["repetition_penalty"] = number(draw.one([0.7, 1.3]), np.float32)
    if draw.chance(0.3):
        feeds["vocab_mask"] = (draw.rng.random(VOCABULARY) < 0.8).astype(np.int32)
    return feeds


def beam_feeds(draw, start, batch):
    feeds = limits(draw, start)
    beams = draw.integer(1, 4)
    feeds |= {"num_beams": number(beams), "num_return_sequences": number(draw.integer(1, beams))}
    # ONNX Runtime asks for these.
    feeds["length_penalty"] = number(draw.one([0.5, 1.0, 2.0]), np.float32)
    feeds.setdefault("min_length", number(0))
    feeds.setdefault("repetition_penalty", number(1, np.float32))
    if draw.chance(0.3):
        feeds["prefix_vocab_mask"] = (draw.rng.random((batch, VOCABULARY)) < 0.8).astype(np.int32)
    return feeds


def prompt(draw, batch, length):
    ids = draw.rng.integers(1, END, (batch, length)).astype(np.int32)
    if draw.chance(0.4):  # padding on the left
        for row in ids:
            row[: draw.integer(0, length - 1)] = PAD
    return ids


def common(draw):
    return {"no_repeat_ngram_size": draw.one([0, 0, 2, 3])}


BEAM_INPUTS = ["input_ids", "max_length", "min_length", "num_beams", "num_return_sequences", "length_penalty", "repetition_penalty", "vocab_mask",
               "prefix_vocab_mask", "attention_mask", "decoder_input_ids", "logits_processor"]  # fmt: skip
BEAM_OUTPUTS = [["sequences"], ["sequences", "sequences_scores"], ["sequences", "sequences_scores", "scores"]]


@frame.generator("BeamSearch", prefix="com.microsoft:")
def beam_search(draw, name):
    constants, batch = weights(draw), draw.integer(1, 3)
    length = draw.integer(1, 5)
    ids = prompt(draw, batch, length)
    attributes = common(draw) | {"early_stopping": draw.integer(0, 1)}
    if draw.chance(0.6):
        feeds = beam_feeds(draw, length, batch)
        attributes |= {"model_type": 0, "decoder": gpt(constants)}
    else:
        feeds = beam_feeds(draw, 1, batch)
        attributes |= {"model_type": 1, "decoder": decoder(constants, False), "encoder": encoder(constants, False), "decoder_start_token_id": 1}
    if draw.chance(0.3):
        feeds["attention_mask"] = (ids != PAD).astype(np.int32)
    return around(draw, name, BEAM_INPUTS, feeds | {"input_ids": ids}, draw.one(BEAM_OUTPUTS), attributes)


@frame.generator("WhisperBeamSearch", prefix="com.microsoft:")
def whisper(draw, name):
    constants, batch, start = weights(draw), draw.integer(1, 3), draw.integer(1, 3)
    feeds = beam_feeds(draw, start, batch)
    feeds["input_ids"] = draw.rng.standard_normal((batch, WIDTH, draw.integer(1, 6))).astype(np.float32)
    feeds["decoder_input_ids"] = draw.rng.integers(1, END, (batch, start)).astype(np.int32)
    if draw.chance(0.6):
        feeds["logits_processor"] = number(1)
        constants["head"][:, TOKENS["beginning_timestamp_token_id"] :] *= draw.one([1.0, 2.0, 4.0])
        if draw.chance(0.5):
            feeds["decoder_input_ids"][:, -1] = TOKENS["beginning_timestamp_token_id"] + draw.integer(0, 5)
    if draw.chance(0.4):
        feeds["temperature"] = number(draw.one([0.5, 1.0, 2.0]), np.float32)
    attributes = common(draw) | TOKENS | {"model_type": 2, "early_stopping": draw.integer(0, 1), "decoder": decoder(constants, True), "encoder": encoder(constants, True)}
    return around(draw, name, [*BEAM_INPUTS, "", "", "temperature"], feeds, draw.one(BEAM_OUTPUTS), attributes)


@frame.generator("GreedySearch", "Sampling", prefix="com.microsoft:")
def one_sequence(draw, name):
    constants, batch, length = weights(draw), draw.integer(1, 3), draw.integer(1, 5)
    ids = prompt(draw, batch, length)
    feeds = limits(draw, length) | {"input_ids": ids}
    if draw.chance(0.3):
        feeds["prefix_vocab_mask"] = (draw.rng.random((batch, VOCABULARY)) < 0.8).astype(np.int32)
    if draw.chance(0.3):
        feeds["attention_mask"] = (ids != PAD).astype(np.int32)
    attributes = common(draw) | {"model_type": 0, "decoder": gpt(constants)}
    inputs = ["input_ids", "max_length", "min_length", "repetition_penalty", "vocab_mask", "prefix_vocab_mask", "attention_mask"]
    outputs = ["sequences"]
    if name == "Sampling":
        feeds["seed"] = number(draw.integer(1, 1000))
        # Without a presence mask: ONNX Runtime takes all of its penalties off the first token.
        inputs += ["presence_mask", "seed"]
        attributes |= {"temperature": draw.one([0.7, 1.0, 2.0]), "top_p": draw.one([0.3, 0.9]), "custom": draw.integer(0, 1)}
        if not attributes["custom"]:
            attributes["min_tokens_to_keep"] = draw.integer(0, 3)
    case = around(draw, name, inputs, feeds, outputs, attributes)
    case.compare = ended_sequences(length)
    return case
