"""A server's whole answer, and who gathers it; a body is bounded here."""

import asyncio
from typing import NamedTuple

from eventing.errors import NoAnswer
from eventing.http import wire
from eventing.http.upstream import Upstream
from eventing.http.wire import Header


class Answer(NamedTuple):
    """What a server said."""

    status: int
    headers: list[Header]
    body: bytes

    def header(self, name: bytes) -> bytes | None:
        """Value of the first header called *name* (lower-case), or None."""
        return wire.find(self.headers, name)


class Collector:
    """Gathers one answer into a future; an AnswerReceiver."""

    __slots__ = ("_chunks", "_future", "_headers", "_limit_bytes", "_size_bytes", "_status", "_upstream")

    def __init__(self, future: "asyncio.Future[Answer]", upstream: Upstream, limit_bytes: int) -> None:
        """Have *future* resolved by the answer that comes on *upstream*; its body is within *limit_bytes*."""
        self._future = future
        self._upstream = upstream
        self._limit_bytes = limit_bytes
        self._chunks: list[bytes] = []
        self._size_bytes = 0

    def __repr__(self) -> str:
        """How much of it is here."""
        return f"<Collector [{self._size_bytes} of at most {self._limit_bytes} bytes]>"

    def head(self, status: int, headers: list[Header]) -> None:
        """It begins."""
        self._status = status
        self._headers = headers

    def data(self, chunk: bytes) -> None:
        """More of it."""
        self._size_bytes += len(chunk)
        if self._size_bytes > self._limit_bytes:
            self._chunks.clear()
            self._upstream.fail("too-large", f"the answer is larger than {self._limit_bytes} bytes")
        else:
            self._chunks.append(chunk)

    def end(self) -> None:
        """It is whole."""
        if not self._future.done():
            self._future.set_result(Answer(self._status, self._headers, b"".join(self._chunks)))

    def failed(self, error: NoAnswer) -> None:
        """There is none."""
        if not self._future.done():
            self._future.set_exception(error)

    def expire(self) -> None:
        """It has not come in time."""
        if not self._future.done():  # else the connection may be another request's by now
            self._upstream.fail("timeout", "no answer in time")
