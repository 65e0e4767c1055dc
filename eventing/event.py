"""
The event that travels: a CloudEvent as the data plane sees it.

Attributes are strings in their canonical form (CloudEvents 1.0, section 3.1), data is bytes and is
never parsed here. Optional attributes and extensions stand beside the required ones under their
lower-case names; `datacontenttype` says what `data` is.

The SDK's `cloudevents.core.v1.event.CloudEvent` is what a person's function gets; it costs ten times
as much to make, so the broker's own path does not use it.
"""

from collections.abc import Mapping
from typing import NamedTuple


class Event(NamedTuple):
    """
    One CloudEvent: `attributes` by lower-case name, `data` as it came (None: the event has none).

    `headers` are lines of the message that it came in, and travel on with it (eventing/broker/passage.py).
    """

    attributes: Mapping[str, str]
    data: bytes | None = None
    headers: bytes = b""
