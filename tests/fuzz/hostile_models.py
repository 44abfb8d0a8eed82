"""Loads and runs models made hostile: each is a valid small model with an attribute, a constant, a shape or a connection
that nobody would write. Unlike coverage-guided bytes, every mutant is a whole model, so the mischief reaches the operators.

    hostile_models.py TARGET CORPUS --seconds N --crashes FOLDER

TARGET is fuzz_load_and_run, CORPUS a folder of models as make_corpus.py leaves it, with their inputs in CORPUS_inputs.
What breaks the target is kept in FOLDER, with its output beside it. Equal seeds make equal mutants.
"""

import argparse
import random
import re
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import onnx
from onnx import AttributeProto, TensorProto, helper, numpy_helper

INTS = [0, 0, 1, 1, 2, 3, 4, 5, 7, 8, 16, 17, 63, 64, 1000, -1, -1, -2, -3, -5, 10**6, 2**31 - 1, 2**31, -(2**31),
        2**32, 2**32 + 1, 2**62, 2**63 - 1, -(2**63), -(2**63) + 1]
FLOATS = [0.0, -0.0, 1.0, -1.0, 0.5, 2.0, 1e-40, 1e-30, 1e30, -1e30, 3.4e38, float("inf"), -float("inf"), float("nan")]
TEXTS = ["", "x", "SAME_UPPER", "SAME_LOWER", "VALID", "NOTSET", "linear", "cubic", "nearest", "reflect", "edge", "wrap",
         "add", "mul", "max", "ij,jk->ik", "...", "i->", "bidirectional", "reverse", "sum", "none", "é\u20ac", "a" * 300]
SIZES = [0, 0, 1, 1, 2, 3, 5, 8, 17, 1000, 2**31, 2**62, 2**63 - 1, -1]
MOST_ELEMENTS = 4096  # of a made constant


def hostile_int(rng):
    return rng.choice(INTS) if rng.random() < 0.8 else rng.randint(-20, 40)


def changed_list(rng, values, make):
    values = list(values)
    kind = rng.randrange(7)
    if kind == 0:
        return []
    if kind == 1:
        return [make(rng) for _ in values] or [make(rng)]
    if kind == 2:
        return values + [make(rng) for _ in range(rng.choice([1, 1, 2, 5, 40]))]
    if kind == 3:
        return values[: rng.randrange(len(values) + 1)]
    if kind == 4 and values:
        return [rng.choice(values) for _ in values]
    if kind == 5:
        return [make(rng)] * rng.choice([1, 2, 3, 4, 9])
    values = values or [0]
    values[rng.randrange(len(values))] = make(rng)
    return values


def random_attribute(rng, name):
    make = rng.choice([
        lambda: hostile_int(rng), lambda: rng.choice(FLOATS), lambda: rng.choice(TEXTS),
        lambda: [hostile_int(rng) for _ in range(rng.randrange(1, 5))],
        lambda: [rng.choice(FLOATS) for _ in range(rng.randrange(1, 5))],
        lambda: [rng.choice(TEXTS) for _ in range(rng.randrange(1, 4))],
        lambda: hostile_tensor(rng, name),
    ])
    return helper.make_attribute(name, make())


def of_kind(rng, name, kind):
    """An attribute of the type that the standard wants, and of any value."""
    if kind == AttributeProto.INT:
        return helper.make_attribute(name, hostile_int(rng))
    if kind == AttributeProto.FLOAT:
        return helper.make_attribute(name, rng.choice(FLOATS))
    if kind == AttributeProto.STRING:
        return helper.make_attribute(name, rng.choice(TEXTS))
    if kind == AttributeProto.TENSOR:
        return helper.make_attribute(name, hostile_tensor(rng, name))
    count = rng.choice([0, 1, 1, 2, 2, 3, 4, 8])
    make = {AttributeProto.INTS: lambda: hostile_int(rng), AttributeProto.FLOATS: lambda: rng.choice(FLOATS),
            AttributeProto.STRINGS: lambda: rng.choice(TEXTS)}.get(kind)
    if make is None:
        return None
    return helper.make_attribute(name, [make() for _ in range(count)], attr_type=kind)


