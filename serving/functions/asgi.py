"""
Knative's instanced functions as an ASGI app: what func-python gives to `handle(scope, receive, send)`.

    the function has      what it gets
    ----------------      ------------
    start(cfg)            the environment as a dict, before the first request
    stop()                after the last request, at SIGTERM
    alive(), ready()      asked at /health/liveness, /health/readiness: bool or (bool, message)
    handle                every other path; `scope["event"]` is the CloudEvent where the request carries one

All but `handle` may be plain or `async`.

`send` takes ASGI messages as ever, and a CloudEvent, which becomes the whole answer (structured, 200); it
has `send.structured(event, status)`, `send.binary(event, status)` and `send.http(message)`. A handler of an
event that sends nothing has accepted it: 202. One that raises: 500 with one line, and its traceback in
the log. A failed health check answers 503, as Knative documents (func-python itself says 500).

A request that claims to be a CloudEvent and is not one: 400; likewise one that does not even claim it, where
the function relies on `scope["event"]`. Websockets and whatever else is not HTTP are passed on as they are.
"""

import inspect
import os
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, cast

from cloudevents.core.base import BaseCloudEvent

from eventing.errors import NotACloudEvent
from eventing.http.wire import Header
from serving.functions.function import (
    BODY_LIMIT_BYTES,
    LIVENESS,
    READINESS,
    complaint,
    decode,
    encode,
    is_event,
    no_event,
    print_traceback,
)
from serving.functions.legacy import modern

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


class Sender:
    """The `send` of one request; see the module."""

    def __init__(self, send: Send, source: str) -> None:
        """Extend the server's *send*."""
        self._send = send
        self._source = source
        self.started = False

    async def __call__(self, what: Message | BaseCloudEvent) -> None:
        """Send an ASGI message, or an event as the whole answer."""
        event = modern(what)
        if event is not None:
            await self.structured(event)
        else:
            await self.http(cast("Message", what))

    async def http(self, message: Message) -> None:
        """Send one ASGI message."""
        self.started = True
        await self._send(message)

    async def structured(self, event: BaseCloudEvent, status: int = 200) -> None:
        """Answer with *event* in structured mode."""
        await self.answer(status, *encode(modern(event) or event, self._source, structured=True))

    async def binary(self, event: BaseCloudEvent, status: int = 200) -> None:
        """Answer with *event* in binary mode."""
        await self.answer(status, *encode(modern(event) or event, self._source))

    async def answer(self, status: int, headers: list[Header], body: bytes) -> None:
        """Send a whole answer."""
        length = (b"content-length", b"%d" % len(body))
        await self.http({"type": "http.response.start", "status": status, "headers": [*headers, length]})
        await self.http({"type": "http.response.body", "body": body})

    async def text(self, status: int, line: str) -> None:
        """Send a whole answer of one line."""
        await self.answer(status, [(b"content-type", b"text/plain; charset=utf-8")], line.encode() + b"\n")


class InstancedFunction:
    """An ASGI app around an object with `handle(scope, receive, send)`."""

    def __init__(self, function: Any, source: str) -> None:
        """Wrap *function*; *source* is the `source` of replies that have none."""
        self._function = function
        self._source = source

    async def start(self) -> None:
        """Tell the function to start, if it wants to know; what it raises passes through."""
        await _call(self._function, "start", dict(os.environ))

    async def stop(self) -> None:
        """Tell the function that the last request is answered, if it wants to know."""
        await _call(self._function, "stop")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI connection scope."""
        if scope["type"] != "http":
            await self._function.handle(scope, receive, send)
            return
        path, sender = scope["path"].encode(), Sender(send, self._source)
        if path == LIVENESS:
            await self._check("alive", sender)
        elif path == READINESS:
            await self._check("ready", sender)
        elif is_event(scope["headers"]):
            await self._handle_event(scope, receive, sender)
        else:
            await self._handle(scope, receive, sender)

    async def _check(self, method: str, sender: Sender) -> None:
        try:
            answer = await _call(self._function, method, default=True)
        except Exception as error:  # noqa: BLE001  whatever a function raises
            print_traceback(error, frames_of_ours=2)
            answer = (False, complaint(error))
        passed, *said = answer if isinstance(answer, tuple) else (answer,)
        await sender.text(200 if passed else 503, str(said[0]) if said else "OK" if passed else "Not OK")

    async def _handle_event(self, scope: Scope, receive: Receive, sender: Sender) -> None:
        body = await read_body(receive, sender)
        if body is None:
            return
        try:
            scope["event"] = decode(scope["headers"], body)
        except NotACloudEvent as error:
            await sender.text(400, str(error))
            return
        await self._handle(scope, _replayed(body, receive), sender)
        if not sender.started:
            await sender.answer(202, [], b"")

    async def _handle(self, scope: Scope, receive: Receive, sender: Sender) -> None:
        try:
            await self._function.handle(scope, receive, sender)
        except Exception as error:
            if sender.started:
                raise  # half an answer is out: the server logs this and cuts the connection
            if isinstance(error, KeyError) and error.args == ("event",) and "event" not in scope:
                await sender.text(400, no_event(scope["headers"]))
                return
            print_traceback(error, frames_of_ours=1)
            await sender.text(500, complaint(error))


async def _call(function: Any, method: str, *arguments: Any, default: Any = None) -> Any:
    called = getattr(function, method, None)
    if called is None:
        return default
    result = called(*arguments)
    return await result if inspect.isawaitable(result) else result


async def read_body(receive: Receive, sender: Sender) -> bytes | None:
    """The whole body; None when it is over the limit, which is answered here, or the client has left."""
    chunks: list[bytes] = []
    size_bytes = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        chunk = message.get("body", b"")
        chunks.append(chunk)
        size_bytes += len(chunk)
        if size_bytes > BODY_LIMIT_BYTES:
            await sender.text(413, f"the body is larger than the limit of {BODY_LIMIT_BYTES} bytes")
            return None
        if not message.get("more_body"):
            return b"".join(chunks)


def _replayed(body: bytes, receive: Receive) -> Receive:
    """A `receive` that gives the body once more, to handlers that read it as plain ASGI."""
    given = False

    async def replay() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return replay
