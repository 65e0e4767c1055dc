"""
A server's side of one connection: bytes to exchanges, answers to bytes.

    idle -> head -> body -> (answer) -> idle | linger -> closed
                         -> raw, after 101

One exchange at a time: requests that a client sends ahead are parsed, wait in a queue, and reading pauses
until the queue is empty; it cannot be longer than what one read holds. Every wait of a client's making
(head, body, idle, unread answer) ends by `check`, which the server calls a few times a second: a timer
for each request would cost more than the request.

A client's FIN says that it sends no more. It may still wait for its answers, and gets them; or it is gone,
which looks the same until it is sent something: where the answer takes a while it is sent a 100 (Continue),
which every client of HTTP/1.1 passes over (RFC 9110, section 15.2), and one that is gone resets. Once the
answer has begun there is no such way: a FIN then is the client's end, as it is for Go's server under Knative.

To close with an answer on its way, the connection lingers: it sends its FIN, and discards what still comes
for a while. Closing at once makes the kernel send RST, and the client may lose the answer that says why.
"""

import asyncio
import contextlib
import os
import socket
from collections.abc import Callable, Collection, Iterable
from typing import Any, cast

from eventing.http import wire
from eventing.http.asked import BodyReceiver
from eventing.http.exchange import Exchange
from eventing.http.reader import Reader
from eventing.http.wire import Header


def _log() -> Any:
    """Imported when there is something to log: every worker forks from what a server imports."""
    import structlog  # noqa: PLC0415  3.5 MB with what it draws in, 0.12 ms of every fork

    return structlog.get_logger(__name__)


