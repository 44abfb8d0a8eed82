"""A node in every form that an operator ever had: each operator set that changed it, with every attribute it knew then."""

import re

import onnx
from onnx import AttributeProto, TensorProto, helper

VALUES = {AttributeProto.INT: 1, AttributeProto.FLOAT: 1.0, AttributeProto.STRING: "x", AttributeProto.INTS: [1],
          AttributeProto.FLOATS: [1.0], AttributeProto.STRINGS: ["x"]}
# The values above make no sense in most attributes, and inputs have no shape. What must not come is this.
REFUSED = re.compile(r"attribute '\w+' (is not known|has a wrong type)|of operator set|\bhas \d+ (inputs?|outputs?);")


def accepted(result):
    return result["status"] not in ("unsupported", "crash") and not REFUSED.search(result["message"])


def type_proto(text):
    kind, _, rest = text.partition("(")
    rest = rest[:-1]
    if kind == "tensor":
        return helper.make_tensor_type_proto(TensorProto.DataType.Value(rest.upper()), None)
    if kind == "seq":
        return helper.make_sequence_type_proto(type_proto(rest))
    if kind == "optional":
        return helper.make_optional_type_proto(type_proto(rest))
    key, value = re.fullmatch(r"(\w+), ?(?:tensor\()?(\w+)\)?", rest).groups()
    made = onnx.TypeProto()
    made.map_type.key_type = TensorProto.DataType.Value(key.upper())
    made.map_type.value_type.tensor_type.elem_type = TensorProto.DataType.Value(value.upper())
    return made


def save(folder, schema, node, inputs):
    graph = helper.make_graph([node], "g", inputs, [onnx.ValueInfoProto(name=o) for o in node.output])
    imports = [helper.make_opsetid(schema.domain, schema.since_version)]
    if schema.domain:
        imports.append(helper.make_opsetid("", 22))
    folder.mkdir(parents=True)
    (folder / "model.onnx").write_bytes(helper.make_model(graph, opset_imports=imports).SerializeToString())


def make_forms(schema, destination):
    """The node as it was meant to be used, and once more with each attribute that has no default."""
    usual = ("tensor(float)", "tensor(int64)", "seq(tensor(float))")
    picked = {t.type_param_str: next((u for u in usual if u in t.allowed_type_strs), sorted(t.allowed_type_strs)[0])
              for t in schema.type_constraints}
    inputs, names = [], []
    for i, formal in enumerate(schema.inputs):
        optional = formal.option == onnx.defs.OpSchema.FormalParameterOption.Optional
        names.append("" if optional else f"i{i}")
        if not optional:
            inputs.append(helper.make_value_info(f"i{i}", type_proto(picked.get(formal.type_str, formal.type_str))))
    while names and not names[-1]:
        names.pop()
    needed = [o for o in schema.outputs if o.option != onnx.defs.OpSchema.FormalParameterOption.Optional]
    node = onnx.NodeProto(op_type=schema.name, domain=schema.domain, input=names,
                          output=[f"o{i}" for i in range(max(1, len(needed)))])
    alone = []
    for name, attribute in schema.attributes.items():
        value = VALUES.get(attribute.type.value)
        if attribute.default_value.type:
            node.attribute.append(attribute.default_value)
        elif attribute.required and attribute.type.value == AttributeProto.TENSOR:
            node.attribute.append(helper.make_attribute(name, helper.make_tensor("", TensorProto.FLOAT, [1], [1.0])))
        elif attribute.required and value is not None:
            node.attribute.append(helper.make_attribute(name, value))
        elif value is not None:
            alone.append(helper.make_attribute(name, value))
    folder = destination / f"{schema.domain or 'ai.onnx'}.{schema.name}-{schema.since_version}"
    save(folder / "plain", schema, node, inputs)
    for attribute in alone:
        more = onnx.NodeProto()
        more.CopyFrom(node)
        more.attribute.append(attribute)
        save(folder / attribute.name, schema, more, inputs)


def make(destination):
    for schema in onnx.defs.get_all_schemas_with_history():
        of_graphs = any(a.type.value == AttributeProto.GRAPH for a in schema.attributes.values())
        if schema.domain in ("", "ai.onnx.ml") and not schema.deprecated and not of_graphs:
            make_forms(schema, destination)
