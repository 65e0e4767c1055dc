"""
What the dispatcher reports to Prometheus: every lane's deliveries, and how much of what waits where.

A lane counts in plain integers on its way; they become metrics when somebody asks. What is kept in the
store (backlogs, retries, dead letters) is counted by the owner every few seconds, `Partition.upkeep`.
"""

import time
from collections.abc import Callable, Iterable, Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from eventing.broker import hand
from eventing.broker.hand import Waits
from eventing.broker.lane import BUCKETS_S, Lane
from eventing.broker.partition import Partition
from eventing.broker.queues import Keyed

_LANE = ("trigger", "partition")


class LaneMetrics(Collector):
    """Counts of one dispatcher process."""

    def __init__(self, partitions: Callable[[], Iterable[Partition]]) -> None:
        """*partitions* are those that are owned now."""
        self._partitions = partitions

    def collect(self) -> Iterator[Metric]:
        """For prometheus_client."""
        yield from self._of_partitions()
        yield from self._of_lanes()

    def _of_partitions(self) -> Iterator[Metric]:
        lag = GaugeMetricFamily(
            "clarion_partition_lag_seconds", "How much older the last entry read is than the last there is.",
            labels=("broker", "partition"))
        for partition in self._partitions():
            labels = (partition.broker, str(partition.number))
            lag.add_metric(labels, partition.upkeep.kept.lag_s)
        yield lag

    def _of_lanes(self) -> Iterator[Metric]:
        results = CounterMetricFamily(
            "clarion_deliveries", "Attempts by what was decided after them.", labels=(*_LANE, "result"))
        seconds = HistogramMetricFamily(
            "clarion_delivery_seconds", "From the attempt to the decision.", labels=_LANE)
        unjudged = CounterMetricFamily(
            "clarion_filter_unjudged", "Events that a filter did not look at: it would take too long.",
            labels=_LANE)
        opened = GaugeMetricFamily("clarion_deliveries_open", "Attempts under way.", labels=_LANE)
        backlog = GaugeMetricFamily(
            "clarion_backlog", "Entries that wait for a trigger, and are not being sent.", labels=_LANE)
        dead = GaugeMetricFamily(
            "clarion_dead_letters", "Dead letters that are kept.", labels=_LANE)
        held = GaugeMetricFamily(
            "clarion_keys_held", "Keys of an ordered trigger that wait for a failed event.", labels=_LANE)
        retries = GaugeMetricFamily(
            "clarion_retries", "Failed deliveries that wait for their next attempt.", labels=_LANE)
        lag = GaugeMetricFamily(
            "clarion_trigger_lag_seconds",
            "How old the oldest event is that waits for a trigger, or is on its way.", labels=_LANE)
        now = time.time()
        for partition in self._partitions():
            kept = partition.upkeep.kept
            for lane in partition.lanes.values():
                labels = (lane.name, str(partition.number))
                opened.add_metric(labels, len(lane.open))
                waits = kept.lanes.get(lane.uid, Waits())
                backlog.add_metric(labels, max(0, waits.backlog - lane.open_parked))
                retries.add_metric(labels, waits.retries)
                dead.add_metric(labels, waits.dead)
                # What the store holds was counted some seconds ago, and may be gone: its lag does not grow.
                lag.add_metric(labels, max(kept.lag_of(lane.uid), hand.lag_s(now, hand.oldest(lane))))
                if isinstance(lane.queue, Keyed):
                    held.add_metric(labels, lane.queue.held_keys)
                for result, count in lane.counts.results.items():
                    results.add_metric((*labels, result), count)
                if lane.counts.unjudged:
                    unjudged.add_metric(labels, lane.counts.unjudged)
                if lane.counts.results:
                    seconds.add_metric(labels, _cumulative(lane), lane.counts.seconds)
        yield from (results, seconds, unjudged, opened, backlog, dead, held, retries, lag)


def _cumulative(lane: Lane) -> list[tuple[str, float]]:
    """Prometheus' buckets: each counts everything up to its bound."""
    total = 0
    buckets: list[tuple[str, float]] = []
    for bound, count in zip([*map(str, BUCKETS_S), "+Inf"], lane.counts.buckets, strict=True):
        total += count
        buckets.append((bound, total))
    return buckets
