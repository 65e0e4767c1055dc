"""Durations in Go's notation."""

import pytest

from serving import duration

SECOND = duration.SECOND_NS


@pytest.mark.parametrize(
    ("text", "nanoseconds"),
    [
        ("0", 0),
        ("5s", 5 * SECOND),
        ("30s", 30 * SECOND),
        ("1478s", 1478 * SECOND),
        ("-5s", -5 * SECOND),
        ("+5s", 5 * SECOND),
        ("5.6s", 5600 * 10**6),
        ("5.s", 5 * SECOND),
        (".5s", SECOND // 2),
        ("1m5s", 65 * SECOND),
        ("10ns", 10),
        ("11us", 11_000),
        ("12µs", 12_000),
        ("13ms", 13 * 10**6),
        ("15h", 15 * 3600 * SECOND),
        ("3h30m", 12600 * SECOND),
        ("1h15m30.918273645s", 4530918273645),
    ],
)
def test_parses(text, nanoseconds):
    """What Go reads is read, to the nanosecond."""
    assert duration.parse_ns(text) == nanoseconds


@pytest.mark.parametrize("text", ["", "3", "-", "s", ".", "-.", ".s", "1 s", "1d", "PT1S", "5s3", "9999999h"])
def test_refuses(text):
    """What Go does not read is refused."""
    with pytest.raises(ValueError, match="invalid duration"):
        duration.parse_ns(text)


@pytest.mark.parametrize(
    ("nanoseconds", "text"),
    [
        (0, "0s"),
        (1, "1ns"),
        (1100, "1.1µs"),
        (2_200_000, "2.2ms"),
        (3 * SECOND + 300_000_000, "3.3s"),
        (6 * SECOND, "6s"),
        (245 * SECOND, "4m5s"),
        (3600 * SECOND, "1h0m0s"),
        (-65 * SECOND, "-1m5s"),
    ],
)
def test_shows(nanoseconds, text):
    """Messages quote durations as Go prints them."""
    assert duration.show(nanoseconds) == text
