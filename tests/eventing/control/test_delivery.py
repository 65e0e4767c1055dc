"""DeliverySpec: durations, what is refused, and the record."""

import pytest

from eventing.control import delivery
from eventing.control.field import render

PERIOD = "as ISO 8601 writes it: PT5S, PT0.5S, PT2M"


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
        ({"retry": -1}, "invalid value: -1: retry\nexpected a whole number from 0 to 2147483647"),
        ({"retry": True}, "invalid value: true: retry\nexpected a whole number from 0 to 2147483647"),
        ({"retry": 2**31 - 1}, ""),
        ({"retry": 2**31}, "invalid value: 2147483648: retry\nexpected a whole number from 0 to 2147483647"),
        ({"backoffPolicy": "random"}, "invalid value: random: backoffPolicy\nexpected linear or exponential"),
        ({"backoffDelay": "3s"}, f"invalid value: 3s: backoffDelay\nexpected a period {PERIOD}"),
        ({"timeout": "PT0S"}, f"invalid value: PT0S: timeout\nexpected more than no time, {PERIOD}"),
        ({"timeout": "soon"}, f"invalid value: soon: timeout\nexpected more than no time, {PERIOD}"),
        ({"format": "xml"}, "invalid value: xml: format\nexpected json or binary"),
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
    """Every field is judged in Knative's words, and a line more names what is expected."""
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


@pytest.mark.parametrize(("spec", "is_told"), [
    (None, False),
    ({"retry": 0, "backoffDelay": "PT2S"}, False),
    ({"retry": 3}, True),
    ({"retry": 3, "backoffDelay": "PT2S"}, True),
    ({"retry": 3, "backoffPolicy": "linear"}, True),
    ({"retry": 3, "backoffPolicy": "linear", "backoffDelay": "PT2S"}, False),
])
def test_retries_without_a_pause_are_told(spec, is_told):
    """Half of a back-off is none, as on Knative: whoever writes it hears so."""
    assert ["one another at once" in doubt for doubt in delivery.doubts(spec)] == [True] * is_told


ENABLED = {"delivery-retryafter": "Enabled"}


@pytest.mark.parametrize(("given", "features", "expected"), [
    ("PT10S", {}, "must not set the field(s): retryAfterMax"),
    ("PT10S", {"delivery-retryafter": "disabled"}, "must not set the field(s): retryAfterMax"),
    ("PT10S", ENABLED, ""),
    ("PT0S", ENABLED, ""),
    ("-PT1S", ENABLED, f"invalid value: -PT1S: retryAfterMax\nexpected a period {PERIOD}"),
    ("soon", ENABLED, f"invalid value: soon: retryAfterMax\nexpected a period {PERIOD}"),
])
def test_retry_after_needs_its_feature(given, features, expected):
    """`retryAfterMax` is refused unless its feature is on, as in Knative."""
    assert render(delivery.validate({"retryAfterMax": given}, features)) == expected


def test_record_of_retry_after():
    """How long a subscriber may ask us to wait goes to the data plane."""
    assert delivery.record({"retryAfterMax": "PT1M"}, None)["retry_after_max_s"] == 60.0
