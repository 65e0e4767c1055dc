"""
How long a Broker remembers: the annotations of events sent again, and of events kept.

    clarion.dev/dedup-window: 10m         a repeat, the same source and id, is stored once within that time
    clarion.dev/retention: 7d             events older than that may go
    clarion.dev/retention: 512Mi          the oldest go when all events together are larger
    clarion.dev/retention: 7d, 512Mi      both

Durations are as in `eventing/duration.py`. What a trigger still waits for never goes, however old. Pure.
"""

import re
from collections.abc import Mapping
from typing import Any

from eventing import duration
from eventing.control import field
from eventing.control.field import FieldError

DEDUP_WINDOW = "clarion.dev/dedup-window"
RETENTION = "clarion.dev/retention"

_DEDUP_LIMIT_S = 7 * 86400.0  # 500,000 repeats are known anyway; longer would promise what is not kept
_AGE_LEAST_S = 60.0  # entries go every half minute
_SIZE = re.compile(r"(\d{1,9})(Ki|Mi|Gi)", re.ASCII)
_UNITS_BYTES = {"Ki": 1024, "Mi": 1024**2, "Gi": 1024**3}
_SIZE_LEAST_BYTES = 1024**2  # less would not hold one event of the largest size


def dedup_window_s(annotations: Mapping[str, str]) -> float:
    """Seconds for which a repeat is known; 0: not at all. ValueError says what is wrong."""
    text = annotations.get(DEDUP_WINDOW, "")
    if not text:
        return 0.0
    window_s = duration.either(text)
    if window_s > _DEDUP_LIMIT_S:
        raise ValueError("expected at most 7d")
    return window_s


def retention(annotations: Mapping[str, str]) -> tuple[float | None, int | None]:
    """Seconds and bytes (of all partitions); None where nothing is said. ValueError says what is wrong."""
    text = annotations.get(RETENTION, "")
    age_s: float | None = None
    size_bytes: int | None = None
    for word in filter(None, (part.strip() for part in text.split(","))):
        size = _SIZE.fullmatch(word)
        if (age_s if size is None else size_bytes) is not None:
            raise ValueError("expected one duration and one size")
        if size is not None:
            size_bytes = int(size[1]) * _UNITS_BYTES[size[2]]
        else:
            age_s = _age_s(word)
    if age_s is not None and age_s < _AGE_LEAST_S:
        raise ValueError("expected a duration of 1m or more")
    if size_bytes is not None and size_bytes < _SIZE_LEAST_BYTES:
        raise ValueError("expected a size of 1Mi or more")
    return age_s, size_bytes


def _judge_retention(annotations: Mapping[str, str]) -> None:
    """As `retention`; a comma beside nothing is served, if it was there before, but no longer admitted."""
    text = annotations.get(RETENTION, "")
    if text and not all(part.strip() for part in text.split(",")):
        raise ValueError("expected a duration, a size or both, such as 7d, 512Mi")
    retention(annotations)


def _age_s(word: str) -> float:
    try:
        return duration.either(word)
    except ValueError as error:
        raise ValueError(f"{error}, and no size, such as 512Mi or 2Gi") from error


def validate(annotations: Mapping[str, str]) -> list[FieldError]:
    """What is wrong with the two annotations."""
    errors = []
    for name, read in ((DEDUP_WINDOW, dedup_window_s), (RETENTION, _judge_retention)):
        try:
            read(annotations)
        except ValueError as error:
            errors.append(field.invalid_value(annotations[name], f"metadata.annotations[{name}]", str(error)))
    return errors


def record(annotations: Mapping[str, str]) -> dict[str, Any]:
    """What the data plane is told (table `brokers`) of a Broker that was admitted."""
    age_s, size_bytes = retention(annotations)
    window_s = dedup_window_s(annotations)
    return {"dedup_window_s": window_s, "retention_s": age_s, "retention_bytes": size_bytes}
