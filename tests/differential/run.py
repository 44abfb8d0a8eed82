"""Random models of single operators: Linnet against ONNX Runtime, and Linnet against itself.

Each case is made from its generator's name and a seed. Linnet runs it with all optimisations, with none (same tolerance)
and with two threads (same bits). ONNX Runtime runs it unoptimised. Where it has no kernel, or refuses, nothing is compared.

  run.py                            the subset that `./dev test differential` runs
  run.py --cases 100000             for long
  run.py --case 'Reduce*' --cases 2000
  run.py --case Resize --seed 17    one case, told in full
"""

import argparse
import collections
import dataclasses
import importlib
import multiprocessing
import os
import pkgutil
import sys
import time
import tomllib
from pathlib import Path

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
sys.path.insert(0, str(HERE))

import case as case_module  # noqa: E402
import cases  # noqa: E402

TIMEOUT_S = 300  # one case
MOST_DEATHS = 100  # of workers, before it is not worth going on
QUICK = 16  # seeds of each generator


@dataclasses.dataclass
class Outcome:
    name: str
    seed: int
    status: str  # same, differs, known, not compared, invalid
    message: str = ""
    features: tuple = ()


def load_generators():
    for module in pkgutil.iter_modules(cases.__path__):
        importlib.import_module(f"cases.{module.name}")


def examine(linnet, name, seed):
    import compare
    import engines

    try:
        case = case_module.make_case(name, seed)
    except case_module.Refused as refused:
        return Outcome(name, seed, "invalid", str(refused))
    except Exception as error:  # a defect of the generator, which must not pass for a case
        return Outcome(name, seed, "differs", f"the generator failed: {type(error).__name__}: {error}")
    features = tuple(sorted(case.features))
    data = case.model.SerializeToString()
    try:
        theirs = engines.run_ort(data, case.inputs, case.shared)
    except engines.NoKernel as none:
        return Outcome(name, seed, "not compared", (str(none).splitlines() or [""])[0], features)
    ours = None
    for what, options in [("", {}), ("unoptimised: ", {"level": 0}), ("two threads: ", {"threads": 2})]:
        try:
            found = linnet.run(data, case.inputs, **options)
        except engines.linnet_c.LinnetError as error:
            return Outcome(name, seed, "differs", f"{what}error {error.code}: {error}", features)
        difference = compare.identical(ours, found) if "threads" in options else compare.outputs(case, found, theirs)
        if difference:
            return Outcome(name, seed, "differs", what + difference + third_opinion(case, found, theirs), features)
        ours = ours or found
    return Outcome(name, seed, "same", "", features)


def third_opinion(case, ours, theirs):
    """With whom onnx's reference implementation agrees, or the case's own formula."""
    import compare
    import engines

    reference = engines.run_reference(case)
    if isinstance(reference, str):
        return ""
    try:
        agrees = [who for who, outputs in [("ours", ours), ("theirs", theirs)] if not compare.outputs(case, outputs, reference)]
    except Exception:  # outputs of other kinds than expected
        return ""
    return f" (reference: {' and '.join(agrees) or 'neither'})"


def work(linnet_path, tasks, pipe):
    import engines

    linnet = engines.Linnet(linnet_path)
    for name, seed in tasks:
        pipe.send(("start", name, seed))
        try:
            pipe.send(examine(linnet, name, seed))
        except Exception as error:  # a defect of these tests
            pipe.send(Outcome(name, seed, "differs", f"the test failed: {type(error).__name__}: {error}"))
    pipe.send("done")


