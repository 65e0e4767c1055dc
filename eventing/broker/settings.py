"""
What the data plane knows of a broker: its record in the projection `brokers`, with defaults filled in.

The record is made from a Broker's annotations by `eventing/kinds/broker.py`, which also refuses bad ones.
"""

import itertools
from collections.abc import Mapping
from typing import Any, NamedTuple

RETENTION_AGE_S = 7 * 24 * 3600.0  # "last Tuesday's events"; Kafka's default, too
RETENTION_BYTES = 256 * 1024 * 1024  # a partition; the store holds its streams in memory


class Settings(NamedTuple):
    """One broker."""

    partitions: int = 1
    dedup_window_ms: int = 0  # for how long an event that is sent again is known; 0: not at all
    retention_age_s: float = RETENTION_AGE_S
    retention_bytes: int = RETENTION_BYTES  # of each partition
    # (how many partitions there were, until which Unix ms) of each time that some were added, oldest first.
    growths: tuple[tuple[int, int], ...] = ()


def settings_of(record: Mapping[str, Any]) -> Settings:
    """Read a record; what it leaves out, or is null, has its default."""
    partitions = max(1, int(record.get("partitions") or 1))
    size_bytes = record.get("retention_bytes")
    return Settings(
        partitions,
        int(float(record.get("dedup_window_s") or 0) * 1000),
        float(record.get("retention_s") or RETENTION_AGE_S),
        int(size_bytes) // partitions if size_bytes else RETENTION_BYTES,
        tuple((before, when_ms) for (before, _), (_, when_ms) in
              itertools.pairwise(record.get("partitions_since") or ())))
