"""
Knative's first Python functions: `main(context)` in func.py, as its package `parliament` called it.

    context.request         Flask's request
    context.cloud_event     the event of a POST that carries one, of the SDK's old class; else None
    what main returns       an event, answered in binary mode; or anything that a Flask view may return
    @event                  wraps what a function returns into an event

GET and POST of `/`, and nothing else. Flask comes from the function's environment: a requirements.txt that
says `parliament-functions` gets it (workers/dependencies.py). A function runs in a thread, as it did there.
"""

import asyncio
import functools
import io
import sys
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import quote

from eventing.http.wire import Header
from serving.functions.asgi import Message, Receive, Scope, Send, Sender, read_body
from serving.functions.entry import NoEntry
from serving.functions.function import LIVENESS, READINESS, complaint, encode, is_event, print_traceback
from serving.functions.legacy import modern

_METHODS = ("GET", "POST")
_TYPE, _SOURCE = "parliament.response", "/parliament/function"


class Context(Mapping[str, Any]):
    """What `main` is given; as a mapping it has what is there."""

    def __init__(self, request: Any = None, cloud_event: Any = None) -> None:
        """Either may be missing."""
        self.request = request
        self.cloud_event = cloud_event

    def _there(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if value is not None}

    def __getitem__(self, name: str) -> Any:
        """`request` or `cloud_event`."""
        return self._there()[name]

    def __iter__(self) -> Iterator[str]:
        """Names of what is there."""
        return iter(self._there())

    def __len__(self) -> int:
        """How much is there."""
        return len(self._there())


def event(func: Callable[..., Any] | None = None, *, event_type: str = _TYPE,
          event_source: str = _SOURCE) -> Any:
    """Decorate *func* so that what it returns becomes the data of an event."""
    if func is None:
        return functools.partial(event, event_type=event_type, event_source=event_source)

    @functools.wraps(func)
    def wrapped(*arguments: Any, **named: Any) -> Any:
        from cloudevents.v1.http import CloudEvent  # noqa: PLC0415  only such functions need it

        return CloudEvent({"type": event_type, "source": event_source}, func(*arguments, **named))

    return wrapped


class LegacyFunction:
    """An ASGI app around `main`."""

    def __init__(self, main: Callable[[Context], Any], source: str, threads: int) -> None:
        """*source*: of replies that have none. Raises NoEntry where there is no Flask."""
        try:
            import flask  # noqa: PLC0415  of the function's environment; nothing else needs it
        except ModuleNotFoundError as error:
            raise NoEntry("main(context) takes Flask's requests, and there is no Flask: put "
                          "parliament-functions into the function's requirements.txt") from error
        self._main = main
        self._source = source
        self._app = flask.Flask("function", static_folder=None)
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="main")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        sender = Sender(send, self._source)
        if scope["type"] != "http":
            raise RuntimeError(f"no {scope['type']} here")
        if scope["path"].encode() in {LIVENESS, READINESS}:
            await sender.text(200, "OK")
        elif scope["path"] != "/":
            await sender.text(404, "a function of parliament is at /")
        elif scope["method"] not in _METHODS:
            await sender.answer(405, [(b"allow", b"GET, POST")], b"")
        elif (body := await read_body(receive, sender)) is not None:
            loop = asyncio.get_running_loop()
            await sender.answer(*await loop.run_in_executor(self._pool, self._call, scope, body))

    def _call(self, scope: Scope, body: bytes) -> tuple[int, list[Header], bytes]:
        """In a thread: call main, and make an answer of what it returns."""
        import flask  # noqa: PLC0415  imported by now

        with self._app.request_context(_environ(scope, body)):
            try:
                request = flask.request._get_current_object()  # type: ignore[attr-defined]  # noqa: SLF001
                returned = self._main(Context(request, _event_of(scope, body)))
                reply = modern(returned)
                if reply is not None:
                    return 200, *encode(reply, self._source)
                answer = self._app.make_response(returned)
            except Exception as error:  # noqa: BLE001  whatever a function raises
                print_traceback(error, frames_of_ours=1)
                return 500, [(b"content-type", b"text/plain")], f"Function raised {complaint(error)}".encode()
            headers = [(name.lower().encode("latin-1"), value.encode("latin-1"))
                       for name, value in answer.headers if name.lower() != "content-length"]
            return answer.status_code, headers, answer.get_data()


def _event_of(scope: Message, body: bytes) -> Any:
    """The event in a POST; None where there is none, or one that cannot be read, which is said in the log."""
    if scope["method"] != "POST" or not is_event(scope["headers"]):
        return None
    from cloudevents.v1.http import from_http  # noqa: PLC0415  only such functions need it

    try:
        return from_http({name.decode(): value.decode() for name, value in scope["headers"]}, body)
    except Exception as error:  # noqa: BLE001  the SDK raises what its parsers do
        print(f"not a CloudEvent: {complaint(error)}", file=sys.stderr)  # noqa: T201  the worker's log
        return None


def _environ(scope: Scope, body: bytes) -> dict[str, Any]:
    """WSGI's environment of a request (PEP 3333)."""
    host, port = scope.get("server") or ("localhost", 80)
    found = {
        "REQUEST_METHOD": scope["method"], "SCRIPT_NAME": "", "PATH_INFO": scope["path"],
        "QUERY_STRING": scope["query_string"].decode("latin-1"), "REQUEST_URI": quote(scope["path"]),
        "SERVER_NAME": host, "SERVER_PORT": str(port), "SERVER_PROTOCOL": f"HTTP/{scope['http_version']}",
        "wsgi.version": (1, 0), "wsgi.url_scheme": scope["scheme"], "wsgi.input": io.BytesIO(body),
        "wsgi.errors": sys.stderr, "wsgi.multithread": True, "wsgi.multiprocess": True,
        "wsgi.run_once": False, "CONTENT_LENGTH": str(len(body)),
    }
    for name, value in scope["headers"]:
        key = name.decode("latin-1").upper().replace("-", "_")
        if key == "CONTENT_TYPE":
            found[key] = value.decode("latin-1")
        elif key != "CONTENT_LENGTH":
            found[f"HTTP_{key}"] = value.decode("latin-1")
    return found
