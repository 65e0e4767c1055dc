"""
Answers on their way out of a server's connection: whole ones, those that are streamed, a switch to raw bytes.

Answers is a part of connection.py, which knows whose turn it is. Here it is decided how an answer is framed,
and whether the connection outlives it. In place of an answer it may be handed to another process.
"""

from collections.abc import Callable, Collection, Iterable
from typing import Any

from eventing.http import wire
from eventing.http.asked import BodyReceiver
from eventing.http.ending import Ending
from eventing.http.exchange import Exchange
from eventing.http.wire import Header

# RFC 9110, section 6.4.1: answers that never have a body. 1xx are not given as answers.
_BODYLESS = frozenset({204, 304})


def log() -> Any:
    """Imported when there is something to log: every worker forks from what a server imports."""
    import structlog  # noqa: PLC0415  3.5 MB with what it draws in, 0.12 ms of every fork

    return structlog.get_logger(__name__)


class Answers(Ending):
    """The part of a Connection that answers."""

    _bad: tuple[int, str] | None = None  # what to answer once the exchanges before it are answered

    def answer(self, exchange: Exchange, status: int, headers: Iterable[Header], body: bytes) -> None:
        """Write a whole answer in one go."""
        if self._lost:
            return
        try:
            block = wire.answer(headers) if headers else b""
        except wire.BadHeader:
            log().exception("answer with a bad header", exchange=repr(exchange))
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
