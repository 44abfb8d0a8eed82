"""Speed of single operators beside ONNX Runtime.

Both engines live in this process with inputs and outputs bound once. Their runs alternate in short rounds; a case's figure is
the median over its rounds, `best` the ratio of the fastest rounds. ONNX Runtime runs with all its optimisations.

  run.py                       every case
  run.py Conv 'Reduce*'        the operators that match
"""

import argparse
import ctypes
import fnmatch
import json
import statistics
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
sys.path += [str(HERE), str(ROOT / "tests/differential")]

import linnet_c  # noqa: E402
import numpy as np  # noqa: E402
import onnxruntime  # noqa: E402
from cases import CASES, EXCEPT  # noqa: E402
from engines import ort_value  # noqa: E402

LIMIT = 1.5  # times ONNX Runtime's


class Linnet:
    def __init__(self, library, engine, case):
        self.model = linnet_c.Model(library, engine, case.data)
        self.binding = library.make("linnet_binding_create", self.model.session.pointer)
        self.arrays = {name: np.ascontiguousarray(array).reshape(array.shape) for name, array in case.inputs.items()}
        self.values = []
        for name, array in self.arrays.items():
            value = library.value(array) if array.dtype == object else library.borrow(array)
            library.call("linnet_binding_set_input", self.binding.pointer, name.encode(), value.pointer)
            self.values.append(value)
        self.call = library.dll.linnet_binding_run
        self.call.restype, self.call.argtypes = ctypes.c_void_p, [ctypes.c_void_p, ctypes.c_void_p]
        self.pointer = self.binding.pointer.value
        library.call("linnet_binding_run", self.pointer, None)

    def run(self):
        self.call(self.pointer, None)


class Theirs:
    def __init__(self, threads, case):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 4
        self.session = onnxruntime.InferenceSession(case.data, options, providers=["CPUExecutionProvider"])
        self.inputs = case.inputs
        if any(array.dtype == object for array in case.inputs.values()):
            self.run = lambda: self.session.run(None, self.inputs)
            return
        self.binding = self.session.io_binding()
        self.values = {name: ort_value(array) for name, array in case.inputs.items()}
        for name, value in self.values.items():
            self.binding.bind_ortvalue_input(name, value)
        self.session.run_with_iobinding(self.bind("cpu"))
        for port, value in zip(self.session.get_outputs(), self.binding.get_outputs()):
            self.binding.bind_ortvalue_output(port.name, value)
        bound, run = self.binding._iobinding, self.session._sess.run_with_iobinding
        self.run = lambda: run(bound, None)

    def bind(self, device):
        for port in self.session.get_outputs():
            self.binding.bind_output(port.name, device)
        return self.binding


def repeat(run, count, clock):
    start = clock()
    for _ in range(count):
        run()
    return (clock() - start) / count


def measure(engines, seconds, rounds, clock):
    """Seconds a run: for each engine, one figure a round."""
    counts = []
    for engine in engines:
        engine.run()
        once = min(repeat(engine.run, 1, clock) for _ in range(3))
        counts.append(max(1, int(seconds / rounds / max(once, 1e-7))))
    figures = [[], []]
    for i in range(rounds):
        for which in (0, 1) if i % 2 else (1, 0):
            figures[which].append(repeat(engines[which].run, counts[which], clock))
    return figures


HEAD = "| operator | case | Linnet µs | ONNX Runtime µs | ratio | best | |\n|---|---|--:|--:|--:|--:|---|"


def markdown(row):
    if "error" in row:
        return f"| {row['operator']} | {row['case']} | | | | | {row['error']} |"
    return "| {operator} | {case} | {linnet_us:.1f} | {ort_us:.1f} | {ratio:.2f} | {best:.2f} | {note} |".format(**row)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pattern", nargs="*", help="operators, or parts of a case's name")
    parser.add_argument("--linnet", type=Path, default=ROOT / "build/release/linnet", help="liblinnet.so lies beside it")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=0.5, help="for each engine and case")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--cpu", action="store_true", help="the calling thread's processor time: steadier where others are busy")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--worst", action="store_true", help="slowest first")
    arguments = parser.parse_args()
    if arguments.cpu and arguments.threads != 1:
        parser.error("--cpu counts one thread")
    onnxruntime.set_default_logger_severity(4)
    library = linnet_c.Library(arguments.linnet.with_name("liblinnet.so"))
    engine = library.engine(arguments.threads)
    clock = time.thread_time if arguments.cpu else time.perf_counter

    def wanted(operator, name):
        return not arguments.pattern or any(fnmatch.fnmatch(operator, p) or p in f"{operator} {name}" for p in arguments.pattern)

    rows = []
    print(HEAD, flush=True)
    for operator, name, make in CASES:
        if not wanted(operator, name):
            continue
        row = {"operator": operator, "case": name}
        try:
            case = make()
            engines = [Linnet(library, engine, case), Theirs(arguments.threads, case)]
            ours, theirs = measure(engines, arguments.seconds, arguments.rounds, clock)
            row |= {"linnet_us": statistics.median(ours) * 1e6, "ort_us": statistics.median(theirs) * 1e6, "best": min(ours) / min(theirs)}
            row["ratio"] = row["linnet_us"] / row["ort_us"]
            slow = min(row["ratio"], row["best"]) > LIMIT
            row["note"] = EXCEPT.get((operator, name), "**slow**") if slow else ""
        except Exception as error:  # one case must not cost the others
            row["error"] = f"{type(error).__name__}: {str(error).splitlines()[0][:120]}"
        rows.append(row)
        if not arguments.worst:
            print(markdown(row), flush=True)
    if arguments.worst:
        rows.sort(key=lambda row: -row.get("ratio", 0))
        print("\n".join(map(markdown, rows)))
    slow = [row for row in rows if row.get("note")]
    print(f"\n{len(rows)} cases, {len(slow)} slower than {LIMIT} times ONNX Runtime, {sum('error' in row for row in rows)} with an error")
    if arguments.json:
        arguments.json.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
