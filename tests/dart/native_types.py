"""lib/src/native.dart against linnet.h: every struct and function has the fields and parameters of C's, of types that are as wide on
every system. The VM of the tests has 32 bits, where a Uint32 would do for a size_t. check(HEADER, NATIVE)."""

import re

WIDTHS = {
    "size_t": {"Size", "UintPtr"}, "double": {"Double"}, "void": {"Void"}, "int8_t": {"Int8"}, "int32_t": {"Int32"}, "uint32_t": {"Uint32"},
    "int64_t": {"Int64"}, "uint64_t": {"Uint64"},
}  # fmt: skip


def fits(c, dart):
    if "*" in c:
        return dart.startswith("Pointer<") or dart == "UintPtr"  # handles travel as numbers
    name = c.replace("const ", "").strip()
    return dart in WIDTHS.get(name, {"Int32"} if name.startswith("linnet_") else set())


def split(text):
    """At the commas that are not within brackets."""
    parts, depth = [""], 0
    for character in text:
        depth += character in "(<"
        depth -= character in ")>"
        if character == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += character
    return [part.strip() for part in parts if part.strip()]


def camel(name):
    first, *others = name.split("_")
    return first + "".join(other.capitalize() for other in others)


def c_fields(body):
    fields = []
    for declaration in filter(None, (part.strip() for part in body.split(";"))):
        if pointer := re.search(r"\(\*(\w+)\)", declaration):
            fields.append((pointer[1], "*"))
            continue
        kind, names = re.fullmatch(r"(.*?[\s*])(\w+(?:, \w+)*)", declaration).groups()
        fields += [(name, kind.strip()) for name in names.split(", ")]
    return fields


def dart_fields(body):
    return [(name, annotated or kind) for annotated, kind, name in re.findall(r"(?:@(\w+)\(\)\s*)?external ([^;]+?) (\w+);", body)]


def check(header, native):
    text = re.sub(r"/\*.*?\*/", " ", header.read_text(), flags=re.DOTALL)
    text = re.sub(r"\s+", " ", re.sub(r"^#.*$", "", text, flags=re.MULTILINE))
    c_structs = dict(re.findall(r"typedef struct linnet_(\w+) \{(.*?)\} \w+;", text))
    c_functions = {name: (result, arguments) for result, name, arguments in re.findall(r"LINNET_API ([^;()]*?)(linnet_\w+) ?\((.*?)\);", text)}
    dart = re.sub(r"//.*", "", native.read_text())
    structs = re.findall(r"final class Native(\w+) extends Struct \{(.*?)\n\}", dart, re.DOTALL)
    functions = re.findall(r"@Native<\s*(.+?) Function\((.*?)\)>\(\s*symbol: '(linnet_\w+)'", re.sub(r"\s+", " ", dart))
    for name, body in structs:
        c = c_fields(c_structs[re.sub(r"(?<!^)([A-Z])", r"_\1", name).lower()])
        found = dart_fields(body)
        assert [camel(field) for field, _ in c] == [field for field, _ in found], f"{name}: {c}, {found}"
        for (field, kind), (_, other) in zip(c, found):
            assert fits(kind, other), f"{name}.{field} is {kind}, not {other}"
    for result, arguments, name in functions:
        c_result, c_arguments = c_functions[name]
        assert fits(c_result, result), f"{name} gives {c_result}, not {result}"
        parameters = [] if c_arguments == "void" else split(c_arguments)
        found = split(arguments)
        assert len(parameters) == len(found), f"{name} takes {parameters}, not {found}"
        for c, other in zip(parameters, found):
            kind = "*" if "(*" in c else re.sub(r"\w+$", "", c)
            assert fits(kind, other), f"{name}: {c} is not {other}"
    assert len(structs) >= 9 and len(functions) >= 50, f"{len(structs)} structs and {len(functions)} functions"
