"""
The parser's callbacks on a server's connection: heads and bodies of exchanges.

Parsing is the lowest room of connection.py. Here a head becomes an Exchange, unless it says too much.
"""

import abc
import asyncio
from typing import TYPE_CHECKING

import httptools

from eventing.http import wire
from eventing.http.exchange import Exchange
from eventing.http.wire import Header

if TYPE_CHECKING:
    from eventing.http.server import Server

_CODING = b"transfer-encoding"


class Parsing(asyncio.Protocol, abc.ABC):
    """The part of a Connection that its parser calls."""

    _current: Exchange | None = None  # the one being answered
    _incoming: Exchange | None = None  # the one whose body is being read; its head is complete
    _url = b""
    _unfinished = False  # a request has begun and not ended
    _deaf = False  # nothing that comes is a request any more
    _since = 0.0  # when the state the client is responsible for began
    _reparsed = False  # the head being parsed is the one we wrote ourselves, to find the body behind it
    _has_hidden_body = False  # a request for an upgrade that has a body, which the parser does not see
    _overhead_bytes = 0  # of a head, or of what came since the last byte of a body
    _read_bytes = 0  # of the present read, as long as all of it may belong to one request
    _body_grew = False  # in the present read
    _read: bytes | None = None  # the present read, as long as it began with the request being parsed
    _begun = False  # a request began in the present read

    def __init__(self, server: "Server") -> None:
        """Belong to *server*."""
        self._server = server
        self._parser = httptools.HttpRequestParser(self)
        self._headers: list[Header] = []

    # -- what the rooms above do --------------------------------------------------------------------------

    @abc.abstractmethod
    def _arrived(self, exchange: Exchange) -> None:
        """A head is complete."""

    @abc.abstractmethod
    def _give_up(self, status: int, message: str) -> None:
        """Nothing more can be read."""

    @abc.abstractmethod
    def finished(self, exchange: Exchange) -> None:
        """The exchange's answer and its request have ended."""

    # -- the parser's callbacks ---------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        """A request's first byte."""
        if self._begun:
            self._read = None
        self._begun = True
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
        """A header, or behind a chunked body a trailer."""
        self._headers.append((name.lower(), value.rstrip()))

    def on_headers_complete(self) -> None:
        """Make the exchange, and give it to the handler if it is its turn."""
        if self._deaf or self._reparsed:
            self._headers = []
            return
        parser = self._parser
        if not self._url.startswith(b"/"):
            self._url, self._headers = wire.origin_form(self._url, self._headers)
            self._read = None  # it says something else now
        # Connection is the only Reader there is; a cast would cost as much as the line.
        exchange = Exchange(self, parser.get_method(), self._url, self._headers)  # type: ignore[arg-type]
        self._headers = []
        exchange.keep_alive = parser.should_keep_alive()
        version = parser.get_http_version()
        if version != "1.1":
            exchange.old = True
        limits, names, lines = self._server.limits, exchange.named, len(exchange.headers)
        if (version != "1.1" or lines > limits.headers or len(names) < lines or _CODING in names
                or self._overhead_bytes + self._read_bytes > limits.head_bytes):
            refusal = self._complaint(exchange, version)
            if refusal is not None:
                self._give_up(*refusal)
                return
        self._incoming = exchange
        if parser.should_upgrade():
            self._has_hidden_body = exchange.has_body
        self._arrived(exchange)

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
        if self._headers:
            exchange.trailers, self._headers = self._headers, []
        if exchange is not self._current:
            return
        if exchange.answered:
            self.finished(exchange)
        else:
            exchange.finish_body()

    def _complaint(self, exchange: Exchange, version: str) -> tuple[int, str] | None:
        """Status and text for a head that is not acceptable, else None."""
        limits = self._server.limits
        headers = exchange.headers
        if len(headers) > limits.headers:
            return 431, f"more headers than the limit of {limits.headers}"
        size_bytes = len(exchange.target) + sum(len(name) + len(value) + 4 for name, value in headers)
        if size_bytes > limits.head_bytes:
            return 431, f"the head is larger than the limit of {limits.head_bytes} bytes"
        if version not in ("1.1", "1.0"):
            return 505, "only HTTP/1.1 and HTTP/1.0 are spoken here"
        names = [name for name, _ in headers]
        if names.count(b"host") > 1:  # RFC 9112, section 3.2: which one would be checked, which one believed?
            return 400, "more than one Host header"
        if _CODING in names and (names.count(_CODING) > 1 or exchange.named[_CODING].lower() != b"chunked"):
            return 501, "transfer-encoding: nothing but chunked is read here"  # RFC 9112, section 6.1
        return None
