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
      worker has read nothing                                  worker takes no more
    the connection was closed, and the method is safe        LATER, to another worker where one is ready;
      to repeat (RFC 9110, section 9.2.2)                      ELSEWHERE where that worker takes no more
    anything else                                            NEVER: 502

Once in all, on a new connection; what certainly nobody has read does not count. So a request that ends its
workers ends one of them, or two where it is safe to repeat. eventing/http/repeat.py says how a worker shows
what it has read.

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
           tries: int, is_again: bool) -> Again:
    """
    What to do with a request that was for the worker in *slot*.

    Args:
        slot: as it is now.
        upstream: the connection that it was sent on; None: there was none.
        method: of the request.
        sent_bytes: how long the request is.
        reason: what NoAnswer gives for its reason.
        tries: how often it was LATER.
        is_again: a worker may have read it before.
    """
    if upstream is None:
        if not slot.is_ready:
            return Again.ELSEWHERE
        return Again.LATER if tries < (_TRIES if reason == "refused" else 1) else Again.NEVER
    if not slot.is_ready and upstream.was_reset:
        return Again.ELSEWHERE
    if is_again:
        return Again.NEVER
    if upstream.is_stale and was_unread(upstream, sent_bytes):
        return Again.ANEW if slot.is_open else Again.ELSEWHERE
    if not is_repeatable(method) or (slot.is_ready and reason != "closed"):
        return Again.NEVER
    return Again.LATER if slot.is_ready and slot.is_open else Again.ELSEWHERE


def may_have_read(slot: Slot, upstream: Upstream) -> bool:
    """Whether a second time is the last: over TCP, a program can reset what it has read, too."""
    is_sure = not slot.is_ready or (upstream.is_stale and bool(slot.worker.socket_name))
    return not (is_sure and upstream.was_reset)
