"""DeliverySpec: durations, what is refused, and the record."""

import pytest

from eventing.control import delivery
from eventing.control.field import render


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
    assert delivery.seconds(period) == pytest.approx(expected)


@pytest.mark.parametrize("period", ["", "P", "PT", "3s", "PT3", "1S", "P1S", "PT1D", "pt1s", "P1H", "PTS"])
def test_no_duration(period):
    """What is no ISO 8601 duration is refused."""
    with pytest.raises(ValueError, match="no ISO 8601 duration"):
        delivery.seconds(period)


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        (None, ""),
        ({}, ""),
        (
            {
                "retry": 0,
                "backoffPolicy": "linear",
                "backoffDelay": "PT1S",
                "timeout": "PT5S",
                "format": "json",
            },
            "",
        ),
        ({"retry": -1}, "invalid value: -1: retry"),
        ({"retry": True}, "invalid value: true: retry"),
        ({"backoffPolicy": "random"}, "invalid value: random: backoffPolicy"),
        ({"backoffDelay": "3s"}, "invalid value: 3s: backoffDelay"),
        ({"timeout": "PT0S"}, "invalid value: PT0S: timeout"),
        ({"timeout": "soon"}, "invalid value: soon: timeout"),
        ({"format": "xml"}, "invalid value: xml: format"),
        ({"retryAfterMax": "PT5S"}, "must not set the field(s): retryAfterMax"),
        (
            {"deadLetterSink": {"uri": "/path"}},
            (
                "invalid value: Relative URI is not allowed when Ref and [apiVersion, kind, name] is absent: "
                "deadLetterSink.uri"
            ),
        ),
        ("often", "invalid value: often: "),
    ],
)
def test_validate(spec, expected):
    """Every field is judged in Knative's words."""
    assert render(delivery.validate(spec)) == expected


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        (
            None,
            {
                "retry": 0,
                "backoff_s": 0.0,
                "timeout_s": None,
                "backoff_policy": "exponential",
                "format": None,
            },
        ),
        (
            {
                "retry": 3,
                "backoffPolicy": "linear",
                "backoffDelay": "PT2S",
                "timeout": "PT5S",
                "format": "json",
            },
            {"retry": 3, "backoff_s": 2.0, "timeout_s": 5.0, "backoff_policy": "linear", "format": "json"},
        ),
        (
            {"retry": 3, "backoffDelay": "PT2S"},
            {
                "retry": 3,
                "backoff_s": 0.0,
                "timeout_s": None,
                "backoff_policy": "exponential",
                "format": None,
            },
        ),
    ],
)
def test_record(spec, expected):
    """The record holds seconds; without both policy and delay there is no wait, as in Knative."""
    assert delivery.record(spec, "http://d/") == {**expected, "dead_letter_url": "http://d/"}