class Connection(Reader):
    """One client's connection. Made by Server, which also calls `check`."""

    writable = True

    _lingering = False
    _half_closed = False  # the client has sent its FIN
    _sounded = False  # it was sent something since, to see whether it is still there
    _bad: tuple[int, str] | None = None  # what to answer once the exchanges before it are answered
    _unsent_bytes: int | None = None  # what the client had not taken at the last check
    _peer: str | None = None

    # -- asyncio.Protocol ---------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Accept, or refuse with 503 when there are too many."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is one but in name
        admitted = self._server.admit(self)
        self._since = self._server.now  # not before: the server's clock rests while there is no connection
        if not admitted:
            self._refuse(503, "too many connections", ((b"retry-after", b"1"),))
            if self._server.is_crowded:  # too many to wait for what they still send
                with contextlib.suppress(OSError):  # what is here and unread would make the kernel send RST
                    os.read(self._transport.get_extra_info("socket").fileno(), _UNREAD_BYTES)
                self._transport.close()

    def eof_received(self) -> bool:
        """Keep the way open for the answers to what was asked; a request that is cut off is a bad one."""
        if self._held is not None:
            self.go_on()  # another process has read it, and nobody has looked at it here
        self._half_closed = True
        if self._raw is not None:
            self._raw.end()
            return True
        if self._unfinished and not self._deaf:
            self._give_up(400, "the request was not sent to its end")
        elif self._current is None or self._current.started:
            return False  # one that hears a stream and ends its side has nearly always left
        else:
            self._since = self._server.now
        self._deaf = True
        return True

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  asyncio's signature
        """Tell everybody."""
        self._lost = self._deaf = True
        self._server.forget(self)
        current, self._current, self._incoming = self._current, None, None
        self._queue.clear()
        if self._raw is not None:
            self._raw.aborted()
        if current is not None:
            current.lose()

    def pause_writing(self) -> None:
        """The client does not keep up."""
        self.writable = False

    def resume_writing(self) -> None:
        """The client caught up."""
        self.writable = True
        self._unsent_bytes = None
        if self._current is not None:
            self._current.on_drain()

    # -- exchanges ----------------------------------------------------------------------------------------

    def _arrived(self, exchange: Exchange) -> None:
        """A head is complete: it is this exchange's turn, or it waits for the one before."""
        if self._current is None:
            self._current = exchange
            self._dispatch(exchange)
        else:
            self._queue.append(exchange)
            self.pace()

    def _dispatch(self, exchange: Exchange) -> None:
        try:
            self._server.handler(exchange)
        except Exception as error:  # noqa: BLE001  a handler's bug is one request's trouble, never the server's
            self._failed(error)

    def _failed(self, error: BaseException) -> None:
        """A handler raised: answer 500 if nothing is answered yet, and log it."""
        exchange, asked = self._current, repr(self._current)
        if exchange is None or exchange.answered:
            self._linger()
        elif exchange.started:
            self.abort()
        else:
            exchange.keep_alive = False
            exchange.text(500, "internal error")
        with contextlib.suppress(MemoryError):  # perhaps that is what was raised: the client has its answer
            _log().error("handler raised", exchange=asked, exc_info=error)

    def _give_up(self, status: int, message: str) -> None:
        """Nothing more can be read: answer *status* after what was asked before."""
        self._deaf = True
        self._unfinished = False
        current, incoming = self._current, self._incoming
        self._incoming = None
        if current is None:
            self._refuse(status, message)
        elif incoming is not current:  # 1. it is about a later request: those before it are answered first
            self._bad = (status, message)
            if incoming is not None:
                self._queue.remove(incoming)
        elif current.answered:  # 2. it is about the rest of a body that nobody wants
            self._linger()
        else:  # 3. it is about the body of the request under way
            current.cut_body()
            current.keep_alive = False
            if current.started:
                self.abort()
            else:
                current.text(status, message)
                current.leave()

    def _refuse(self, status: int, message: str, headers: tuple[Header, ...] = ()) -> None:
        """Answer what never became an exchange, and close."""
        body = message.encode() + b"\n"
        head = self._server.head(status) + wire.encode((*headers, (b"content-type", b"text/plain")))
        self.write(b"%bcontent-length: %d\r\nconnection: close\r\n\r\n%b" % (head, len(body), body))
        self._linger()

    def finished(self, exchange: Exchange) -> None:
        """An answer has ended, or the body of an answered request: go on to the next one."""
        if self._lost:
            return
        if not exchange.keep_alive or self._raw is not None:
            self._current = None
            exchange.cut_body()
            self._linger()
        elif not exchange.complete:
            self.pace()  # the rest of the body is read; on_message_complete comes back here
        else:
            self._current = None
            self._since = self._server.now
            if not self._feeding:
                self.go_on()

    def go_on(self) -> None:
        """Turn to what came meanwhile, or before; a loop, since each request may be answered at once."""
        if self._reading and self._held is None and not (
                self._queue or self._incoming or self._bad or self._half_closed or self._server.closing):
            return  # nothing did, as nearly always
        while self._current is None and not self._lingering and not self._lost:
            if self._queue:
                exchange = self._current = self._queue.popleft()
                self._feeding = True
                self._dispatch(exchange)
                self._feeding = False
            elif self._held is not None:
                data, self._held = self._held, None
                self._feed(data)
            elif self._bad is not None:
                self._refuse(*self._bad)
            elif self._half_closed or self._server.closing:
                self._linger()
            else:
                break
        if self._incoming is not None and self._incoming is self._current:
            self.body_wanted(self._incoming)
        self.pace()

    # -- answering ----------------------------------------------------------------------------------------

    def answer(self, exchange: Exchange, status: int, headers: Iterable[Header], body: bytes) -> None:
        """Write a whole answer in one go."""
        if self._lost:
            return
        try:
            block = wire.answer(headers) if headers else b""
        except wire.BadHeader:
            _log().exception("answer with a bad header", exchange=repr(exchange))
            status, block, body = 500, b"", b"internal error\n"
        head = self._server.heads.get(status) or self._server.head(status)
        if exchange.complete and exchange.keep_alive and not exchange.old and not self._server.closing:
            persistence = b""
        else:
            persistence = self._persistence(exchange)
        length = b"" if status in _BODYLESS else b"content-length: %d\r\n" % len(body)
        if exchange.method == b"HEAD" or status in _BODYLESS:
            body = b""
        self._transport.write(b"%b%b%b%b\r\n%b" % (head, block, length, persistence, body))
        exchange.answered = True
        self.finished(exchange)

    @property
    def goes_on(self) -> bool:
        """Whether there may be another request after this one, as far as it is up to us."""
        return not (self._server.closing or self._half_closed or self._lost)

    def hand_over(self, exchange: Exchange, give: Callable[[int, bytes], bool]) -> bool:
        """Part with the connection, and what was read of it and not answered; see Exchange.hand_over."""
        data = self.read_of(exchange) or self._written_anew(exchange)
        if data is None or self._lost or self._half_closed or self._transport.get_write_buffer_size():
            return False
        # From here to `abort` nothing is read: what comes next is for whoever has the connection then.
        if not give(self._transport.get_extra_info("socket").fileno(), data):
            return False
        exchange.started = exchange.answered = self._deaf = True
        self._transport.abort()  # closes our descriptor; the connection is open as long as the other one is
        self._lost = True  # at once: nothing may be written any more, nor its end be shut down
        return True

    def _written_anew(self, exchange: Exchange) -> bytes | None:
        """*exchange* and those behind it, which came in one read with one before; None: one is half read."""
        if self._unfinished or self._incoming is not None or self._held is not None or self._bad is not None:
            return None
        return b"".join([each.written() for each in (exchange, *self._queue)])

    def begin_answer(self, exchange: Exchange, status: int, headers: list[Header]) -> None:
        """Write the head of an answer whose body follows."""
        if self._lost:
            return
        length = wire.find(headers, b"content-length")
        framing = b""
        if exchange.method == b"HEAD" or status in _BODYLESS:
            exchange.frame("none")
        elif length is not None:
            exchange.frame("length", int(length))
        elif exchange.old:
            exchange.keep_alive = False
            exchange.frame("close")
        else:
            framing = b"transfer-encoding: chunked\r\n"
            exchange.frame("chunked")
        try:
            block = wire.encode([header for header in headers if header[0] not in wire.PER_HOP_FRAMING])
        except wire.BadHeader:
            exchange.started = False
            self._failed(wire.BadHeader("answer with a bad header"))
            return
        dated = wire.find(headers, b"date") is not None  # passed on from another server
        head = wire.status_line(status) if dated else self._server.head(status)
        self.write(b"%b%b%b%b\r\n" % (head, block, framing, self._persistence(exchange)))

    def _persistence(self, exchange: Exchange) -> bytes:
        """Connection header of an answer; decides whether the connection is kept."""
        if self._server.closing or (self._half_closed and not self._queue):
            exchange.keep_alive = False
        if exchange.is_worth_closing:
            exchange.keep_alive = False
        if not exchange.keep_alive:
            return b"connection: close\r\n"
        return b"connection: keep-alive\r\n" if exchange.old else b""

    def upgrade(self, headers: Collection[Header], receiver: BodyReceiver) -> None:
        """Switch to raw bytes."""
        if self._lost:
            receiver.aborted()
            return
        self.write(wire.status_line(101) + wire.encode(headers) + b"\r\n")
        self._raw = receiver
        self._deaf = True
        data, self._held = self._held, None
        self.pace()
        if data:
            receiver.data(data)
        if self._half_closed:
            receiver.end()

    def write(self, data: bytes) -> None:
        """Send bytes as they are."""
        if not self._lost:
            self._transport.write(data)

    # -- the end ------------------------------------------------------------------------------------------

    def _linger(self) -> None:
        """Send the FIN after what is written, and discard what comes until the client's FIN."""
        if self._lost or self._lingering:
            return
        self._deaf = self._lingering = True
        self._unfinished = False
        self._queue.clear()
        self._held = self._raw = None
        self._since = self._server.now
        self.pace()
        if self._half_closed or not self._transport.can_write_eof():
            self._transport.close()
        else:
            self._transport.write_eof()

    def _close(self) -> None:
        """Close at once, nothing being on its way; what cannot be sent is cut as when lingering."""
        self._deaf = self._lingering = True
        self._since = self._server.now
        self._transport.close()

    def abort(self) -> None:
        """Cut it."""
        if not self._lost:
            self._deaf = True
            self._transport.abort()

    def close_if_idle(self) -> None:
        """Part of a graceful end: nothing is asked for, so nothing is lost."""
        if self._current is None and self._held is None and not self._unfinished and not self._deaf:
            self._close()

    def check(self, now: float) -> None:
        """End what the client has kept waiting for too long."""
        limits = self._server.limits
        waited_s = now - self._since - self._server.tick_s
        if not self.writable or (self._lingering and self._transport.get_write_buffer_size()):
            self._check_progress(now, limits.write_s)
        elif self._lingering:
            if waited_s > limits.linger_s:
                self.abort()
        elif self._half_closed:
            self._sound(waited_s)
        elif self._unfinished and self._reading:
            self._check_request(waited_s)
        elif self._current is None and self._raw is None and waited_s > limits.idle_s:
            self._close()

    def _sound(self, waited_s: float) -> None:
        """Find out whether a client that has sent its FIN still waits."""
        current = self._current
        if current is None or self._transport.is_closing():
            return
        # Nothing is read any more, so neither loop says that the client has reset.
        if self._transport.get_extra_info("socket").getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            self.abort()
        elif not (self._sounded or current.started or current.old) and waited_s > self._server.tick_s / 2:
            self._sounded = True  # most answers are there sooner
            self.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def _check_request(self, waited_s: float) -> None:
        limits = self._server.limits
        if self._incoming is None:
            if waited_s > limits.head_s:
                self._give_up(408, f"the head took longer than {limits.head_s:g} s")
        elif waited_s > limits.body_s:
            self._give_up(408, f"the body took longer than {limits.body_s:g} s")

    def _check_progress(self, now: float, limit_s: float) -> None:
        """A client that takes nothing of its answer for too long is cut."""
        unsent_bytes = self._transport.get_write_buffer_size()
        if self._unsent_bytes is None or unsent_bytes < self._unsent_bytes:
            self._unsent_bytes = unsent_bytes
            self._since = now
        elif now - self._since > limit_s:
            self.abort()

    @property
    def peer(self) -> str:
        """The client's address without its port."""
        if self._peer is None:
            name = self._transport.get_extra_info("peername")
            self._peer = name[0] if isinstance(name, tuple) else ""
        return self._peer


_UNREAD_BYTES = 64 * 1024  # what a client may have sent with its first request

# RFC 9110, section 6.4.1: answers that never have a body. 1xx are not given as answers.
_BODYLESS = frozenset({204, 304})