def change_attribute(rng, node):
    wanted = {}
    if onnx.defs.has(node.op_type, node.domain):
        wanted = {name: int(a.type.value) for name, a in onnx.defs.get_schema(node.op_type, domain=node.domain).attributes.items()}
    names = sorted(set(wanted) | {a.name for a in node.attribute})
    if not names:
        return False
    name = rng.choice(names)
    here = next((a for a in node.attribute if a.name == name), None)
    if here is not None and here.type in (AttributeProto.GRAPH, AttributeProto.GRAPHS):
        return False
    if here is None:
        made = of_kind(rng, name, wanted[name])
        if made is None:
            return False
        node.attribute.append(made)
        return True
    if rng.random() < 0.08:
        node.attribute.remove(here)
    elif rng.random() < 0.05:
        here.CopyFrom(random_attribute(rng, name))
    elif here.type == AttributeProto.INTS:
        changed = changed_list(rng, here.ints, hostile_int)
        del here.ints[:]
        here.ints.extend(changed)
    elif here.type == AttributeProto.FLOATS:
        changed = changed_list(rng, here.floats, lambda r: r.choice(FLOATS))
        del here.floats[:]
        here.floats.extend(changed)
    elif here.type == AttributeProto.STRINGS:
        changed = changed_list(rng, here.strings, lambda r: r.choice(TEXTS).encode())
        del here.strings[:]
        here.strings.extend(changed)
    elif here.type == AttributeProto.TENSOR:
        return change_tensor(rng, here.t)
    else:
        made = of_kind(rng, name, here.type)
        if made is None:
            return False
        here.CopyFrom(made)
    return True


def array_of(tensor):
    try:
        array = numpy_helper.to_array(tensor)
    except Exception:  # a form that NumPy has not
        return None
    return array if array.size <= MOST_ELEMENTS else None


def hostile_elements(rng, array):
    array = array.copy()
    flat = array.reshape(-1)
    if not flat.size:
        return array
    some = range(flat.size) if rng.random() < 0.3 else [rng.randrange(flat.size) for _ in range(rng.choice([1, 1, 1, 3]))]
    for i in some:
        if array.dtype == object:
            flat[i] = rng.choice(TEXTS)
        elif array.dtype == bool:
            flat[i] = not flat[i]
        elif array.dtype.kind in "iu":
            bits = np.iinfo(array.dtype)
            value = hostile_int(rng)
            flat[i] = value if bits.min <= value <= bits.max else rng.choice([bits.min, bits.max, 0])
        elif array.dtype.kind == "f":
            with np.errstate(over="ignore"):
                flat[i] = rng.choice(FLOATS)
    return array


def other_shape(rng, array):
    kind = rng.randrange(7)
    if kind == 0:
        return array.reshape(-1)
    if kind == 1:
        return array.reshape((1,) + array.shape)
    if kind == 2:
        return array.reshape(-1)[:1].reshape(())  if array.size else array
    if kind == 3:
        shape = list(array.shape) or [1]
        shape[rng.randrange(len(shape))] = 0
        return np.zeros(shape, array.dtype)
    if kind == 4:
        return array.T
    if kind == 5 and array.ndim:
        axis = rng.randrange(array.ndim)
        return np.take(array, range(rng.randrange(array.shape[axis] + 1)), axis)
    return np.concatenate([array.reshape(-1)] * rng.choice([2, 3]))


def change_tensor(rng, tensor):
    array = array_of(tensor)
    kind = rng.random()
    if array is None or kind < 0.1:
        if kind < 0.05:
            tensor.data_type = rng.randrange(1, 27)
        else:
            tensor.dims[:] = changed_list(rng, tensor.dims, lambda r: r.choice(SIZES))
        return True
    array = hostile_elements(rng, array) if kind < 0.7 else other_shape(rng, array)
    name = tensor.name
    try:
        tensor.CopyFrom(numpy_helper.from_array(array, name))
    except Exception:
        return False
    return True


