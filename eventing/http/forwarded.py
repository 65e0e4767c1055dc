"""
What a request tells the next hop of its way: X-Forwarded-*, and RFC 7239's Forwarded, which agrees with them.

Headers only: who passes the request on is proxy.py's affair, or the activator's.
"""

import re

from eventing.http import wire
from eventing.http.exchange import Exchange
from eventing.http.wire import Header

_TOKEN = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110, section 5.6.2


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
