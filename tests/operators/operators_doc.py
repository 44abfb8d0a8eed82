"""Writes docs/operators.md from what `linnet inspect --operators --json` says, from what the tests hold, and from what the
operators' sources refuse.

    python tests/operators/operators_doc.py [--linnet PATH]

run.py fails where the page is not what this would write.
"""

import argparse
import collections
import json
import re
import subprocess
from pathlib import Path

import onnx
import refusals

ROOT = Path(__file__).resolve().parent.parent.parent
PAGE = ROOT / "docs/operators.md"
HEAD = """# Operators

Made by `tests/operators/operators_doc.py` from the registry (`linnet inspect --operators`), the tests, and the
operators' sources; do not edit. The last section says [what is refused](#what-is-refused).

- **versions**: the operator sets that changed the definition; nodes of every one of them load. Old forms are rewritten to the
  newest (`src/ops/upgrade/`).
- **types**: of the first input, or as said; what a definition says of further inputs holds too. *floats* are float, double,
  float16 and bfloat16; *integers* those of 8 to 64 bits; *numbers* both; *float8* the four kinds that ONNX has
  beside float8e8m0; *packed* what is smaller than a byte; *of whole bytes* all that is not.
- **kernels**: SIMD where the family has vector kernels (float, half precision through it, int8); types and rare forms that they do
  not serve go through plain code, as all of *plain* does.
- **tested by**: the number of ONNX's own cases with the operator that pass (`nodes`), of those cases in other types (`types`), and
  whether the suite `differential` (against ONNX Runtime) names it; beyond the standard, whether `ops` does.
"""


def versions():
    """(domain, name) -> the operator sets of its definitions."""
    found = collections.defaultdict(set)
    for schema in onnx.defs.get_all_schemas_with_history():
        found[schema.domain or "ai.onnx", schema.name].add(schema.since_version)
    return found


def nodes_of(graph):
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            for inner in [attribute.g, *attribute.graphs]:
                yield from nodes_of(inner)


def node_cases():
    """(domain, name) -> how many cases of the manifest have such a node."""
    counts = collections.Counter()
    for name in (ROOT / "tests/onnx_nodes/manifest.txt").read_text().split():
        model = onnx.load(ROOT / "build/onnx_tests" / name / "model.onnx")
        graphs = [model.graph, *model.functions]
        counts.update({(n.domain or "ai.onnx", n.op_type) for graph in graphs for n in nodes_of(graph)})
    return counts


def typed_cases():
    return collections.Counter(f.parts[-4] for f in (ROOT / "build/operator_cases/typed").glob("*/*/*/model.onnx"))


def suites_naming():
    """Name -> suites whose sources have it in quotes."""
    found = collections.defaultdict(list)
    for suite in "differential", "ops":
        files = [f for f in (ROOT / "tests" / suite).rglob("*") if f.suffix in {".py", ".cpp", ".h"}]
        for name in set(re.findall(r"""["'](\w+)["']""", "".join(f.read_text() for f in sorted(files)))):
            found[name].append(suite)
    return found


def page(linnet):
    listed = json.loads(subprocess.run([linnet, "inspect", "--operators", "--json"], stdout=subprocess.PIPE, check=True).stdout)
    of_sets, cases, typed, suites = versions(), node_cases(), typed_cases(), suites_naming()
    text = [HEAD]
    domains = sorted({op["domain"] for op in listed}, key=lambda d: (not d.startswith("ai.onnx"), d))
    for domain in domains:
        ops = [op for op in listed if op["domain"] == domain]
        text.append(f"\n## {domain}\n\n{len(ops)} operators.\n\n| operator | versions | types | kernels | tested by |\n|---|---|---|---|---|\n")
        for op in sorted(ops, key=lambda op: op["name"]):
            name = op["name"]
            sets = ", ".join(map(str, sorted(of_sets[domain, name]))) or "1"
            where = {None: " (output)", 0: ""}.get(op.get("typed"), f" (input {op.get('typed')})")
            types = "" if "rewritten" in op else op["types_text"] + where
            kernels = "rewritten to others" if "rewritten" in op else "SIMD" if op["simd"] else "plain"
            tests = [f"nodes {cases[domain, name]}"] if cases[domain, name] else []
            if domain.startswith("ai.onnx") and typed[name]:
                tests.append(f"types {typed[name]}")
            tests += [s for s in suites[name] if s != "ops" or not domain.startswith("ai.onnx")]
            text.append(f"| {name} | {sets} | {types} | {kernels} | {', '.join(tests)} |\n")
    return "".join(text) + refusals.section()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--linnet", type=Path, default=ROOT / "build/release/linnet")
    PAGE.write_text(page(parser.parse_args().linnet))
