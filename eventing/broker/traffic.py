"""
What the ingress counts: events accepted by broker, requests refused by reason, how long storing took.

Counting happens once an event, so it is plain integers; they become metrics only when somebody asks.
"""

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from eventing.broker.stream import Stream

# Seconds from head to 202. A local fsync takes 0.1 to 2 ms; beyond a second something is wrong anyway.
LATENCY_BUCKETS_S = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 5.0)


class Traffic(Collector):
    """Counts of one ingress process."""

    def __init__(self, stream: Stream) -> None:
        """Report what *stream* counts, too."""
        self._stream = stream
        self._accepted: Counter[str] = Counter()
        self._rejected: Counter[str] = Counter()
        self._latency = [0] * (len(LATENCY_BUCKETS_S) + 1)
        self._latency_sum_s = 0.0

    def accepted(self, broker: str, events: int, took_s: float) -> None:
        """One request with *events* of *broker* is on disk and answered."""
        self._accepted[broker] += events
        self._latency[bisect_left(LATENCY_BUCKETS_S, took_s)] += 1
        self._latency_sum_s += took_s

    def rejected(self, reason: str) -> None:
        """One request was refused; *reason* is one of few words."""
        self._rejected[reason] += 1

    def collect(self) -> Iterator[Metric]:
        """For prometheus_client."""
        accepted = CounterMetricFamily(
            "clarion_ingress_events_accepted", "Events stored and answered with 202.", labels=["broker"])
        for broker, count in self._accepted.items():
            accepted.add_metric([broker], count)
        yield accepted
        repeats = CounterMetricFamily(
            "clarion_append_repeats", "Events that were stored already: sent again within the dedup window.")
        repeats.add_metric([], self._stream.counts.repeats)
        yield repeats
        rejected = CounterMetricFamily(
            "clarion_ingress_requests_rejected", "Requests that were not accepted.", labels=["reason"])
        for reason, count in self._rejected.items():
            rejected.add_metric([reason], count)
        yield rejected
        yield HistogramMetricFamily(
            "clarion_ingress_latency_seconds", "From a request's head to its 202.",
            buckets=_cumulative([*map(str, LATENCY_BUCKETS_S), "+Inf"], self._latency),
            sum_value=self._latency_sum_s)
        groups = self._stream.counts.groups
        yield HistogramMetricFamily(
            "clarion_append_group_events", "Events that one append stored together.",
            buckets=_cumulative([*(str(2**power - 1) for power in range(len(groups))), "+Inf"], [*groups, 0]),
            sum_value=self._stream.counts.stored)


def _cumulative(bounds: list[str], counts: list[int]) -> list[tuple[str, float]]:
    """Prometheus' buckets: each counts everything up to its bound."""
    total = 0
    buckets: list[tuple[str, float]] = []
    for bound, count in zip(bounds, counts, strict=True):
        total += count
        buckets.append((bound, total))
    return buckets
