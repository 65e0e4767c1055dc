"""The simulated day: what the autoscaler does with it, and the picture in docs/."""

import pytest

from benchmarks import autoscaler_day


@pytest.fixture(scope="module")
def moments():
    """Every decision of the day."""
    return list(autoscaler_day.day())


def test_picture_is_true(moments):
    """docs/autoscaler_day.svg shows what this autoscaler decides: draw it anew when that changes."""
    assert autoscaler_day.PICTURE.read_text() == autoscaler_day.draw(moments)


def test_night(moments):
    """A job of 20 s an hour wakes one worker, which is gone within 90 s of its last request."""
    second = {each.second: each.desired for each in moments}
    for hour in (1, 2, 3, 4):
        assert second[hour * 3600] == 0
        assert second[hour * 3600 + 2] == 1
        assert second[hour * 3600 + 20 + 90] == 0


def test_working_day(moments):
    """From the morning on workers are enough for the load's average, and no more than twice that."""
    for each in moments:
        if 9 * 3600 < each.second < 15 * 3600:
            assert each.concurrency / 7 * 0.7 < each.desired < each.concurrency / 7 * 2 + 2


def test_burst(moments):
    """Two minutes of four times the load bring enough workers within the panic window, and they stay."""
    start = 15 * 3600
    seen = [each for each in moments if start < each.second <= start + 120]
    enough = next(each.second for each in seen if each.desired * 10 >= 250)
    assert enough - start <= 8
    panic = [each.desired for each in seen if each.panicking]
    assert panic == sorted(panic)
    calm = next(each for each in moments if each.second == start + 600)
    assert calm.desired < 12
    assert not calm.panicking
