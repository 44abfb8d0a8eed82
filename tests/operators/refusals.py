"""What operators refuse although the definition allows it: the sentences in their sources."""

import re
from pathlib import Path

SOURCES = Path(__file__).resolve().parent.parent.parent / "src/ops"
HEAD = """
## What is refused

Every sentence with which an operator's source refuses a node that its definition allows (`unsupported(...)`; element types stand
above), by file. `…` is a number or a name of the node's. Most are bounds that no exporter comes near. Those that a model for
another device may meet, and why:

- **Weights packed for a device** (MatMulNBits with `weight_prepacked`, QMoE with `weights_prepacked` 1): the layouts belong to
  kernels of certain GPUs, or of one build of ONNX Runtime. Its CPU provider reads such a MatMulNBits as if it were not packed, and
  the numbers come out wrong. Export with 0.
- **QMoE with `quant_type`** fp4, nvfp4, fp8 and wfp4afp8, weights of 3 bits, `swiglu_limit_after_activation`, and the activations relu2
  and geglu (of MoE, too), and GatedAdd with `gate_weight`: for CUDA only. ONNX Runtime's CPU provider refuses them, but for
  `quant_type`, at which it does not look: it reads the weights as integers.
- **com.microsoft's Attention with `do_rotary`, or with a mask of four axes**: ONNX Runtime's CPU provider refuses both as well. Export
  MultiHeadAttention with RotaryEmbedding; give the mask three axes, or as `attention_bias`.

| file | operators | refused |
|---|---|---|
"""
MOST_NAMES = 8


def call_at(text, start):
    """The arguments of the call whose bracket opens before `start`."""
    depth, quoted, arguments, argument = 1, False, [], ""
    i = start
    while depth:
        c = text[i]
        if quoted:
            quoted = c != '"'
            if c == "\\":
                argument += c
                i += 1
                c = text[i]
        elif c in "([{":
            depth += 1
        elif c in ")]}":
            depth -= 1
        elif c == '"':
            quoted = True
        elif c == "," and depth == 1:
            arguments.append(argument)
            argument, c = "", ""
        argument += c if depth else ""
        i += 1
    return [*arguments, argument]


def sentence(arguments):
    """None for those about element types."""
    if any("dtype_name" in argument for argument in arguments):
        return None
    parts = []
    for argument in arguments:
        texts = re.findall(r'"((?:[^"\\]|\\.)*)"', argument)
        parts.append("".join(texts) if re.fullmatch(r'\s*(?:"(?:[^"\\]|\\.)*"\s*)+', argument) else "…")
    return re.sub("…+", "…", "".join(parts)).strip().replace("|", "\\|")


def refusals():
    """(file, operators, sentences)"""
    for path in sorted([*SOURCES.rglob("*.cpp"), *SOURCES.rglob("*.h")]):
        text = path.read_text()
        if path.name in ("registry.cpp", "element_types.cpp") or path.parent.name == "upgrade" and path.stem == "raise":
            continue  # unknown operators and types; the last is of rewriting models
        found = [sentence(call_at(text, match.end())) for match in re.finditer(r"\bunsupported\(", text)]
        constants = dict(re.findall(r'constexpr const char\* (k\w+) =\s*"([^"]+)"', text))
        for match in re.finditer(r"\bunsupported\((k\w+)\)", text):
            found.append(constants.get(match.group(1)))
        names = sorted(set(re.findall(r'\{\s*"[a-z.]*",\s*"(\w+)",\s*(?:\d|k[A-Z])', text)))
        yield str(path.relative_to(SOURCES)), names, sorted({s for s in found if s and s.strip("…")})


def section():
    rows = []
    for name, operators, sentences in refusals():
        if not sentences:
            continue
        several = ", ".join(operators[:MOST_NAMES]) + (f" and {len(operators) - MOST_NAMES} more" if len(operators) > MOST_NAMES else "")
        rows.append(f"| {name} | {several or 'shared'} | {'; '.join(sentences)} |\n")
    return HEAD + "".join(rows)


if __name__ == "__main__":
    print(section())