def hostile_tensor(rng, name=""):
    dtype = rng.choice([np.float32, np.float32, np.int64, np.int64, np.int32, np.uint8, np.int8, np.float16, bool])
    shape = [rng.choice([0, 1, 1, 2, 3, 4, 5]) for _ in range(rng.choice([0, 1, 1, 1, 2, 3, 4]))]
    return numpy_helper.from_array(hostile_elements(rng, np.ones(shape, dtype)), name)


def change_shape(rng, graph):
    ports = [p for p in graph.input if p.type.HasField("tensor_type")]
    if not ports:
        return False
    tensor = rng.choice(ports).type.tensor_type
    kind = rng.randrange(7)
    dims = tensor.shape.dim
    if kind == 0:
        tensor.ClearField("shape")
    elif kind == 1:
        tensor.elem_type = rng.choice([1, 1, 2, 3, 5, 6, 7, 7, 8, 9, 10, 11, 12, 13, 14, 16, 17, 21, 22, 23, rng.randrange(27)])
    elif kind == 2:
        dims.add().dim_value = rng.choice([0, 1, 2, 3])
    elif kind == 3 and dims:
        del dims[rng.randrange(len(dims))]
    elif dims:
        for d in dims if rng.random() < 0.2 else [rng.choice(dims)]:
            if rng.random() < 0.3:
                d.Clear()
                if rng.random() < 0.7:
                    d.dim_param = rng.choice(["n", "m"])
            else:
                d.dim_value = rng.choice(SIZES)
    return True


def change_connection(rng, graph, node):
    kind = rng.randrange(7)
    names = [i.name for i in graph.initializer] + [i.name for i in graph.input] + [n for m in graph.node for n in m.output if n]
    if kind == 0 and node.input:
        node.input[rng.randrange(len(node.input))] = ""
    elif kind == 1 and node.input and names:
        node.input[rng.randrange(len(node.input))] = rng.choice(names)
    elif kind == 2 and names:
        node.input.append(rng.choice(names))
    elif kind == 3 and node.input:
        del node.input[rng.randrange(len(node.input))]
    elif kind == 4 and node.output:
        at = rng.randrange(len(node.output))
        if any(o.name == node.output[at] for o in graph.output) and len(graph.output) > 1:
            graph.output.remove(next(o for o in graph.output if o.name == node.output[at]))
        node.output[at] = "" if rng.random() < 0.5 else node.output[at]
    elif kind == 5:
        extra = f"extra{rng.randrange(10**6)}"
        node.output.append(extra)
        graph.output.add().name = extra
    elif node.input and graph.input is not None:
        extra = hostile_tensor(rng, f"extra{rng.randrange(10**6)}")
        graph.initializer.append(extra)
        node.input[rng.randrange(len(node.input))] = extra.name
    else:
        return False
    return True


def all_nodes(graph):
    for node in graph.node:
        yield graph, node
        for a in node.attribute:
            for body in [a.g] if a.type == AttributeProto.GRAPH else a.graphs:
                yield from all_nodes(body)


def bind_inputs(rng, model, inputs):
    """Gives some inputs the test's own values: as constants, or as sums with a scalar input, which only a run knows."""
    graph = model.graph
    constant = {i.name for i in graph.initializer}
    for port in list(graph.input):
        tensor = inputs.get(port.name)
        if tensor is None or port.name in constant:
            continue
        kind = rng.random()
        if kind < 0.3:
            continue
        made = TensorProto()
        made.CopyFrom(tensor)
        made.name = port.name
        numeric = tensor.data_type in (TensorProto.FLOAT, TensorProto.INT64, TensorProto.INT32)
        if kind < 0.6 or not numeric:
            graph.initializer.append(made)
            graph.input.remove(port)
        else:
            made.name = port.name + "_value"
            zero = port.name + "_zero"
            graph.initializer.append(made)
            graph.node.insert(0, helper.make_node("Add", [made.name, zero], [port.name]))
            graph.input.append(helper.make_tensor_value_info(zero, tensor.data_type, []))
            graph.input.remove(port)


