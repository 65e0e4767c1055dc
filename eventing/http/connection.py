"""
A server's side of one connection: bytes to exchanges, answers to bytes.

    idle -> head -> body -> (answer) -> idle | linger -> closed
                         -> raw, after 101

One exchange at a time: requests that a client sends ahead are parsed, wait in a queue, and reading pauses
until the queue is empty; it cannot be longer than what one read holds. Every wait of a client's making
(head, body, idle, unread answer) ends by `check`, which the server calls a few times a second: a timer
for each request would cost more than the request.

To close with an answer on its way, the connection lingers: it sends its FIN, and discards what still comes
for a while. Closing at once makes the kernel send RST, and the client may lose the answer that says why.
"""

import asyncio
from collections import deque
from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING, cast

import httptools
import structlog

from eventing.http import wire
from eventing.http.exchange import BodyReceiver, Exchange
from eventing.http.wire import Header

if TYPE_CHECKING:
    from eventing.http.server import Server

_log = structlog.get_logger(__name__)


class Connection(asyncio.Protocol):
    """One client's connection. Made by Server, which also calls `check`."""

    writable = True

    _transport: asyncio.Transport
    _current: Exchange | None = None  # the one being answered
    _incoming: Exchange | None = None  # the one whose body is being read; its head is complete
    _raw: BodyReceiver | None = None  # after an upgrade
    _url = b""
    _unfinished = False  # a request has begun and not ended
    _feeding = False  # inside the parser; what follows from one read is settled once, after it
    _deaf = False  # nothing that comes is a request any more
    _lingering = False
    _lost = False
    _half_closed = False  # the client has sent its FIN
    _reading = True
    _reparsed = False  # the head being parsed is the one we wrote ourselves, to find the body behind it
    _has_hidden_body = False  # a request for an upgrade that has a body, which the parser does not see
    _held: bytes | None = None  # what came behind a request for an upgrade, until that is answered
    _bad: tuple[int, str] | None = None  # what to answer once the exchanges before it are answered
    _overhead_bytes = 0  # of a head, or of what came since the last byte of a body
    _read_bytes = 0  # of the present read, as long as all of it may belong to one request
    _body_grew = False  # in the present read
    _unsent_bytes: int | None = None  # what the client had not taken at the last check
    _peer: str | None = None

    def __init__(self, server: "Server") -> None:
        """Belong to *server*."""
        self._server = server
        self._parser = httptools.HttpRequestParser(self)
        self._queue: deque[Exchange] = deque()
        self._headers: list[Header] = []
        self._since = server.now  # when the state the client is responsible for began

    # -- asyncio.Protocol ---------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Accept, or refuse with 503 when there are too many."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is one but in name
        if not self._server.admit(self):
            self._refuse(503, "too many connections", ((b"retry-after", b"1"),))

    def data_received(self, data: bytes) -> None:
        """Parse; handlers are called from within."""
        if self._raw is not None:
            self._raw.data(data)
        elif self._held is not None:
            self._held += data
            self.pace()
        elif not self._deaf:
            self._feed(data)

    def eof_received(self) -> bool:
        """Tell the exchange under way, and keep the way open for its answer."""
        self._half_closed = True
        if self._raw is not None:
            self._raw.end()
            return True
        if self._current is None or not self._current.complete:
            return False
        self._deaf = True
        self._current.leave()
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

    # -- the parser's callbacks ---------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        """A request's first byte."""
        if not self._reparsed:
            self._unfinished = True
            self._since = self._server.now
            self._overhead_bytes = 0
            self._url = b""
            self._headers = []

    def on_url(self, url: bytes) -> None:
        """The request's target, or a part of it."""
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header; those after a chunked body land in a list that nobody reads."""
        self._headers.append((name.lower(), value.rstrip(b" \t")))

    def on_headers_complete(self) -> None:
        """Make the exchange, and give it to the handler if it is its turn."""
        if self._deaf or self._reparsed:
            return
        parser = self._parser
        exchange = Exchange(self, parser.get_method(), self._url, self._headers)
        self._headers = []
        exchange.keep_alive = parser.should_keep_alive()
        version = parser.get_http_version()
        if version != "1.1":
            exchange.old = True
        refusal = self._complaint(exchange, version)
        if refusal is not None:
            self._give_up(*refusal)
            return
        self._incoming = exchange
        if parser.should_upgrade():
            self._has_hidden_body = exchange.has_body
        if self._current is None:
            self._current = exchange
            self._dispatch(exchange)
        else:
            self._queue.append(exchange)
            self.pace()

    def on_body(self, chunk: bytes) -> None:
        """Part of the body."""
        self._body_grew = True
        exchange = self._incoming
        if exchange is not None:
            exchange.take(chunk)

    def on_message_complete(self) -> None:
        """The request has ended."""
        if self._has_hidden_body:
            return
        self._unfinished = False
        self._read_bytes = 0
        exchange = self._incoming
        if exchange is None:
            return
        self._incoming = None
        exchange.complete = True
        if exchange is not self._current:
            return
        if exchange.answered:
            self.finished(exchange)
        else:
            exchange.finish_body()

    # -- reading ------------------------------------------------------------------------------------------

    def _feed(self, data: bytes) -> None:
        """Parse one read, then settle what it has begun and not ended."""
        rest: bytes | None = data
        self._feeding = True
        while rest is not None:
            rest = self._parse(rest)
        self._feeding = False
        if self._unfinished:
            self._mid_request()
        elif self._current is None and self._queue:
            self._go_on()

    def _parse(self, data: bytes) -> bytes | None:
        """Parse as far as possible; returns the rest if that is to be parsed next."""
        self._read_bytes = len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as offer:
            return self._behind_upgrade(data[offer.args[0]:])
        except httptools.HttpParserCallbackError as error:
            self._failed(error.__context__ or error)
        except httptools.HttpParserError as error:
            if not self._deaf:
                self._give_up(400, f"cannot parse the request: {error}")
        return None

    def _behind_upgrade(self, rest: bytes) -> bytes | None:
        """
        What comes behind the head of a request for an upgrade.

        The parser takes it for another protocol. It is that only after a 101; before, it may be the
        request's own body (as clients send that offer h2c with a POST), which a new parser finds.
        """
        exchange = self._incoming
        if self._has_hidden_body and exchange is not None:
            self._has_hidden_body = False
            length = b"content-length: %d" % exchange.announced_bytes
            framing = b"transfer-encoding: chunked" if exchange.is_chunked else length
            self._parser = httptools.HttpRequestParser(self)
            self._reparsed = True
            self._parser.feed_data(b"POST / HTTP/1.1\r\n%b\r\n\r\n" % framing)
            self._reparsed = False
            return rest
        if self._current is None or self._deaf:
            return rest or None
        self._held = rest
        self.pace()
        return None

    def _mid_request(self) -> None:
        """A read ended within a request: enforce the limits that a whole request in one read never meets."""
        limits = self._server.limits
        exchange = self._incoming
        self._overhead_bytes = 0 if self._body_grew else self._overhead_bytes + self._read_bytes
        self._body_grew = False
        if self._overhead_bytes > limits.head_bytes:
            what = "the head is" if exchange is None else "chunk extensions or trailers are"
            self._give_up(431, f"{what} larger than the limit of {limits.head_bytes} bytes")
        elif exchange is not None:
            if exchange.is_streamed:
                self._since = self._server.now
            self.body_wanted(exchange)
            self.pace()

    def body_wanted(self, exchange: Exchange) -> None:
        """The handler waits for a body that is not all here: say 100 where asked to, refuse a long one."""
        if self._feeding or self._lost or exchange.answered or not exchange.wants_body:
            return
        if exchange.is_too_large():
            exchange.refuse_body()
            return
        expected = exchange.header(b"expect")
        if expected is not None and not exchange.received_bytes and not exchange.old and not exchange.started:
            exchange.headers = [header for header in exchange.headers if header[0] != b"expect"]
            if expected.lower() != b"100-continue":
                exchange.text(417, "only 100-continue can be expected")
                return
            self.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        self.pace()

    def pace(self) -> None:
        """Read or do not read, as the state asks for."""
        incoming = self._incoming
        held = bool(self._queue) or bool(self._held) or (incoming is not None and incoming.holds_back)
        raw_held = self._raw is not None and self._current is not None and self._current.holds_back
        wanted = (not held or self._deaf) and not raw_held
        if wanted == self._reading or self._lost or self._transport.is_closing():
            return
        self._reading = wanted
        if wanted:
            self._since = self._server.now
            self._transport.resume_reading()
        else:
            self._transport.pause_reading()

    # -- exchanges ----------------------------------------------------------------------------------------

    def _complaint(self, exchange: Exchange, version: str) -> tuple[int, str] | None:
        """Status and text for a head that is not acceptable, else None."""
        limits = self._server.limits
        headers = exchange.headers
        if len(headers) > limits.headers:
            return 431, f"more headers than the limit of {limits.headers}"
        if self._overhead_bytes + self._read_bytes > limits.head_bytes:
            size_bytes = len(exchange.target) + sum(len(name) + len(value) + 4 for name, value in headers)
            if size_bytes > limits.head_bytes:
                return 431, f"the head is larger than the limit of {limits.head_bytes} bytes"
        if version not in ("1.1", "1.0"):
            return 505, "only HTTP/1.1 and HTTP/1.0 are spoken here"
        return None

    def _dispatch(self, exchange: Exchange) -> None:
        try:
            self._server.handler(exchange)
        except Exception as error:  # noqa: BLE001  a handler's bug is one request's trouble, never the server's
            self._failed(error)

    def _failed(self, error: BaseException) -> None:
        """A handler raised: log it, answer 500 if nothing is answered yet."""
        exchange = self._current
        _log.error("handler raised", exchange=repr(exchange), exc_info=error)
        if exchange is None or exchange.answered:
            self._linger()
        elif exchange.started:
            self.abort()
        else:
            exchange.keep_alive = False
            exchange.text(500, "internal error")

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
                self._go_on()

    def _go_on(self) -> None:
        """Turn to what came meanwhile; a loop, since each request may be answered at once."""
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
            block = wire.encode(tuple(headers)) if headers else b""
        except wire.BadHeader:
            _log.exception("answer with a bad header", exchange=repr(exchange))
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
            block = wire.encode(headers)
        except wire.BadHeader:
            exchange.started = False
            self._failed(wire.BadHeader("answer with a bad header"))
            return
        dated = wire.find(headers, b"date") is not None  # passed on from another server
        head = wire.status_line(status) if dated else self._server.head(status)
        self.write(b"%b%b%b%b\r\n" % (head, block, framing, self._persistence(exchange)))

    def _persistence(self, exchange: Exchange) -> bytes:
        """Connection header of an answer; decides whether the connection is kept."""
        if self._server.closing or self._half_closed:
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
        data, self._held = self._held, None
        self.pace()
        if data:
            receiver.data(data)

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

    def abort(self) -> None:
        """Cut it."""
        if not self._lost:
            self._deaf = True
            self._transport.abort()

    def close_if_idle(self) -> None:
        """Part of a graceful end: nothing is asked for, so nothing is lost."""
        if self._current is None and not self._unfinished and self._raw is None:
            self._linger()

    def check(self, now: float) -> None:
        """End what the client has kept waiting for too long."""
        limits = self._server.limits
        waited_s = now - self._since - self._server.tick_s
        if not self.writable or (self._lingering and self._transport.get_write_buffer_size()):
            self._check_progress(now, limits.write_s)
        elif self._lingering:
            if waited_s > limits.linger_s:
                self.abort()
        elif self._unfinished and self._reading:
            self._check_request(waited_s)
        elif self._current is None and self._raw is None and waited_s > limits.idle_s:
            self._linger()

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


# RFC 9110, section 6.4.1: answers that never have a body. 1xx are not given as answers.
_BODYLESS = frozenset({204, 304})
