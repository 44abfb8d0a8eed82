"""Runs the test suites and sums up their cases; `./dev test` calls it.

A suite is a folder of tests/: its GoogleTest executable (BUILD/test_<folder>), its run.py, or both; a check that is one
script is tests/<name>.py, listed below. A script ends its output with a line "N passed, N failed, N skipped".
"""

import argparse
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

TESTS = Path(__file__).resolve().parent
SCRIPTS = ["include_direction"]
TIMEOUT_S = 900
SUMMARY = re.compile(r"^(\d+) passed, (\d+) failed, (\d+) skipped$", re.MULTILINE)


def suites(build, cpp_only):
    """Name -> list of commands, quick checks first."""
    found = {name: [[sys.executable, str(TESTS / f"{name}.py")]] for name in SCRIPTS}
    for folder in sorted(p for p in TESTS.iterdir() if p.is_dir()):
        executable, script = build / f"test_{folder.name}", folder / "run.py"
        commands = [[str(executable)]] if executable.exists() else []
        if script.exists():
            commands.append([sys.executable, str(script), "--linnet", str(build / "linnet")])
        if commands:
            found[folder.name] = commands
    if cpp_only:
        found = {name: [c for c in commands if c[0] != sys.executable] for name, commands in found.items()}
    return {name: commands for name, commands in found.items() if commands}


def googletest_counts(report):
    """Passed, failed, skipped of a GoogleTest JSON report, or None where it ended before writing one."""
    try:
        data = json.loads(report.read_text())
    except (OSError, ValueError):
        return None
    passed = failed = skipped = 0
    for group in data["testsuites"]:
        for case in group["testsuite"]:
            if case.get("failures"):
                failed += 1
            elif case["result"] == "COMPLETED":
                passed += 1
            elif case["status"] == "RUN":  # not merely filtered out
                skipped += 1
    return passed, failed, skipped


def script_counts(output):
    matches = SUMMARY.findall(output)
    return tuple(map(int, matches[-1])) if matches else None


def run(command, gtest_filter):
    """Counts, and the output where something is to be told."""
    with tempfile.TemporaryDirectory() as scratch:
        report = Path(scratch, "report.json")
        is_script = command[0] == sys.executable
        if not is_script:
            command = command + ["--gtest_brief=1", f"--gtest_output=json:{report}"]
            if gtest_filter:
                command.append(f"--gtest_filter={gtest_filter}")
        try:
            done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=TIMEOUT_S)
            code, output = done.returncode, done.stdout.decode(errors="replace")
        except subprocess.TimeoutExpired as late:
            code, output = 1, (late.stdout or b"").decode(errors="replace") + f"\nstopped after {TIMEOUT_S} s\n"
        counts = script_counts(output) if is_script else googletest_counts(report)
    if counts is None:  # it died: one failure, whatever it was doing
        if code < 0:
            output += f"\nended by {signal.Signals(-code).name}\n"
        counts = (0, 1, 0)
    elif code != 0 and counts[1] == 0:
        output += f"\nended with exit code {code}\n"
        counts = (counts[0], 1, counts[2])
    # A script says what it skipped or what a manifest lacks; a passing GoogleTest has nothing to say.
    told = output if counts[1] or is_script else ""
    return counts, SUMMARY.sub("", told).strip()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("suite", nargs="?")
    parser.add_argument("filter", nargs="?", help="a GoogleTest filter")
    parser.add_argument("--build", type=Path, required=True)
    parser.add_argument("--cpp-only", action="store_true")
    parser.add_argument("--list", action="store_true")
    arguments = parser.parse_args()

    chosen = suites(arguments.build.resolve(), arguments.cpp_only)
    if arguments.list:
        print("\n".join(chosen))
        return 0
    if arguments.suite:
        if arguments.suite not in chosen:
            print(f"there is no suite '{arguments.suite}'; there are: {', '.join(chosen)}", file=sys.stderr)
            return 2
        chosen = {arguments.suite: chosen[arguments.suite]}

    total = [0, 0, 0]
    for number, (name, commands) in enumerate(chosen.items(), 1):
        if sys.stdout.isatty():
            print(f"[{number}/{len(chosen)}] {name} ...", end="\r", flush=True)
        start, counts, told = time.monotonic(), [0, 0, 0], []
        for command in commands:
            command_counts, output = run(command, arguments.filter)
            counts = [a + b for a, b in zip(counts, command_counts)]
            if output:
                told.append(output)
        seconds = time.monotonic() - start
        marks = [f"{counts[0]} passed", f"{counts[1]} FAILED" if counts[1] else "", f"{counts[2]} skipped" if counts[2] else ""]
        print(f"{name:<18} {', '.join(filter(None, marks)):<40} {seconds:6.1f} s", flush=True)
        for output in told:
            print(re.sub(r"^", "    ", output, flags=re.MULTILINE), flush=True)
        total = [a + b for a, b in zip(total, counts)]
    print("{} passed, {} failed, {} skipped".format(*total))
    return 1 if total[1] or not any(total) else 0


if __name__ == "__main__":
    os.environ.setdefault("PYTHONDONTWRITEBYTECODE", "1")
    # A shell that starts this in the background has it ignore interrupts, and so would the programs whose ends by an
    # interrupt are tested.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.exit(main())
