"""
Forward one exchange to another server, both ways as the bytes come.

    client -> Exchange -> Forward -> Upstream -> server         head, body, raw bytes after a 101
    client <- Exchange <- Forward <- Upstream <- server         and the same back

Each side is read only as fast as the other side takes it. When the client leaves, the request to the
server is cut; when the server leaves, the client gets 502 or, in the middle of an answer, sees it cut.

A pooled connection that had been closed under us costs nothing: the request goes out again on a new one,
as long as all of its body that was sent is still here (64 KiB are kept) and no byte of an answer came.
"""

import asyncio
import re
from collections.abc import Callable

from eventing.errors import NoAnswer
from eventing.http import wire
from eventing.http.aside import Aside
from eventing.http.client import Address, Client, Upstream
from eventing.http.exchange import Exchange
from eventing.http.wire import Header

# Of a request's body: kept to be sent again, and held while there is no connection yet.
_KEPT_BYTES = 64 * 1024
# What the client is told, by NoAnswer's reason; all else is 502 (RFC 9110, sections 15.6.3 and 15.6.5).
_STATUSES = {"timeout": 504}

_SOON = ((b"retry-after", b"1"),)

_SWITCHING = 101
_TOKEN = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110, section 5.6.2


def _nothing() -> None:
    """What happens by default at the end."""


def _ignore_status(status: int) -> None:
    """What happens by default with an answer's status."""


def came_from(peer: str, host: bytes) -> tuple[Header, ...]:
    """Where a request came from and what it asked for, for the next hop: X-Forwarded-* and RFC 7239's."""
    address = peer.encode()
    return ((b"x-forwarded-for", address), (b"forwarded", hops(address, host, b"http")),
            (b"x-forwarded-proto", b"http"), (b"x-forwarded-host", host))


def hops(senders: bytes, host: bytes, scheme: bytes) -> bytes:
    """
    `Forwarded` (RFC 7239) with what X-Forwarded-For, -Host and -Proto say: an element for every hop.

    The first, which is nearest to the client, says what the client asked for. Empty where there is no hop.
    """
    first, *rest = [_node(sender) for sender in map(bytes.strip, senders.split(b",")) if sender] or [b""]
    if not first:
        return b""
    scheme = scheme.partition(b",")[0].strip() or b"http"
    shown = scheme if _TOKEN.fullmatch(scheme) else _quoted(scheme)
    asked = b"for=%b;host=%b;proto=%b" % (first, _quoted(host), shown)
    return b", ".join([asked, *(b"for=%b" % node for node in rest)])


def _node(sender: bytes) -> bytes:
    """*sender* as RFC 7239, section 6, spells it: an IPv6 address in brackets, and quoted as a port is."""
    if _TOKEN.fullmatch(sender):
        return sender
    is_bare_ipv6 = sender.count(b":") > 1 and not sender.startswith(b"[")
    return _quoted(b"[%b]" % sender if is_bare_ipv6 else sender)


def _quoted(text: bytes) -> bytes:
    return b'"%b"' % text.replace(b"\\", b"").replace(b'"', b"")


def forwarded(exchange: Exchange, peer: str) -> list[Header]:
    """
    Request headers for the next hop: without those for this one, with where the request came from.

    *peer* empty: the hop before this one is ours and has said it. Forwarded is made of X-Forwarded-* where
    nobody before us has sent one, so that the two agree; else it gets our element.
    """
    headers = wire.end_to_end(exchange.headers)
    if exchange.wants_upgrade:
        headers += [(b"connection", b"upgrade"), (b"upgrade", exchange.header(b"upgrade") or b"")]
    host = exchange.header(b"host")
    if host is None:  # HTTP/1.0; the next hop is HTTP/1.1, which insists on one
        host = b""
        headers.append((b"host", host))
    if not peer:
        return headers
    (_, address), (_, hop), *defaults = came_from(peer, host)
    said: dict[bytes, bytes] = dict(defaults)
    told: dict[bytes, bytes] = {}
    added: dict[bytes, list[bytes]] = {b"x-forwarded-for": [], b"forwarded": []}
    passed: list[Header] = []
    for header in headers:
        name, value = header
        if name in added:
            added[name].append(value)
            continue
        if name in said:
            told.setdefault(name, value)
        passed.append(header)
    senders = added[b"x-forwarded-for"]
    senders.append(address)
    said |= told
    if (senders[1:] or told) and not added[b"forwarded"]:
        hop = hops(b", ".join(senders), said[b"x-forwarded-host"], said[b"x-forwarded-proto"])
    added[b"forwarded"].append(hop)
    passed += [(name, b", ".join(values)) for name, values in added.items()]
    passed += [(name, value) for name, value in said.items() if name not in told]
    return passed


