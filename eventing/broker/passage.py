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
# First bytes of all of these: most requests have no header that begins so, and are done with at that.
_FIRST = frozenset(b"xrbk")


def lines(names: Iterable[bytes], headers: Iterable[Header]) -> bytes:
    """Header lines of those of *headers* that travel on; *names*, in lower case, are all that there are."""
    if not [name for name in names if name[0] in _FIRST]:
        return b""
    return wire.encode([header for header in headers
                        if header[0] in _NAMES or header[0].startswith(_PREFIXES)])
