"""
The ingress: an event arrives over HTTP, is checked, stored, and only then answered with 202.

Checks, in Knative's order (its broker ingress; a bad event for an unknown broker is a 400, not a 404):

    no Host, or an empty one               400     RFC 9112, section 3.2; HTTP/1.0 need not have it
    Host of a Service                      its answer: the connection goes to the activator
    Host of sinks (KafkaSink)              likewise, to the sources role
    Host under the Services' domain        404     once the store was asked, too: catchup.py
    OPTIONS                                200 with WebHook-Allowed-Origin and -Rate
    any method but POST                    405; 404 at a name that is nobody's, unless the path is a broker's
    target is "/"                          404
    target is not /namespace/broker        400     one trailing slash and a query string are tolerated
    body over the limit                    413     as it came, and after inflation
    Content-Encoding is not gzip           415
    not a CloudEvent                       400     the line names the attribute
    no such broker                         404     likewise
    knativebrokerttl used up               400
    the store is away, full or read-only   503     with Retry-After; the event may be sent again as it is
    stored                                 202

A batch (`application/cloudevents-batch+json`) is checked event by event and stored whole or not at all; the
line that refuses one begins with the index of the event. OPTIONS is the handshake of CloudEvents' webhooks:
every origin may send, at any rate.

Every answer for a broker carries `Allow: POST, OPTIONS`, but no 400 or 404 that is about the host; every
refusal has one line of text (Knative sends none). What the server refuses by itself (408, 413, 431) has the
line, and no Allow.

A dispatcher of another machine asks for Services by their inner names: those of Services that are served here
anyway lead to the activator, too.

Brokers and Service hosts come from projections; while those have not been loaded the role is not ready.
No task is made per request: the store's reply calls back. The ingress knows neither triggers nor
dispatchers.
"""

import asyncio
import functools
import re
import socket

import structlog

from eventing.broker.acceptance import ALLOW, LINE, RETRY_AFTER, TEXT, Acceptance
from eventing.broker.catchup import CatchUp
from eventing.broker.eventtypes import EventTypes
from eventing.broker.settings import Settings, settings_of
from eventing.broker.stream import Stream
from eventing.broker.traffic import Traffic
from eventing.config import INNER_SUFFIX, Config
from eventing.errors import NotFound, Unavailable
from eventing.http import server
from eventing.http.client import Client
from eventing.http.exchange import Exchange
from eventing.http.handover import Giver
from eventing.http.proxy import Proxy
from eventing.http.wire import Header
from eventing.projection import Follower, Record
from eventing.runtime import Runtime

_KNOWN_HOSTS = 64  # Host headers that are not taken apart again; one may be as long as a head
_BROKER = re.compile(rb"/[^/]+/[^/]+")
# Hosts that can be nobody's but this machine's: localhost, addresses, and none, as in HTTP/1.0.
_OURS = re.compile(rb"localhost|[0-9.]*|\[.*")
_WEBHOOK = (ALLOW, (b"webhook-allowed-origin", b"*"), (b"webhook-allowed-rate", b"*"))

# Clients of Services among them, until their connections are given away: a burst comes here first.
_LIMITS = server.Limits(connections=8000)

_INNER = INNER_SUFFIX.encode()

log = structlog.get_logger(__name__)


