"""JSON schemas of what goes to Kubernetes: KubeRay's own resources, and Kubernetes' own ones.

A field that a schema does not know is an error, as for `kubectl apply`, which asks the server to be strict.
"""

import json
import re
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import yaml
from jsonschema import Draft202012Validator
from referencing import Registry, Resource

_FIELDS = yaml.safe_load((Path(__file__).parents[1] / "cluster" / "data" / "kuberay-1.7.0.yaml").read_text())
_KUBERNETES = _FIELDS.pop("kubernetes")
_PLAIN: dict[str, dict[str, Any]] = {
    **{name: {"type": name} for name in ("string", "boolean", "integer", "number")},
    "map": {"type": "object", "additionalProperties": {"type": "string"}},
    "any": {},
}


def errors(document: dict[str, Any]) -> list[str]:
    """What the schema of its kind finds wrong with a document, each with its place."""
    kind, (group, _, version) = document["kind"], document["apiVersion"].rpartition("/")
    if group == "ray.io":
        schema: dict[str, Any] = {"$ref": f"/kuberay.json#/$defs/{kind}"}
    else:
        package = f"api.{group.removesuffix('.k8s.io') or 'core'}.{version}"
        schema = {"$ref": f"/api/_definitions.json#/$defs/io.k8s.{package}.{kind}"}
    found = Draft202012Validator({"$id": "https://kubernetes.io/document", **schema}, registry=_registry())
    return [f"{error.json_path}: {error.message}" for error in found.iter_errors(document)]


@cache
def _registry() -> Registry[Any]:
    folder = files("kubernetes_validate") / "kubernetes-json-schema" / f"v{_KUBERNETES}.0-local-strict"
    of_kubernetes = json.loads((folder / "_definitions.json").read_text())
    of_kuberay = {
        "$schema": of_kubernetes["$schema"],
        "$id": "https://kubernetes.io/kuberay.json",
        "$defs": {name: _object(fields) for name, fields in _FIELDS.items()},
    }
    return Registry().with_resources(
        (schema["$id"], Resource.from_contents(schema)) for schema in (of_kubernetes, of_kuberay)
    )


def _object(fields: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": {name.rstrip("!"): _type(given) for name, given in fields.items()},
        "required": [name.rstrip("!") for name in fields if name.endswith("!")],
        "additionalProperties": False,
    }


def _type(given: str | list[str]) -> dict[str, Any]:
    if isinstance(given, list):
        return {"type": "array", "items": _type(given[0])}
    if given in _PLAIN:
        return _PLAIN[given]
    if given.startswith("k8s:"):
        return {"$ref": f"/api/_definitions.json#/$defs/io.k8s.{given.removeprefix('k8s:')}"}
    if given in _FIELDS:
        return {"$ref": f"#/$defs/{given}"}
    if not re.search("^=|[|]", given):
        raise ValueError(f"no such type: {given}")
    return {"enum": given.removeprefix("=").split("|")}
