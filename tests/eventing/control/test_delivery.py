"""DeliverySpec: durations, what is refused, and the record."""

import pytest

from eventing.control import delivery
from eventing.control.field import render


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
        ({"retry": 2**31 - 1}, ""),
        ({"retry": 2**31}, "invalid value: 2147483648: retry"),
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


ENABLED = {"delivery-retryafter": "Enabled"}


@pytest.mark.parametrize(("given", "features", "expected"), [
    ("PT10S", {}, "must not set the field(s): retryAfterMax"),
    ("PT10S", {"delivery-retryafter": "disabled"}, "must not set the field(s): retryAfterMax"),
    ("PT10S", ENABLED, ""),
    ("PT0S", ENABLED, ""),
    ("-PT1S", ENABLED, "invalid value: -PT1S: retryAfterMax"),
    ("soon", ENABLED, "invalid value: soon: retryAfterMax"),
])
def test_retry_after_needs_its_feature(given, features, expected):
    """`retryAfterMax` is refused unless its feature is on, as in Knative."""
    assert render(delivery.validate({"retryAfterMax": given}, features)) == expected


def test_record_of_retry_after():
    """How long a subscriber may ask us to wait goes to the data plane."""
    assert delivery.record({"retryAfterMax": "PT1M"}, None)["retry_after_max_s"] == 60.0
