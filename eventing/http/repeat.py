"""
Whether a request may be sent again whose connection ended without an answer: by a proxy, on its own account.

Only where that cannot repeat an effect, or could in any case:

    the method is safe to repeat (RFC 9110, section 9.2.2)       yes
    the connection was reset, and the request is short           yes: the server has read nothing of it
    anything else                                                no: it may have been read, and done

A server whose end resets the connection has not read all of the request; where that is so short that any
server reads it at once, nothing of it. One whose end is in order has read it. (Over TCP an end in order may
also have come before the request, unnoticed, so a connection that is idle is asked first: `has_news`. A unix
socket refuses what is sent after its end.)
"""

from eventing.http.address import Address
from eventing.http.upstream import Upstream

_ONE_READ_BYTES = 4096  # Go's server reads so much at once, and others more
_REPEATABLE = frozenset({b"GET", b"HEAD", b"OPTIONS", b"PUT", b"DELETE", b"TRACE"})


def is_repeatable(method: bytes) -> bool:
    """Whether a second request with *method* has no further effect."""
    return method in _REPEATABLE


def was_unread(upstream: Upstream, sent_bytes: int) -> bool:
    """Whether the server at the end of *upstream*, which is lost, has read nothing of *sent_bytes*."""
    return upstream.was_reset and sent_bytes <= _ONE_READ_BYTES


def tells_unread(address: Address, sent_bytes: int) -> bool:
    """Whether a connection to *address* need not be asked first, since its end would say enough."""
    return sent_bytes <= _ONE_READ_BYTES and isinstance(address, str)
