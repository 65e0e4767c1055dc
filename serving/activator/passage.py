"""
One request on its way through the activator: it waits for a place, goes to a worker, its answer returns.

    begin -> [waits in the breaker] -> admitted -> sends -> head, data.., end -> place given back
                                                        `-> failed: again elsewhere, or 502

A body is forwarded as it comes, with back-pressure; a small one of known length is gathered first, so that
it can be sent again. What came whole may cross as it came (verbatim.py). A request that got no answer may be
sent again (again.py). The way back, and what else ends a request, is the lower half's: answering.py.
"""

from collections.abc import Mapping
from time import monotonic  # uvloop's own time has milliseconds only: too coarse for a concurrency
from typing import TYPE_CHECKING

from eventing.errors import NoAnswer
from eventing.http import wire
from eventing.http.client import Address, Upstream
from eventing.http.exchange import Exchange
from eventing.http.repeat import is_repeatable, tells_unread
from eventing.http.wire import Header
from serving.activator import verbatim
from serving.activator.again import Again, decide, may_have_read
from serving.activator.answering import KEPT_BYTES, PLAIN, Answering
from serving.activator.breaker import Slot
from serving.activator.pool import Pool
from serving.activator.upload import Upload

if TYPE_CHECKING:
    from serving.activator.door import Activator, Addition

# How soon a request that met a dying worker looks again: the worker's end is mostly noticed by then.
_AGAIN_S = 0.02


class Passage(Answering):
    """One request. It is the Ticket of the breaker and the receiver of both bodies."""

    _request = b""  # all of it, unless it is streamed
    _streams = False  # the body crosses as it comes and cannot be sent again
    _tries = 0  # how often it was put off
    _is_again = False  # a worker may have read it

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
            length = KEPT_BYTES + 1 if exchange.is_chunked else exchange.announced_bytes
        if length > KEPT_BYTES:
            self._streams = True
            self._ask()
        elif length:
            exchange.collect(KEPT_BYTES, self._gathered)
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
        self._send(fresh=self._is_again)

    def refused(self, status: int, reason: str, retry_after_s: float) -> None:
        """It will not get a place."""
        headers = PLAIN
        if retry_after_s > 0:
            headers = (*PLAIN, (b"retry-after", b"%d" % max(1, round(retry_after_s))))
        self._answer(status, reason.encode(), headers)

    def _send(self, *, fresh: bool) -> None:
        assert self._slot is not None
        worker = self._slot.worker
        address = worker.socket_name or worker.address
        upstream = None if fresh or self._streams else self._activator.client.idle(address)
        if (upstream is not None and not tells_unread(address, len(self._request))
                and not is_repeatable(self._exchange.method) and upstream.has_news):
            upstream.abort()  # its end is on the way: what is sent on it might have to be given up
            upstream = None
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

    # -- elsewhere, or nowhere

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
        then = decide(slot, upstream, self._exchange.method, len(self._request),
                      reason=error.reason, tries=self._tries, is_again=self._is_again)
        if upstream is not None and may_have_read(slot, upstream):
            self._is_again = True
        match then:
            case Again.ANEW:
                self._send(fresh=True)
            case Again.ELSEWHERE:
                if not slot.is_ready:
                    self._pool.breaker.close(slot)
                self._requeue()
            case Again.LATER:
                self._tries += 1
                self._activator.loop.call_later(_AGAIN_S, self._requeue)
            case Again.NEVER:
                self._answer(502, str(error).encode())

    def _requeue(self) -> None:
        """Go to another worker, or wait for one before everybody else."""
        slot = self._slot
        if slot is None:  # it ran out of time meanwhile
            return
        other, self._slot = self._pool.breaker.elsewhere(slot), None
        self._pool.breaker.give_back(slot)
        if other is not None:
            self.admitted(other)
            return
        now = monotonic()
        refusal = self._pool.refusal(now)
        if refusal is not None:
            self.refused(*refusal)
        elif not self._pool.breaker.wait(self, first=True):
            self.refused(503, "pending request queue full", 1.0)
        elif self._slot is None and not self._pool.ready:
            self._activator.wanted(self._pool, now)
