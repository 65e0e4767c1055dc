"""
The verbs on objects over HTTP: one function a verb, for all kinds.

    GET collection      list, or watch         GET object       the object
    POST collection     create                 PUT object       update (and /status)
    DELETE collection   delete what is listed  PATCH object     patch (and /status), or server-side apply
                                               DELETE object    delete

Of kinds that have replicas, `/scale` of an object is read and written too.
"""

from collections.abc import Callable, Mapping
from itertools import islice
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from eventing.control import failure, lifecycle, managed, patch, resource, selector
from eventing.control.api import body, scale, watch
from eventing.control.api.options import Options, is_table, options, token
from eventing.control.api.path import Target
from eventing.control.api.table import table
from eventing.control.failure import Failure
from eventing.control.objects import Change, Objects
from eventing.control.resource import Resource

_PATCHES = {patch.MERGE: patch.merge, patch.JSON: patch.json_patch, patch.STRATEGIC: patch.strategic}
# What clients take as headers is bounded (16 KiB of all, mostly); Kubernetes stops at 4 KiB, too.
_WARNINGS = 10
_WARNING_CHARACTERS = 400
_PATCH_TYPES = (patch.JSON, patch.MERGE, patch.APPLY)


def answer(found: Any, status: int = 200, warnings: list[str] | None = None) -> Response:
    """JSON, with what admission warned of as kubectl reads it."""
    response = Response(orjson.dumps(found), status, media_type="application/json")
    for warning in (warnings or [])[:_WARNINGS]:
        printable = "".join(each if each.isprintable() else " " for each in warning[:_WARNING_CHARACTERS])
        text = printable.replace("\\", "\\\\").replace('"', '\\"')
        # Kubernetes sends UTF-8 in this header, and clients read it so.
        response.headers.append("warning", f'299 - "{text}"'.encode().decode("latin-1"))
    return response


async def collection(request: Request, objects: Objects, target: Target) -> Response:
    """A request for all objects of a kind."""
    wanted = options(request.query_params)
    _check_verb(request, target)
    if request.method == "POST":
        return await _create(request, objects, target, wanted)
    if request.method == "DELETE":
        return await _delete_collection(request, objects, target, wanted)
    if request.method != "GET":
        raise _not_allowed()
    if wanted.is_watch:
        return await _watch(request, objects, target, wanted)
    return _list(request, objects, target, wanted)


async def item(request: Request, objects: Objects, target: Target) -> Response:
    """A request for one object."""
    wanted = options(request.query_params)
    _check_verb(request, target)
    if target.subresource == "scale":
        return await _scale(request, objects, target, wanted)
    if request.method == "GET":
        if wanted.is_watch:
            return await _watch(request, objects, target, wanted)
        found = objects.existing(target.kind, target.namespace, target.name)
        return answer(_table(objects, target, wanted, [found]) if _as_table(request) else found)
    if request.method == "PUT":
        return await _update(request, objects, target, wanted)
    if request.method == "PATCH":
        return await _patch(request, objects, target, wanted)
    if request.method == "DELETE" and not target.subresource:
        return await _delete(request, objects, target, wanted)
    raise _not_allowed()


def _check_verb(request: Request, target: Target) -> None:
    """Failure 405 for a change of what is only shown."""
    kind = target.kind
    if kind.is_read_only and request.method != "GET":
        raise Failure(405, "MethodNotAllowed", f"{kind.resource_name} can be read, and not be written: each "
                      f"is made from the {kind.stored.kind} of its name, so change that")


def _not_allowed() -> Failure:
    return Failure(405, "MethodNotAllowed", "the server does not allow this method on the requested resource")


def _as_table(request: Request) -> bool:
    return is_table(request.headers.get("accept", ""))


def _table(objects: Objects, target: Target, wanted: Options, rows: list[Resource],
           list_meta: Mapping[str, Any] | None = None) -> dict[str, Any]:
    meta = list_meta or {"resourceVersion": resource.resource_version(rows[0])}
    return table(target.kind, rows, meta, now=objects.admission().now, include=wanted.include)


def _list(request: Request, objects: Objects, target: Target, wanted: Options) -> Response:
    store = objects.store
    version = store.version
    passes = selector.fields(wanted.fields)
    chosen = store.select(target.kind, target.namespace or None, selector.labels(wanted.labels), wanted.after)
    found = (one for one in chosen if passes(one))
    rows = list(islice(found, wanted.limit or None))
    meta: dict[str, Any] = {"resourceVersion": str(version), "continue": ""}
    left = sum(1 for _ in found) if wanted.limit else 0
    if left:
        meta["continue"] = token((resource.namespace(rows[-1]), resource.name(rows[-1])))
        meta["remainingItemCount"] = left
    if _as_table(request):
        return answer(_table(objects, target, wanted, rows, meta))
    return answer(_list_of(target, rows, meta))


def _list_of(target: Target, items: list[Resource], meta: dict[str, Any]) -> dict[str, Any]:
    kind = target.kind
    return {"kind": f"{kind.kind}List", "apiVersion": kind.api_version, "metadata": meta, "items": items}


async def _watch(request: Request, objects: Objects, target: Target, wanted: Options) -> Response:
    def shape(found: Resource) -> Any:
        return _table(objects, target, wanted, [found]) if _as_table(request) else found

    lines = watch.lines(objects.store, target, wanted, shape)
    await anext(lines)  # raises what must be an HTTP status: once the answer has begun it is too late
    return StreamingResponse(lines, media_type="application/json")


async def _create(request: Request, objects: Objects, target: Target, wanted: Options) -> Response:
    wish = _addressed(target, await body.resource(request))
    admission = objects.admission(is_dry_run=wanted.is_dry_run, unknown_fields=wanted.unknown_fields)
    created = await objects.create(target.kind, target.namespace or resource.namespace(wish), wish, admission)
    return answer(created, 201, admission.warnings)


