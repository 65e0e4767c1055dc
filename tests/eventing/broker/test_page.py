"""The page: what a commit says about each delivery, and how far the floor has come."""

import orjson

from eventing.broker.lane import Delivery, Entry, Lane
from eventing.broker.page import DEAD_PLACE, Ledger, place_of
from eventing.event import Event

EVENT = Event({"id": "1"}, b"data")


def entry_of(ledger, entry_id, *lanes, read_at=0.0):
    """An entry that *lanes* want; returns it and its deliveries."""
    entry = Entry(entry_id, EVENT, read_at, pending=len(lanes))
    ledger.add(entry)
    return entry, [Delivery(lane, entry_id, 1, EVENT, entry) for lane in lanes]


def test_the_floor_rises_over_what_nobody_waits_for():
    """The floor is the last entry before which every pair is resolved."""
    ledger, lane = Ledger(), Lane("u", "ns/t")
    _, [first] = entry_of(ledger, "1-0", lane)
    entry_of(ledger, "2-0")
    _, [third] = entry_of(ledger, "3-0", lane)

    assert ledger.turn().floor is None
    ledger.redeem(first)
    assert ledger.turn().floor == "2-0"
    ledger.redeem(third)
    assert ledger.turn().floor == "3-0"
    assert len(ledger) == ledger.size_bytes == 0


def test_pairs_above_the_floor_are_listed_once_and_leave_with_it():
    """A settled pair that the floor has not passed is listed; when it is passed, it is taken off."""
    ledger, lane, other = Ledger(), Lane("u", "ns/t"), Lane("v", "ns/o")
    _, [mine, others] = entry_of(ledger, "1-0", lane, other)
    ledger.redeem(mine)

    page = ledger.turn()
    assert (page.floor, page.resolved, page.passed) == (None, ["1-0 u"], [])
    ledger.redeem(others)
    page = ledger.turn()
    assert (page.floor, page.resolved, page.passed) == ("1-0", [], ["1-0 u"])


def test_what_is_parked_and_settled_within_one_page_is_never_in_the_backlog():
    """Parking and then settling between two commits leaves only the settlement."""
    ledger, lane = Ledger(), Lane("u", "ns/t")
    _, [delivery] = entry_of(ledger, "1-0", lane)
    ledger.park(delivery)
    assert ledger.is_parking("u")
    ledger.redeem(delivery)

    page = ledger.turn()
    assert (page.floor, page.drained) == ("1-0", {})
    assert orjson.loads(page.arguments()[0])["parked"] == {}


def test_what_was_parked_before_is_taken_out():
    """Settling what an earlier commit parked takes it out of the backlog."""
    ledger, lane = Ledger(), Lane("u", "ns/t")
    _, [delivery] = entry_of(ledger, "1-0", lane)
    ledger.park(delivery)

    assert orjson.loads(ledger.turn().arguments()[0])["parked"] == {"u": [place_of("1-0"), "1-0 1"]}
    ledger.redeem(delivery)
    assert ledger.turn().drained == {"u": ["1-0 1"]}


def test_a_retry_is_scheduled_and_never_early():
    """The next attempt stands in the schedule with its number, at a whole millisecond that is not before."""
    ledger, lane = Ledger(), Lane("u", "ns/t")
    _, [delivery] = entry_of(ledger, "5-3", lane)
    ledger.retry(delivery, 1.0015)

    page = ledger.turn()
    assert page.retries == [(1002, place_of("5-3"), "u 2 5-3")]
    assert page.floor == "5-3"


def test_a_dead_letter_carries_its_fields():
    """Values go beside the page, because data is bytes."""
    ledger, lane = Ledger(), Lane("u", "ns/t")
    _, [delivery] = entry_of(ledger, "1-0", lane)
    ledger.bury(delivery, {"a": b"{}", "d": b"\xff"}, to_sink=True)

    page, *values = ledger.turn().arguments()
    assert orjson.loads(page)["dead"] == [["u", DEAD_PLACE, "a", "d"]]
    assert values == [b"{}", b"\xff"]


def test_places_are_in_order_and_exact():
    """Places order ids, dead letters before all entries, and a double holds them."""
    ids = ["1-0", "1-1", "1-2047", "2-0", "1795410977637-0", "1795410977637-9", "4398046511103-2047"]
    places = [place_of(entry_id) for entry_id in ids]

    assert places == sorted(places)
    assert all(int(float(place)) == place for place in places)
    assert all(place_of(f"d{entry_id}") < 0 and place_of(f"r{entry_id}") < 0 for entry_id in ids)


def test_records_go_in_portions():
    """Rows stand some dozens in a record, all of them, in order."""
    ledger = Ledger()
    for index in range(100):
        ledger.record([index])

    _, *records = ledger.turn().arguments()
    assert [row for record in records for row in orjson.loads(record)] == [[index] for index in range(100)]
    assert len(records) == 4
