"""
How many partitions a Broker has, and since when: the annotation, and what its status remembers of it.

    clarion.dev/partitions: "4"                           may grow, to a multiple; never shrinks
    clarion.dev/partitions-since: 1:0,4:1795400000000     in `status.annotations`: so many since that Unix ms

An event's partition is its key's hash modulo how many there are. Each has a backlog, so fewer would lose the
others' events. Where they grow to a multiple, what a new partition gets would have gone to exactly one older
one: an ordered Trigger begins in the new one once the older one has delivered what came before
(`eventing/broker/succession.py`, which needs to know when that was). Pure.
"""

from eventing.control import field, resource
from eventing.control.field import FieldError
from eventing.control.resource import Resource

PARTITIONS = "clarion.dev/partitions"
_SINCE = "clarion.dev/partitions-since"
_LIMIT = 1024  # each is a stream and a lease; far above what one machine's dispatchers can own


def partitions(broker: Resource) -> int:
    """How many partitions *broker*, which was admitted, has."""
    return int(resource.annotations(broker).get(PARTITIONS) or 1)


def validate(broker: Resource, old: Resource | None) -> list[FieldError]:
    """What is wrong with their number, and with what changed since *old*."""
    path, text = f"metadata.annotations[{PARTITIONS}]", resource.annotations(broker).get(PARTITIONS, "1")
    is_number = text.isascii() and text.isdecimal() and 1 <= int(text) <= _LIMIT
    if not is_number:
        return [field.invalid_value(text, path, f"expected a whole number from 1 to {_LIMIT}")]
    before = int(text) if old is None else partitions(old)
    if int(text) < before:
        return [field.invalid_value(
            text, path, f"partitions may be added but not taken away: there are {before}")]
    if int(text) % before:
        return [field.invalid_value(
            text, path, f"there are {before}: expected a multiple of that, such as {2 * before}, "
                        "so that ordered Triggers keep the order of each key")]
    return []


def note(broker: Resource, now: float) -> list[list[int]]:
    """Keep in the status how many there are since when, and return it: numbers and Unix ms, oldest first."""
    status = resource.status(broker)
    said = dict(status.get("annotations") or {})
    since = _read(said.get(_SINCE, ""))
    if not since:
        since = [[partitions(broker), 0]]
    elif since[-1][0] < partitions(broker):
        since.append([partitions(broker), int(now * 1000)])
    said[_SINCE] = ",".join(f"{number}:{when_ms}" for number, when_ms in since)
    status["annotations"] = said
    return since


def _read(text: str) -> list[list[int]]:
    pairs = [pair.partition(":") for pair in text.split(",") if pair]
    return [[int(number), int(when_ms)] for number, _, when_ms in pairs]
