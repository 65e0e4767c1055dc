"""
What became of the events of each source: plain numbers, exported as `clarion_source_events_total`.

    accepted        by the sink
    dead_lettered   the sink refused it, the dead letter sink took it
    skipped         both refused it, or there is no dead letter sink
    rejected        the sink refused it, and what it came from took it back (RabbitMQ)
"""

from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily
from prometheus_client.registry import Collector

RESULTS = ACCEPTED, DEAD_LETTERED, SKIPPED, REJECTED = "accepted", "dead_lettered", "skipped", "rejected"

Counts = dict[str, int]


class Tally(Collector):
    """The counts of all sources of one process."""

    def __init__(self) -> None:
        """Nothing has been counted."""
        self._counts: dict[str, Counts] = {}

    def __repr__(self) -> str:
        """How many sources have counts."""
        return f"<Tally [{len(self._counts)} sources]>"

    def counts(self, name: str) -> Counts:
        """The counts of source *name* (`Kind/ns/name`), to add to."""
        return self._counts.setdefault(name, dict.fromkeys(RESULTS, 0))

    def forget(self, name: str) -> None:
        """Drop the counts of a source that is gone."""
        self._counts.pop(name, None)

    def collect(self) -> Iterator[CounterMetricFamily]:
        """The metric, for a scrape."""
        family = CounterMetricFamily("clarion_source_events", "Events of a source, by what became of them.",
                                     labels=("source", "result"))
        for name, counts in self._counts.items():
            for result, count in counts.items():
                family.add_metric((name, result), count)
        yield family
