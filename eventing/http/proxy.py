"""
Forward one exchange to another server, both ways as the bytes come.

    client -> Exchange -> Forward -> Upstream -> server         head, body, raw bytes after a 101
    client <- Exchange <- Forward <- Upstream <- server         and the same back

Each side is read only as fast as the other side takes it. When the client leaves, the request to the
server is cut; when the server leaves, the client gets 502 or, in the middle of an answer, sees it cut.

A request whose connection ends without a byte of an answer goes out again, once, if that cannot repeat an
effect (repeat.py) and all of its body that was sent is still here (kept.py). A server of ours that dies is
started again: whoever wants to connect meanwhile waits for it.
"""

import asyncio
from collections import defaultdict

from eventing.errors import NoAnswer
from eventing.http import wire
from eventing.http.aside import Aside
from eventing.http.client import Address, Client, Upstream
from eventing.http.exchange import Exchange
from eventing.http.forwarded import forwarded
from eventing.http.kept import KeptBody
from eventing.http.repeat import is_repeatable, was_unread
from eventing.http.wire import Header

# What the client is told, by NoAnswer's reason; all else is 502 (RFC 9110, sections 15.6.3 and 15.6.5).
_STATUSES = {"timeout": 504}

_SOON = ((b"retry-after", b"1"),)

_SWITCHING = 101
# A role is back within half a second; one that died more often is started later and later.
_AWAY_S, _LOOK_S = 5.0, 0.1


class Forward(Aside):
    """One exchange on its way to one address; takes the answer. Made by Proxy."""

    def __init__(self, proxy: "Proxy", exchange: Exchange, address: Address, absent: str) -> None:
        """See Proxy.forward."""
        self._proxy = proxy
        self._exchange = exchange
        self._address = address
        self._absent = absent
        self._headers = forwarded(exchange, exchange.peer)
        self._has_body = exchange.has_body
        self._body = KeptBody(exchange, self._left)
        self._upstream: Upstream | None = None
        self._dialling: asyncio.Task[None] | None = None
        self._is_again = False  # it was sent before
        self._over = False

    def start(self) -> None:
        """Send the request, or begin to connect."""
        exchange = self._exchange
        exchange.on_disconnect = self._left
        upstream = self._proxy.client.open_idle(self._address, exchange.method.decode(), exchange.target,
                                                self._headers, self, has_body=self._has_body)
        if upstream is None:
            self._dial(fresh=False)
        else:
            self._upstream = upstream
            self._body.attach(upstream)
        exchange.stream(self._body)

    def _fail(self, error: NoAnswer) -> None:
        """Give up: the client gets 502, 503 or 504, or sees its answer cut."""
        if self._over:
            return
        self._end()
        exchange = self._exchange
        if exchange.started:
            exchange.abort()
        elif self._absent and error.reason == "refused":
            exchange.text(503, self._absent, _SOON)
        else:
            exchange.text(_STATUSES.get(error.reason, 502), f"no answer from upstream: {error}")

    # -- the answer ---------------------------------------------------------------------------------------

    def head(self, status: int, headers: list[Header]) -> None:
        """The server answers."""
        self._body.forget()
        exchange = self._exchange
        passed = wire.end_to_end(headers)
        if self._upstream is not None:
            exchange.on_drain = self._upstream.resume
        if status == _SWITCHING:
            protocol = wire.find(headers, b"upgrade") or b""
            exchange.upgrade([*passed, (b"connection", b"upgrade"), (b"upgrade", protocol)], self._body)
        else:
            exchange.start(status, passed)

    def data(self, chunk: bytes) -> None:
        """More of the answer."""
        self._exchange.write(chunk)
        if not self._exchange.writable and self._upstream is not None and not self._over:
            self._upstream.pause()

    def end(self) -> None:
        """All of the answer."""
        self._upstream = None
        self._end()
        self._exchange.end()

    def failed(self, error: NoAnswer) -> None:
        """No answer, or no more of it."""
        upstream, self._upstream = self._upstream, None
        if upstream is not None and error.reason == "closed" and self._may_go_again(upstream):
            self._is_again = True
            self._dial(fresh=True)
        else:
            self._fail(error)

    # -- inside -------------------------------------------------------------------------------------------

    def _dial(self, *, fresh: bool) -> None:
        self._dialling = self._proxy.tasks.create_task(self._connect(fresh=fresh))

    async def _connect(self, *, fresh: bool) -> None:
        try:
            upstream = await self._open(fresh=fresh)
        except NoAnswer as error:
            self._fail(error)
            return
        except ValueError as error:  # a task that raises would take the whole role along
            self._fail(NoAnswer("garbage", str(error)))
            return
        self._upstream = upstream
        self._body.attach(upstream)

    async def _open(self, *, fresh: bool) -> Upstream:
        """Send the head, once somebody listens if somebody soon will."""
        deadline = asyncio.get_running_loop().time() + _AWAY_S
        upstream = await self._try(deadline, fresh=fresh)
        if upstream is None:
            async with self._proxy.looks[self._address]:  # whoever waits longest looks for the others, too
                while (upstream := await self._try(deadline, fresh=fresh)) is None:  # noqa: ASYNC110  no event
                    await asyncio.sleep(_LOOK_S)
        return upstream

    async def _try(self, deadline: float, *, fresh: bool) -> Upstream | None:
        """Send the head; None where nobody listens, and it is before *deadline*."""
        exchange, loop = self._exchange, asyncio.get_running_loop()
        try:
            return await self._proxy.client.open(
                self._address, exchange.method.decode(), exchange.target, self._headers, self,
                has_body=self._has_body, fresh=fresh)
        except NoAnswer as error:
            if error.reason != "refused" or not self._absent or loop.time() > deadline:
                raise
            return None

    def _may_go_again(self, upstream: Upstream) -> bool:
        """Whether the request, which was sent on *upstream*, may be sent once more."""
        exchange = self._exchange
        if upstream.heard or self._is_again:
            return False
        sent_bytes = len(exchange.target) + len(wire.encode(self._headers)) + self._body.size_bytes
        if not is_repeatable(exchange.method) and not was_unread(upstream, sent_bytes):
            return False
        return self._body.rewind()

    def _left(self) -> None:
        """The client is gone."""
        if not self._over:
            self._end()

    def _end(self) -> None:
        self._over = True
        if self._dialling is not None:
            self._dialling.cancel()
        if self._upstream is not None:
            self._upstream.abort()
            self._upstream = None


class Proxy:
    """Forwards exchanges through one Client; new connections are made by *tasks*, which owns them."""

    def __init__(self, client: Client, tasks: asyncio.TaskGroup) -> None:
        """*tasks* must outlive every forwarded exchange."""
        self.client = client
        self.tasks = tasks
        self.looks: defaultdict[Address, asyncio.Lock] = defaultdict(asyncio.Lock)  # few are ours

    def forward(self, exchange: Exchange, address: Address, *, absent: str = "") -> None:
        """
        Pass *exchange* on to *address* and the answer back; nothing else may answer it from now on.

        *absent*: whoever listens there is started again when it ends, and is waited for; a client is told
        this, with 503, if that takes too long. Without it nobody there is a 502.
        """
        Forward(self, exchange, address, absent).start()
