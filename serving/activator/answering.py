"""
The way back of a request through the activator: its answer, or what ends it before there is one.

    head, data.., end      from the worker, passed on as they come, with back-pressure
    whole                  an answer that came in one read and may cross as it is (verbatim.py)
    check, give_up         it is late; its client has left

A small body of known length is gathered, because one write costs half of two.

Three clocks, as in Knative: the whole request, the time until the answer starts, the pause between two
writes; waiting for a worker counts. A client that leaves, and a request that ran out of time, give their
place back at once where there is no limit of concurrency. Where there is one the function may still be at
work, so the place stays taken until it has ended; and at the end of its time the worker is replaced.

This is the lower half of passage.py, which takes the request to its worker, and decides what becomes of one
that got no answer there.
"""

import abc
from collections.abc import Iterable, Sequence
from time import monotonic  # uvloop's own time has milliseconds only: too coarse for a concurrency
from typing import TYPE_CHECKING

from eventing.http import wire
from eventing.http.aside import Aside
from eventing.http.client import Upstream
from eventing.http.exchange import Exchange
from eventing.http.wire import Header
from serving.activator.breaker import Slot
from serving.activator.pool import Pool
from serving.activator.requestlog import Answered
from serving.activator.upload import Upload

if TYPE_CHECKING:
    from serving.activator.door import Activator

# A body up to this size is gathered and can be sent again; an event is 1 MiB at most and mostly far less.
KEPT_BYTES = 64 * 1024
PLAIN: tuple[Header, ...] = ((b"content-type", b"text/plain; charset=utf-8"),)
_SWITCHING = 101
_WRITTEN = frozenset({b"content-length", b"date"})  # by our own server, with every whole answer
_TIMED_OUT = b"activator request timeout"  # Knative's words


def _nothing() -> None:
    """What happens when the client of a request that is over leaves."""


