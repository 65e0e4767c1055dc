"""Request bodies: read up to a limit, decoded from JSON or YAML, with what went wrong in words."""

import contextlib
from typing import Any

import orjson
import yaml
from starlette.requests import Request

from eventing.control import failure
from eventing.control.api import protobuf
from eventing.control.failure import Failure

# Kubernetes' own limit of a request body.
LIMIT_BYTES = 3 * 1024 * 1024

JSON = "application/json"
YAML = "application/yaml"
_ACCEPTED = (JSON, YAML)


async def read(request: Request) -> bytes:
    """The whole body; Failure 413 when it is over the limit."""
    chunks: list[bytes] = []
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > LIMIT_BYTES:
            raise Failure(413, "RequestEntityTooLarge", f"Request entity too large: limit is {LIMIT_BYTES}")
        chunks.append(chunk)
    return b"".join(chunks)


def media_type(request: Request) -> str:
    """Content type without parameters; JSON where none is said."""
    return request.headers.get("content-type", JSON).partition(";")[0].strip().lower() or JSON


def decode(raw: bytes, type_: str) -> Any:
    """A body as JSON values; Failure 415 for another type than JSON or YAML, 400 when it does not parse."""
    if type_ not in _ACCEPTED:
        raise failure.unsupported_media_type(_ACCEPTED)
    try:
        return orjson.loads(raw) if type_ == JSON else _yaml(raw)
    except (ValueError, yaml.YAMLError) as error:
        raise failure.bad_request(f"the object provided is unrecognized: {error}") from error


def _yaml(raw: bytes) -> Any:
    with contextlib.suppress(ValueError):
        return orjson.loads(raw)  # JSON is YAML, and what kubectl sends as such
    # Round trip through JSON: YAML's dates and other types become what JSON has, or an error.
    return orjson.loads(orjson.dumps(yaml.safe_load(raw), default=str))


async def resource(request: Request) -> Any:
    """The object in a POST or PUT."""
    return _object(await read(request), media_type(request))


def _object(raw: bytes, type_: str) -> Any:
    """An object, which kubectl and client-go send as protobuf now and then."""
    if type_ != protobuf.TYPE:
        return decode(raw, type_)
    try:
        return protobuf.decode(raw)
    except protobuf.Unread as unread:
        raise Failure(415, "UnsupportedMediaType", f"{unread} is not read from protobuf: write it as YAML "
                      "(kubectl create with --dry-run=client -o yaml), and kubectl apply that") from unread
    except ValueError as error:
        raise failure.bad_request(f"the object provided is unrecognized: {error}") from error


async def delete_options(request: Request) -> dict[str, Any]:
    """DeleteOptions of a DELETE, from its body or its query; empty when there are none."""
    raw = await read(request)
    found = _object(raw, media_type(request)) if raw.strip() else {}
    if not isinstance(found, dict):
        raise failure.bad_request("DeleteOptions must be an object")
    if "propagationPolicy" in request.query_params:
        found["propagationPolicy"] = request.query_params["propagationPolicy"]
    policy = found.get("propagationPolicy")
    if policy not in (None, "Background", "Foreground", "Orphan"):
        known = "one of Background, Foreground, Orphan"
        raise failure.bad_request(f'invalid propagationPolicy "{policy}": {known}')
    return found
