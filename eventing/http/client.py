"""
Ask HTTP servers: pooled keep-alive connections, bounded answers, and every failure is a NoAnswer.

    client = Client(limits=ClientLimits())
    answer = await client.request("POST", url, headers, body, timeout_s=30, max_answer_bytes=1 << 20)
    upstream = await client.open(address, "GET", b"/", headers, receiver)      a stream, for proxies

A pooled connection may have been closed by its server a moment ago (uvicorn does so after 5 s). Such a
request is sent once more, on a new connection, if not one byte of an answer came: what we send may be
sent twice by contract (at least once). Redirects are not followed: an event goes where its trigger says.
"""

import asyncio
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass

from eventing.errors import NoAnswer
from eventing.http import dial, wire
from eventing.http.address import Address, parse, resolve
from eventing.http.answer import Answer, Collector
from eventing.http.lookup import Lookups
from eventing.http.pool import Pool
from eventing.http.receivers import AnswerReceiver
from eventing.http.upstream import Upstream
from eventing.http.wire import Header

__all__ = ["Address", "Answer", "AnswerReceiver", "Client", "ClientLimits", "Dial", "NoAnswer", "Upstream"]

# (host, port) of a URL -> where to connect; None: as usual.
Dial = Callable[[str, int], Address | None]


@dataclass(frozen=True, kw_only=True)
class ClientLimits:
    """What servers may make the client spend."""

    connections: int = 1024  # for each address: all Services together are one, the activator's socket
    idle_s: float = 4.0  # a connection unused for so long is closed: before uvicorn does, after 5 s
    connect_s: float = 10.0  # to connect; a SYN is repeated after 1, 3 and 7 s
    newcomers: int | None = None  # at once for each host and port: pool.py; None: not limited
    head_bytes: int = 64 * 1024  # of an answer: the same as Limits.head_bytes of our server


