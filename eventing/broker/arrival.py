"""
What happens to an event's attributes when it enters a broker: its hops are counted and its arrival is noted.

    knativebrokerttl     absent or not a number     becomes 255
                         n                          becomes n - 1
                         n - 1 <= 0                 the event goes no further
    knativearrivaltime   always                     becomes the time of this arrival, RFC 3339 in UTC

The dispatcher takes `knativebrokerttl` away before a subscriber sees the event, and gives the same value
to the reply before that enters: so a loop of triggers ends after 255 rounds. (Knative's broker ingress and
filter.)
Pure: the time is an argument.
"""

import functools
from collections.abc import Mapping
from datetime import UTC, datetime

from eventing.errors import Rejected
from eventing.event import Event

TTL = "knativebrokerttl"
ARRIVAL_TIME = "knativearrivaltime"

TTL_DEFAULT = 255  # Knative's MAX_TTL


class TooManyHops(Rejected):
    """The event has been through brokers too often: a trigger answers its own kind of event."""


def stamp(event: Event, now: float) -> Event:
    """Return *event* as it is stored when it arrives at *now* (Unix time, seconds); raises TooManyHops."""
    attributes = {**event.attributes, TTL: _hop(event.attributes), ARRIVAL_TIME: _rfc3339(now)}
    return Event(attributes, event.data)


def _hop(attributes: Mapping[str, str]) -> str:
    given = attributes.get(TTL)
    if given is None:
        return str(TTL_DEFAULT)
    try:
        left = int(given) - 1
    except ValueError:
        return str(TTL_DEFAULT)
    if left <= 0:
        raise TooManyHops(f"{TTL} is {given}: the event has been through too many brokers")
    return str(left)


def _rfc3339(now: float) -> str:
    second = int(now)
    return f"{_second(second)}.{int((now - second) * 1e6):06}Z"


@functools.lru_cache(4)
def _second(second: int) -> str:
    """Thousands of events share a second, and formatting one costs as much as the rest of the stamp."""
    return datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S")