def run_all(linnet_path, tasks, jobs):
    """Outcomes as they come. A process that dies or hangs costs its case, not the run."""
    context = multiprocessing.get_context("fork")
    queues = [collections.deque(tasks[i::jobs]) for i in range(jobs)]
    running, deaths = {}, 0

    def start(queue):
        ours, theirs = context.Pipe(duplex=False)
        process = context.Process(target=work, args=(linnet_path, list(queue), theirs), daemon=True)
        process.start()
        theirs.close()
        running[ours] = [process, queue, None, time.monotonic()]

    for queue in filter(None, queues):
        start(queue)
    while running:
        for pipe in multiprocessing.connection.wait(list(running), timeout=5):
            entry = running[pipe]
            process, queue, current, _ = entry
            try:
                message = pipe.recv()
            except EOFError:
                process.join()
                del running[pipe]
                if current is None:
                    raise SystemExit(f"a worker ended with {process.exitcode} before its first case") from None
                yield Outcome(*current, "differs", f"the process ended with {process.exitcode}")
                deaths += 1
                if deaths > MOST_DEATHS:
                    raise SystemExit("too many processes died")
                queue.popleft()
                if queue:
                    start(queue)
                continue
            entry[3] = time.monotonic()
            if message == "done":
                process.join()
                del running[pipe]
            elif isinstance(message, tuple):
                entry[2] = message[1:]
            else:
                queue.popleft()
                yield message
        for process, _, _, since in running.values():
            if time.monotonic() - since > TIMEOUT_S:
                process.kill()


class Known:
    """Differences that are theirs, from known_differences.toml."""

    def __init__(self):
        self.entries = tomllib.loads((HERE / "known_differences.toml").read_text()).get("difference", [])

    def find(self, outcome):
        for entry in self.entries:
            if case_module.fnmatch.fnmatch(outcome.name, entry["case"]) and set(entry.get("when", [])) <= set(outcome.features):
                if entry.get("message", "") in outcome.message:
                    return entry
        return None

    def stale(self, linnet_path, jobs, chosen):
        """Entries whose example no longer differs, or differs for another reason."""
        examples = {(entry["example"][0], entry["example"][1]): entry for entry in self.entries if entry["example"][0] in chosen}
        for outcome in run_all(linnet_path, sorted(examples), jobs):
            entry = examples[outcome.name, outcome.seed]
            if outcome.status != "differs" or self.find(outcome) is not entry:
                yield f"known_differences.toml: {outcome.name} --seed {outcome.seed} is {outcome.status} now: {entry['reason']}"


