"""
One answer as it comes, for a coroutine that reads it: bounded, whatever the server sends.

Who does not read makes the server wait: the connection is not read beyond `_AHEAD_BYTES`.
"""

import asyncio

from eventing.errors import NoAnswer
from eventing.http.upstream import Upstream
from eventing.http.wire import Header

_AHEAD_BYTES = 1024 * 1024


class Stream:
    """An AnswerReceiver with two things to wait for: the status, and more of the body."""

    def __init__(self, upstream: Upstream) -> None:
        """The answer of the request that is about to be sent on *upstream*."""
        self._upstream = upstream
        self._status = 0
        self._chunks: list[bytes] = []
        self._size_bytes = 0
        self._is_over = False
        self._error: NoAnswer | None = None
        self._changed = asyncio.Event()

    def __repr__(self) -> str:
        """How much waits."""
        return f"<Stream {self._status} [{self._size_bytes} bytes wait]>"

    async def status(self) -> int:
        """The answer's HTTP status. Raises NoAnswer."""
        while not self._status:
            await self._more()
        return self._status

    async def read(self) -> bytes:
        """What has come since the last time, at least one byte; none at the end. Raises NoAnswer."""
        while not self._chunks:
            if self._is_over:
                return b""
            await self._more()
        chunks, self._chunks, self._size_bytes = self._chunks, [], 0
        self._upstream.resume()
        return b"".join(chunks)

    async def _more(self) -> None:
        if self._error is not None:
            raise self._error
        await self._changed.wait()
        self._changed.clear()

    # -- AnswerReceiver -----------------------------------------------------------------------------------

    def head(self, status: int, headers: list[Header]) -> None:
        """The answer begins."""
        del headers
        self._status = status
        self._changed.set()

    def data(self, chunk: bytes) -> None:
        """More of it."""
        self._chunks.append(chunk)
        self._size_bytes += len(chunk)
        if self._size_bytes > _AHEAD_BYTES:
            self._upstream.pause()
        self._changed.set()

    def end(self) -> None:
        """All of it."""
        self._is_over = True
        self._changed.set()

    def failed(self, error: NoAnswer) -> None:
        """No more of it."""
        self._error = error
        self._changed.set()
