"""Workers whose readiness comes and goes: who gets requests, who waits, and that nothing is lost."""

import asyncio
import json
import random

import pytest

from eventing import projection
from serving.activator.passage import Passage

# Is ready unless there is a file with the number of its process, or "all"; a request may wait for a file.
FUNCTION = """
import asyncio, json, os
class Function:
    def ready(self):
        names = {"all", str(os.getpid())}
        return not names.intersection(os.listdir(os.environ["ILL"]))
    async def handle(self, scope, receive, send):
        query = scope["query_string"].decode()
        while "slow" in query and not os.path.exists(query.partition("=")[2]):
            await asyncio.sleep(0.02)
        body = json.dumps({"pid": os.getpid()}).encode()
        await send({"type": "http.response.start", "status": 200,
                    "headers": [(b"content-length", str(len(body)).encode())]})
        await send({"type": "http.response.body", "body": body})
def new(): return Function()
"""
PROBE = {"httpGet": {"path": "/health/readiness"}, "periodSeconds": 0.05, "failureThreshold": 1,
         "timeoutSeconds": 5}
WHY = "Readiness probe failed: HTTP probe failed with statuscode: 503"


@pytest.fixture
def ill(house):
    """Where a test says who is ill."""
    folder = house.config.data_dir / "ill"
    folder.mkdir()
    return folder


async def revision(house, ill, **fields):
    """Revision a of FUNCTION, which is asked twenty times a second."""
    await house.revision("a", code=FUNCTION, env={"ILL": str(ill)}, readiness=PROBE, **fields)


async def count_ready(house, count, unready=""):
    """Wait until so many workers are ready, and why one is not is told; the record of table `scales`."""
    return await house.scale("a", lambda record: (record["actual"], record["unready"]) == (count, unready))


async def test_all_wait_until_one_is_back(house, ill):
    """What it has is answered; what comes waits, and is served by the same worker; nobody replaces it."""
    await revision(house, ill)
    pid = await house.pid("a")
    done = house.config.data_dir / "done"
    async with asyncio.TaskGroup() as tasks:
        slow = tasks.create_task(house.ask("a", f"?slow={done}", method="POST"))
        (ill / "all").touch()
        record = await count_ready(house, 0, WHY)
        assert record["healthy"]
        assert record["desired"] > 0
        waiting = [tasks.create_task(house.pid("a")) for _ in range(20)]
        done.touch()
        assert (await slow).status == 200
        assert not any(each.done() for each in waiting)
        (ill / "all").unlink()
    assert {each.result() for each in waiting} == {pid}
    await count_ready(house, 1)


async def test_waiting_is_bounded(house, ill):
    """Nobody waits for longer than the revision's timeout says."""
    await revision(house, ill, timeout_s=1.0)

    async def has_started():
        return (await house.ask("a")).status == 200

    await house.until(has_started)
    (ill / "all").touch()
    await count_ready(house, 0, WHY)
    assert (await house.ask("a")).status == 504


async def test_others_take_over(house, ill):
    """One of two that is ill gets nothing new, and is the one that goes when one is enough."""
    await revision(house, ill, annotations={"min-scale": "2", "max-scale": "2"})
    await count_ready(house, 2)
    pids = set()
    while len(pids) < 2:
        pids.add(await house.pid("a"))
    sick, well = pids
    (ill / str(sick)).touch()
    assert (await count_ready(house, 1, WHY))["desired"] == 2
    assert {await house.pid("a") for _ in range(20)} == {well}
    (ill / str(sick)).unlink()
    await count_ready(house, 2)
    (ill / str(sick)).touch()
    await count_ready(house, 1, WHY)
    record = (await projection.read(house.store, "revisions"))["default/a"]
    record["annotations"] = dict.fromkeys(record["annotations"], "1")
    await projection.write(house.store, "revisions", "default/a", record)
    await house.until(lambda: house.is_gone(sick))
    assert await house.pid("a") == well


@pytest.mark.parametrize("limit", [0, 1])
async def test_whatever_the_probes_say(house, ill, monkeypatch, limit):
    """Over any changes no request is given to a worker that is unready then, and each has one answer."""
    given = []
    admitted = Passage.admitted

    def watched(passage, slot):
        given.append(slot.worker.unready)
        admitted(passage, slot)

    monkeypatch.setattr(Passage, "admitted", watched)
    await revision(house, ill, annotations={"min-scale": "3", "max-scale": "3"}, container_concurrency=limit)
    await count_ready(house, 3)
    pids = set()
    while len(pids) < 3:
        pids.update(await asyncio.gather(*(house.pid("a") for _ in range(6))))
    statuses = []

    async def client():
        while len(statuses) < 400 or (ill / "all").exists():
            statuses.append((await house.ask("a", method="POST")).status)
            await asyncio.sleep(0.005)

    async def fate(dice):
        for _ in range(20):
            name = dice.choice(["all", *map(str, pids)])
            if (ill / name).exists():
                (ill / name).unlink()
            else:
                (ill / name).touch()
            await asyncio.sleep(dice.uniform(0.0, 0.1))
        for file in list(ill.iterdir()):
            file.unlink()

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(fate(random.Random(7)))
        for _ in range(8):
            tasks.create_task(client())
    assert set(statuses) == {200}
    assert set(given) == {""}
    await count_ready(house, 3)
    assert {json.loads((await house.ask("a")).body)["pid"] for _ in range(30)} <= pids


async def test_a_start_that_fails(house, ill):
    """A startup probe that never passes is what the revision says, in a line."""
    startup = {"exec": {"command": ["sh", "-c", "echo not yet; exit 3"]}, "periodSeconds": 0.05,
               "failureThreshold": 1, "timeoutSeconds": 10}
    await house.revision("a", code=FUNCTION, env={"ILL": str(ill)}, annotations={"min-scale": "1"},
                         startup=startup)
    record = await house.scale("a", lambda record: record["healthy"] is False)
    assert (record["reason"], record["message"]) == (
        "StartupFailed", "Startup probe failed: not yet; it is killed, and another worker takes its place")
