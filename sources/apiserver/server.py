"""
One API server: questions and their answers, and the changes that a watch tells.

It speaks HTTP/1.1, over TLS where the URL says so, with the parser of eventing/http. Libraries were measured
in a process with asyncio, ssl and orjson, import alone: kubernetes-asyncio 305 ms of CPU and 49 MB, kr8s
139 ms and 21 MB, aiohttp 119 ms and 13 MB, lightkube 60 ms and 8.8 MB, httpx 28 ms and 4.2 MB; this is 1 ms
and 0.1 MB, and what it needs of a client (lists in pages, watches, tokens, certificates) is this file.

Whatever goes wrong is a NotReady with the reason: `ConnectionFailed`, `ConnectionLost`,
`AuthenticationFailed`, `InsufficientPermissions`, `RequestFailed`. What is too old to be told is Expired.
"""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator, Mapping
from http import HTTPStatus
from typing import Any
from urllib.parse import urlencode, urlsplit

import orjson

from eventing.errors import NoAnswer
from eventing.http import wire
from eventing.http.upstream import Upstream
from sources.apiserver.credentials import Credentials
from sources.apiserver.kubeconfig import Access
from sources.apiserver.stream import Stream
from sources.source import NotReady

FORBIDDEN = "InsufficientPermissions"

_CONNECT_S = 10.0
_ANSWER_S = 60.0  # Kubernetes' own limit of a request that is no watch
_HEAD_BYTES = 64 * 1024
_ANSWER_BYTES = 256 * 1024 * 1024  # a page of objects that are as large as etcd takes them
_LINE_BYTES = 16 * 1024 * 1024
# A watch is asked for anew after that; client-go takes 5 to 10 minutes.
_WATCH_S = 300
_GRACE_S = 30.0
_SAID_CHARACTERS = 500
# A peer that vanished is noticed after a minute (Linux: idle, interval, count).
_KEEPALIVE = (("TCP_KEEPIDLE", 30), ("TCP_KEEPINTVL", 10), ("TCP_KEEPCNT", 3))
_REASONS: Mapping[int, str] = {HTTPStatus.UNAUTHORIZED: "AuthenticationFailed",
                               HTTPStatus.FORBIDDEN: FORBIDDEN}
_TOO_LARGE = "ResourceVersionTooLarge"

Object = dict[str, Any]


class Failure(NotReady):
    """The server said no; `status` is its HTTP status."""

    def __init__(self, status: int, message: str) -> None:
        """*message* is the server's."""
        super().__init__(_REASONS.get(status, "RequestFailed"), message)
        self.status = status


class Expired(Failure):
    """The server does not keep what is asked for any more (410), or has never been there."""


class _Nobody:
    """Owner of a connection that serves one request and is closed."""

    def made(self, upstream: Upstream) -> None:
        pass

    def release(self, upstream: Upstream) -> None:
        upstream.abort()

    def lost(self, upstream: Upstream) -> None:
        pass


