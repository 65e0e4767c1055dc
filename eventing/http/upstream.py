"""
A client's side of one connection: one request at a time, its answer handed on as it comes.

    idle -> send | begin (write)* end -> receiver.head (receiver.data)* receiver.end -> idle again, or closed
                                      -> receiver.failed, at any point; closed
                                      -> receiver.head(101), then raw bytes both ways

A server may speak nonsense, stop in the middle, or never stop: heads and what is between chunks are bounded
in the lower half (hearing.py), bodies by whoever receives them (`fail`, `pause`). It knows nothing of pools
and retries.
"""

import asyncio
import select
from collections.abc import Collection
from typing import cast

from eventing.errors import NoAnswer
from eventing.http import wire
from eventing.http.hearing import Hearing
from eventing.http.receivers import AnswerReceiver, WholeReceiver
from eventing.http.wire import Header


class Upstream(Hearing):
    """One connection to a server. Made by Client."""

    def __repr__(self) -> str:
        """What it is doing."""
        state = "lost" if self._lost else "raw" if self._raw else "busy" if self._receiver else "idle"
        return f"<Upstream [{state}]>"

    @property
    def is_stale(self) -> bool:
        """True after a failure that says nothing of the server: an old connection ended without an answer."""
        return self._lost and self.reused and not self.heard

    @property
    def has_news(self) -> bool:
        """Whether something has come that nobody looked at yet; of an idle one that is its end."""
        poll = select.poll()
        poll.register(self._transport.get_extra_info("socket").fileno(), select.POLLIN)
        return bool(poll.poll(0))

    # -- asking -------------------------------------------------------------------------------------------

    def begin(self, head: bytes, receiver: AnswerReceiver, *, is_head: bool = False, chunked: bool = False,
              offers_upgrade: bool = False) -> None:
        """Send a request's *head* (its end included); its body follows by `write` and `end`."""
        self._receiver = receiver
        self._is_head = is_head
        self._chunked = chunked
        self._offers_upgrade = offers_upgrade
        self._sent = self.heard = self._answering = self._done = False
        self._overhead_bytes = 0
        self._transport.write(head)

    def send(self, request: bytes, receiver: AnswerReceiver, *, is_head: bool = False,
             offers_upgrade: bool = False) -> None:
        """Send a whole *request*."""
        self.begin(request, receiver, is_head=is_head, offers_upgrade=offers_upgrade)
        self._sent = True

    def exchange(self, request: bytes, receiver: WholeReceiver) -> None:
        """Send a whole *request* that is neither HEAD nor offers an upgrade; the answer may come at once."""
        self._receiver = self._eager = receiver
        self._is_head = self._offers_upgrade = self.heard = self._answering = self._done = False
        self._sent = True
        self._overhead_bytes = 0
        self._early = []
        self._transport.write(request)

    def write(self, chunk: bytes) -> None:
        """More of the request's body, or raw bytes after an upgrade."""
        if self._lost or not chunk or (self._sent and not self._raw):
            return
        if self._chunked and not self._raw:
            chunk = b"%x\r\n%b\r\n" % (len(chunk), chunk)
        self._transport.write(chunk)

    def end(self, trailers: Collection[Header] = ()) -> None:
        """The request ends, with *trailers* if it is chunked, or this side of the raw bytes."""
        if self._lost:
            return
        if self._raw:
            if self._transport.can_write_eof():
                self._transport.write_eof()
        elif not self._sent:
            self._sent = True
            if self._chunked:
                self._transport.write(wire.last_chunk(trailers))

    # -- asyncio.Protocol ---------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Connected."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is one but in name
        self._owner.made(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """The end, which is the end of an answer too if nothing else delimits it."""
        self._lost = True
        self.was_reset = isinstance(exc, ConnectionError)  # one that has read all is closed in order
        receiver, self._receiver, self._eager = self._receiver, None, None
        self._owner.lost(self)
        if receiver is None:
            return
        if exc is None and (self._raw or (self._answering and self._ends_with_connection())):
            receiver.end()
        elif not self.heard:
            receiver.failed(NoAnswer("closed", "the connection was closed without an answer"))
        else:
            receiver.failed(NoAnswer("closed", "the connection was closed in the middle of the answer"))

    def pause_writing(self) -> None:
        """The server does not keep up."""
        self.writable = False

    def resume_writing(self) -> None:
        """The server caught up."""
        self.writable = True
        self.on_drain()
