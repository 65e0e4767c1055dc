"""
OpenAPI v3, as much as `kubectl apply` needs: each kind with its paths and an open schema. Pure.

kubectl looks for a PATCH of the kind that takes `fieldValidation`; schemas preserve unknown fields.
"""

import hashlib
from typing import Any

import orjson

from eventing.control import failure
from eventing.control.kind import Kind, every


def index() -> dict[str, Any]:
    """The answer of /openapi/v3: where each group-version's document is."""
    found = sorted({_path_of(kind) for kind in every()})
    urls = {path: f"/openapi/v3/{path}?hash={_hash(path)}" for path in found}
    return {"paths": {path: {"serverRelativeURL": url} for path, url in urls.items()}}


def document(path: str) -> dict[str, Any]:
    """The document of one group-version; *path* is `api/v1` or `apis/G/V`. Failure 404."""
    kinds = [kind for kind in every() if _path_of(kind) == path]
    if not kinds:
        raise failure.unknown_path()
    return {"openapi": "3.0.0", "info": {"title": "Kubernetes", "version": "v1.32.0"},
            "paths": {f"/{path}/{_item(kind)}": _operations(kind) for kind in kinds},
            "components": {"schemas": {_schema_name(kind): _schema(kind) for kind in kinds}}}


def _path_of(kind: Kind) -> str:
    return f"apis/{kind.api_version}" if kind.group else f"api/{kind.version}"


def _item(kind: Kind) -> str:
    home = "namespaces/{namespace}/" if kind.namespaced else ""
    return f"{home}{kind.plural}/{{name}}"


def _gvk(kind: Kind) -> dict[str, str]:
    return {"group": kind.group, "version": kind.version, "kind": kind.kind}


def _schema_name(kind: Kind) -> str:
    home = ".".join(reversed(kind.group.split("."))) if kind.group else "io.k8s.api.core"
    return f"{home}.{kind.version}.{kind.kind}"


def _operations(kind: Kind) -> dict[str, Any]:
    answer = {"200": {"description": "OK", "content": {"application/json": {
        "schema": {"$ref": f"#/components/schemas/{_schema_name(kind)}"}}}}}
    validation = {"name": "fieldValidation", "in": "query", "schema": {"type": "string"}}
    return {verb: {"x-kubernetes-action": verb, "x-kubernetes-group-version-kind": _gvk(kind),
                   "parameters": [validation] if verb in ("patch", "put") else [], "responses": answer}
            for verb in ("get", "put", "patch", "delete")}


def _schema(kind: Kind) -> dict[str, Any]:
    anything = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    return {"type": "object", "x-kubernetes-group-version-kind": [_gvk(kind)],
            "x-kubernetes-preserve-unknown-fields": True,
            "properties": {"apiVersion": {"type": "string"}, "kind": {"type": "string"},
                           "metadata": anything, "spec": anything, "status": anything}}


def _hash(path: str) -> str:
    return hashlib.sha256(orjson.dumps(document(path))).hexdigest()[:16].upper()