def tell(linnet_path, name, seed):
    """All of one case."""
    import compare
    import engines
    import numpy as np
    from onnx import printer

    case = case_module.make_case(name, seed)
    print(printer.to_text(case.model))
    np.set_printoptions(threshold=60, linewidth=140, precision=9)
    for key, value in case.inputs.items():
        print(f"{key} = {getattr(value, 'dtype', '')}{getattr(value, 'shape', '')} {value}")
    print("features:", " ".join(sorted(case.features)))
    data = case.model.SerializeToString()
    results = {}
    linnet = engines.Linnet(linnet_path)
    for who, call in {
        "ONNX Runtime": lambda: engines.run_ort(data, case.inputs, case.shared),
        "the reference": lambda: engines.run_reference(case),
        "Linnet": lambda: linnet.run(data, case.inputs),
        "Linnet unoptimised": lambda: linnet.run(data, case.inputs, level=0),
        "Linnet, two threads": lambda: linnet.run(data, case.inputs, threads=2),
    }.items():
        try:
            results[who] = call()
        except Exception as error:  # anything is worth showing
            results[who] = f"{type(error).__name__}: {error}"
        print(f"\n--- {who}")
        shown = results[who] if isinstance(results[who], list) else [results[who]]
        for value in shown:
            print(getattr(value, "dtype", ""), getattr(value, "shape", ""), value)
    print()
    for one, other in [("Linnet", "ONNX Runtime"), ("Linnet unoptimised", "ONNX Runtime"), ("Linnet", "the reference"), ("ONNX Runtime", "the reference")]:
        if isinstance(results[one], list) and isinstance(results[other], list):
            print(f"{one} against {other}: {compare.outputs(case, results[one], results[other]) or 'same'}")
    print(examine(linnet, name, seed).status)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--linnet", type=Path, default=ROOT / "build/release/linnet", help="liblinnet.so lies beside it")
    parser.add_argument("--case", action="append", default=[], help="a generator's name, or a pattern; may be repeated")
    parser.add_argument("--seed", type=int, help="run one case and tell all about it; with --cases, the first seed")
    parser.add_argument("--cases", type=int, help="how many, over all generators")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="stop after so long, and sum up")
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    parser.add_argument("--each", type=int, default=3, help="how many failures of one generator to show")
    parser.add_argument("--list", action="store_true", help="generators, and operators of ONNX Runtime without one")
    arguments = parser.parse_args()
    library = arguments.linnet.with_name("liblinnet.so")
    load_generators()
    names = case_module.matching(arguments.case)

    if arguments.list:
        print("\n".join(names))
        print("without a generator:", " ".join(uncovered()))
        return 0
    if not library.exists():
        print(f"there is no {library}; build it with ./dev build")
        print("0 passed, 1 failed, 0 skipped")
        return 1
    if arguments.seed is not None and arguments.cases is None:
        for name in names:
            tell(library, name, arguments.seed)
        return 0

    first = arguments.seed or 0
    seeds = -(-arguments.cases // max(1, len(names))) if arguments.cases else QUICK
    tasks = [(name, seed) for seed in range(first, first + seeds) for name in names]
    known, counts, failures, compared = Known(), collections.Counter(), collections.defaultdict(list), collections.Counter()
    refusals = collections.defaultdict(collections.Counter)
    start = time.monotonic()
    for outcome in run_all(library, tasks, arguments.jobs):
        if time.monotonic() - start > 60 * arguments.minutes:
            break
        if outcome.status == "differs" and known.find(outcome):
            outcome.status = "known"
        counts[outcome.status] += 1
        compared[outcome.name] += outcome.status in ("same", "known", "differs")
        if outcome.status == "differs":
            failures[outcome.name].append(outcome)
            if arguments.cases:  # a long run tells what it finds as it goes
                print(f"--case {outcome.name} --seed {outcome.seed}: {outcome.message}", file=sys.stderr, flush=True)
        elif outcome.status == "not compared":
            refusals[outcome.name][outcome.message] += 1
        if sys.stderr.isatty() and sum(counts.values()) % 50 == 0:
            print(f"\r{sum(counts.values())}/{len(tasks)} {dict(counts)}", end="", file=sys.stderr, flush=True)
    complaints = list(known.stale(library, arguments.jobs, set(names)))
    for name in names:
        for outcome in failures[name][: arguments.each]:
            complaints.append(f"--case {name} --seed {outcome.seed}: {outcome.message}")
        if len(failures[name]) > 1:
            shared = set.intersection(*(set(outcome.features) for outcome in failures[name]))
            complaints.append(f"--case {name}: all {len(failures[name])} failures have {' '.join(sorted(shared))}")
        if len(failures[name]) > arguments.each:
            complaints.append(f"--case {name}: {len(failures[name]) - arguments.each} more, seeds {[o.seed for o in failures[name][arguments.each :][:8]]}")
        if not compared[name] and seeds >= QUICK and sum(counts.values()) == len(tasks):
            complaints.append(f"--case {name}: ONNX Runtime ran none of {seeds}: {refusals[name].most_common(1)}")
        elif refusals[name].total() > seeds // 2 and arguments.case:
            print(f"--case {name}: ONNX Runtime refused {refusals[name].total()} of {seeds}: {refusals[name].most_common(2)}")
    print("\n".join(complaints))
    failed = counts["differs"] + sum("--case" not in line for line in complaints) or len(complaints)
    print(f"{sum(counts.values())} of {len(tasks)} cases in {time.monotonic() - start:.0f} s: " + ", ".join(f"{count} {status}" for status, count in sorted(counts.items())))
    print(f"{counts['same'] + counts['known']} passed, {failed} failed, 0 skipped")
    return 1 if failed else 0


def uncovered():
    import engines

    there = {name.rpartition(":")[2] for name in case_module.GENERATORS}
    # What their executor inserts, and two that never were in a released operator set.
    aside = {"MemcpyFromHost", "MemcpyToHost", "Scale", "DynamicSlice"}
    return sorted(op for domain, op in engines.kernel_table() if domain in ("", "ai.onnx.ml") and op not in there | aside)


if __name__ == "__main__":
    sys.exit(main())