def mutant(rng, model, inputs):
    made = onnx.ModelProto()
    made.CopyFrom(model)
    bind_inputs(rng, made, inputs)
    graph = made.graph
    if rng.random() < 0.3:  # sizes that only a run knows
        for port in graph.input:
            for k, d in enumerate(port.type.tensor_type.shape.dim):
                d.dim_param = f"{port.name}_{k}"
    if rng.random() < 0.5:
        del graph.value_info[:]
    for o in graph.output:
        if rng.random() < 0.5:
            o.type.tensor_type.ClearField("shape") if o.type.HasField("tensor_type") else None
    nodes = list(all_nodes(graph))
    if not nodes:
        return made
    for _ in range(rng.choice([1, 1, 1, 2, 2, 3])):
        for _attempt in range(4):
            where, node = rng.choice(nodes)
            kind = rng.random()
            if kind < 0.45:
                done = change_attribute(rng, node)
            elif kind < 0.72:
                done = bool(where.initializer) and change_tensor(rng, rng.choice(where.initializer))
            elif kind < 0.86:
                done = change_shape(rng, where)
            elif kind < 0.97:
                done = change_connection(rng, where, node)
            else:
                done = bool(made.opset_import)
                if done:
                    rng.choice(made.opset_import).version = rng.choice([1, 6, 7, 9, 10, 11, 12, 13, 14, 17, 18, 21, 23, 25, 27])
            if done:
                break
    return made


def read_inputs(path):
    """Of NAME.inputs: tensors, each after its length."""
    found, data, at = {}, path.read_bytes() if path.exists() else b"", 0
    while at < len(data):
        (size,) = struct.unpack_from("<I", data, at)
        tensor = TensorProto.FromString(data[at + 4 : at + 4 + size])
        found[tensor.name] = tensor
        at += 4 + size
    return found


def run_batch(target, files, crashes):
    """Runs the files; the mutants that broke the target are moved to `crashes`."""
    broken = 0
    while files:
        done = subprocess.run([str(target), "-timeout=20", "-rss_limit_mb=3000", *map(str, files)], capture_output=True)
        if done.returncode == 0:
            return broken
        output = done.stderr.decode(errors="replace")
        names = re.findall(r"^Running: (.*)$", output, re.MULTILINE)
        if not names:
            raise SystemExit(f"{target} ended with {done.returncode}: {output}")
        culprit = Path(names[-1])
        kept = crashes / culprit.name
        kept.write_bytes(culprit.read_bytes())
        kept.with_suffix(".txt").write_text(output[output.rindex("Running: ") :])
        found = re.search(r"(SUMMARY|runtime error|ERROR: libFuzzer): .*|linnet: .*", output)
        print(f"{culprit.name}: {found.group(0)[:200] if found else f'exit code {done.returncode}'}", flush=True)
        broken += 1
        files = files[[str(f) for f in files].index(names[-1]) + 1 :]
    return broken


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("target", type=Path)
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--crashes", type=Path, required=True)
    parser.add_argument("--first-round", type=int, default=0)
    parser.add_argument("--only", default="", help="a part of the names of the models to change")
    arguments = parser.parse_args()
    arguments.crashes.mkdir(parents=True, exist_ok=True)
    models = []
    inputs_of = arguments.corpus.with_name(arguments.corpus.name + "_inputs")
    for path in sorted(arguments.corpus.glob("*.onnx")):
        if arguments.only in path.name:
            models.append((path.stem, onnx.load(str(path), load_external_data=False), read_inputs(inputs_of / f"{path.stem}.inputs")))
    end = time.monotonic() + arguments.seconds
    made = broken = 0
    number = arguments.first_round
    while time.monotonic() < end and models:
        with tempfile.TemporaryDirectory() as folder:
            files = []
            for name, model, inputs in models:
                rng = random.Random(f"{name} {number}")
                try:
                    data = mutant(rng, model, inputs).SerializeToString()
                except ValueError:  # a number that its field cannot hold
                    continue
                files.append(Path(folder, f"{name}_{number}.onnx"))
                files[-1].write_bytes(data)
            for first in range(0, len(files), 200):
                if time.monotonic() >= end:
                    break
                batch = files[first : first + 200]
                broken += run_batch(arguments.target, batch, arguments.crashes)
                made += len(batch)
        number += 1
    print(f"{made} hostile models, {broken} broke {arguments.target.name}; rounds {arguments.first_round} to {number}")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