class Server:
    """An API server, asked with one Access. Nothing is open between requests."""

    def __init__(self, access: Access) -> None:
        """Nothing is asked yet."""
        self.url = access.server
        self._access = access
        self._credentials = Credentials(access)
        self._parts = urlsplit(access.server)

    def __repr__(self) -> str:
        """Where it is."""
        return f"<Server {self.url}>"

    async def get(self, path: str, **query: str) -> Object:
        """The JSON at *path*."""
        return await self._request("GET", path, query)

    async def post(self, path: str, body: Mapping[str, Any]) -> Object:
        """The answer to a new object."""
        return await self._request("POST", path, {}, orjson.dumps(body))

    async def watch(self, path: str, **query: str) -> AsyncIterator[list[Object]]:
        """
        The watch events at *path* as they come, those together that came together.

        The first list is empty: the watch is established. It ends when the server ends it, which it does
        after some minutes, and raises Expired when the `resourceVersion` of *query* is too old.
        """
        query |= {"watch": "1", "allowWatchBookmarks": "true", "timeoutSeconds": str(_WATCH_S)}
        async with self._asked("GET", path, query) as stream:
            await self._check(stream)
            yield []
            rest = b""
            while chunk := await self._read(stream, _WATCH_S + _GRACE_S):
                *lines, rest = (rest + chunk).split(b"\n")
                if len(rest) > _LINE_BYTES:
                    too_large = f"{self.url} sends an object larger than {_LINE_BYTES} bytes"
                    raise NotReady("ConnectionLost", too_large)
                events = [_object(line) for line in lines if line]
                for event in events:
                    if event.get("type") == "ERROR":
                        raise _failure(event.get("object") or {}, HTTPStatus.INTERNAL_SERVER_ERROR)
                if events:
                    yield events

    async def _request(self, method: str, path: str, query: Mapping[str, str], body: bytes = b"") -> Object:
        async with self._asked(method, path, query, body) as stream:
            await self._check(stream)
            return _object(await self._body(stream))

    async def _check(self, stream: Stream) -> None:
        """Return if the answer is a good one; raise what it says."""
        try:
            async with asyncio.timeout(_ANSWER_S):
                status = await stream.status()
        except (TimeoutError, NoAnswer) as error:
            raise NotReady("ConnectionLost", f"{self.url}: {error or 'no answer in time'}") from error
        if status // 100 == 2:  # noqa: PLR2004  2xx is yes
            return
        if status == HTTPStatus.UNAUTHORIZED:
            self._credentials.expire()
        body = await self._body(stream)
        try:
            said = orjson.loads(body)
        except ValueError:
            said = {"message": body[:_SAID_CHARACTERS].decode(errors="replace")}
        raise _failure(said if isinstance(said, dict) else {}, status)

    async def _body(self, stream: Stream) -> bytes:
        chunks, size_bytes = [], 0
        while chunk := await self._read(stream, _ANSWER_S):
            chunks.append(chunk)
            size_bytes += len(chunk)
            if size_bytes > _ANSWER_BYTES:
                raise NotReady("RequestFailed", f"{self.url} answers more than {_ANSWER_BYTES} bytes")
        return b"".join(chunks)

    async def _read(self, stream: Stream, timeout_s: float) -> bytes:
        """What has come; empty at the end of the answer."""
        try:
            async with asyncio.timeout(timeout_s):
                return await stream.read()
        except TimeoutError as error:
            raise NotReady("ConnectionLost", f"{self.url} was silent for {timeout_s:.0f} s") from error
        except NoAnswer as error:
            raise NotReady("ConnectionLost", f"{self.url}: {error}") from error

    @contextlib.asynccontextmanager
    async def _asked(self, method: str, path: str, query: Mapping[str, str],
                     body: bytes = b"") -> AsyncIterator[Stream]:
        """Send a request on a connection of its own, which is cut at the end."""
        await self._credentials.load()
        target = f"{self._parts.path}{path}" + (f"?{urlencode(query)}" if query else "")
        host = self._parts.netloc.rpartition("@")[2]
        headers = [(b"host", host.encode()), (b"accept", b"application/json"),
                   (b"user-agent", b"clarion-apiserversource"), *self._credentials.headers()]
        if body:
            headers += [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
        upstream = await self._connect()
        try:
            stream = Stream(upstream)
            upstream.send(b"%b %b HTTP/1.1\r\n%b\r\n%b" % (method.encode(), target.encode(),
                                                          wire.encode(headers), body), stream)
            yield stream
        finally:
            upstream.abort()

    async def _connect(self) -> Upstream:
        host = self._parts.hostname or ""
        port = self._parts.port or (443 if self._parts.scheme == "https" else 80)
        context = self._credentials.context
        name = (self._access.server_name or host) if context is not None else None
        try:
            async with asyncio.timeout(_CONNECT_S):
                transport, upstream = await asyncio.get_running_loop().create_connection(
                    lambda: Upstream(_Nobody(), _HEAD_BYTES), host, port, ssl=context, server_hostname=name)
        except ssl.SSLError as error:
            why = getattr(error, "verify_message", None) or error.reason or str(error)
            raise NotReady("ConnectionFailed", f"{self.url}: TLS: {why}") from error
        except TimeoutError as error:
            why = f"no connection within {_CONNECT_S:.0f} s"
            raise NotReady("ConnectionFailed", f"{self.url}: {why}") from error
        except OSError as error:
            raise NotReady("ConnectionFailed", f"{self.url}: {error.strerror or error}") from error
        _keep_alive(transport.get_extra_info("socket"))
        return upstream


def _keep_alive(connection: socket.socket) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in _KEEPALIVE:
        if (option := getattr(socket, name, None)) is not None:
            connection.setsockopt(socket.IPPROTO_TCP, option, value)


def _object(text: bytes) -> Object:
    try:
        found = orjson.loads(text)
    except ValueError as error:
        raise NotReady("RequestFailed", "the server's answer is no JSON: is it an API server?") from error
    if not isinstance(found, dict):
        raise NotReady("RequestFailed", "the server's answer is no JSON object: is it an API server?")
    return found


def _failure(said: Object, status: int) -> Failure:
    """What a metav1.Status means; *status* unless it says which itself."""
    code = said.get("code") or status
    message = str(said.get("message") or f"HTTP {code}")[:_SAID_CHARACTERS]
    causes = (said.get("details") or {}).get("causes") or []
    is_ahead = any(cause.get("reason") == _TOO_LARGE for cause in causes)
    if code == HTTPStatus.GONE or is_ahead or "Too large resource version" in message:
        return Expired(code, message)
    return Failure(code, message)
