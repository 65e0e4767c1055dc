"""
What becomes of a request whose worker gave no answer: whether it may be sent again, and where.

Only where that cannot repeat an effect, or could in any case:

    what happened before a byte of an answer                 then
    ----------------------------------------                 ----
    the worker had not been ready yet, and has read          ELSEWHERE: another one, before all others
      nothing, or the method is safe to repeat
    no connection could be made                              LATER, the same: once, or where it was refused
                                                               for a second: the worker is dying
    an idle connection turned out to be closed, and the      ANEW, on a new connection; ELSEWHERE where that
      worker has read nothing, or the method is safe           worker takes no more
    the worker closed a fresh one, and the method is safe    LATER, once
      to repeat (RFC 9110, section 9.2.2)
    anything else                                            NEVER: 502

A worker that dies of a request dies of it once: eventing/http/repeat.py says how it shows what it has read.

Pure. Whether there is still all of the request to be sent is for the caller to know.
"""

import enum

from eventing.http.client import Upstream
from eventing.http.repeat import is_repeatable, was_unread
from serving.activator.breaker import Slot

# Until a worker's end has been noticed: a busy machine may take its time.
_TRIES = 50


class Again(enum.Enum):
    """See the table."""

    ANEW = enum.auto()
    ELSEWHERE = enum.auto()
    LATER = enum.auto()
    NEVER = enum.auto()


def decide(slot: Slot, upstream: Upstream | None, method: bytes, sent_bytes: int, *, reason: str,
           tries: int) -> Again:
    """
    What to do with a request that was for the worker in *slot*.

    Args:
        slot: as it is now.
        upstream: the connection that it was sent on; None: there was none.
        method: of the request.
        sent_bytes: how long the request is.
        reason: what NoAnswer gives for its reason.
        tries: how often it was LATER.
    """
    if upstream is None:
        if not slot.is_ready:
            return Again.ELSEWHERE
        return Again.LATER if tries < (_TRIES if reason == "refused" else 1) else Again.NEVER
    is_safe = is_repeatable(method)
    if not slot.is_ready and (is_safe or upstream.was_reset):
        return Again.ELSEWHERE
    if upstream.is_stale and (is_safe or was_unread(upstream, sent_bytes)):
        return Again.ANEW if slot.is_open else Again.ELSEWHERE
    return Again.LATER if reason == "closed" and is_safe and not tries else Again.NEVER
