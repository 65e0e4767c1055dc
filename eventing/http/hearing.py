"""
An answer on a client's side of a connection: bytes to a receiver's calls, within limits.

Hearing is the lower half of upstream.py, which asks. Here is the parser with its callbacks, what an answer
may be beside its body, the answer that comes at once and may stay as it is, and the switch to raw bytes.
"""

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

import httptools

from eventing.errors import NoAnswer
from eventing.http import wire
from eventing.http.receivers import AnswerReceiver, AsideReceiver, WholeReceiver
from eventing.http.wire import Header

if TYPE_CHECKING:
    from eventing.http.upstream import Upstream

_UNTOLD = frozenset({100, 101})  # interim answers that are between two neighbours


class Owner(Protocol):
    """Whoever keeps the connection between requests."""

    def made(self, upstream: "Upstream") -> None:
        """It is connected; `lost` will follow one day."""

    def release(self, upstream: "Upstream") -> None:
        """The connection can take another request."""

    def lost(self, upstream: "Upstream") -> None:
        """The connection is no more."""


def _nothing() -> None:
    """What happens by default when the server drains."""


class Hearing(asyncio.Protocol):
    """The half of an Upstream that receives."""

    writable = True
    reused = False  # it has answered a request before this one
    heard = False  # a byte of an answer to this request has come
    was_reset = False  # the server closed it, or died, and some of what it had been sent was unread
    idle_since = 0.0  # loop time, for the pool
    on_drain: Callable[[], None] = staticmethod(_nothing)  # `writable` became true again

    _transport: asyncio.Transport
    _receiver: AnswerReceiver | None = None
    _eager: WholeReceiver | None = None  # the same one, until the answer turns out not to come at once
    _status = 0  # of the answer that may be whole
    _early: list[bytes]  # its body
    _headers: list[Header]
    _is_head = False  # the request's method is HEAD: its answer has no body, whatever it announces
    _chunked = False
    _sent = True  # the request has ended
    _offers_upgrade = False
    _raw = False
    _paused = False  # whoever takes the answer wants no more of it for now
    _answering = False  # the final head has come
    _interim = False
    _done = False  # the answer has ended
    _keeps = False  # the connection can take another request after this one
    _dirty = False  # more came than was asked for
    _body_grew = False
    _overhead_bytes = 0
    _lost = False

    def __init__(self, owner: Owner, head_bytes: int) -> None:
        """Belong to *owner*; heads up to *head_bytes*."""
        # To the owner it is an Upstream, the only Hearing there is; a cast would cost as much as its call.
        self._owner = owner
        self._head_bytes = head_bytes
        self._headers = []
        self._parser = httptools.HttpResponseParser(self)

    # -- bytes --------------------------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        """Parse; the receiver is called from within, but for the end."""
        receiver = self._receiver
        if receiver is None:
            self.abort()  # nothing was asked
            return
        if self._raw:
            receiver.data(data)
            return
        eager = self._eager
        if eager is not None and (status := eager.knows(data)):
            self._receiver = self._eager = None
            self.reused = True
            self._owner.release(self)  # type: ignore[arg-type]
            eager.whole(status, data)
            return
        self.heard = True
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as offer:
            self._enter_raw(data[offer.args[0]:])
            return
        except httptools.HttpParserError as error:
            if not self._done:
                self.fail("garbage", f"cannot parse the answer: {error}")
                return
            self._dirty = True
        eager = self._eager
        if eager is not None:
            self._eager = None
            if self._done and not self._dirty and eager.takes(self._status, self._framed, data):
                self._finish(eager, data)
                return
            self._catch_up(eager)
        if self._done:
            self._finish()
        else:
            self._mid_answer(len(data))

    @property
    def is_lost(self) -> bool:
        """True when it is closed."""
        return self._lost or self._transport.is_closing()

    def pause(self) -> None:
        """Take no more of the answer for now."""
        if not self.is_lost:
            self._paused = True
            self._transport.pause_reading()

    def resume(self) -> None:
        """The opposite of pause."""
        if not self.is_lost:
            self._paused = False
            self._transport.resume_reading()

    def abort(self) -> None:
        """Cut the connection; the receiver is told nothing more."""
        self._receiver = self._eager = None
        self._dirty = True
        if not self._lost:
            self._transport.abort()

    def fail(self, reason: str, message: str) -> None:
        """Cut the connection and say so to the receiver."""
        receiver = self._receiver
        self.abort()
        if receiver is not None:
            receiver.failed(NoAnswer(reason, message))

    # -- the parser's callbacks ---------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        """An answer's first byte."""
        if self._done:
            self._dirty = True
        else:
            self._headers = []

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header; those after a chunked body are its trailers."""
        self._headers.append((name.lower(), value.rstrip()))

    def on_headers_complete(self) -> None:
        """Hand on the final head."""
        receiver = self._receiver
        if self._done or receiver is None:
            return
        status = self._parser.get_status_code()
        if status < 200:  # noqa: PLR2004  informational: RFC 9110, section 15.2
            self._interim = True
            self._eager = None
            if status == 101 and not self._offers_upgrade:  # noqa: PLR2004  Switching Protocols
                self.fail("garbage", "101 without having been asked to switch")
            elif status not in _UNTOLD and isinstance(receiver, AsideReceiver):
                receiver.interim(status, self._headers)
            return
        self._answering = True
        headers, self._headers = self._headers, []
        self._framed = headers
        self._keeps = self._parser.should_keep_alive()  # asked later, it would answer for the next message
        if self._is_head:
            self._done = True
            self._keeps = wire.find(headers, b"connection") is None
        if self._eager is None:
            receiver.head(status, headers)
        else:
            self._status = status

    def on_body(self, chunk: bytes) -> None:
        """Hand on a part of the body."""
        receiver = self._receiver
        if self._done:
            self._dirty = True
        elif receiver is not None:
            self._body_grew = True
            if self._eager is None:
                receiver.data(chunk)
            else:
                self._early.append(chunk)

    def on_message_complete(self) -> None:
        """An answer, or an interim one, has ended."""
        if self._interim:
            self._interim = False
        else:
            self._done = True

    # -- what follows from a read -------------------------------------------------------------------------

    def _mid_answer(self, read_bytes: int) -> None:
        """A read ended within an answer: what is not body is bounded."""
        self._overhead_bytes = 0 if self._body_grew else self._overhead_bytes + read_bytes
        self._body_grew = False
        if self._overhead_bytes > self._head_bytes:
            self.fail("too-large", f"the answer's head is larger than {self._head_bytes} bytes")

    def _catch_up(self, receiver: AnswerReceiver) -> None:
        """The first read did not bring the whole answer: hand on what it brought."""
        if not self._answering:
            return
        receiver.head(self._status, self._framed)
        for chunk in self._early:
            if self._receiver is receiver:  # it may have given up
                receiver.data(chunk)

    def _finish(self, eager: WholeReceiver | None = None, answer: bytes = b"") -> None:
        """The answer is whole: keep the connection if that is safe, then tell the receiver."""
        receiver, self._receiver = self._receiver, None
        if receiver is None:
            return
        if self._is_head:
            self._parser = httptools.HttpResponseParser(self)  # the old one waits for a body
        self.on_drain = _nothing
        if self._keeps and self._sent and not self._dirty and not self.is_lost:
            self.reused = True
            if self._paused:  # over the answer's last bytes: the next one is for somebody else
                self.resume()
            self._owner.release(self)  # type: ignore[arg-type]
        else:
            self.abort()  # closing would wait for a server that need not read what is still unsent
        if eager is None:
            if self._headers and isinstance(receiver, AsideReceiver):
                receiver.trailers(self._headers)
            receiver.end()
        else:
            eager.whole(self._status, answer)

    def _enter_raw(self, rest: bytes) -> None:
        """The server switched protocols."""
        receiver = self._receiver
        if receiver is None:
            return
        self._raw = self._sent = True
        receiver.head(101, self._headers)
        if rest:
            receiver.data(rest)

    def _ends_with_connection(self) -> bool:
        """True for an answer that says neither its length nor that it comes in chunks."""
        coding = wire.find(self._framed, b"transfer-encoding")
        if coding is not None:
            return not coding.lower().endswith(b"chunked")
        return wire.find(self._framed, b"content-length") is None
