"""
How long cold starts take, and which part of them what: two histograms, in seconds.

    request --queued--> worker asked for --forked--> it runs --imported--> the function is imported
            --listening--> it accepts requests --first_byte--> the answer starts

A request that came while its worker was on its way waited for a part of that only, and is counted with that
part. A program in `command` imports nothing that we could see: from `forked` it goes straight to `listening`.
"""

from prometheus_client import CollectorRegistry, Histogram

from serving.workers.backend import Worker

# The floor of the whole is some 3 ms.
_BOUNDS_S = (0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_STAGE_BOUNDS_S = (0.0005, 0.001, 0.002, *_BOUNDS_S)


class ColdStarts:
    """Counts requests that waited for a worker to start."""

    def __init__(self, registry: CollectorRegistry) -> None:
        """Export from *registry*."""
        self._whole = Histogram("clarion_cold_start_seconds", "From a request that woke a worker to its "
                                "answer's start", buckets=_BOUNDS_S, registry=registry)
        self._stages = Histogram("clarion_cold_start_stage_seconds", "Parts of clarion_cold_start_seconds",
                                 ("stage",), buckets=_STAGE_BOUNDS_S, registry=registry)

    def answered(self, worker: Worker, begun: float, now: float) -> None:
        """A request that had *begun* before *worker* was ready gets its answer *now*; time.monotonic."""
        self._whole.observe(now - begun)
        if worker.ready.done():
            self._count_stages(worker, begun, now)
        else:  # its answer was faster than its own word that it is ready
            worker.ready.add_done_callback(lambda _: self._count_stages(worker, begun, now))

    def _count_stages(self, worker: Worker, begun: float, now: float) -> None:
        times = worker.times
        for stage, end in (("queued", times.asked), ("forked", times.forked), ("imported", times.imported),
                           ("listening", times.listening), ("first_byte", now)):
            if end:
                self._stages.labels(stage).observe(max(0.0, end - begun))
                begun = max(begun, end)
