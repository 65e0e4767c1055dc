"""
OpenAPI v3, as much as `kubectl apply` needs: each kind with its paths and its fields. Pure.

kubectl looks for a PATCH of the kind that takes `fieldValidation`, and leaves the fields to the server. They
are drawn from the kind's own declaration (`Kind.fields`); a kind without one preserves unknown fields.
"""

import hashlib
from typing import Any

import orjson

from eventing.control import failure
from eventing.control.kind import Kind, every
from eventing.control.schema import ANY, openapi

# Version 2, in protobuf, is what kubectl asks for before it applies a List, which is no kind of version 3. A
# document that says nothing has it go on, and judge the items by version 3.
TYPE_V2 = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"
NOTHING_V2 = b""


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
    validation = {"name": "fieldValidation", "in": "query",
                  "schema": {"type": "string", "enum": ["Ignore", "Strict", "Warn"]}}
    return {verb: {"x-kubernetes-action": verb, "x-kubernetes-group-version-kind": _gvk(kind),
                   "parameters": [validation] if verb in ("patch", "put") else [], "responses": answer}
            for verb in ("get", "put", "patch", "delete")}


def _schema(kind: Kind) -> dict[str, Any]:
    shape = kind.shape
    if shape is None:
        parts = {"apiVersion": str, "kind": str, "metadata": ANY, "spec": ANY, "status": ANY}
        drawn = {**openapi(parts), "x-kubernetes-preserve-unknown-fields": True}
    else:
        drawn = openapi(shape)
    return {"x-kubernetes-group-version-kind": [_gvk(kind)], **drawn}


def _hash(path: str) -> str:
    return hashlib.sha256(orjson.dumps(document(path))).hexdigest()[:16].upper()
