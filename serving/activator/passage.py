"""
One request on its way through the activator: it waits for a place, goes to a worker, its answer returns.

    begin -> [waits in the breaker] -> admitted -> sends -> head, data.., end -> place given back
                                                        `-> failed: again elsewhere, or 502

Bytes are forwarded as they come, with back-pressure both ways; a small body of known length is gathered
first: a request's, so that it can be sent again; an answer's, because one write costs half of two. What came
whole may cross as it came (verbatim.py). A request that got no answer may be sent again (again.py).

Three clocks, as in Knative: the whole request, the time until the answer starts, the pause between two
writes; waiting for a worker counts. A client that leaves, and a request that ran out of time, give their
place back at once where there is no limit of concurrency. Where there is one the function may still be at
work, so the place stays taken until it has ended; and at the end of its time the worker is replaced.
"""

from collections.abc import Iterable, Mapping, Sequence
from time import monotonic  # uvloop's own time has milliseconds only: too coarse for a concurrency
from typing import TYPE_CHECKING

from eventing.errors import NoAnswer
from eventing.http import wire
from eventing.http.aside import Aside
from eventing.http.client import Address, Upstream
from eventing.http.exchange import Exchange
from eventing.http.wire import Header
from serving.activator import verbatim
from serving.activator.again import Again, decide
from serving.activator.breaker import Slot
from serving.activator.pool import Pool
from serving.activator.requestlog import Answered
from serving.activator.upload import Upload

if TYPE_CHECKING:
    from serving.activator.door import Activator, Addition

# A body up to this size is gathered and can be sent again; an event is 1 MiB at most and mostly far less.
_KEPT_BYTES = 64 * 1024
# How soon a request that met a dying worker looks again: the worker's end is noticed by then.
_AGAIN_S = 0.02
_PLAIN: tuple[Header, ...] = ((b"content-type", b"text/plain; charset=utf-8"),)
_SWITCHING = 101
_WRITTEN = frozenset({b"content-length", b"date"})  # by our own server, with every whole answer
_TIMED_OUT = b"activator request timeout"  # Knative's words


def _nothing() -> None:
    """What happens when the client of a request that is over leaves."""