class Client:
    """Connections to servers, pooled by address. One for each process; close it at the end."""

    def __init__(self, *, limits: ClientLimits | None = None, dial: Dial | None = None) -> None:
        """*dial* may redirect a host, for example to a unix socket."""
        self._limits = limits or ClientLimits()
        self._dial = dial
        self._loop = asyncio.get_running_loop()
        self._lookups = Lookups()
        self._pools: dict[Address, Pool] = {}
        self._timer: asyncio.TimerHandle | None = None
        self.now = 0.0  # loop time of the last tick

    def __repr__(self) -> str:
        """Counts over all addresses."""
        pools = self._pools.values()
        idle = sum(len(pool.idle) for pool in pools)
        busy = sum(pool.open for pool in pools) - idle
        return f"<Client [{len(pools)} addresses | {busy} busy | {idle} idle]>"

    async def request(self, method: str, url: str, headers: Iterable[Header], body: bytes = b"", *,
                      timeout_s: float | None, max_answer_bytes: int) -> Answer:
        """
        Send one request and return its answer. Raises NoAnswer, or ValueError for headers with line breaks.

        *timeout_s* covers everything: waiting for a free connection, connecting, and the whole answer.
        Host and Content-Length are added.
        """
        place = parse(url)
        block = wire.encode(tuple(headers))
        request = b"%b %b HTTP/1.1\r\nhost: %b\r\n%bcontent-length: %d\r\n\r\n%b" % (
            method.encode(), place.target, place.authority, block, len(body), body)
        deadline = None if timeout_s is None else self._loop.time() + timeout_s
        address = self.address(place.host, place.port)
        upstream = self._pool(address).take() or await self._acquire(address, deadline)
        try:
            return await self._fetch(upstream, request, method, deadline, max_answer_bytes)
        except NoAnswer as error:
            if error.reason != "closed" or not upstream.is_stale:
                raise
        upstream = await self._acquire(address, deadline, fresh=True)
        return await self._fetch(upstream, request, method, deadline, max_answer_bytes)

    async def open(self, address: Address, method: str, target: bytes, headers: Collection[Header],
                   receiver: AnswerReceiver, *, has_body: bool = False, fresh: bool = False) -> Upstream:
        """
        Begin a request whose body follows by `write` and `end` of the Upstream; *receiver* gets the answer.

        The *headers* are sent as they are, so Host must be among them. A body (*has_body*) is as long as its
        Content-Length says, else it is sent in chunks. *fresh*: on a new connection. Raises NoAnswer,
        or ValueError for headers with line breaks.
        """
        wire.encode(headers)  # raises before a connection is taken
        upstream = await self._acquire(address, None, fresh=fresh)
        self._begin(upstream, method, target, headers, receiver, has_body=has_body)
        return upstream

    def open_idle(self, address: Address, method: str, target: bytes, headers: Collection[Header],
                  receiver: AnswerReceiver, *, has_body: bool = False) -> Upstream | None:
        """As `open`, at once, if there is an idle connection whose end is not on its way; else None."""
        upstream = self.idle(address)
        while upstream is not None and upstream.has_news:
            upstream.abort()
            upstream = self.idle(address)
        if upstream is not None:
            self._begin(upstream, method, target, headers, receiver, has_body=has_body)
        return upstream

    def idle(self, address: Address) -> Upstream | None:
        """An idle connection to `send` on at once, if there is one."""
        pool = self._pools.get(address)
        return pool.take() if pool is not None else None

    async def connect(self, address: Address, *, fresh: bool = False) -> Upstream:
        """Return a connection to `send` on: an idle one (not if *fresh*), or a new one. Raises NoAnswer."""
        return await self._acquire(address, None, fresh=fresh)

    def address(self, host: str, port: int) -> Address:
        """Where *host* and *port* of a URL are to be reached."""
        address = self._dial(host, port) if self._dial is not None else None
        return resolve(host, port) if address is None else address

    async def close(self) -> None:
        """Close idle connections and cut the others; their receivers get NoAnswer("closed")."""
        if self._timer is not None:
            self._timer.cancel()
        for pool in self._pools.values():
            for upstream in tuple(pool.connections):
                upstream.fail("closed", "the client was closed")
        self._pools.clear()
        await asyncio.sleep(0)  # connection_lost is called in the loop's next turn

    # -- inside -------------------------------------------------------------------------------------------

    async def _fetch(self, upstream: Upstream, request: bytes, method: str, deadline: float | None,
                     max_answer_bytes: int) -> Answer:
        future: asyncio.Future[Answer] = self._loop.create_future()
        collector = Collector(future, upstream, max_answer_bytes)
        upstream.send(request, collector, is_head=method == "HEAD")
        timer = None
        if deadline is not None:
            timer = self._loop.call_at(deadline, collector.expire)
        try:
            return await future
        except asyncio.CancelledError:
            upstream.abort()  # an answer that nobody waits for would be taken for the next one's
            raise
        finally:
            if timer is not None:
                timer.cancel()

    @staticmethod
    def _begin(upstream: Upstream, method: str, target: bytes, headers: Collection[Header],
               receiver: AnswerReceiver, *, has_body: bool) -> None:
        chunked = has_body and wire.find(headers, b"content-length") is None
        framing = b"transfer-encoding: chunked\r\n" if chunked else b""
        head = b"%b %b HTTP/1.1\r\n%b%b\r\n" % (method.encode(), target, wire.encode(headers), framing)
        upstream.begin(head, receiver, is_head=method == "HEAD", chunked=chunked,
                       offers_upgrade=wire.find(headers, b"upgrade") is not None)
        if not has_body:
            upstream.end()

    def _pool(self, address: Address) -> Pool:
        pool = self._pools.get(address)
        if pool is None:
            newcomers = None if isinstance(address, str) else self._limits.newcomers
            pool = self._pools[address] = Pool(self._limits.connections, newcomers, lambda: self.now)
            if self._timer is None:
                self._rest()
        return pool

    async def _acquire(self, address: Address, deadline: float | None, *, fresh: bool = False) -> Upstream:
        """A connection to use: an idle one (not if *fresh*), a new one, or the first that gets free."""
        pool = self._pool(address)
        try:
            async with asyncio.timeout_at(deadline):
                upstream = None if fresh else pool.take()
                if upstream is not None:
                    return upstream
                if pool.may_open:
                    pool.begin()
                else:
                    upstream = await self._wait(pool)
                    if upstream is not None:  # it has answered a moment ago: as good as a new one
                        return upstream
                return await self._connect(pool, address)
        except TimeoutError as error:
            raise NoAnswer("timeout", "no connection in time") from error

    @staticmethod
    async def _wait(pool: Pool) -> Upstream | None:
        """Wait for a connection, or for the permission to make one (None)."""
        waiter = pool.wait()
        try:
            return await waiter
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled():  # it came in the moment of the cancellation
                upstream = waiter.result()
                if upstream is None:
                    pool.failed()
                else:
                    pool.release(upstream)
            raise

    async def _connect(self, pool: Pool, address: Address) -> Upstream:
        """Make a connection that *pool* counts already."""
        made: list[Upstream] = []

        def make() -> Upstream:
            made.append(Upstream(pool, self._limits.head_bytes))
            return made[-1]

        try:
            await dial.connect(make, address, self._limits.connect_s, self._lookups)
        except BaseException:
            if not pool.connections.intersection(made):  # a made one gives itself back when it is lost
                pool.failed()
            raise
        return made[-1]

    def _tick(self) -> None:
        """Close what was idle for too long, forget addresses that nobody uses; rests while there are none."""
        self.now = self._loop.time()
        for address, pool in tuple(self._pools.items()):
            for upstream in tuple(pool.idle):
                if self.now - upstream.idle_since > self._limits.idle_s:
                    pool.idle.remove(upstream)
                    upstream.abort()
            if not pool.open and not pool.waiting:
                del self._pools[address]
        self._timer = None
        if self._pools:
            self._rest()

    def _rest(self) -> None:
        """Until the next tick."""
        self.now = self._loop.time()
        self._timer = self._loop.call_later(self._limits.idle_s / 8, self._tick)
