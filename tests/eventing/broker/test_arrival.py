"""Hops and arrival time of an event that enters a broker."""

import pytest

from eventing.broker.arrival import TooManyHops, due_ms, stamp
from eventing.errors import NotACloudEvent
from eventing.event import Event

NOW = 1_700_000_000.25


@pytest.mark.parametrize(("given", "stored"), [
    pytest.param(None, "255", id="absent becomes the default"),
    pytest.param("many", "255", id="not a number becomes the default"),
    pytest.param("255", "254", id="a number loses one"),
    pytest.param("2", "1", id="the last hop is still stored"),
])
def test_hops_are_counted(given, stored):
    """Every arrival takes one from knativebrokerttl."""
    attributes = {"id": "1"} if given is None else {"id": "1", "knativebrokerttl": given}

    assert stamp(Event(attributes, b"x"), NOW).attributes["knativebrokerttl"] == stored


@pytest.mark.parametrize("given", ["1", "0", "-7"])
def test_an_event_without_hops_left_goes_no_further(given):
    """An event whose last hop is used up is refused with 400."""
    with pytest.raises(TooManyHops, match="knativebrokerttl") as caught:
        stamp(Event({"knativebrokerttl": given}), NOW)

    assert caught.value.status == 400


def test_arrival_time_is_overwritten_and_the_rest_is_kept():
    """The arrival time is that of this arrival, in RFC 3339; data and other attributes stay as they are."""
    given = Event({"id": "1", "knativearrivaltime": "yesterday", "color": "red"}, b"data")

    assert stamp(given, NOW) == Event(
        {"id": "1", "color": "red", "knativebrokerttl": "255",
         "knativearrivaltime": "2023-11-14T22:13:20.250000Z"}, b"data")


def test_a_delay_becomes_a_time():
    """Where the event goes next it is not delayed again."""
    stored = stamp(Event({"id": "1", "delay": "PT1M30S"}), NOW).attributes

    assert stored["deliverat"] == "2023-11-14T22:14:50.250000Z"
    assert due_ms(stored["deliverat"]) == int(NOW * 1000) + 90_000
    assert "delay" not in stored


@pytest.mark.parametrize(("attributes", "says"), [
    ({"delay": "soon"}, "delay: .*no duration"),
    ({"delay": "-PT1S"}, "delay: .*less than nothing"),
    ({"delay": f"P{'9' * 400}Y-{'9' * 400}M"}, "delay: .*no duration"),
    ({"delay": "P9999D"}, "delay: is more than 366 days"),
    ({"deliverat": "noon"}, "deliverat: is not a time"),
    ({"deliverat": "2023-11-23"}, "deliverat: is not a time"),
    ({"deliverat": "2023-11-23T10:00:00"}, "deliverat: is not a time"),
    ({"deliverat": "9999-12-31T23:59:59Z"}, "deliverat: is more than 366 days"),
    ({"delay": "1s", "deliverat": "2024-01-01T00:00:00Z"}, "delay: deliverat is given too"),
])
def test_a_time_that_cannot_be_read_is_refused(attributes, says):
    """An event that is to wait is never delivered at once for a slip of the pen."""
    with pytest.raises(NotACloudEvent, match=says):
        stamp(Event({"id": "1", **attributes}), NOW)
