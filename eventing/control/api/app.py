"""
The REST API as an ASGI application: a few routes over the register of kinds, and errors as metav1.Status.

The composition root adds its own routes (/readyz, /metrics, the dashboard) to what `build` returns.
"""

import asyncio
from typing import Any

import redis.exceptions
import structlog
from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from eventing.connection import NoPrimary
from eventing.control import failure
from eventing.control.api import definitions, discovery, missing, objects, openapi, reviews
from eventing.control.api.path import target
from eventing.control.failure import Failure
from eventing.control.plane import Plane
from eventing.errors import Rejected

log = structlog.get_logger(__name__)

# A start takes well below a second; who asks earlier waits so long, and then hears that we are not well.
_START_S = 10.0
_DEFINITIONS = (definitions.GROUP, definitions.VERSION, [definitions.PLURAL])
_METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE"]
_REFUSALS = {
    redis.exceptions.OutOfMemoryError: "the store is out of memory: nothing was changed; give it more "
                                       "(maxmemory), or keep less (clarion.dev/retention), and try again",
    NoPrimary: "the store is a replica, and read-only; what was asked may or may not have been done: look, "
               "and try again once it is a primary",
}
_REASONS = {400: "BadRequest", 404: "NotFound", 405: "MethodNotAllowed", 409: "Conflict", 422: "Invalid"}


def build(plane: Plane) -> FastAPI:
    """The Kubernetes API over *plane*, which somebody else runs."""
    app = FastAPI(title="Clarion", openapi_url=None, docs_url=None, redoc_url=None)
    app.add_api_route("/version", _version, methods=["GET"])
    app.add_api_route("/openapi/v2", _openapi_v2, methods=["GET"])
    app.add_api_route("/openapi/v3", _openapi_index, methods=["GET"])
    app.add_api_route("/openapi/v3/{path:path}", _openapi_document, methods=["GET"])

    async def core(request: Request, path: str = "") -> Response:
        return await _serve(plane, request, "", [part for part in path.split("/") if part])

    async def grouped(request: Request, path: str = "") -> Response:
        group, *rest = [part for part in path.split("/") if part] or [""]
        return await _serve(plane, request, group, rest)

    for prefix, route in (("/api", core), ("/apis", grouped)):
        app.add_api_route(prefix, route, methods=_METHODS)
        app.add_api_route(prefix + "/{path:path}", route, methods=_METHODS)
    app.add_exception_handler(Rejected, _rejected)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(redis.exceptions.RedisError, _away)
    app.add_exception_handler(Exception, _crashed)
    return app


async def _serve(plane: Plane, request: Request, group: str, rest: list[str]) -> Response:
    is_core = request.url.path.split("/")[1] == "api"
    if not is_core and not group:
        return _discovery(request, is_core=False)
    if not rest:
        return _discovery(request, is_core=True) if is_core else objects.answer(discovery.group(group))
    if reviews.is_one(request.method, group, rest):
        return objects.answer(await reviews.answer(request, group, rest[1]), 201)
    version, *rest = rest
    unstored = _unstored(request, group, version, rest)
    if unstored is not None:
        return objects.answer(unstored)
    found = target(group, version, rest)
    await _started(plane)
    serve = objects.item if found.name else objects.collection
    return await serve(request, plane.objects, found)


def _unstored(request: Request, group: str, version: str, rest: list[str]) -> dict[str, Any] | None:
    """What is answered without the store; None for a kind of ours."""
    if (group, version, rest[:1]) == _DEFINITIONS and request.method == "GET":
        return definitions.answer(rest[1:], request.query_params.get("labelSelector", ""))
    return missing.answer(request.method, group, rest) if rest else discovery.resources(group, version)


async def _started(plane: Plane) -> None:
    try:
        async with asyncio.timeout(_START_S):
            await plane.started.wait()
    except TimeoutError:
        raise Failure(503, "ServiceUnavailable", "the control plane has not read its state yet") from None


def _discovery(request: Request, *, is_core: bool) -> Response:
    aggregated = discovery.aggregated_type(request.headers.get("accept", ""))
    if aggregated is None:
        return objects.answer(discovery.core_versions() if is_core else discovery.groups())
    response = objects.answer(discovery.aggregated(is_core=is_core))
    response.headers["content-type"] = aggregated
    return response


async def _version() -> Response:
    return objects.answer(discovery.VERSION)


async def _openapi_v2() -> Response:
    return Response(openapi.NOTHING_V2, media_type=openapi.TYPE_V2)


async def _openapi_index() -> Response:
    return objects.answer(openapi.index())


async def _openapi_document(path: str) -> Response:
    return objects.answer(openapi.document(path))


# Errors.


async def _rejected(_request: Request, error: Exception) -> Response:
    if isinstance(error, Failure):
        return objects.answer(error.as_status(), error.status)
    assert isinstance(error, Rejected)
    told = Failure(error.status, _REASONS.get(error.status, "BadRequest"), str(error))
    return objects.answer(told.as_status(), told.status)


async def _http_error(_request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    known = failure.unknown_path() if error.status_code == 404 else Failure(  # noqa: PLR2004  the routes' own
        error.status_code, _REASONS.get(error.status_code, "BadRequest"), str(error.detail))
    return objects.answer(known.as_status(), known.status)


async def _away(_request: Request, error: Exception) -> Response:
    log.info("store_away", error=repr(error))
    told = Failure(503, "ServiceUnavailable", next(
        (said for kind, said in _REFUSALS.items() if isinstance(error, kind)),
        "the store is not reachable now; what was asked may or may not have been done: look, and try again"))
    response = objects.answer(told.as_status(), told.status)
    response.headers["retry-after"] = "1"
    return response


async def _crashed(request: Request, error: Exception) -> Response:
    log.error("request_failed", method=request.method, path=request.url.path, exc_info=error)
    told = Failure(500, "InternalError", f"Internal error occurred: {type(error).__name__}")
    return objects.answer(told.as_status(), told.status)
