"""What a pool says of its workers, by a clock of the test's own."""

import asyncio

from serving.activator.breaker import Slot
from serving.activator.pool import STABLE_S, TOLD_S, Pool
from serving.objects.autoscaling import settings
from serving.workers.backend import Worker

RECORD = {"uid": "1", "timeout_s": 300}
WHY = "Liveness probe failed: no answer"


def starting():
    """A slot whose worker takes no requests yet."""
    futures = {name: asyncio.get_running_loop().create_future() for name in ("ready", "exited")}
    return Slot(Worker(id="w", revision="default/a", uid="1", address=("127.0.0.1", 1), takes_early=True,
                       **futures))


def ready(since):
    """A slot whose worker takes requests *since* then."""
    slot = starting()
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


async def test_a_worker_with_too_many_processes_is_told_for_a_while():
    """Once is enough, with the reason, though the revision stays healthy."""
    pool = Pool("default/a", RECORD, settings({}), 0.0, healthy=True)
    pool.failed("TooManyProcesses", "it is killed", 1.0, has_run=True)
    pool.slots = [ready(1.0)]
    pool.measure(1.0)
    assert pool.trouble == ("Unhealthy", "Worker failed: TooManyProcesses: it is killed")
    pool.measure(1.0 + TOLD_S)
    assert pool.trouble is None


async def test_no_more_workers_start_at_once_than_a_machine_can_start():
    """However many are wanted: the next ones come when some are ready."""
    record = {**RECORD, "annotations": {"autoscaling.knative.dev/min-scale": "2147483647"}}
    pool = Pool("default/a", record, settings({}), 0.0, healthy=True)
    pool.measure(0.0)
    assert pool.shortage == 50
    pool.starting = 30
    pool.slots = [ready(0.0), *[starting() for _ in range(15)]]
    assert pool.shortage == 5
    pool.slots = [ready(0.0) for _ in range(15)]
    assert pool.shortage == 20
    pool.autoscaler.desired = 47
    assert pool.shortage == 2


async def test_none_is_alive():
    """A second liveness that fails makes the revision unhealthy while no worker is ready, and no longer."""
    pool = Pool("default/a", RECORD, settings({}), 0.0, healthy=True)
    pool.failed("LivenessFailed", WHY, 1.0, has_run=True)
    assert pool.report()["healthy"] is True
    pool.failed("LivenessFailed", WHY, 2.0, has_run=True)
    said = pool.report()
    assert (said["healthy"], said["reason"]) == (False, "LivenessFailed")
    pool.slots = [ready(3.0)]
    assert pool.report()["healthy"] is True
