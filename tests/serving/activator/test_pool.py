"""What a pool says of its workers, by a clock of the test's own."""

import asyncio

from serving.activator.breaker import Slot
from serving.activator.pool import STABLE_S, TOLD_S, Pool
from serving.objects.autoscaling import settings
from serving.workers.backend import Worker

RECORD = {"uid": "1", "timeout_s": 300}
WHY = "Liveness probe failed: no answer"


def ready(since):
    """A slot whose worker takes requests *since* then."""
    futures = {name: asyncio.get_running_loop().create_future() for name in ("ready", "exited")}
    slot = Slot(Worker(id="w", revision="default/a", uid="1", address=("127.0.0.1", 1), takes_early=True,
                       **futures))
    slot.is_ready, slot.ready_since = True, since
    return slot


async def test_a_liveness_that_failed_is_told_for_a_while():
    """Though the worker had lasted, another has, and the next one is ready at once: each time anew."""
    pool = Pool("default/a", RECORD, settings({}), 0.0, healthy=True)
    for now in (10 * STABLE_S, 20 * STABLE_S):
        failing, other = ready(0.0), ready(0.0)
        pool.slots = [failing, other]
        pool.measure(now)
        assert pool.trouble is None
        failing.is_retired = True
        pool.failed("LivenessFailed", WHY, now, has_run=True)
        for later in (now, now + TOLD_S - 0.1):
            pool.slots = [failing, other, ready(now)]
            pool.measure(later)
            assert pool.trouble == ("Unhealthy", WHY)
            assert pool.report()["trouble"] == ("Unhealthy", WHY)
        pool.measure(now + TOLD_S)
        assert pool.trouble is None
