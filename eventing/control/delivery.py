"""
How an event is delivered, as people write it: DeliverySpec, its errors, and the record it becomes.

Durations are ISO 8601 (eventing/duration.py). Pure. Whose DeliverySpec counts is decided by the Trigger
(trigger.py); what is done after an attempt by `eventing/broker/delivery.py`. Source: knative.dev/eventing
`pkg/apis/duck/v1/delivery_types.go`.
"""

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any

from eventing.control import destination
from eventing.control.field import FieldError, disallowed_fields, invalid_value, via_field
from eventing.duration import seconds

# Conditions that whoever has a DeliverySpec reports: (reason, message), and a reason.
NO_SINK = ("DeadLetterSinkNotConfigured", "No dead letter sink is configured.")
SINK_UNRESOLVED = "Unable to get the dead letter sink's URI"

# Where flags are (namespace, ConfigMap), and the one that lets a subscriber's Retry-After be heard.
FEATURES = ("knative-eventing", "config-features")
_RETRY_AFTER = "delivery-retryafter"

_RETRY_LIMIT = 2**31 - 1  # an int32 in Knative
_POLICIES = ("linear", "exponential")
_FORMATS = ("json", "binary")
_PERIOD = "as ISO 8601 writes it: PT5S, PT0.5S, PT2M"


def default(delivery: Any, namespace: str) -> None:
    """Let the dead letter sink of *delivery*, if it names one, be in *namespace* unless it says otherwise."""
    if isinstance(delivery, Mapping):
        destination.default(delivery.get("deadLetterSink"), namespace)


def validate(delivery: Any, features: Mapping[str, str] = MappingProxyType({})) -> list[FieldError]:
    """
    What is wrong with a DeliverySpec; None is fine.

    *features* is the data of the ConfigMap FEATURES: `retryAfterMax` needs one that is off by default.
    """
    if delivery is None:
        return []
    if not isinstance(delivery, Mapping):
        return [invalid_value(delivery, "")]
    errors: list[FieldError] = []
    if delivery.get("deadLetterSink") is not None:
        errors += via_field(destination.validate(delivery["deadLetterSink"]), "deadLetterSink")
    retry = delivery.get("retry")
    if retry is not None and (isinstance(retry, bool) or not isinstance(retry, int)
                              or not 0 <= retry <= _RETRY_LIMIT):
        errors.append(invalid_value(retry, "retry", f"expected a whole number from 0 to {_RETRY_LIMIT}"))
    timeout = delivery.get("timeout")
    if timeout is not None and (_seconds_or_none(timeout) or 0) <= 0:
        errors.append(invalid_value(timeout, "timeout", f"expected more than no time, {_PERIOD}"))
    for field, allowed in (("backoffPolicy", _POLICIES), ("format", _FORMATS)):
        if delivery.get(field) is not None and delivery[field] not in allowed:
            errors.append(invalid_value(delivery[field], field, f"expected {' or '.join(allowed)}"))
    delay = delivery.get("backoffDelay")
    if delay is not None and (_seconds_or_none(delay) is None):
        errors.append(invalid_value(delay, "backoffDelay", f"expected a period {_PERIOD}"))
    if delivery.get("retryAfterMax") is not None:
        errors += _retry_after_errors(delivery["retryAfterMax"], features)
    return errors


def doubts(delivery: Any) -> Iterator[str]:
    """A sentence for what is valid, and hardly meant: retries without a pause between them."""
    if isinstance(delivery, Mapping) and delivery.get("retry") \
            and not (delivery.get("backoffPolicy") and delivery.get("backoffDelay")):
        yield ("without both backoffPolicy and backoffDelay retries follow one another at once; "
               "a Broker by itself has exponential and PT0.2S")


def _retry_after_errors(longest: Any, features: Mapping[str, str]) -> list[FieldError]:
    if features.get(_RETRY_AFTER, "").strip().lower() != "enabled":
        return [disallowed_fields("retryAfterMax")]
    length_s = _seconds_or_none(longest)
    return [invalid_value(longest, "retryAfterMax", f"expected a period {_PERIOD}")] \
        if length_s is None or length_s < 0 else []


def _seconds_or_none(period: Any) -> float | None:
    try:
        return seconds(period)
    except (ValueError, TypeError):
        return None


def record(delivery: Mapping[str, Any] | None, dead_letter_url: str | None) -> dict[str, Any]:
    """
    The record DELIVERY of `eventing/keys.py` for a DeliverySpec that was admitted.

    No retry unless `retry` says so; no wait between retries unless both policy and delay are given.
    """
    delivery = delivery or {}
    has_backoff = delivery.get("backoffPolicy") and delivery.get("backoffDelay")
    timeout, longest = delivery.get("timeout"), delivery.get("retryAfterMax")
    return {
        "retry": delivery.get("retry") or 0,
        "backoff_policy": delivery.get("backoffPolicy") or "exponential",
        "backoff_s": max(0.0, seconds(delivery["backoffDelay"])) if has_backoff else 0.0,
        "timeout_s": None if timeout is None else seconds(timeout),
        "dead_letter_url": dead_letter_url,
        "format": delivery.get("format"),
        **({} if longest is None else {"retry_after_max_s": seconds(longest)}),
    }
