"""
A function that takes an event: from a request to `handle(event)`, and from what it returns to an answer.

    request                                     answer
    -------                                     ------
    GET /health/liveness, /health/readiness     200
    not POST                                    405
    not a CloudEvent                            400, one line naming what is wrong
    handle returned None                        202, empty: accepted, nothing to say
    handle returned an event                    200, the event in binary mode
    handle raised                               500, one line; the traceback goes to the worker's log
    handle returned anything else               500, naming what it returned
    no memory or no thread left to call it      503, and this process ends: another one takes its place

A plain `def handle` runs in a thread, because it usually waits for something (a database, another
service) and neither a health check nor the next event should wait with it; at most `threads` run at once
and the rest queue. An `async def handle` runs on the loop and must not block it. Threads are started
when the first event needs them, not before.

`decode` and `encode` are the only ways between HTTP and the SDK's CloudEvent in this package.
"""

import asyncio
import inspect
import reprlib
import signal
import sys
import traceback
import uuid
from collections.abc import Awaitable, Callable, Collection, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import orjson
from cloudevents.core.base import BaseCloudEvent
from cloudevents.core.bindings.http import HTTPMessage, from_binary, from_structured, to_binary, to_structured
from cloudevents.core.formats.json import JSONFormat

from eventing.errors import NotACloudEvent
from eventing.http.exchange import Exchange
from eventing.http.wire import Header
from serving.functions.legacy import Event, EventV03, modern

LIVENESS, READINESS = b"/health/liveness", b"/health/readiness"  # func's and Knative's own paths

# Sixteen times what the ingress accepts by default; an event has to fit into memory several times.
BODY_LIMIT_BYTES = 16 * 1024 * 1024
_LINE_LIMIT = 500  # characters of an error that a caller sees; the log has all of it
_EVENT_TYPES = b"application/cloudevents"  # ...+json and -batch+json
_STRUCTURED = "application/cloudevents+json"
_FORMAT = JSONFormat()


def is_event(headers: Iterable[Header]) -> bool:
    """Does a request with these headers claim to be a CloudEvent?"""
    return any(name == b"ce-specversion" or (name == b"content-type" and value.startswith(_EVENT_TYPES))
               for name, value in headers)


def decode(headers: Collection[Header], body: bytes) -> BaseCloudEvent:
    """
    The CloudEvent in a request, binary or structured (JSON), version 1.0 or 0.3.

    Data is parsed as the SDK does: JSON where the content type says so, else text, else bytes.

    Raises:
        NotACloudEvent: says what is wrong.
    """
    fields = {name.decode("latin-1"): _text(value) for name, value in headers}
    message = HTTPMessage(headers=fields, body=body)
    try:
        if "ce-specversion" in fields:
            return from_binary(message, _FORMAT, _as_sent)
        if fields.get("content-type", "").lower().startswith(_STRUCTURED):
            return from_structured(message, _FORMAT, _as_sent)
    except MemoryError:  # the event is none the worse for it
        raise
    except Exception as error:  # the SDK raises what its parsers do, down to AttributeError
        raise NotACloudEvent(f"not a valid CloudEvent: {' '.join(str(error).split())}") from error
    raise NotACloudEvent(no_event(headers))


def no_event(headers: Collection[Header]) -> str:
    """What a request with these headers lacks, if it is to carry an event."""
    kind = next((_text(value) for name, value in headers if name == b"content-type"), "")
    return ("this function takes CloudEvents: there is no header ce-specversion, "
            f"and content-type is {kind!r}, not {_STRUCTURED}")


