"""Durations as people write them."""

import pytest

from eventing import duration


@pytest.mark.parametrize(
    ("period", "expected"),
    [
        ("PT0.2S", 0.2),
        ("PT1S", 1),
        ("PT1M30S", 90),
        ("P1DT2H", 93600),
        ("P1W", 604800),
        ("PT0S", 0),
        ("P0D", 0),
        ("P0", 0),
        ("-PT1S", -1),
        ("PT-1S", -1),
        ("P1Y", 365.2425 * 86400),
        ("P1M", 365.2425 * 86400 / 12),
        ("PT0,5S", 0.5),
    ],
)
def test_seconds(period, expected):
    """ISO 8601 durations are read; years and months are about as long as they are."""
    assert duration.seconds(period) == pytest.approx(expected)


@pytest.mark.parametrize("period", ["", "P", "PT", "3s", "PT3", "1S", "P1S", "PT1D", "pt1s", "P1H", "PTS"])
def test_no_duration(period):
    """What is no ISO 8601 duration is refused."""
    with pytest.raises(ValueError, match="no ISO 8601 duration"):
        duration.seconds(period)


@pytest.mark.parametrize("period", [f"P{'9' * 400}Y", f"-P{'9' * 400}D", f"P{'9' * 400}Y-{'9' * 400}M"])
def test_longer_than_can_be_counted(period):
    """Whoever calculates with a duration has a number to do so."""
    with pytest.raises(ValueError, match="longer than can be counted"):
        duration.seconds(period)


@pytest.mark.parametrize(("text", "expected"), [
    ("30s", 30), ("10m", 600), ("2h", 7200), ("7d", 604800), ("1.5s", 1.5), ("500ms", 0.5), ("0s", 0),
    ("PT10M", 600), ("P1D", 86400),
])
def test_either_form(text, expected):
    """What Clarion adds takes the short form too."""
    assert duration.either(text) == pytest.approx(expected)


@pytest.mark.parametrize("text", ["", "10", "10 m", "-5m", "1w", "10M", "m", "1e3s", "-PT1S", "9" * 20 + "s"])
def test_neither_form(text):
    """What is no duration, or less than nothing, is refused."""
    with pytest.raises(ValueError, match=r"no duration|less than nothing"):
        duration.either(text)
