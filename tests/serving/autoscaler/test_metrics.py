"""What a Meter measures and what a Window says of it, second by second."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.autoscaler.metrics import Meter, Window


def test_concurrency_is_weighted_by_time():
    """Two requests, each open for a quarter of a second, are a concurrency of one half."""
    meter = Meter(10.0)
    meter.enter(10.0)
    meter.leave(10.25)
    meter.enter(10.5)
    meter.leave(10.75)
    assert meter.harvest(11.0) == [(10, 0.5, 2.0)]


def test_open_request_counts_in_every_second_it_spans():
    """A request that spans seconds weighs one in each whole one, and counts where it began."""
    meter = Meter(10.0)
    meter.enter(10.5)
    meter.leave(13.25)
    assert meter.harvest(14.5) == [(10, 0.5, 1.0), (11, 1.0, 0.0), (12, 1.0, 0.0), (13, 0.25, 0.0)]


def test_announced_request_is_not_counted_twice():
    """What was told at once is subtracted from the second it belongs to."""
    meter = Meter(10.0)
    meter.enter(10.0)
    told = meter.announce(10.0)
    meter.leave(10.5)
    (second, concurrency, count), = meter.harvest(11.0)
    assert (told[0], told[1] + concurrency, told[2] + count) == (second, 0.5, 1.0)


def test_long_stall_keeps_a_bounded_past():
    """Nobody harvested for an hour: at most a minute of seconds is kept."""
    meter = Meter(0.0)
    meter.enter(3600.0)
    assert len(meter.harvest(3601.0)) <= 60


def test_restart_forgets_the_silence():
    """After a sleep the first report begins with the second that woke it."""
    meter = Meter(0.0)
    meter.enter(500.5)
    meter.restart(500.5)
    assert meter.harvest(501.5) == [(500, 0.5, 1.0)]


@given(st.lists(st.tuples(st.floats(0, 3), st.floats(0, 3)), max_size=30))
def test_integral_is_the_sum_of_all_durations(spans):
    """Whatever the order, the seconds add up to the time that requests were open."""
    moments = sorted([(begin, 1) for begin, _ in spans] + [(begin + length, -1) for begin, length in spans],
                     key=lambda moment: (moment[0], -moment[1]))
    meter = Meter(0.0)
    for now, step in moments:
        (meter.enter if step > 0 else meter.leave)(now)
    samples = meter.harvest(10.0)
    assert sum(sample[1] for sample in samples) == pytest.approx(sum(length for _, length in spans), abs=1e-6)
    assert sum(sample[2] for sample in samples) == len(spans)


def test_young_window_is_not_diluted():
    """Before a window is full its average is over the seconds since its first write."""
    window = Window(60)
    window.record(100, 10.0)
    window.record(101, 20.0)
    assert window.average(101) == 15.0


def test_values_of_one_second_add_up():
    """Several reports of one second are one second's sum."""
    window = Window(5)
    window.record(7, 1.0)
    window.record(7, 2.0)
    assert window.average(7) == 3.0


def test_gap_counts_as_zero_and_silent_end_does_not_count():
    """Skipped seconds are zeros once something follows; the end that is still silent is left out."""
    window = Window(5)
    window.record(10, 8.0)
    assert window.average(12) == 8.0
    window.record(13, 8.0)
    assert window.average(13) == 4.0
    assert window.average(14) == 4.0


def test_old_seconds_leave_the_window():
    """Only the last N seconds count, and a write too old is dropped."""
    window = Window(3)
    for second, value in enumerate((9.0, 1.0, 2.0, 3.0)):
        window.record(second, value)
    window.record(0, 100.0)
    assert window.average(3) == 2.0
    assert window.average(4) == 2.5
    assert window.average(5) == 3.0


def test_silent_window_averages_to_zero_then_is_empty_then_starts_anew():
    """After N silent seconds the average is 0, one later there is no data, and a new write is young again."""
    window = Window(3)
    window.record(10, 6.0)
    assert (window.average(13), window.is_empty(13), window.is_empty(14)) == (0.0, False, True)
    window.record(20, 4.0)
    assert window.average(20) == 4.0


def test_late_write_extends_the_past():
    """A second older than the first one, but within the window, makes the window older."""
    window = Window(5)
    window.record(10, 4.0)
    window.record(8, 2.0)
    assert window.average(10) == 2.0


def test_weighted_average_prefers_the_newest():
    """With weights that fall by a fifth at least, the newest second counts most."""
    window = Window(60)
    window.record(1, 10.0)
    window.record(2, 0.0)
    assert window.weighted_average(2) == pytest.approx(10 * 0.2 * 0.8)
    assert window.weighted_average(4) == pytest.approx(10 * 0.2 * 0.8**3)


def test_resized_window_keeps_what_fits():
    """A shorter window keeps its newest seconds, a longer one all of them."""
    window = Window(4)
    for second in range(4):
        window.record(second, float(second))
    assert window.resized(2).average(3) == 2.5
    assert window.resized(10).average(3) == 1.5


@given(st.integers(1, 8), st.lists(st.tuples(st.integers(0, 12), st.floats(0, 100)), max_size=20))
def test_window_agrees_with_its_definition(size, writes):
    """The ring says what a list of all seconds, averaged by the table, would say."""
    window, seconds, first = Window(size), {}, None
    for second, value in sorted(writes):
        if seconds and second - max(seconds) >= size:
            seconds, first = {}, None
        first = second if first is None else first
        seconds[second] = seconds.get(second, 0.0) + value
        window.record(second, value)
    if not seconds:
        return
    last = max(seconds)
    for now in range(last, last + size):
        kept = range(max(first, now - size + 1), last + 1)
        expected = sum(seconds.get(second, 0.0) for second in kept) / len(kept)
        assert window.average(now) == pytest.approx(expected, abs=1e-5)