def _text(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.decode("latin-1")


def _as_sent(attributes: dict[str, Any], data: Any) -> BaseCloudEvent:
    """The SDK invents a time where there is none; the function sees what was sent."""
    has_time = "time" in attributes
    kind = EventV03 if attributes.get("specversion") == "0.3" else Event
    event = kind(attributes, data)
    if not has_time:
        event.get_attributes().pop("time", None)
    return event


def encode(event: BaseCloudEvent, source: str, *, structured: bool = False) -> tuple[list[Header], bytes]:
    """
    Headers and body of a message that carries *event*; *source* and a new id fill in where it has none.

    Raises:
        ValueError, TypeError: its data or an attribute cannot be written down.
    """
    attributes = event.get_attributes()
    attributes["id"] = attributes.get("id") or str(uuid.uuid4())
    attributes["source"] = attributes.get("source") or source
    data = event.get_data()
    if data is not None and not isinstance(data, (str, bytes, bytearray)):
        attributes.setdefault("datacontenttype", "application/json")
    if structured:
        message = to_structured(event, _FORMAT)
        body = message.body
    else:
        message = to_binary(event, _FORMAT)
        # The SDK writes what is neither object, text nor bytes as Python would print it.
        is_plain = data is None or isinstance(data, (dict, str, bytes, bytearray))
        body = message.body if is_plain else orjson.dumps(data)
    headers = [(name.encode("ascii"), value.encode("ascii")) for name, value in message.headers.items()]
    if any(b"\r" in value or b"\n" in value for _, value in headers):
        raise ValueError("an attribute holds a line break")
    return headers, body


def complaint(error: BaseException) -> str:
    """One line about what a function raised, for the caller."""
    return " ".join(f"{type(error).__name__}: {error}".split())[:_LINE_LIMIT]


def print_traceback(error: BaseException, *, frames_of_ours: int) -> None:
    """Write the traceback of *error* to the worker's log, from the function's own first frame on."""
    trace = error.__traceback__
    for _ in range(frames_of_ours):
        trace = trace.tb_next if trace is not None and trace.tb_next is not None else trace
    traceback.print_exception(type(error), error, trace, file=sys.stderr)


class EventFunction:
    """Serves `handle(event)` to eventing.http.server; its tasks belong to the group that it is given."""

    def __init__(self, handle: Callable[[Any], Any], *, source: str, threads: int,
                 tasks: asyncio.TaskGroup) -> None:
        """Call *handle*; *source* is the `source` of replies that have none."""
        self._handle = handle
        self._source = source
        self._tasks = tasks
        self._loop = asyncio.get_running_loop()
        self._is_async = (inspect.iscoroutinefunction(handle)
                          or inspect.iscoroutinefunction(getattr(handle, "__call__", None)))  # noqa: B004  its code
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="handle")
        self._running = 0

    def __repr__(self) -> str:
        """How many events are being handled."""
        return f"<EventFunction [{self._running} running]>"

    def close(self) -> None:
        """Let go of idle threads; nothing is called any more."""
        self._pool.shutdown(wait=False)

    def __call__(self, exchange: Exchange) -> None:
        """Take one request."""
        path = exchange.target.partition(b"?")[0]
        if path in {LIVENESS, READINESS}:
            exchange.text(200, "OK")
        elif exchange.method != b"POST":
            exchange.respond(405, [(b"allow", b"POST")])
        else:
            exchange.collect(BODY_LIMIT_BYTES, partial(self._take, exchange))

    def _take(self, exchange: Exchange, body: bytes) -> None:
        try:
            self._start(exchange, decode(exchange.headers, body))
        except NotACloudEvent as error:
            exchange.text(400, str(error))
        except (MemoryError, RuntimeError) as error:  # the latter: no thread can be started
            self._exhausted(exchange, error)

    def _start(self, exchange: Exchange, event: BaseCloudEvent) -> None:
        if self._is_async:
            self._tasks.create_task(self._await(exchange, self._handle(event)))
        else:
            call = self._loop.run_in_executor(self._pool, self._call, event)
            call.add_done_callback(partial(self._returned, exchange))
        self._running += 1

    @staticmethod
    def _exhausted(exchange: Exchange, error: BaseException) -> None:
        """It cannot get better here: what is under way is finished, and another worker takes over."""
        why = f"{complaint(error)}: this worker is short of memory or threads, and ends; raise its limits"
        print(why, file=sys.stderr)  # noqa: T201  the worker's log
        exchange.text(503, why)
        signal.raise_signal(signal.SIGTERM)

    def _call(self, event: BaseCloudEvent) -> tuple[Any, BaseException | None]:
        """Run in a thread. What was raised is a value: a future refuses to hold a StopIteration."""
        try:
            return self._handle(event), None
        except BaseException as error:  # noqa: BLE001  whatever a function raises, sys.exit() too
            return None, error

    def _returned(self, exchange: Exchange, call: asyncio.Future[tuple[Any, BaseException | None]]) -> None:
        result, error = call.result()
        if error is not None:
            self._raised(exchange, error)
        elif inspect.isawaitable(result):  # a plain function that returned a coroutine
            self._tasks.create_task(self._await(exchange, result))
        else:
            self._answer(exchange, result)

    async def _await(self, exchange: Exchange, result: Awaitable[Any]) -> None:
        try:
            reply = await result
        except (Exception, SystemExit, KeyboardInterrupt, asyncio.CancelledError) as error:  # noqa: BLE001
            # Whatever a function raises is its answer; nobody else ends this task.
            self._raised(exchange, error)
        else:
            self._answer(exchange, reply)

    def _raised(self, exchange: Exchange, error: BaseException) -> None:
        self._running -= 1
        print_traceback(error, frames_of_ours=1)
        exchange.text(500, complaint(error))

    def _answer(self, exchange: Exchange, reply: Any) -> None:
        self._running -= 1
        if reply is None:
            exchange.respond(202)
            return
        try:
            event = modern(reply)
            if event is None:
                self._refuse(exchange, f"handle returned {type(reply).__name__} {reprlib.repr(reply)}; "
                                       "expected a cloudevents.core.v1.event.CloudEvent or None")
                return
            headers, body = encode(event, self._source)
        except Exception as error:  # noqa: BLE001  data of a person's own types, written by the SDK
            self._refuse(exchange, f"handle returned an event that cannot be encoded: {complaint(error)}")
            return
        exchange.respond(200, headers, body)

    @staticmethod
    def _refuse(exchange: Exchange, what: str) -> None:
        print(what, file=sys.stderr)  # noqa: T201  the worker's log
        exchange.text(500, " ".join(what.split()))
