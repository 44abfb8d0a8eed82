"""Runs `linnet check` over test folders and holds the results against a manifest: a list of cases that must pass.

The manifest only grows: a listed case that fails is a failure, an unlisted one that passes is reported, and --update
adds it. Every case runs twice, with all optimisations and with none; it passes when both do.
"""

import argparse
import concurrent.futures
import json
import os
import subprocess
import sys
from pathlib import Path

CHUNK = 48  # cases a process: few enough that a crash costs little to narrow down
TIMEOUT_S = 300
ROOT = Path(__file__).resolve().parent.parent


def arguments_for(description):
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("case", nargs="*", help="only these (a part of the name will do)")
    parser.add_argument("--linnet", type=Path, default=ROOT / "build/release/linnet")
    parser.add_argument("--update", action="store_true", help="add what passes to the manifest")
    parser.add_argument("--verbose", action="store_true", help="a line for each case that does not pass")
    return parser.parse_args()


def check(linnet, folders, options):
    """Folder -> result; a folder whose process died gets status "crash"."""
    command = [str(linnet), "check", "--json", *options, *map(str, folders)]
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=TIMEOUT_S)
        results = json.loads(done.stdout)
        return {Path(result["path"]): result for result in results}
    except subprocess.TimeoutExpired:
        reason = f"took more than {TIMEOUT_S} s"
    except ValueError:
        last = done.stderr.decode(errors="replace").strip().splitlines()[-1:]
        reason = f"ended with {done.returncode}: {''.join(last)}"
    if len(folders) == 1:
        return {folders[0]: {"status": "crash", "message": reason}}
    return {folder: result for one in folders for folder, result in check(linnet, [one], options).items()}


def check_all(linnet, folders, options):
    chunks = [folders[i : i + CHUNK] for i in range(0, len(folders), CHUNK)]
    results = {}
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        for number, part in enumerate(pool.map(lambda chunk: check(linnet, chunk, options), chunks), 1):
            results.update(part)
            if sys.stderr.isatty():
                print(f"\r{number * CHUNK}/{len(folders)}", end="\r", file=sys.stderr, flush=True)
    return results


def read_reasons(path):
    """Case -> why it stays out, of lines "case: reason"; an empty path has none."""
    lines = path.read_text().splitlines() if path and path.exists() else []
    return dict(line.split(": ", 1) for line in lines if line and not line.startswith("#"))


def hold_against_manifest(arguments, cases, manifest, left_out=None):
    """`cases`: name -> folder. `left_out`: a file with a reason for each case that is not in the manifest; with it, every
    case is in one of the two. Returns the exit code."""
    reasons = read_reasons(left_out)
    listed = set(manifest.read_text().split()) if manifest.exists() else set()
    if arguments.case:
        chosen = lambda name: any(part in name for part in arguments.case)  # noqa: E731
        cases = {name: folder for name, folder in cases.items() if chosen(name)}
        listed = set(filter(chosen, listed))
        reasons = {name: reason for name, reason in reasons.items() if chosen(name)}
    if not arguments.linnet.exists():
        print(f"there is no {arguments.linnet}; build it with ./dev build")
        print("0 passed, 1 failed, 0 skipped")
        return 1

    names = sorted(cases)
    complaints = {}  # name -> why it does not pass
    for options in [], ["--no-optimize"]:
        results = check_all(arguments.linnet, [cases[name] for name in names], options)
        for name in names:
            result = results.get(cases[name], {"status": "crash", "message": "no result"})
            if result["status"] != "pass":
                how = " ".join(["", *options])
                complaints.setdefault(name, f"{name}{how}: {result['status']}: {result.get('message', '')}")

    passing = set(names) - complaints.keys()
    failed = sorted(listed - passing)
    for name in failed if not arguments.verbose else sorted(complaints.keys() | set(failed)):
        print(("" if name in listed else "(not listed) ") + complaints.get(name, f"{name}: is listed, but not there"))
    wrong = []
    if left_out:
        wrong += [f"{name}: passes, but {left_out.name} says why it does not" for name in sorted(reasons.keys() & passing)]
        wrong += [f"{name}: {left_out.name} names it, but there is no such case" for name in sorted(reasons.keys() - set(names))]
        wrong += [f"{complaints[name]} (neither listed nor in {left_out.name})"
                  for name in sorted(complaints.keys() - listed - reasons.keys())]
        print("\n".join([*wrong, *(f"left out: {name}: {reason}" for name, reason in sorted(reasons.items()))]))
    fresh = sorted(passing - listed)
    print(f"{len(passing)} of {len(names)} pass ({100 * len(passing) / max(1, len(names)):.1f} %), both optimised and not")
    if arguments.update and fresh:
        everything = set(manifest.read_text().split()) if manifest.exists() else set()
        manifest.write_text("".join(f"{name}\n" for name in sorted(everything | passing)))
        print(f"added {len(fresh)} to {manifest.relative_to(ROOT)}")
    elif fresh:
        print(f"{len(fresh)} pass that the manifest does not list (--update adds them): {' '.join(fresh[:5])} ...")
    failures = len(failed) + len(wrong)
    print(f"{len(listed) - len(failed)} passed, {failures} failed, {len(reasons)} skipped")
    return 1 if failures else 0
