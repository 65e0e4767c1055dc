"""
The activator: every request for a Service passes here, and is held while there is nobody to take it.

    Host -> table `routes` -> Route.choose -> revision -> pool -> Passage -> worker
                   (and Knative-Serving-Tag, see router.py)

A client cannot name a revision: Knative-Serving-Revision and -Namespace, with which Knative's ingress tells
its activator what it chose, are not read, since the choice is made here; like whatever else is ours to say,
they go no further.
Unlike Knative's it is always in the path, which costs little (`benchmarks/`) and means that a limit of
concurrency holds over all workers and that nothing is ever switched. What becomes of one request is told
in `passage.py`; how many workers there are is the scaler's affair. This room only finds the way.

    asked for                                       answer
    ---------                                       ------
    more than one host                              400
    a host that no Route has                        404
    a revision that is not there                    404
    `K-Network-Probe: activator`                    200 `activator`
    `K-Network-Probe: probe`, `K-Network-Hash: X`   200, `K-Network-Hash: X`; 400 without the hash
    `K-Network-Probe: ` anything else               400
    `User-Agent: kube-probe/..`, `K-Kubelet-Probe`  200
"""

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import Mapping
from typing import NamedTuple

from eventing import projection
from eventing.config import INNER_SUFFIX
from eventing.http import wire
from eventing.http.client import Client
from eventing.http.exchange import Exchange
from eventing.http.forwarded import came_from, forwarded, hops
from eventing.http.wire import Header
from serving.activator import requestlog
from serving.activator.breaker import Slot
from serving.activator.coldstart import ColdStarts
from serving.activator.passage import Passage
from serving.activator.pool import Pool
from serving.activator.requestlog import RequestLog
from serving.activator.router import DEFAULT_ROUTE, TAG, Route
from serving.activator.verbatim import Heads
from serving.activator.wheel import Wheel
from serving.autoscaler.scaler import Scaler
from serving.objects import observability

_CHOSEN = frozenset({b"knative-serving-revision", b"knative-serving-namespace"})
_NETWORK_PROBE, _KUBELET_PROBE = b"k-network-probe", b"k-kubelet-probe"
_INNER = INNER_SUFFIX.encode()
_FORWARDED, _SENDERS = b"forwarded", b"x-forwarded-for"
_ASKED_HOST, _ASKED_SCHEME = b"x-forwarded-host", b"x-forwarded-proto"
# What the worker does not get: meant for one hop, answered by our server, or ours to say.
_OURS = _CHOSEN | {b"k-proxy-request", DEFAULT_ROUTE}
_DROPPED = wire.HOP_BY_HOP | _OURS | {b"expect"}
# What decides where the request goes, and how.
_NOTED = frozenset({b"host", b"user-agent", b"upgrade", b"connection", _NETWORK_PROBE, _KUBELET_PROBE,
                    _FORWARDED, _SENDERS, _ASKED_HOST, _ASKED_SCHEME, TAG})
_PLAIN_CONNECTION = frozenset({b"keep-alive", b"close", b"Keep-Alive"})
# A request without any of these goes to the worker as it is, but for the lines that are added.
_UNUSUAL = (_DROPPED | _NOTED) - {b"host", b"user-agent", b"connection"}
# What Connection may say there. It goes without saying, many clients say it nevertheless, and it is left out.
_PERSISTENT = frozenset({b"keep-alive", b"Keep-Alive"})
_KUBELET = b"kube-probe/"
# Hosts as clients spell them; far more than a machine has Services.
_KNOWN_HOSTS = 10_000


class Addition(NamedTuple):
    """Headers that a worker gets in addition to the client's, and the same as lines."""

    headers: tuple[Header, ...]
    lines: bytes


def _addition(*headers: Header) -> Addition:
    return Addition(headers, wire.encode(headers))


_PROXIED = _addition((b"k-proxy-request", b"activator"))


