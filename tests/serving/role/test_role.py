"""The serving role begins where its predecessor ended, and ends when told to."""

import asyncio

from eventing import projection


async def test_restart_remembers_who_was_healthy(open_house):
    """After a restart of the role a proved revision is healthy at zero; one that is gone is forgotten."""
    async with open_house() as house:
        await house.revision("a")
        await house.scale("a", lambda record: record["actual"] == 1)
        await projection.write(house.store, "scales", "default/old", {"uid": "x", "healthy": True})
    async with open_house() as house:
        record = await house.scale("a", lambda record: record["actual"] == 0)
        assert (record["healthy"], record["desired"]) == (True, 0)
        await house.until(lambda: house.is_forgotten("old"))
        assert (await house.ask("a")).status == 200


async def test_drains_when_told_to_stop(open_house):
    """A request in flight when the role is stopped is answered; no worker is left."""
    async with open_house(from_zero=True) as house, asyncio.TaskGroup() as tasks:
        await house.revision("a")
        pid = await house.pid("a")
        slow = tasks.create_task(house.ask("a", "?sleep=0.5"))
        await asyncio.sleep(0.1)
        house.runtime.stopping.set()
    assert slow.result().status == 200
    assert await house.is_gone(pid)
