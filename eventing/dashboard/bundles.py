"""PUT and GET /bundles/sha256:HEX: where `clarion apply` leaves a function's code."""

import re

import redis.asyncio
from fastapi import APIRouter, Request
from fastapi.responses import PlainTextResponse, Response

from eventing.errors import Rejected
from serving.functions import bundle

_NAME = re.compile("[0-9a-f]{64}")


def routes(store: "redis.asyncio.Redis") -> APIRouter:
    """The two endpoints, over *store*."""
    router = APIRouter(prefix="/bundles")

    @router.put("/sha256:{name}", include_in_schema=False)
    async def put(name: str, request: Request) -> Response:
        if not _NAME.fullmatch(name):
            return _refusal(400, "a bundle is named by the SHA-256 of its bytes, 64 hex digits")
        data = bytearray()
        async for chunk in request.stream():
            data += chunk
            if len(data) > bundle.LIMIT_BYTES:
                return _refusal(413, f"a bundle may have {bundle.LIMIT_BYTES} bytes; leave data out of it")
        try:
            await bundle.put(store, name, bytes(data))
        except Rejected as error:
            return _refusal(error.status, str(error))
        return PlainTextResponse("stored\n", 201)

    @router.get("/sha256:{name}", include_in_schema=False)
    async def get(name: str) -> Response:
        try:
            return Response(await bundle.get(store, name), media_type="application/gzip")
        except Rejected as error:
            return _refusal(error.status, str(error))

    return router


def _refusal(status: int, why: str) -> Response:
    return PlainTextResponse(f"{why}\n", status)