class Passage(Aside):
    """One request. It is the Ticket of the breaker and the receiver of both bodies."""

    # Defaults stand on the class: most requests change few of them.
    spoke = 0  # the wheel's
    _slot: Slot | None = None
    _upstream: Upstream | None = None
    _request = b""  # all of it, unless it is streamed
    _streams = False  # the body crosses as it comes and cannot be sent again
    _cold = False
    _asked = _sent = 0.0  # since when it wants a worker, and when it began to cross
    _left = False  # nobody waits for the answer any longer
    _over = False
    _again = False  # it was sent again once
    _status = 0  # of the worker's answer, once its head has come
    _answer_headers: Sequence[Header] = ()
    _answer_bytes = 0
    _answer_body: list[bytes] | None = None  # None: it is streamed

    def __init__(self, activator: "Activator", pool: Pool, exchange: Exchange, headers: list[Header],
                 added: "Addition", *, plain: Mapping[bytes, bytes] | None = None) -> None:
        """
        Take *exchange* to a worker of *pool*, with *headers* and what is *added* in place of its own.

        *plain*: its own ones by name, where *headers* are those and none is meant for this hop.
        """
        self._activator = activator
        self._pool = pool
        self._exchange = exchange
        self._headers = headers
        self._added = added
        self._plain = plain
        self._begun = self._last = monotonic()

    def __repr__(self) -> str:
        """Where it is."""
        return f"<Passage to {self._pool.name} [{self._slot or 'waiting'!r}]>"

    # -- to the worker

    def begin(self) -> None:
        """Count the request, and take it as far as it gets."""
        exchange = self._exchange
        self._pool.meter.enter(self._begun)
        exchange.on_disconnect = self._client_left
        self._arm(self._begun)
        if self._over:
            return
        if self._plain is not None:
            length = int(self._plain.get(b"content-length") or 0)
        else:
            length = _KEPT_BYTES + 1 if exchange.is_chunked else exchange.announced_bytes
        if length > _KEPT_BYTES:
            self._streams = True
            self._ask()
        elif length:
            exchange.collect(_KEPT_BYTES, self._gathered)
        else:
            self._gathered(b"")

    def _gathered(self, body: bytes) -> None:
        if not self._over:  # else it ran out of time while the body came
            self._request = self._whole_request(body)
            self._ask()

    def _whole_request(self, body: bytes) -> bytes:
        exchange, lines = self._exchange, self._added.lines
        read = exchange.read if self._plain is not None else None
        headers = len(exchange.headers)
        as_it_is = read and verbatim.request(read, headers, lines, len(body),
                                             persists=len(self._headers) < headers)
        if as_it_is:
            return as_it_is
        return b"%b %b HTTP/1.1\r\n%b%b\r\n%b" % (
            exchange.method, exchange.target, wire.encode(self._headers), lines, body)

    def _ask(self) -> None:
        """A place now, or a place in the queue."""
        pool = self._pool
        slot = pool.breaker.take()
        if slot is not None and slot.is_ready:
            self.admitted(slot)
            return
        now = monotonic()
        self._cold = pool.ready == 0
        self._asked = now
        if slot is not None:
            self.admitted(slot)
        elif (refusal := pool.refusal(now)) is not None:
            self.refused(*refusal)
        elif not pool.breaker.wait(self):
            self.refused(503, "pending request queue full", 1.0)
        elif self._cold:
            self._activator.wanted(pool, now)

    def admitted(self, slot: Slot) -> None:
        """It has a place: send."""
        self._slot = slot
        self._send(fresh=False)

    def refused(self, status: int, reason: str, retry_after_s: float) -> None:
        """It will not get a place."""
        headers = _PLAIN
        if retry_after_s > 0:
            headers = (*_PLAIN, (b"retry-after", b"%d" % max(1, round(retry_after_s))))
        self._answer(status, reason.encode(), headers)

    def _send(self, *, fresh: bool) -> None:
        assert self._slot is not None
        address = self._slot.worker.address
        upstream = None if fresh or self._streams else self._activator.client.idle(address)
        if upstream is None:
            self._activator.tasks.create_task(self._connect(address, fresh=fresh))
        else:
            self._put(upstream)

    async def _connect(self, address: Address, *, fresh: bool) -> None:
        exchange, client = self._exchange, self._activator.client
        try:
            if self._streams:
                upstream = await client.open(address, exchange.method.decode(), exchange.target,
                                             [*self._headers, *self._added.headers], self, has_body=True,
                                             fresh=fresh)
            else:
                upstream = await client.connect(address, fresh=fresh)
        except NoAnswer as error:
            self.failed(error)
            return
        if self._slot is None:  # it was given up while connecting
            upstream.abort()
        elif self._streams:
            self._upstream = upstream
            self._sent = monotonic()
            exchange.stream(Upload(self, exchange, upstream))
        else:
            self._put(upstream)

    def _put(self, upstream: Upstream) -> None:
        """Send all of the request."""
        self._upstream, self._sent = upstream, monotonic()
        if self._plain is not None and not self._cold and self._exchange.method != b"HEAD":
            upstream.exchange(self._request, self)
        else:
            upstream.send(self._request, self, is_head=self._exchange.method == b"HEAD",
                          offers_upgrade=wire.find(self._headers, b"upgrade") is not None)

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
        cold_s = now - self._asked if self._cold else None
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
            kept += [(b"connection", b"upgrade"), (b"upgrade", offer)]
            self._exchange.upgrade(kept, Upload(self, self._exchange, upstream))
        else:
            headers = wire.end_to_end(headers)
            if cold_s is not None:
                headers.append((b"clarion-cold-start", b"%.1f" % (cold_s * 1000)))
            if self._is_small(headers):
                self._answer_headers, self._answer_body = headers, []
            else:
                self._exchange.start(status, headers)
        self._exchange.on_drain = upstream.resume

    def _is_small(self, headers: list[Header]) -> bool:
        """Whether the answer has a body that is worth gathering."""
        length = wire.find(headers, b"content-length")
        return length is not None and 0 < int(length) <= _KEPT_BYTES and self._exchange.method != b"HEAD"

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

    def failed(self, error: NoAnswer) -> None:
        """There is no answer, or no more of it."""
        upstream, self._upstream = self._upstream, None
        if self._slot is None:
            return
        if self._exchange.started or self._left:
            self._exchange.abort()
            self._finish()
        elif self._status or (self._streams and upstream is not None):
            self._answer(502, str(error).encode())
        else:
            self._once_more(error, upstream)

    def _once_more(self, error: NoAnswer, upstream: Upstream | None) -> None:
        """Send again what may be sent again."""
        slot = self._slot
        assert slot is not None
        match decide(slot, upstream, self._exchange.method, monotonic() - self._sent,
                     closed=error.reason == "closed", tried=self._again):
            case Again.ANEW:
                self._send(fresh=True)
            case Again.ELSEWHERE:
                if not slot.is_ready:
                    self._pool.breaker.close(slot)
                self._requeue()
            case Again.LATER:
                self._again = True
                self._activator.loop.call_later(_AGAIN_S, self._requeue)
            case Again.NEVER:
                self._answer(502, str(error).encode())

    def _requeue(self) -> None:
        """Wait for another worker, before everybody else."""
        slot = self._slot
        if slot is None:  # it ran out of time meanwhile
            return
        self._slot = None
        self._pool.breaker.give_back(slot)
        now = monotonic()
        refusal = self._pool.refusal(now)
        if refusal is not None:
            self.refused(*refusal)
        elif not self._pool.breaker.wait(self, first=True):
            self.refused(503, "pending request queue full", 1.0)
        elif self._slot is None and not self._pool.ready:
            self._activator.wanted(self._pool, now)

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

    def _answer(self, status: int, text: bytes, headers: Iterable[Header] = _PLAIN) -> None:
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
