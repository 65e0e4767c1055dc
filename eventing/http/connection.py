"""
A server's side of one connection: bytes to exchanges, answers to bytes.

    idle -> head -> body -> (answer) -> idle | linger -> closed
                         -> raw, after 101

One exchange at a time: requests that a client sends ahead are parsed, wait in a queue, and reading pauses
until the queue is empty; it cannot be longer than what one read holds.

Four rooms, each upon the one before: parsing.py and reader.py take what comes in, ending.py ends what takes
too long, answers.py writes. Here is whose turn it is.
"""

import asyncio
import contextlib
import os
from typing import cast

from eventing.http import wire
from eventing.http.answers import Answers, log
from eventing.http.exchange import Exchange
from eventing.http.wire import Header

_UNREAD_BYTES = 64 * 1024  # what a client may have sent with its first request


class Connection(Answers):
    """One client's connection. Made by Server, which also calls `check`."""

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
            log().error("handler raised", exchange=asked, exc_info=error)

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

    @property
    def peer(self) -> str:
        """The client's address without its port."""
        if self._peer is None:
            name = self._transport.get_extra_info("peername")
            self._peer = name[0] if isinstance(name, tuple) else ""
        return self._peer