class Ingress:
    """The handler of the data port."""

    def __init__(
        self, config: Config, stream: Stream, proxy: Proxy, traffic: Traffic, types: EventTypes
    ) -> None:
        """Store through *stream*, forward by *proxy*, count in *traffic*, note types of events in *types*."""
        self.body_limit_bytes = config.body_limit_bytes
        self._service_suffix = f".{config.domain}".lower().encode()
        self._activator = str(config.activator_socket)
        self._sink_hosts = {host.lower().encode() for host in config.sink_hosts}
        self._sinks = str(config.sinks_socket)
        self.stream = stream
        self._proxy = proxy
        self.traffic = traffic
        self.types = types
        self._brokers: dict[bytes, tuple[str, Settings]] = {}  # target -> ns/name and the rest
        self._hosts: set[bytes] = set()
        self._names: set[bytes] = set()  # those, and the inner names of their Services
        self.giver: Giver | None = None  # of Services' connections, where the activator takes them
        self.catch_up = CatchUp()

    def __repr__(self) -> str:
        """Counts."""
        return f"<Ingress [{len(self._brokers)} brokers | {len(self._hosts)} hosts | {self.stream!r}]>"

    def on_broker(self, name: str, record: Record | None) -> None:
        """Projection `brokers`: *name* is `namespace/name`."""
        target = b"/" + name.encode()
        if record is None:
            self._brokers.pop(target, None)
        else:
            self._brokers[target] = (name, settings_of(record))

    def on_route(self, host: str, record: Record | None) -> None:
        """Projection `routes`: *host* has no port; one for inner use is not served here."""
        name = host.lower().encode()
        self._names.difference_update((name, self._inner_name(name)))
        if record is None or record.get("visibility") == "cluster-local":
            self._hosts.discard(name)
            if record is not None and not record.get("alias", INNER_SUFFIX).endswith(INNER_SUFFIX):
                self._names.add(name)  # the inner name of a host that is served
            return
        self._hosts.add(name)
        self._names.add(name)
        namespace, _, service = record["service"].partition("/")
        if name == f"{service}.{namespace}".encode() + self._service_suffix:
            self._names.add(self._inner_name(name))

    def _inner_name(self, name: bytes) -> bytes:
        return name.removesuffix(self._service_suffix) + _INNER

    def handle(self, exchange: Exchange) -> None:
        """Take one request; the table in the module's docstring, from the top."""
        host = _without_port(exchange.header(b"host") or b"")
        if host not in self._hosts or self.giver is None or not exchange.hand_over(self.giver.give):
            self._handle(exchange, host)

    def handle_here(self, exchange: Exchange) -> None:
        """Take one request without giving its connection away."""
        self._handle(exchange, _without_port(exchange.header(b"host") or b""))

    def _handle(self, exchange: Exchange, host: bytes) -> None:
        if host in self._names:
            self._ask_service(exchange)
        elif host in self._sink_hosts:
            self._proxy.forward(exchange, self._sinks, absent="sinks are being started again")
        elif host.endswith(self._service_suffix):
            self._look_for(exchange, host)
        elif not host and not exchange.old:
            self._reject(exchange, 400, "host", "the Host header is missing or empty: say whom you want",
                         TEXT)
        elif exchange.method == b"POST":
            self._post(exchange)
        elif exchange.method == b"OPTIONS":
            exchange.respond(200, _WEBHOOK)
        elif _OURS.fullmatch(host) is None and _path(exchange) not in self._brokers:
            self._look_for(exchange, host)  # a DomainMapping that is not Ready, or is no more
        else:
            self._reject(exchange, 405, "method", "only POST and OPTIONS are allowed here")

    def _ask_service(self, exchange: Exchange) -> None:
        self._proxy.forward(exchange, self._activator, absent="Services are being started again")

    def _look_for(self, exchange: Exchange, host: bytes) -> None:
        self.catch_up.wait("routes", host.decode("latin-1"),
                           functools.partial(self._ask_late, exchange, host))

    def _ask_late(self, exchange: Exchange, host: bytes, error: Unavailable | None) -> None:
        if exchange.started:
            return  # the client has left
        if host in self._names:
            self._ask_service(exchange)
        elif error is not None:
            self._away(exchange, error)
        else:
            self._reject(exchange, 404, "no_route", f"no Service answers at {host.decode('latin-1')}", TEXT)

    def _post(self, exchange: Exchange) -> None:
        broker = _path(exchange)
        if not broker:
            self._reject(exchange, 404, "path", "POST events to /namespace/broker")
        elif broker in self._brokers:
            exchange.collect(self.body_limit_bytes, Acceptance(self, exchange, broker).take)
        elif _BROKER.fullmatch(broker):
            self.catch_up.wait("brokers", broker[1:].decode(errors="replace"),
                               functools.partial(self._post_late, exchange, broker))
        else:
            self._reject(exchange, 400, "path", "POST events to /namespace/broker")

    def _post_late(self, exchange: Exchange, broker: bytes, error: Unavailable | None) -> None:
        if error is not None and broker not in self._brokers:
            self._away(exchange, error)
        else:  # a bad event for an unknown broker is a bad event
            exchange.collect(self.body_limit_bytes, Acceptance(self, exchange, broker).take)

    def find(self, target: bytes) -> tuple[str, Settings]:
        """Name and settings of the broker at *target*; raises NotFound."""
        found = self._brokers.get(target)
        if found is None:
            raise NotFound(f"there is no broker {target[1:].decode('latin-1')}")
        return found

    def _away(self, exchange: Exchange, error: Unavailable) -> None:
        self.traffic.rejected("Unavailable")
        exchange.respond(error.status, RETRY_AFTER, f"{error}\n".encode())

    def _reject(self, exchange: Exchange, status: int, reason: str, message: str,
                headers: tuple[Header, ...] = LINE) -> None:
        self.traffic.rejected(reason)
        exchange.respond(status, headers, f"{message}\n".encode())


