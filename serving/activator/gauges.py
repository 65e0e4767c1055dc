"""
What the serving role exports: counted with plain numbers where it happens, read here when somebody asks.

Names and labels are Knative's (`kn.revision.pods.desired` and so on) in Prometheus' spelling. A revision at
zero has only its number of workers; what is measured second by second is given for those that are awake.
"""

from collections.abc import Callable, Iterable, Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from serving.activator.door import Activator
from serving.activator.durations import cumulative
from serving.activator.pool import Pool
from serving.autoscaler.kpa import Decision
from serving.autoscaler.scaler import Scaler

_LABELS = ("k8s_namespace_name", "kn_service_name", "kn_configuration_name", "kn_revision_name")

_COUNTS: tuple[tuple[str, str, Callable[[Pool], float]], ...] = (
    ("kn_revision_pods_desired", "Workers that the autoscaler wants", lambda pool: pool.autoscaler.desired),
    ("kn_revision_pods_requested", "Workers that were asked for",
     lambda pool: len(pool.staying) + pool.starting),
    ("kn_revision_pods_count", "Workers that are ready", lambda pool: pool.ready),
)
_LOADS: tuple[tuple[str, str, Callable[[Pool], float]], ...] = (
    ("kn_revision_pods_not_ready_count", "Workers that are starting",
     lambda pool: len(pool.staying) + pool.starting - pool.ready),
    ("kn_revision_pods_pending_count", "Workers that are no process yet", lambda pool: pool.starting),
    ("kn_revision_pods_terminating_count", "Workers that finish what they have",
     lambda pool: len(pool.slots) - len(pool.staying)),
    ("kn_revision_request_concurrency", "Requests open now", lambda pool: pool.meter.inside),
    ("kn_revision_request_queued", "Requests that wait for a worker", lambda pool: pool.breaker.waiting),
    ("kn_revision_request_active", "Requests that a worker has",
     lambda pool: sum(slot.inside for slot in pool.slots)),
    ("kn_serving_queue_depth", "Requests that wait for a worker", lambda pool: pool.breaker.waiting),
)
_DECISIONS: tuple[tuple[str, str, Callable[[Decision], float]], ...] = (
    ("kn_revision_panic_mode", "1 while the panic window decides", lambda decision: decision.panicking),
    ("kn_revision_capacity_excess", "Excess burst capacity", lambda decision: decision.excess_burst),
)
# In what the revision is scaled by: `kn_revision_concurrency_stable`, `kn_revision_rps_stable` and so on.
_METRICS = ("concurrency", "rps", "cpu", "memory")
_AVERAGES: tuple[tuple[str, str, Callable[[Pool, Decision], float]], ...] = (
    ("stable", "Average over the stable window", lambda _, decision: decision.stable),
    ("panic", "Average over the panic window", lambda _, decision: decision.panic),
    ("target", "What one worker shall have", lambda pool, _: pool.autoscaler.scaling.target),
)


class Gauges(Collector):
    """Reads a scaler and an activator."""

    def __init__(self, scaler: Scaler, activator: Activator) -> None:
        """Register it with the role's registry."""
        self._scaler = scaler
        self._activator = activator

    def collect(self) -> Iterator[Metric]:
        """Every family once."""
        for name, text, read in _COUNTS:
            yield _family(name, text, [(pool, read(pool)) for pool in self._scaler.pools.values()])
        awake = self._scaler.awake
        for name, text, read in _LOADS:
            yield _family(name, text, [(pool, read(pool)) for pool in awake])
        for name, text, weigh in _DECISIONS:
            yield _family(name, text, [(pool, weigh(pool.decision)) for pool in awake if pool.decision])
        for metric in _METRICS:
            yield from _averages(metric, awake)
        yield _durations(self._scaler.pools.values())
        requests = CounterMetricFamily("kn_revision_requests", "Requests so far", labels=_LABELS)
        for pool in self._scaler.pools.values():
            if pool.meter.total:
                requests.add_metric(_labels(pool), pool.meter.total)
        yield requests
        answers = CounterMetricFamily("clarion_activator_answers", "Answers by status", labels=("status",))
        for status, count in self._activator.answers.items():
            answers.add_metric((str(status),), count)
        yield answers


def _family(name: str, text: str, samples: list[tuple[Pool, float]]) -> Metric:
    family = GaugeMetricFamily(name, text, labels=_LABELS)
    for pool, value in samples:
        family.add_metric(_labels(pool), value)
    return family


def _averages(metric: str, awake: list[Pool]) -> Iterator[Metric]:
    decided = [(pool, pool.decision) for pool in awake
               if pool.decision and pool.autoscaler.scaling.metric == metric]
    for name, text, read in _AVERAGES:
        yield _family(f"kn_revision_{metric}_{name}", text,
                      [(pool, read(pool, decision)) for pool, decision in decided])


def _durations(pools: Iterable[Pool]) -> Metric:
    family = HistogramMetricFamily("kn_serving_invocation_duration_seconds", "From a request to its answer's "
                                   "end", labels=(*_LABELS, "http_response_status_code"))
    for pool in pools:
        for status, buckets in pool.durations.items():
            family.add_metric((*_labels(pool), str(status)), cumulative(buckets), buckets[-1])
    return family


def _labels(pool: Pool) -> tuple[str, str, str, str]:
    namespace, _, revision = pool.name.partition("/")
    record = pool.record
    return namespace, record.get("service") or "", record.get("configuration") or "", revision