class _Body:
    """A request's body on its way to the server; keeps what it takes to send it once more."""

    def __init__(self, exchange: Exchange, leave: Callable[[], None]) -> None:
        self._exchange = exchange
        self._leave = leave
        self._upstream: Upstream | None = None
        self._kept: list[bytes] | None = []
        self._kept_bytes = 0
        self._ended = False

    def attach(self, upstream: Upstream) -> None:
        """Send to *upstream* what is here and what will come."""
        self._upstream = upstream
        upstream.on_drain = self._exchange.resume_body
        for chunk in self._kept or ():
            upstream.write(chunk)
        if self._kept_bytes > _KEPT_BYTES:
            self._kept = None
        if self._ended:
            upstream.end(self._exchange.trailers)
        self._exchange.resume_body()

    def rewind(self) -> bool:
        """Get ready to be sent once more; False if it cannot."""
        self._upstream = None
        return self._kept is not None

    def forget(self) -> None:
        """It will not be sent again."""
        self._kept = None

    def data(self, chunk: bytes) -> None:
        upstream = self._upstream
        if self._kept is not None:
            self._kept_bytes += len(chunk)
            if self._kept_bytes <= _KEPT_BYTES or upstream is None:
                self._kept.append(chunk)
            else:
                self._kept = None
        if upstream is not None:
            upstream.write(chunk)
        if (upstream is None and self._kept_bytes > _KEPT_BYTES) or (upstream and not upstream.writable):
            self._exchange.pause_body()

    def end(self) -> None:
        self._ended = True
        if self._upstream is not None:
            self._upstream.end(self._exchange.trailers)

    def aborted(self) -> None:
        self._leave()


class Forward(Aside):
    """One exchange on its way to one address; takes the answer. Made by Proxy."""

    def __init__(self, proxy: "Proxy", exchange: Exchange, address: Address, on_answer: Callable[[int], None],
                 on_end: Callable[[], None], *, absent: str) -> None:
        """See Proxy.forward."""
        self._proxy = proxy
        self._exchange = exchange
        self._address = address
        self._absent = absent
        self._on_answer = on_answer
        self._on_end = on_end
        self._headers = forwarded(exchange, exchange.peer)
        self._has_body = exchange.has_body
        self._body = _Body(exchange, self._left)
        self._upstream: Upstream | None = None
        self._dialling: asyncio.Task[None] | None = None
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

    def fail(self, error: NoAnswer) -> None:
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
        self._on_answer(status)
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
        stale = self._upstream is not None and self._upstream.is_stale and error.reason == "closed"
        self._upstream = None
        if stale and not self._over and self._body.rewind():
            self._dial(fresh=True)
        else:
            self.fail(error)

    # -- inside -------------------------------------------------------------------------------------------

    def _dial(self, *, fresh: bool) -> None:
        self._dialling = self._proxy.tasks.create_task(self._connect(fresh))

    async def _connect(self, fresh: bool) -> None:
        exchange = self._exchange
        try:
            upstream = await self._proxy.client.open(
                self._address, exchange.method.decode(), exchange.target, self._headers, self,
                has_body=self._has_body, fresh=fresh)
        except NoAnswer as error:
            self.fail(error)
            return
        except ValueError as error:  # a task that raises would take the whole role along
            self.fail(NoAnswer("garbage", str(error)))
            return
        self._upstream = upstream
        self._body.attach(upstream)

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
        self._on_end()


class Proxy:
    """Forwards exchanges through one Client; new connections are made by *tasks*, which owns them."""

    def __init__(self, client: Client, tasks: asyncio.TaskGroup) -> None:
        """*tasks* must outlive every forwarded exchange."""
        self.client = client
        self.tasks = tasks

    def forward(self, exchange: Exchange, address: Address, *, absent: str = "",
                on_answer: Callable[[int], None] = _ignore_status,
                on_end: Callable[[], None] = _nothing) -> Forward:
        """
        Pass *exchange* on to *address* and the answer back; nothing else may answer it from now on.

        *absent* is what a client is told, with 503, while nobody listens there; without it that is a 502.
        *on_answer* gets the status when the answer's head has come; *on_end* is called exactly once, however
        it ends: answered, failed, or the client has left.
        """
        forward = Forward(self, exchange, address, on_answer, on_end, absent=absent)
        forward.start()
        return forward
