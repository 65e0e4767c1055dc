"""
What was asked: one request, its head, and its body as it comes.

Asked is the lower half of exchange.py, in which a handler asks for the body and answers. Here is what the
connection tells of the body, and what it asks in order to know whether to go on reading.
"""

import abc
from collections.abc import Callable, Collection
from typing import Protocol

from eventing.http import wire
from eventing.http.wire import Header

# An answered request's body that is still on its way is read to its end if it is no longer than this;
# a longer one costs more than the new connection that closing costs.
_DRAIN_BYTES = 64 * 1024

# What a body may fill before its handler decides what to do with it; a read is up to 256 KiB anyway.
_UNASKED_BYTES = 64 * 1024

_REFRAMED = frozenset({b"content-length", b"transfer-encoding"})


class BodyReceiver(Protocol):
    """Takes a body as it arrives; no method may raise."""

    def data(self, chunk: bytes) -> None:
        """More of it."""

    def end(self) -> None:
        """That was all of it."""

    def aborted(self) -> None:
        """The rest will never come; nothing is called after this."""


class Asked(abc.ABC):
    """The half of an Exchange that is the request."""

    # Defaults stand on the class: most requests change few of them, and each costs microseconds.
    complete = False  # the request's body has ended
    answered = False  # the answer has ended
    keep_alive = True  # the client would go on using the connection
    old = False  # HTTP/1.0: no chunked answers
    trailers: Collection[Header] = ()  # what came behind the request's body, once that is complete

    method: bytes
    target: bytes
    headers: list[Header]
    named: dict[bytes, bytes]  # the headers that it came with; of several called the same, the last

    _chunks: list[bytes] | None = None
    _size_bytes = 0
    _limit_bytes: int | None = None
    _then: Callable[[bytes], None] | None = None
    _receiver: BodyReceiver | None = None
    _paused = False

    @abc.abstractmethod
    def refuse_body(self) -> None:
        """The body is longer than `collect` allows: answer 413."""

    def header(self, name: bytes) -> bytes | None:
        """Value of the first request header called *name* (lower-case), or None."""
        for known, value in self.headers:
            if known == name:
                return value
        return None

    @property
    def wants_upgrade(self) -> bool:
        """True when the client asks for another protocol on this connection (RFC 9110, section 7.8)."""
        tokens = (self.header(b"connection") or b"").lower().split(b",")
        return self.header(b"upgrade") is not None and any(token.strip() == b"upgrade" for token in tokens)

    def written(self) -> bytes:
        """The request once more, as bytes; it is complete, and nobody has asked for its body."""
        body = b"".join(self._chunks or ())
        headers = [header for header in self.headers if header[0] not in _REFRAMED]
        if self.has_body:
            headers.append((b"content-length", b"%d" % len(body)))
        return b"%b %b HTTP/1.%d\r\n%b\r\n%b" % (
            self.method, self.target, 0 if self.old else 1, wire.encode(headers), body)

    def take(self, chunk: bytes) -> None:
        """More of the request's body has arrived."""
        self._size_bytes += len(chunk)
        if self.answered:
            return  # read only to find the next request
        if self._receiver is not None:
            self._receiver.data(chunk)
        elif self._chunks is None:
            self._chunks = [chunk]
        else:
            self._chunks.append(chunk)

    def finish_body(self) -> None:
        """The request's body has ended: tell whoever waits for it."""
        if self._then is not None:
            if self._limit_bytes is not None and self._size_bytes > self._limit_bytes:
                self.refuse_body()
                return
            body = b"".join(self._chunks) if self._chunks is not None else b""
            then, self._chunks, self._then = self._then, None, None  # so that it need not hold on to us
            then(body)
        elif self._receiver is not None:
            self._receiver.end()

    def is_too_large(self) -> bool:
        """True when more is here, or announced, than `collect` allows."""
        limit_bytes = self._limit_bytes
        return limit_bytes is not None and max(self._size_bytes, self.announced_bytes) > limit_bytes

    @property
    def announced_bytes(self) -> int:
        """Content-Length, 0 where there is none."""
        return int(self.header(b"content-length") or 0)

    @property
    def has_body(self) -> bool:
        """True when the request announces a body."""
        return self.is_chunked or self.announced_bytes > 0

    @property
    def is_chunked(self) -> bool:
        """True for a body of unknown length."""
        return self.header(b"transfer-encoding") is not None

    @property
    def holds_back(self) -> bool:
        """True while reading on would only fill memory: paused, or much is here that nobody asked for."""
        if self.answered:
            return False
        undecided = self._then is None and self._receiver is None
        return self._paused or (undecided and self._size_bytes > _UNASKED_BYTES)

    @property
    def is_streamed(self) -> bool:
        """True where a receiver takes the body."""
        return self._receiver is not None

    @property
    def received_bytes(self) -> int:
        """How much of the body has come."""
        return self._size_bytes

    @property
    def wants_body(self) -> bool:
        """True once the handler has asked for the body."""
        return self._then is not None or self._receiver is not None

    @property
    def is_worth_closing(self) -> bool:
        """True when the connection is better closed after the answer than read up to the next request."""
        if self.complete:
            return False
        waits_for_100 = self.header(b"expect") is not None and not self._size_bytes
        return self.is_chunked or waits_for_100 or self.announced_bytes - self._size_bytes > _DRAIN_BYTES

    def cut_body(self) -> None:
        """The rest of the request's body will not be read."""
        receiver, self._receiver = self._receiver, None
        if receiver is not None and not self.complete:
            receiver.aborted()
