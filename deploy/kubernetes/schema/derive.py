#!/usr/bin/python3
"""derive.py PACKAGE [KIND...] > kubernetes.json - JSON Schema of the kinds that deploy/kubernetes uses.

PACKAGE is the unpacked npm package @kubernetes/client-node: the models that the Kubernetes project generates from its published OpenAPI
document, one file a type. Descriptions are left out. Unknown fields are errors, as with `kubectl apply --validate=strict`.
"""
import json
import pathlib
import re
import sys

KINDS = {"V1DaemonSet": "apps/v1", "V1StatefulSet": "apps/v1", "V1Deployment": "apps/v1", "V1Service": "v1", "V1Secret": "v1",
         "V1Namespace": "v1", "V1NetworkPolicy": "networking.k8s.io/v1"}
PLAIN = {"string": {"type": "string"}, "number": {"type": "number"}, "boolean": {"type": "boolean"}, "any": {}, "Date": {"type": "string"},
         "IntOrString": {"type": ["integer", "string"]}, "Set<string>": {"type": "array", "items": {"type": "string"}}}


def schema_of(text, wanted):
    text = text.strip()
    if text in PLAIN:
        return PLAIN[text]
    if text.startswith("Array<"):
        return {"type": "array", "items": schema_of(text[6:-1], wanted)}
    if match := re.fullmatch(r"\{\s*\[key: string\]: (.*?);\s*\}", text, re.S):
        return {"type": "object", "additionalProperties": schema_of(match[1], wanted)}
    wanted.add(text)
    return {"$ref": f"#/definitions/{text}"}


def definition(models, name, wanted):
    declared = (models / f"{name}.d.ts").read_text()
    table = json.loads(re.search(r"attributeTypeMap = (\[.*?\n?\]);", (models / f"{name}.js").read_text(), re.S)[1])
    names = {row["name"]: row for row in table}
    found = re.findall(r"^    '(\w+)'(\??): ", declared, re.M)
    assert len(found) == len(names), f"{name}: {len(found)} fields declared, {len(names)} in its table"
    properties = {}
    for field, _ in found:
        row = names[field]
        schema = schema_of(row["type"], wanted)
        if row["format"] in ("int32", "int64"):
            schema = {"type": "integer"}
        properties[row["baseName"]] = schema
    required = [names[field]["baseName"] for field, optional in found if not optional]
    return {"type": "object", "additionalProperties": False, "properties": properties, **({"required": required} if required else {})}


def main():
    package = pathlib.Path(sys.argv[1])
    models = package / "dist/gen/models"
    release = re.search(r"spec version: (\S+)", (models / "V1DaemonSet.js").read_text())[1]
    version = json.loads((package / "package.json").read_text())["version"]
    definitions, wanted = {}, set(KINDS)
    while wanted - set(definitions):
        name = min(wanted - set(definitions))
        definitions[name] = definition(models, name, wanted)
    for name, api in KINDS.items():
        definitions[name]["properties"]["apiVersion"] = {"const": api}
        definitions[name]["properties"]["kind"] = {"const": name[2:]}
        definitions[name]["required"] = sorted({"apiVersion", "kind", "metadata", *definitions[name].get("required", [])})
    json.dump({"$schema": "http://json-schema.org/draft-07/schema#",
               "$comment": f"Kubernetes {release}, from @kubernetes/client-node {version} (Apache-2.0) by derive.py; not edited by hand",
               "oneOf": [{"$ref": f"#/definitions/{name}"} for name in KINDS],
               "definitions": dict(sorted(definitions.items()))}, sys.stdout, indent=1)
    print()


main()
