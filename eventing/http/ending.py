"""
How a server's side of a connection ends: in order, because a client takes too long, or at once.

Every wait of a client's making (head, body, idle, unread answer) ends by `check`, which the server calls a
few times a second: a timer for each request would cost more than the request.

A client's FIN says that it sends no more. It may still wait for its answers, and gets them; or it is gone,
which looks the same until it is sent something: where the answer takes a while it is sent a 100 (Continue),
which every client of HTTP/1.1 passes over (RFC 9110, section 15.2), and one that is gone resets. Once the
answer has begun there is no such way: a FIN then is the client's end, as it is for Go's server under Knative.

To close with an answer on its way, the connection lingers: it sends its FIN, and discards what still comes
for a while. Closing at once makes the kernel send RST, and the client may lose the answer that says why.
"""

import socket

from eventing.http.reader import Reader


class Ending(Reader):
    """The part of a Connection that ends it."""

    writable = True

    _lingering = False
    _half_closed = False  # the client has sent its FIN
    _sounded = False  # it was sent something since, to see whether it is still there
    _unsent_bytes: int | None = None  # what the client had not taken at the last check

    def write(self, data: bytes) -> None:
        """Send bytes as they are."""
        if not self._lost:
            self._transport.write(data)

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
