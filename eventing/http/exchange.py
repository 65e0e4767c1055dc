"""
One request and its answer, as a handler sees them.

    head complete -> handler(exchange) -> collect(limit, then) | stream(receiver)   the request's body
                                       -> respond(..) | start(..) write(..) end()   the answer
                                       -> upgrade(..)                               101, then raw bytes

The two halves are independent: an answer may start before the body has ended. Everything is synchronous
and may be called at once in the handler or any time later. What is called after the connection was lost,
or after the server answered by itself (408, 413), is ignored: a handler need not ask first.

An exchange knows nothing of sockets and parsers: connection.py moves the bytes. Its lower half, asked.py, is
what is known of the request.
"""

from collections.abc import Callable, Collection, Iterable
from typing import TYPE_CHECKING

from eventing.http import wire
from eventing.http.asked import Asked, BodyReceiver
from eventing.http.wire import Header

if TYPE_CHECKING:
    from eventing.http.connection import Connection

Handler = Callable[["Exchange"], None]


def _nothing() -> None:
    """What happens by default when a client leaves or drains."""


class Exchange(Asked):
    """A request whose head is complete, and the answer to it. See the module's picture."""

    started = False  # the answer's head is written
    on_disconnect: Callable[[], None] = staticmethod(_nothing)  # the client left before its answer ended
    on_drain: Callable[[], None] = staticmethod(_nothing)  # `writable` became true again

    _rest_bytes: int | None = None  # of an answer with Content-Length
    _trailers: Collection[Header] = ()  # of the answer
    _framing = "length"  # of the answer's body: length, chunked, close, none, raw

    def __init__(self, connection: "Connection", method: bytes, target: bytes, headers: list[Header]) -> None:
        """Only connections make exchanges."""
        self._connection = connection
        self.method = method
        self.target = target
        self.headers = headers
        self.named = dict(headers)

    def __repr__(self) -> str:
        """Method, target, and how far it is."""
        answer = "answered" if self.answered else "started" if self.started else "open"
        return f"<Exchange {self.method.decode()} {self.target.decode('latin-1')} [{answer}]>"

    @property
    def peer(self) -> str:
        """The client's address without its port; empty on a unix socket."""
        return self._connection.peer

    @property
    def writable(self) -> bool:
        """False while the client takes its answer too slowly; `on_drain` says when that is over."""
        return self._connection.writable

    @property
    def read(self) -> bytes | None:
        """
        The bytes that the request began with and those that came with them, of the next request too.

        Only while the handler or `then` runs; None where the request did not begin a read.
        """
        return self._connection.read_of(self)

    # -- the request's body -------------------------------------------------------------------------------

    def collect(self, limit_bytes: int, then: Callable[[bytes], None]) -> None:
        """Call *then* with the whole body; a longer one is answered 413 and *then* is never called."""
        self._limit_bytes = limit_bytes
        self._then = then
        if self.complete:
            self.finish_body()
        else:
            self._connection.body_wanted(self)

    def stream(self, receiver: BodyReceiver) -> None:
        """Give the body to *receiver* as it comes, what is here already at once."""
        self._receiver = receiver
        chunks, self._chunks = self._chunks, None
        for chunk in chunks or ():
            receiver.data(chunk)
        if self.complete:
            receiver.end()
        else:
            self._connection.body_wanted(self)

    def pause_body(self) -> None:
        """Take no more of the body from the client, but for what is on its way in this process."""
        self._paused = True
        self._connection.pace()

    def resume_body(self) -> None:
        """The opposite of pause_body."""
        self._paused = False
        self._connection.pace()

    # -- the answer ---------------------------------------------------------------------------------------

    def respond(self, status: int, headers: Iterable[Header] = (), body: bytes = b"") -> None:
        """Give the whole answer; Content-Length and Date are added."""
        if self.started:
            return
        self.started = True
        self._connection.answer(self, status, headers, body)

    @property
    def can_relay(self) -> bool:
        """Whether an answer as any HTTP/1.1 server gives it is right for this client and connection."""
        return (not self.started and self.complete and self.keep_alive and not self.old
                and self._connection.goes_on)

    def relay(self, answer: bytes) -> None:
        """Give *answer*, a whole one with its framing, as it is; only if `can_relay`."""
        self.started = self.answered = True
        self._connection.write(answer)
        self._connection.finished(self)

    def hand_over(self, give: Callable[[int, bytes], bool]) -> bool:
        """
        Let another process have the connection, before anything of this request is answered.

        *give* gets the descriptor, which stays ours, and what has been read of the request. False: there is
        more to the connection than that, or *give* said so; then the request is still to be answered here.
        """
        return not self.started and self._connection.hand_over(self, give)

    def start(self, status: int, headers: Iterable[Header]) -> None:
        """Begin an answer whose body follows: as long as its Content-Length says, else chunked."""
        if self.started:
            return
        self.started = True
        self._connection.begin_answer(self, status, list(headers))

    def write(self, chunk: bytes) -> None:
        """More of the answer's body, or of the raw bytes after an upgrade."""
        if self.answered or not self.started or not chunk:
            return
        if self._framing == "length":
            assert self._rest_bytes is not None
            self._rest_bytes -= len(chunk)
            if self._rest_bytes < 0:  # the client would take the surplus for the next answer
                self.abort()
                return
        elif self._framing == "chunked":
            chunk = b"%x\r\n%b\r\n" % (len(chunk), chunk)
        elif self._framing == "none":
            return
        self._connection.write(chunk)

    def end(self) -> None:
        """End the answer; one that is shorter than its Content-Length is cut off visibly instead."""
        if self.answered or not self.started:
            return
        if self._framing == "length" and self._rest_bytes:
            self.abort()
            return
        if self._framing == "chunked":
            self._connection.write(wire.last_chunk(self._trailers))
        self.answered = True
        self._connection.finished(self)

    def hint(self, status: int, headers: Collection[Header]) -> None:
        """Give an interim answer, which no client of HTTP/1.0 understands."""
        if not self.started and not self.old:
            self._connection.write(b"%b%b\r\n" % (wire.status_line(status), wire.encode(headers)))

    def trail(self, headers: Collection[Header]) -> None:
        """Have *headers* behind the answer's body, if it is chunked."""
        self._trailers = headers

    def upgrade(self, headers: Collection[Header], receiver: BodyReceiver) -> None:
        """Answer 101; from now on the client's bytes go to *receiver* and `write` sends bytes as they are."""
        if self.started:
            return
        self.started = True
        self._framing = "raw"
        self._connection.upgrade(headers, receiver)

    def abort(self) -> None:
        """Cut the connection, so that nobody takes half an answer for a whole one."""
        self.started = self.answered = True
        self._connection.abort()

    # -- for the connection -------------------------------------------------------------------------------

    def frame(self, framing: str, rest_bytes: int | None = None) -> None:
        """Say how the answer's body is delimited."""
        self._framing = framing
        self._rest_bytes = rest_bytes

    def refuse_body(self) -> None:
        """Answer 413, naming the limit."""
        self._chunks = None
        self.text(413, f"the body is larger than the limit of {self._limit_bytes} bytes")

    def leave(self) -> None:
        """The client is gone, or has been answered before it had sent all; told once."""
        callback, self.on_disconnect = self.on_disconnect, _nothing
        callback()

    def lose(self) -> None:
        """The connection is gone."""
        if self.answered:
            return
        self.started = self.answered = True
        self.cut_body()
        self.leave()

    def text(self, status: int, message: str, headers: tuple[Header, ...] = ()) -> None:
        """Answer one line of text."""
        plain = (b"content-type", b"text/plain; charset=utf-8")
        self.respond(status, (*headers, plain), message.encode() + b"\n")
