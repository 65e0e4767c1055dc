"""
Connections to one address: which may be used, how many there may be, and who waits for one.

    begin -> made -> (busy -> release -> idle -> take)* -> lost        failed: it was not made

A *newcomer* is a connection that its server may not have accepted yet: it was begun less than `_YOUNG_S` ago,
and nothing has been heard of it. Their number can be limited, because a listening socket holds only so many
(Python's `http.server` and `socketserver`: 5). What comes on top the kernel drops, in part after the client
believes to be connected, and sends again after 1, 3, 7, 15 seconds: 64 requests at once took 15 s, of which
the server used 50 ms. So a new connection waits for its turn, whoever waits takes one that gets free before,
and a server that answers is soon given all that may be open.

It knows no sockets: whoever asks for a connection makes it (client.py).
"""

import asyncio
from collections import deque
from collections.abc import Callable

from eventing.http.upstream import Upstream

# Time in which a server gets round to accept, also one that starts a thread for each.
_YOUNG_S = 0.02


class Pool:
    """Connections to one address; as an Upstream's owner it hands free ones to whoever waits longest."""

    def __init__(self, limit: int, newcomers: int | None, now: Callable[[], float]) -> None:
        """At most *limit* connections, *newcomers* at once (None: as many); *now* is loop time, roughly."""
        self.idle: list[Upstream] = []
        self.connections: set[Upstream] = set()
        self.open = 0  # connections, and those being made
        self.waiting: deque[asyncio.Future[Upstream | None]] = deque()
        self._limit = limit
        self._newcomers = newcomers
        self._now = now
        self._loop = asyncio.get_running_loop()
        self._begun: deque[float] = deque()  # when the newcomers were, in order
        self._unheard: set[Upstream] = set()
        self._timer: asyncio.TimerHandle | None = None

    def __repr__(self) -> str:
        """Counts."""
        busy = self.open - len(self.idle)
        return f"<Pool [{busy} busy | {len(self.idle)} idle | {len(self.waiting)} waiting]>"

    @property
    def may_open(self) -> bool:
        """Whether another connection may be begun."""
        return self.open < self._limit and not self._is_crowded()

    def take(self) -> Upstream | None:
        """The idle connection used last: the others get a chance to be closed."""
        while self.idle:
            upstream = self.idle.pop()
            if not upstream.is_lost:
                return upstream
        return None

    def wait(self) -> "asyncio.Future[Upstream | None]":
        """A connection that gets free, or None: the permission, counted already, to make one."""
        waiter: asyncio.Future[Upstream | None] = self._loop.create_future()
        self.waiting.append(waiter)
        self._admit()
        return waiter

    def begin(self) -> None:
        """Count a connection that is about to be made."""
        self.open += 1
        if self._newcomers is not None:
            self._begun.append(self._loop.time())

    def failed(self) -> None:
        """What was begun, or permitted, was not made."""
        self.open -= 1
        self._let_in()

    def made(self, upstream: Upstream) -> None:
        """What was begun is connected."""
        self.connections.add(upstream)
        self._unheard.add(upstream)

    def release(self, upstream: Upstream) -> None:
        """It has answered: the next may have it."""
        if not self._pass_on(upstream):
            upstream.idle_since = self._now()
            self.idle.append(upstream)
        if upstream in self._unheard:
            self._unheard.discard(upstream)
            self._let_in()

    def lost(self, upstream: Upstream) -> None:
        """It is no more."""
        if upstream in self.idle:
            self.idle.remove(upstream)
        self.connections.discard(upstream)
        self.open -= 1
        if upstream in self._unheard:
            self._unheard.discard(upstream)
            self._let_in()
        else:
            self._admit()

    def _is_crowded(self) -> bool:
        if self._newcomers is None:
            return False
        young_since = self._loop.time() - _YOUNG_S
        while self._begun and self._begun[0] <= young_since:
            self._begun.popleft()
        return len(self._begun) >= self._newcomers

    def _let_in(self) -> None:
        """One newcomer less: another may come."""
        if self._begun:
            self._begun.popleft()
        self._admit()

    def _admit(self) -> None:
        """Permit those who wait to make connections of their own, as many as may be; the next in a moment."""
        while self.may_open and self._pass_on(None):
            self.begin()
        if self.waiting and self._timer is None and self.open < self._limit:
            wait_s = max(0.001, self._begun[0] + _YOUNG_S - self._loop.time())
            self._timer = self._loop.call_later(wait_s, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        self._admit()

    def _pass_on(self, upstream: Upstream | None) -> bool:
        while self.waiting:
            waiter = self.waiting.popleft()
            if not waiter.done():
                waiter.set_result(upstream)
                return True
        return False
