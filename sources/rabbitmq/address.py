"""
Where a RabbitmqSource's server is and who we are there, from its Secret. Pure; no message has a value of it.

    key        means
    uri        amqp://user:password@host:port/vhost, amqps://..., host:port, or a host
    host       instead of uri, as the RabbitMQ cluster operator writes its Secrets
    port       where uri does not say; 5672, or 5671 with amqps
    username   before what uri says
    password   before what uri says
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from sources.source import NotReady

_PORT, _TLS_PORT = 5672, 5671
_PORTS = range(1, 65536)
# What RabbitMQ itself begins with; it takes this user from loopback only.
_USER, _PASSWORD = "guest", "guest"
# Knative's samples write the management API's URL too; its port is not AMQP's.
_SCHEMES = frozenset({"amqp", "amqps", "http", "https"})


@dataclass(frozen=True, slots=True)
class Address:
    """How to connect; `options` are aio-pika's (`cafile`, `heartbeat` ...), as the URI's query has them."""

    host: str
    port: int
    login: str
    password: str = field(repr=False)
    virtualhost: str
    ssl: bool
    options: Mapping[str, str]


def of(secrets: Mapping[str, str], vhost: str) -> Address:
    """
    The address in *secrets*; *vhost* counts unless it is the default and the URI has another.

    Raises NotReady (SecretInvalid).
    """
    parts = _split(secrets.get("uri") or secrets.get("host") or "")
    is_tls = parts.scheme == "amqps"
    return Address(
        parts.hostname or "", _port(parts, secrets.get("port")) or (_TLS_PORT if is_tls else _PORT),
        login=secrets.get("username") or unquote(parts.username or "") or _USER,
        password=secrets.get("password") or unquote(parts.password or "") or _PASSWORD,
        virtualhost=vhost if vhost != "/" else unquote(parts.path.removeprefix("/")) or "/",
        ssl=is_tls, options=dict(parse_qsl(parts.query)),
    )


def _split(uri: str) -> SplitResult:
    try:
        parts = urlsplit(uri if "://" in uri else f"amqp://{uri}")
        is_right = bool(parts.hostname) and parts.scheme in _SCHEMES and parts.port != 0
    except ValueError:  # whose text has the uri in it
        is_right = False
    if not is_right:
        raise NotReady("SecretInvalid", "the Secret's uri is none: write amqp://user:password@host:port/vhost")
    return parts


def _port(parts: SplitResult, given: str | None) -> int | None:
    if parts.port is not None and parts.scheme.startswith("amqp"):
        return parts.port
    if given is None:
        return None
    if not given.isdigit() or int(given) not in _PORTS:
        raise NotReady("SecretInvalid", "the Secret's port is none: write a number from 1 to 65535")
    return int(given)
