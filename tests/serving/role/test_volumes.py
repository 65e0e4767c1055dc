"""A revision whose volume is not there: its requests, its log, and what happens once it is."""

from base64 import b64encode

import pytest

from eventing import projection
from serving.workers import logs

APP = """
import os
async def app(scope, receive, send):
    if scope["type"] == "http":
        body = open("/clarion-test/key").read().encode()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": body})
"""
WHY = 'MountVolume.SetUp failed for volume "v" : configmap "x" not found'
VOLUMES = {"mounts": [{"volume": "v", "path": "/clarion-test", "sub_path": "", "read_only": True}],
           "scratch": {}}


@pytest.fixture
async def house(open_house):
    """A serving role that shows of each revision that it can start."""
    async with open_house() as house:
        yield house


async def test_it_heals(house):
    """Requests are refused with the reason, a line of the log, until the object is there; it follows that."""
    await house.revision("a", code=APP, lacks=["FailedMount", WHY])

    async def refused():
        answer = await house.ask("a")
        return answer.status == 503 and answer.body.decode().endswith(f"FailedMount: {WHY}\n")

    await house.until(refused)
    lines = logs.read(logs.path(house.config.data_dir, "default", "a"), 100)
    assert {line.split(b" ", 2)[2].decode() for line in lines} == {f"FailedMount: {WHY}"}
    record = (await projection.read(house.store, "revisions"))["default/a"]
    files = {"v": {"key": {"data": b64encode(b"1").decode(), "mode": 0o644}}}
    await projection.write(house.store, "volumes", record["uid"], files)
    await projection.write(house.store, "revisions", "default/a", {
        **record, "volumes": VOLUMES, "lacks": None})

    async def answered():
        return (await house.ask("a")).body == b"1"

    await house.until(answered)
    files["v"]["key"]["data"] = b64encode(b"2").decode()
    await projection.write(house.store, "volumes", record["uid"], files)

    async def changed():
        return (await house.ask("a")).body == b"2"

    await house.until(changed)
    place = house.config.data_dir / "volumes" / record["uid"]
    assert place.is_dir()
    await projection.write(house.store, "revisions", "default/a", None)
    await projection.write(house.store, "volumes", record["uid"], None)

    async def gone():
        return not place.exists()

    await house.until(gone)