class Answering(Aside, abc.ABC):
    """The half of a Passage that receives: an answer, the time that has passed, the client's end."""

    _activator: "Activator"
    _pool: Pool
    _exchange: Exchange
    _begun: float
    _last: float  # when something was last written to the client, or its request came

    # Defaults stand on the class: most requests change few of them.
    spoke = 0  # the wheel's
    _slot: Slot | None = None
    _upstream: Upstream | None = None
    _cold = False
    _asked = _sent = 0.0  # since when it wants a worker, and when it began to cross
    _left = False  # nobody waits for the answer any longer
    _over = False
    _status = 0  # of the worker's answer, once its head has come
    _answer_headers: Sequence[Header] = ()
    _answer_bytes = 0
    _answer_body: list[bytes] | None = None  # None: it is streamed

    # -- what the upper half does (Ticket)

    @abc.abstractmethod
    def admitted(self, slot: Slot) -> None:
        """It has a place."""

    @abc.abstractmethod
    def refused(self, status: int, reason: str, retry_after_s: float) -> None:
        """It will not get a place."""

    # -- from the worker (WholeReceiver)

    def knows(self, answer: bytes) -> int:
        """Status of an answer that begins like another one, which a client could have as it was."""
        return self._activator.heads.status(answer) if self._can_relay else 0

    def takes(self, status: int, headers: list[Header], answer: bytes) -> bool:
        """Whether the client may have the bytes of the answer as they are."""
        return self._can_relay and self._activator.heads.fits(status, headers, answer)

    @property
    def _can_relay(self) -> bool:
        """Whether an answer that comes whole is passed on as it is. A log wants to know how long it was."""
        return not self._left and self._activator.request_log is None and self._exchange.can_relay

    def whole(self, status: int, answer: bytes) -> None:
        """Pass it on."""
        self._upstream = None
        self._status = status
        self._activator.answers[status] += 1
        if self._slot is not None:
            self._slot.has_answered = True
        self._exchange.relay(answer)
        self._finish()

    def head(self, status: int, headers: list[Header]) -> None:
        """The answer starts."""
        self._status = status
        self._last = now = monotonic()
        told = ((b"clarion-cold-start", b"%.1f" % ((now - self._asked) * 1000)),) if self._cold else ()
        self._activator.answers[status] += 1
        if self._slot is not None:
            self._slot.has_answered = True
            if self._cold:
                self._activator.cold_starts.answered(self._slot.worker, self._asked, now)
        if self._left:
            return
        upstream = self._upstream
        assert upstream is not None
        if status == _SWITCHING:
            kept = [header for header in headers if header[0] not in {b"connection", b"upgrade"}]
            offer = wire.find(headers, b"upgrade") or b""
            kept += [(b"connection", b"upgrade"), (b"upgrade", offer), *told]
            self._exchange.upgrade(kept, Upload(self, self._exchange, upstream))
        else:
            headers = [*wire.end_to_end(headers), *told]
            if self._is_small(headers):
                self._answer_headers, self._answer_body = headers, []
            else:
                self._exchange.start(status, headers)
        self._exchange.on_drain = upstream.resume

    def _is_small(self, headers: list[Header]) -> bool:
        """Whether the answer has a body that is worth gathering."""
        length = wire.find(headers, b"content-length")
        return length is not None and 0 < int(length) <= KEPT_BYTES and self._exchange.method != b"HEAD"

    def data(self, chunk: bytes) -> None:
        """More of the answer."""
        if self._left:
            return
        self._last = monotonic()
        self._answer_bytes += len(chunk)
        if self._answer_body is not None:
            self._answer_body.append(chunk)
            return
        self._exchange.write(chunk)
        if not self._exchange.writable and self._upstream is not None:
            self._upstream.pause()

    def uploaded(self) -> None:
        """A body that was streamed has ended: how long a worker was awaited does not depend on its length."""
        if self._cold and not self._status:
            self._asked += monotonic() - self._sent

    def end(self) -> None:
        """The answer is whole."""
        self._upstream = None
        if self._answer_body is not None:
            headers = [header for header in self._answer_headers if header[0] not in _WRITTEN]
            self._exchange.respond(self._status, headers, b"".join(self._answer_body))
        elif not self._left:
            self._exchange.end()
        self._finish()

    # -- the clocks, the client, the end

    def _arm(self, now: float) -> None:
        pool = self._pool
        due = self._begun + pool.timeout_s
        if pool.start_timeout_s is not None and not self._status:
            due = min(due, self._begun + pool.start_timeout_s)
        if pool.idle_timeout_s is not None and not self._left:
            due = min(due, self._last + pool.idle_timeout_s)
        if due <= now:
            self._expire()
        else:
            self._activator.wheel.set(self, due)

    def check(self) -> None:
        """It may be late."""
        self._arm(monotonic())

    def _expire(self) -> None:
        self._pool.breaker.forget(self)
        if self._slot is not None:
            how = "its answer was cut" if self._exchange.started else "its client got 504"
            self._activator.expired(self._pool, self._slot, f"a request ran out of time after "
                                    f"{monotonic() - self._begun:.1f} s: {how}")
        if self._exchange.started:
            self._exchange.abort()
            self._finish()
        else:
            self._answer(504, _TIMED_OUT)

    def _client_left(self) -> None:
        if self._slot is not None and self._pool.breaker.limit:
            self._left = True
            if self._upstream is not None:
                self._upstream.resume()
            return
        self.give_up()

    def give_up(self) -> None:
        """The request cannot be completed: its client is gone."""
        self._pool.breaker.forget(self)
        self._finish()

    def _answer(self, status: int, text: bytes, headers: Iterable[Header] = PLAIN) -> None:
        self._status, self._answer_bytes = status, len(text) + 1
        self._activator.answers[status] += 1
        self._exchange.respond(status, headers, text + b"\n")
        self._finish()

    def _finish(self) -> None:
        """Give everything back, once."""
        if self._over:
            return
        self._over = True
        self._activator.wheel.drop(self)
        self._exchange.on_disconnect = _nothing
        upstream, self._upstream = self._upstream, None
        if upstream is not None:
            upstream.abort()
        pool, now = self._pool, monotonic()
        pool.meter.leave(now)
        slot, self._slot = self._slot, None
        if self._status:
            pool.durations.add(self._status, now - self._begun)
            if (log := self._activator.request_log) is not None:
                log.add(Answered(self._exchange, pool, slot, self._status, self._answer_bytes,
                                 now - self._begun))
        if slot is not None:
            pool.breaker.give_back(slot)