def _path(exchange: Exchange) -> bytes:
    """What `_brokers` would know it by: without its query and one trailing slash; empty for the root."""
    return exchange.target.partition(b"?")[0].removesuffix(b"/")


@functools.lru_cache(_KNOWN_HOSTS)
def _without_port(host: bytes) -> bytes:
    """
    Host header as projection `routes` has it: without a port, and without the dot of a full name.

    An IPv6 address never matches, with or without its port.
    """
    return host.partition(b":")[0].removesuffix(b".").lower()


def _adopt(tasks: asyncio.TaskGroup, returned: server.Server, sock: socket.socket, data: bytes) -> None:
    tasks.create_task(returned.adopt(sock, data))


async def run(runtime: Runtime) -> None:
    """Serve the data port until `runtime.stopping`, then finish what is in flight."""
    config = runtime.config
    stream = Stream(runtime.store)
    traffic = Traffic(stream)
    runtime.metrics.register(traffic)
    client = Client()
    async with asyncio.TaskGroup() as tasks:
        types = EventTypes(runtime.store)
        ingress = Ingress(config, stream, Proxy(client, tasks), traffic, types)
        follower = Follower(runtime.store, {"brokers": ingress.on_broker, "routes": ingress.on_route,
                                            "configs": types.on_config})
        owned = [tasks.create_task(task) for task in (stream.run(), follower.run(), types.run(),
                                                      ingress.catch_up.run(follower))]
        # A request that came before the first broker is known would get a 404 that is not true.
        await follower.loaded.wait()
        await stream.connected.wait()
        listener = await server.serve(ingress.handle, sock=runtime.sockets.get("data"),
                                      host=config.host, port=config.port, limits=_LIMITS)
        # A connection that came back carries requests of several kinds: it stays, and is given no more.
        returned = server.Server(ingress.handle_here, _LIMITS)
        ingress.giver = Giver(config.handover_socket, lambda sock, data: _adopt(tasks, returned, sock, data))
        owned.append(tasks.create_task(ingress.giver.run()))
        runtime.ready()
        await runtime.stopping.wait()
        # 1. No new connections and no new requests; what was read is stored and answered.
        async with asyncio.TaskGroup() as closing:
            closing.create_task(listener.close(config.drain_s))
            closing.create_task(returned.close(config.drain_s))
        # 2. Connections to the activator.
        await client.close()
        # 3. Nothing is left to append.
        for task in owned:
            task.cancel()