async def _update(request: Request, objects: Objects, target: Target, wanted: Options) -> Response:
    wish = _addressed(target, await body.resource(request))
    return await _change(objects, target, wanted, lambda _: wish)


async def _patch(request: Request, objects: Objects, target: Target, wanted: Options) -> Response:
    if body.media_type(request) == patch.APPLY:
        return await _apply(request, objects, target, wanted)
    patched = await _patcher(request, target)
    return await _change(objects, target, wanted, lambda old: _addressed(target, patched(old)))


async def _patcher(request: Request, target: Target) -> Callable[[Any], Any]:
    """What the patch in *request* makes of a document; Failure 415 for a type that the kind does not take."""
    type_ = body.media_type(request)
    if type_ not in _PATCHES or (type_ == patch.STRATEGIC and target.kind.is_custom):
        raise failure.unsupported_media_type(_PATCH_TYPES)
    changes = body.decode(await body.read(request), body.JSON)
    return lambda document: _PATCHES[type_](document, changes)


async def _apply(request: Request, objects: Objects, target: Target, wanted: Options) -> Response:
    """Server-side apply, which creates what is not there."""
    config = _addressed(target, body.decode(await body.read(request), body.YAML))
    if not wanted.manager:
        raise Failure(422, "Invalid", 'PatchOptions.meta.k8s.io "" is invalid: fieldManager: Required value: '
                      "is required for apply patch")
    admission = objects.admission(is_dry_run=wanted.is_dry_run, unknown_fields=wanted.unknown_fields)

    def applied(old: Resource) -> Resource:
        return managed.apply(target.kind, old, config, wanted.manager, force=wanted.is_forced,
                             now=admission.now)

    write = objects.patch_status if target.subresource else objects.patch
    try:
        changed = await write(target.kind, target.namespace, target.name, applied, admission)
    except Failure as refused:
        if refused.status != 404 or target.subresource:  # noqa: PLR2004  there is none yet
            raise
        changed = await objects.create(target.kind, target.namespace, applied({"metadata": {}}), admission)
        return answer(changed, 201, admission.warnings)
    return answer(changed, 200, admission.warnings)


async def _scale(request: Request, objects: Objects, target: Target, wanted: Options) -> Response:
    kind, where = target.kind, (target.namespace, target.name)
    if request.method == "GET":
        return answer(scale.shown(objects.existing(kind, *where)))
    if request.method not in ("PUT", "PATCH"):
        raise _not_allowed()
    patched = await _patcher(request, target) if request.method == "PATCH" else None
    sent = None if patched else await body.resource(request)

    def scaled(old: Resource) -> Resource:
        return scale.taken(old, patched(scale.shown(old)) if patched else sent)

    admission = objects.admission(is_dry_run=wanted.is_dry_run)
    changed = await objects.patch(kind, *where, scaled, admission)
    return answer(scale.shown(changed), 200, admission.warnings)


async def _change(objects: Objects, target: Target, wanted: Options, change: Change) -> Response:
    admission = objects.admission(is_dry_run=wanted.is_dry_run, unknown_fields=wanted.unknown_fields)
    write = objects.patch_status if target.subresource else objects.patch
    changed = await write(target.kind, target.namespace, target.name, change, admission)
    return answer(changed, 200, admission.warnings)


async def _delete(request: Request, objects: Objects, target: Target, wanted: Options) -> Response:
    asked = await body.delete_options(request)
    kind, where = target.kind, (target.namespace, target.name)
    gone = await objects.delete(kind, *where, propagation=asked.get("propagationPolicy"),
                                preconditions=asked.get("preconditions") or {},
                                is_dry_run=wanted.is_dry_run or "All" in (asked.get("dryRun") or ()))
    if resource.finalizers(gone):
        return answer(gone)
    return answer(failure.success(kind, target.name, resource.uid(gone)))


async def _delete_collection(request: Request, objects: Objects, target: Target, wanted: Options) -> Response:
    asked = await body.delete_options(request)
    found = objects.store.list(target.kind, target.namespace, labels=wanted.labels, fields=wanted.fields)
    for one in found:
        if not wanted.is_dry_run:
            await objects.discard(target.kind, resource.namespace(one), resource.name(one),
                                  propagation=asked.get("propagationPolicy"))
    meta = {"resourceVersion": str(objects.store.version), "continue": ""}
    return answer(_list_of(target, found, meta))


def _addressed(target: Target, sent: Any) -> Resource:
    """*sent* with what the path says filled in; Failure 400 where it says something else."""
    kind = target.kind
    wish: Resource = {"apiVersion": kind.api_version, "kind": kind.kind, **lifecycle.check_shape(kind, sent)}
    if wish["apiVersion"] != kind.api_version:
        raise failure.bad_request(f'the API version in the data ({wish["apiVersion"]}) does not match the '
                                  f"expected API version ({kind.api_version})")
    if wish["kind"] != kind.kind:
        raise failure.bad_request(f'{wish["kind"]} in version "{kind.version}" cannot be handled as a '
                                  f"{kind.kind}: the kind in the data does not match the path")
    meta = resource.meta(wish)
    if target.name and meta.get("name", target.name) != target.name:
        raise failure.bad_request(f'the name of the object ({meta["name"]}) does not match the name on the '
                                  f"URL ({target.name})")
    home = target.namespace if kind.namespaced else ""
    if home and (meta.get("namespace") or home) != home:
        raise failure.bad_request("the namespace of the provided object does not match the namespace sent on "
                                  "the request")
    return wish
