"""A worker whose liveness probe begins to fail is replaced, and what it has is answered first."""

import asyncio
import json

from serving.workers import logs

# Says that it is not alive once it was told so; a request may take its time meanwhile.
FUNCTION = """
import asyncio, json, os
class Function:
    sick = False
    def alive(self): return not self.sick, "sick" if self.sick else "well"
    async def handle(self, scope, receive, send):
        query = scope["query_string"].decode()
        if "sick" in query:
            self.sick = True
        if "slow" in query:
            while not os.path.exists(query.partition("=")[2]):
                await asyncio.sleep(0.02)
        if "hang" in query:
            await asyncio.sleep(600)
        body = json.dumps({"pid": os.getpid()}).encode()
        await send({"type": "http.response.start", "status": 200,
                    "headers": [(b"content-length", str(len(body)).encode())]})
        await send({"type": "http.response.body", "body": body})
def new(): return Function()
"""
PROBE = {"httpGet": {"path": "/health/liveness"}, "periodSeconds": 0.1, "failureThreshold": 2}


async def other_than(house, pid):
    """Ask until another worker than *pid* answers; its process."""
    async def look():
        found = json.loads((await house.ask("a")).body)["pid"]
        return found != pid and found
    return await house.until(look)


async def until_inside(house):
    """Return once a worker has a request."""
    labels = {"k8s_namespace_name": "default", "kn_configuration_name": "a", "kn_revision_name": "a",
              "kn_service_name": "a"}

    async def look():
        return house.metrics.get_sample_value("kn_revision_request_active", labels)

    await house.until(look)


async def test_drained_and_replaced(house):
    """The request in flight is answered by the old worker while a new one takes what comes, which is told."""
    await house.revision("a", code=FUNCTION, liveness=PROBE)
    first = await house.pid("a")
    done = house.config.data_dir / "done"
    async with asyncio.TaskGroup() as tasks:
        slow = tasks.create_task(house.ask("a", f"?slow={done}", method="POST"))
        await until_inside(house)
        await house.ask("a", "?sick")
        second = await other_than(house, first)
        record = await house.scale("a", lambda record: record["trouble"])
        assert (record["healthy"], record["trouble"][0]) == (True, "Unhealthy")
        assert record["trouble"][1].startswith("Liveness probe failed: "), record
        assert not slow.done()
        done.touch()
    assert (slow.result().status, json.loads(slow.result().body)["pid"]) == (200, first)
    await house.until(lambda: house.is_gone(first))
    assert await house.pid("a") == second


async def test_one_that_does_not_end(house):
    """What a hanging worker has does not keep it for longer than the probe's own grace period."""
    await house.revision("a", code=FUNCTION, liveness={**PROBE, "terminationGracePeriodSeconds": 1})
    first = await house.pid("a")
    async with asyncio.TaskGroup() as tasks:
        hanging = tasks.create_task(house.ask("a", "?hang", method="POST"))
        await until_inside(house)
        await house.ask("a", "?sick")
        assert await other_than(house, first)
    assert hanging.result().status == 502
    await house.until(lambda: house.is_gone(first))
    lines = logs.read(logs.path(house.config.data_dir, "default", "a"), 100)
    said = [line.split(b" ", 2)[2].decode() for line in lines]
    assert said[-2:] == ["it did not end within 1 s", "it is killed"], said


async def test_one_that_is_never_alive(house):
    """A revision whose workers are never alive is started ever later, and says why."""
    code = FUNCTION.replace("sick = False", "sick = True")
    await house.revision("a", code=code, liveness={**PROBE, "failureThreshold": 1})

    async def is_refused():
        answer = await house.ask("a")
        return answer.status == 503 and b"LivenessFailed" in answer.body

    await house.until(is_refused)
    await house.scale("a", lambda record: record["healthy"] is False and record["reason"] == "LivenessFailed")