class Activator:
    """Finds the revision of each request."""

    def __init__(self, scaler: Scaler, client: Client, tasks: asyncio.TaskGroup, cold_starts: ColdStarts,
                 domain: str) -> None:
        """Send over *client*, with short-lived tasks in *tasks*."""
        self._suffix = f".{domain}".encode()
        self.client = client
        self.loop = asyncio.get_running_loop()
        self.tasks = tasks
        self.wheel = Wheel(self.loop)
        self.answers: Counter[int] = Counter()  # by status
        self.heads = Heads()
        self.cold_starts = cold_starts
        self.request_log: RequestLog | None = None
        self._scaler = scaler
        self._routes: dict[bytes, Route] = {}
        self._aliases: dict[bytes, bytes] = {}  # a domain, and the host that it stands for
        self._spelled: dict[bytes, Route] = {}  # Host headers that were looked up
        self._served: dict[bytes, bool | None] = {}  # likewise, see `serves`
        self._outer: set[bytes] = set()  # hosts that are served at the data port
        self._additions: dict[tuple[str, bytes], Addition] = {}  # by sender and Host header

    def __repr__(self) -> str:
        """How many hosts, and what was answered."""
        return f"<Activator [{len(self._routes)} hosts | {self.answers.total()} answers]>"

    def route(self, host: str, record: projection.Record | None) -> None:
        """The Route of *host* has appeared, changed, or gone (None)."""
        name = host.encode()
        self._routes.pop(name, None)
        self._aliases.pop(name, None)
        for remembered in (self._spelled, self._served, self._additions):
            remembered.clear()
        if record is None or record.get("visibility") == "cluster-local":
            self._outer.discard(name.lower())
        else:
            self._outer.add(name.lower())
        if record is not None and "alias" in record:
            self._aliases[name] = record["alias"].encode()
        elif record is not None:
            self._routes[name] = Route(record)

    def config(self, name: str, data: Mapping[str, str] | None) -> None:
        """A ConfigMap has changed."""
        if name == requestlog.CONFIG:
            with contextlib.suppress(ValueError):  # admission refuses such a one; the last good one stays
                template = observability.read(data or {})
                self.request_log = None if template is None else RequestLog(template, self._scaler.note)

    def serves(self, host: bytes) -> bool | None:
        """
        Whether a Service answers at *host* of the data port.

        False: none does, and nobody else would; None: it is no Service's name.
        """
        if host in self._served:
            return self._served[host]
        bare = host.partition(b":")[0].removesuffix(b".").lower()
        served = True if bare in self._outer else False if bare.endswith(self._suffix) else None
        if len(self._served) < _KNOWN_HOSTS:
            self._served[host] = served
        return served

    def handle(self, exchange: Exchange) -> None:
        """Take one request as far as it gets; the server calls this with every head."""
        headers = exchange.headers
        noted = exchange.named
        connection = noted.get(b"connection")
        if (_UNUSUAL.isdisjoint(noted) and len(noted) == len(headers) and not exchange.old
                and (connection is None or connection in _PERSISTENT)
                and not noted.get(b"user-agent", b"").startswith(_KUBELET)):
            host = noted.get(b"host", b"")
            route = self._spelled.get(host) or self._spell(host)
            if route is not None and route.mark is None:
                name = route.choose()
                pool = None if name is None else self._scaler.pools.get(name)
                if pool is not None:
                    peer = exchange.peer
                    added = self._addition(peer, host) if peer else _PROXIED
                    if connection is not None:
                        headers = [header for header in headers if header[0] != b"connection"]
                    Passage(self, pool, exchange, headers, added, plain=noted).begin()
                    return
        self._look_closer(exchange)

    def _addition(self, peer: str, host: bytes) -> Addition:
        """What is added where nobody before us has said where the request came from."""
        added = self._additions.get((peer, host))
        if added is None:
            added = _addition(*_PROXIED.headers, *came_from(peer, host))
            if len(self._additions) < _KNOWN_HOSTS:
                self._additions[peer, host] = added
        return added

    def _look_closer(self, exchange: Exchange) -> None:
        """Take a request of which more is to be known than its host."""
        noted: dict[bytes, bytes] = {}
        headers: list[Header] = []
        for header in exchange.headers:
            name = header[0]
            if name in _NOTED:
                noted[name] = header[1]
            if name not in _DROPPED:
                headers.append(header)
        if _is_probe(noted):
            self._answer_probe(exchange, noted)
            return
        peer = exchange.peer
        if peer or b"upgrade" in noted or noted.get(b"connection", b"close") not in _PLAIN_CONNECTION:
            headers = [header for header in forwarded(exchange, peer) if header[0] not in _OURS]
        if not peer and _SENDERS in noted and _FORWARDED not in noted:
            # Who asks without an address may have passed it on: Knative's workers may count on Forwarded.
            hop = hops(noted[_SENDERS], noted.get(_ASKED_HOST) or noted.get(b"host", b""),
                       noted.get(_ASKED_SCHEME, b""))
            headers += [(_FORWARDED, hop)] if hop else []
        self._pass(exchange, self._by_host(exchange, noted, headers), headers)

    def _by_host(self, exchange: Exchange, noted: Mapping[bytes, bytes], headers: list[Header]) -> str | None:
        """The revision whose turn it is at the host; None: nobody answers there, and the client was told."""
        host = noted.get(b"host", b"")
        route = self._spell(host)
        if route is not None and route.mark is not None:
            route = route.tagged(noted.get(TAG))
            _set_mark(headers, route.mark)
        name = route.choose() if route is not None else None
        if name is None:
            self.refuse(exchange, 404, (route.why if route is not None else "")
                        or f"no Service answers at host {host.decode('latin-1')!r}")
        return name

    def _spell(self, host: bytes) -> Route | None:
        """The Route of *host*, and remember it."""
        route = self._routes.get(host) or self._find(host)
        if route is not None and len(self._spelled) < _KNOWN_HOSTS:
            self._spelled[host] = route
        return route

    def _find(self, host: bytes) -> Route | None:
        """The Route of *host*, which may have a port, capitals, and other names."""
        bare = host.rpartition(b":")[0] if b":" in host and not host.endswith(b"]") else host
        bare = bare.removesuffix(b".").lower()  # the dot of a full name
        name = self._aliases.get(bare, bare)
        name = self._aliases.get(name, name)  # a domain of a Service that has a domain of its own
        # Every Service has an inner name as well; only one that has no other is in the table by it.
        public = name.removesuffix(_INNER) + self._suffix if name.endswith(_INNER) else name
        return self._routes.get(name) or self._routes.get(public)

    def _pass(self, exchange: Exchange, name: str | None, headers: list[Header]) -> None:
        if name is None:
            return
        pool = self._scaler.pools.get(name)
        if pool is None:
            self.refuse(exchange, 404, f"revision {name!r} does not exist")
            return
        Passage(self, pool, exchange, headers, _PROXIED).begin()

    def _answer_probe(self, exchange: Exchange, noted: Mapping[bytes, bytes]) -> None:
        """Answer what asks for the activator itself; see the module's table."""
        probe, digest = noted.get(_NETWORK_PROBE), exchange.header(b"k-network-hash")
        if probe is None:
            exchange.respond(200)
        elif probe == b"activator":
            exchange.respond(200, (), b"activator")
        elif probe != b"probe":
            self.refuse(exchange, 400, f"unexpected probe header value: {probe.decode('latin-1')}")
        elif digest:
            exchange.respond(200, ((b"k-network-hash", digest),))
        else:
            self.refuse(exchange, 400, "a probe request must contain a non-empty K-Network-Hash header")

    def refuse(self, exchange: Exchange, status: int, message: str, headers: tuple[Header, ...] = ()) -> None:
        """Answer a request that goes nowhere."""
        self.answers[status] += 1
        exchange.text(status, message, headers)

    # -- for passages

    def wanted(self, pool: Pool, now: float) -> None:
        """A request waits and there is no worker that is ready."""
        self._scaler.poke(pool, now)

    def expired(self, pool: Pool, slot: Slot, line: str) -> None:
        """A request ran out of time at *slot*, which may keep its place for ever where there is a limit."""
        self._scaler.note(pool, slot, line)
        if pool.breaker.limit:
            self._scaler.retire(pool, slot)
            self._scaler.look(pool, time.monotonic())


def _set_mark(headers: list[Header], mark: Header | None) -> None:
    if mark is not None:
        headers[:] = [*(header for header in headers if header[0] != mark[0]), mark]


def _is_probe(noted: Mapping[bytes, bytes]) -> bool:
    return (_NETWORK_PROBE in noted or _KUBELET_PROBE in noted
            or noted.get(b"user-agent", b"").startswith(_KUBELET))
