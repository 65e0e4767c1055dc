"""
What becomes of a request whose worker gave no answer: whether it may be sent again, and where.

Only where that cannot repeat an effect, or could in any case:

    what happened before a byte of an answer                 then
    ----------------------------------------                 ----
    the worker had not been ready yet: it has read nothing   ELSEWHERE: another one, before all others
    no connection could be made                              LATER, the same: once, or where it was refused
                                                               for a second: the worker is dying
    an idle connection turned out to be closed: at once,     ANEW, on a new connection; ELSEWHERE where that
      or the method is safe to repeat                          worker takes no more
    the worker closed a fresh one, and the method is safe    LATER, once
      to repeat (RFC 9110, section 9.2.2)
    anything else                                            NEVER: 502

A connection that was closed before the request came says so as soon as that is written. One that ends later
may have had the request read, whatever it did before.

Pure. Whether there is still all of the request to be sent is for the caller to know.
"""

import enum

from eventing.http.client import Upstream
from serving.activator.breaker import Slot

_AT_ONCE_S = 0.1
# Until a worker's end has been noticed: a busy machine may take its time.
_TRIES = 50
_REPEATABLE = frozenset({b"GET", b"HEAD", b"OPTIONS", b"PUT", b"DELETE", b"TRACE"})


class Again(enum.Enum):
    """See the table."""

    ANEW = enum.auto()
    ELSEWHERE = enum.auto()
    LATER = enum.auto()
    NEVER = enum.auto()


def decide(slot: Slot, upstream: Upstream | None, method: bytes, sent_s: float, *, reason: str,
           tries: int) -> Again:
    """
    What to do with a request that was for the worker in *slot*.

    Args:
        slot: as it is now.
        upstream: the connection that it was sent on; None: there was none.
        method: of the request.
        sent_s: how long ago it was sent.
        reason: what NoAnswer gives for its reason.
        tries: how often it was LATER.
    """
    is_safe = method in _REPEATABLE
    if not slot.is_ready:
        return Again.ELSEWHERE
    if upstream is not None and upstream.is_stale and (is_safe or sent_s < _AT_ONCE_S):
        return Again.ANEW if slot.is_open else Again.ELSEWHERE
    if upstream is None:
        return Again.LATER if tries < (_TRIES if reason == "refused" else 1) else Again.NEVER
    return Again.LATER if reason == "closed" and is_safe and not tries else Again.NEVER
