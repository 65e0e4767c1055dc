"""sources/cron.py: what is a schedule, and when it ticks."""

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sources import cron

BERLIN = "Europe/Berlin"


def ticks(schedule, timezone, start, count):
    """Local times, as text, of the first ticks after *start*."""
    zone = ZoneInfo(timezone or "UTC")
    parsed = cron.parse(schedule, timezone)
    when = datetime.fromisoformat(start).replace(tzinfo=zone).timestamp()
    found = []
    for _ in range(count):
        when = parsed.next_after(when)
        found.append(datetime.fromtimestamp(when, zone).strftime("%d %H:%M:%S %z"))
    return found


@pytest.mark.parametrize(("schedule", "expected"), [
    pytest.param("*/15 * * * *", ["01 00:15:00 +0000", "01 00:30:00 +0000"], id="five fields are minutes"),
    pytest.param("*/10 * * * * *", ["01 00:00:10 +0000", "01 00:00:20 +0000"], id="six fields are seconds"),
    pytest.param("@hourly", ["01 01:00:00 +0000", "01 02:00:00 +0000"], id="a descriptor"),
    pytest.param("@Weekly", ["04 00:00:00 +0000", "11 00:00:00 +0000"], id="a descriptor in any case"),
    pytest.param("0 0 ? JAN mon-FRI", ["02 00:00:00 +0000", "05 00:00:00 +0000"], id="names, ranges and ?"),
    pytest.param("0 0 3 * MON", ["03 00:00:00 +0000", "05 00:00:00 +0000"], id="either day is enough"),
])
def test_ticks(schedule, expected):
    """A schedule ticks when every other cron would."""
    assert expected == ticks(schedule, "", "2026-01-01T00:00:00", 2)


@pytest.mark.parametrize(("schedule", "start", "expected"), [
    pytest.param("30 2 * * *", "2026-03-28T12:00", ["29 03:00:00 +0200", "30 02:30:00 +0200"],
                 id="a skipped time fires when the clock goes on"),
    pytest.param("30 2 * * *", "2026-10-24T12:00", ["25 02:30:00 +0200", "26 02:30:00 +0100"],
                 id="a fixed hour that comes twice fires once"),
    pytest.param("0 * * * *", "2026-10-25T01:30", ["25 02:00:00 +0200", "25 02:00:00 +0100"],
                 id="every hour fires in both"),
    pytest.param("0 0 12 * * *", "2026-03-28T13:00", ["29 12:00:00 +0200", "30 12:00:00 +0200"],
                 id="noon stays noon"),
])
def test_daylight_saving(schedule, start, expected):
    """Over a change of daylight saving nothing is left out and no daily job runs twice."""
    assert expected == ticks(schedule, BERLIN, start, 2)


@pytest.mark.parametrize(("schedule", "after", "now", "limit", "expected"), [
    pytest.param("30 2 * * *", "2026-03-27T12:00", "2026-03-30T12:00", 9,
                 ["28 02:30:00 +0100", "29 03:00:00 +0200", "30 02:30:00 +0200"], id="all, one skipped"),
    pytest.param("30 2 * * *", "2026-10-23T12:00", "2026-10-26T12:00", 9,
                 ["24 02:30:00 +0200", "25 02:30:00 +0200", "26 02:30:00 +0100"], id="all, over one twice"),
    pytest.param("0 * * * *", "2026-10-25T01:30", "2026-10-25T03:30", 9,
                 ["25 02:00:00 +0200", "25 02:00:00 +0100", "25 03:00:00 +0100"], id="all, of every hour"),
    pytest.param("30 2 * * *", "2026-10-23T12:00", "2026-10-26T12:00", 1, ["26 02:30:00 +0100"], id="once"),
    pytest.param("30 2 * * *", "2026-10-23T12:00", "2026-10-26T12:00", 0, ["27 02:30:00 +0100"], id="skip"),
    pytest.param("30 2 * * *", "2026-10-25T12:00", "2026-10-26T02:00", 9, ["26 02:30:00 +0100"],
                 id="nothing was missed"),
    pytest.param("* * * * * *", "2026-01-01T00:00", "2026-01-02T00:00", 2,
                 ["01 23:59:59 +0100", "02 00:00:00 +0100"], id="the latest of many"),
    pytest.param("0 0 29 2 *", "2024-02-29T00:00", "2033-01-01T00:00", 2,
                 ["29 00:00:00 +0100", "29 00:00:00 +0100"], id="rare ones"),
])
def test_due(schedule, after, now, limit, expected):
    """Ticks that passed are made up for up to a limit, the latest ones; else the next one is due."""
    zone = ZoneInfo(BERLIN)
    times = (datetime.fromisoformat(text).replace(tzinfo=zone).timestamp() for text in (after, now))

    due = cron.parse(schedule, BERLIN).due(*times, limit)

    assert [datetime.fromtimestamp(tick, zone).strftime("%d %H:%M:%S %z") for tick in due] == expected


@pytest.mark.parametrize(("schedule", "message"), [
    ("* * * *", "expected 5 to 6 fields, found 4: [* * * *]"),
    ("", "expected 5 to 6 fields, found 0: []"),
    ("@every 5m", "unsupported descriptor @every"),
    ("@fortnightly", "unrecognized descriptor: @fortnightly"),
    ("60 * * * *", "failed to parse '60 * * * *'"),
    ("L * * * *", "failed to parse 'L'"),
    ("0 0 30 2 *", "failed to parse '0 0 30 2 *'"),
])
def test_schedule_that_cannot_be(schedule, message):
    """A schedule that nobody can read is refused in Knative's words."""
    with pytest.raises(cron.ScheduleInvalid) as refused:
        cron.parse(schedule)

    assert str(refused.value).startswith(message)
    assert refused.value.field == "schedule"


def test_timezone_that_does_not_exist():
    """A timezone that is not in the database is refused under its own field."""
    with pytest.raises(cron.ScheduleInvalid) as refused:
        cron.parse("* * * * *", "Mars/Olympus")

    assert str(refused.value) == "provided bad location Mars/Olympus: unknown time zone Mars/Olympus"
    assert refused.value.field == "timezone"


@given(st.text(max_size=30))
def test_any_text_is_read_or_refused(text):
    """Whatever is written as a schedule either parses or is refused; nothing else is raised."""
    try:
        schedule = cron.parse(text)
    except cron.ScheduleInvalid:
        return
    assert schedule.next_after(0.0) > 0.0


@given(st.floats(min_value=0, max_value=4e9), st.sampled_from(["* * * * *", "30 2 * * *", "*/7 * * * * *"]))
def test_ticks_go_forward(when, schedule):
    """The next tick is always later than the time asked about."""
    assert cron.parse(schedule, BERLIN).next_after(when) > when
