"""
What comes in on a server's connection: bytes to the parser, within limits, and when to read at all.

Reader stands upon parsing.py, and below connection.py, which decides whose turn it is. Here is what a request
may cost before it is whole, and requests for an upgrade.
"""

import abc
import asyncio
from collections import deque
from typing import TYPE_CHECKING

import httptools

from eventing.http.asked import BodyReceiver
from eventing.http.exchange import Exchange
from eventing.http.parsing import Parsing

if TYPE_CHECKING:
    from eventing.http.server import Server


class Reader(Parsing):
    """The part of a Connection that reads."""

    _transport: asyncio.Transport
    _raw: BodyReceiver | None = None  # after an upgrade
    _feeding = False  # inside the parser; what follows from one read is settled once, after it
    _lost = False
    _reading = True

    def __init__(self, server: "Server", held: bytes | None = None) -> None:
        """Belong to *server*; *held*: what another process has read of it, to `go_on` with."""
        super().__init__(server)
        self._held = held  # later: what came behind a request for an upgrade, until that is answered
        self._queue: deque[Exchange] = deque()

    # -- what the rooms above do --------------------------------------------------------------------------

    @abc.abstractmethod
    def go_on(self) -> None:
        """Nothing is being answered: turn to what came meanwhile."""

    @abc.abstractmethod
    def _failed(self, error: BaseException) -> None:
        """A handler raised."""

    @abc.abstractmethod
    def write(self, data: bytes) -> None:
        """Send bytes as they are."""

    # -- bytes --------------------------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        """Parse; handlers are called from within."""
        if not self._deaf and self._held is None:
            self._feed(data)
        elif self._raw is not None:
            self._raw.data(data)
        elif self._held is not None:
            self._held += data
            self.pace()

    # -- reading ------------------------------------------------------------------------------------------

    def _feed(self, data: bytes) -> None:
        """Parse one read, then settle what it has begun and not ended."""
        rest: bytes | None = data
        self._feeding = True
        while rest is not None:
            self._read = None if self._unfinished or self._reparsed else rest
            self._begun = False
            rest = self._parse(rest)
        self._read = None
        self._feeding = False
        if self._unfinished:
            self._mid_request()
        elif self._current is None and self._queue:
            self.go_on()

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

    def read_of(self, exchange: Exchange) -> bytes | None:
        """The present read, if the first byte of *exchange* was its first."""
        return self._read if exchange is self._current else None

    def pace(self) -> None:
        """Read or do not read, as the state asks for."""
        incoming = self._incoming
        held = bool(self._queue) or bool(self._held) or (incoming is not None and incoming.holds_back)
        raw_held = self._raw is not None and self._current is not None and self._current.holds_back
        wanted = (not held or (self._deaf and self._raw is None)) and not raw_held
        if wanted == self._reading or self._lost or self._transport.is_closing():
            return
        self._reading = wanted
        if wanted:
            self._since = self._server.now
            self._transport.resume_reading()
        else:
            self._transport.pause_reading()
