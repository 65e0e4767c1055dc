"""Class HPA with real workers: what they use is what decides how many there are."""

import pytest
from prometheus_client import generate_latest

from serving.autoscaler import hpa
from serving.objects.autoscaling import HPA

# It starts a program that burns a fifth of a core, which nobody asks for.
BUSY = """
import subprocess, sys
BURN = '''
import time
while True:
    end = time.process_time() + 0.005
    while time.process_time() < end:
        pass
    time.sleep(0.02)
'''
subprocess.Popen([sys.executable, "-c", BURN])
"""


@pytest.fixture(autouse=True)
def often(monkeypatch):
    """Look at what workers use three times a second."""
    monkeypatch.setattr(hpa, "SYNC_S", 0.3)


async def test_cpu(house):
    """What a worker's programs burn, over a request of a hundredth of a core, wants max-scale workers."""
    await house.revision("a", code=BUSY + house.app, cpu_request=0.01,
                         annotations={"class": HPA, "max-scale": "3"})
    first = await house.scale("a", lambda record: record["actual"] == 1)
    assert (first["healthy"], first["active"]) == (True, "True")
    await house.scale("a", lambda record: record["actual"] == 3)


async def test_memory(house):
    """A target below what any worker has wants max-scale workers; far above it, one is enough."""
    await house.revision("a", annotations={"class": HPA, "metric": "memory", "target": "1", "max-scale": "2"})
    await house.revision("b", annotations={"class": HPA, "metric": "memory", "target": "9000"})
    await house.scale("a", lambda record: record["actual"] == 2)
    record = await house.scale("b", lambda record: record["actual"] == 1)
    assert record["desired"] == 1


async def test_what_is_not_measured_has_min_scale(house):
    """A metric that is not there, or no request of cpu: min-scale workers, and never none."""
    await house.revision("a", annotations={"class": HPA, "metric": "queue-depth", "target": "1",
                                           "min-scale": "2"})
    await house.revision("b", code=BUSY + house.app, annotations={"class": HPA})
    await house.scale("a", lambda record: record["actual"] == 2)
    await house.scale("b", lambda record: record["actual"] == 1)
    assert (await house.ask("b")).status == 200


async def test_class_of_all(house):
    """`pod-autoscaler-class` decides for whoever says nothing, also for revisions that are there."""
    await house.revision("a", annotations={"metric": "memory", "target": "1", "max-scale": "2"})
    await house.scale("a", lambda record: record["desired"] == 0)
    await house.zero_allowed(**{"pod-autoscaler-class": HPA})
    await house.scale("a", lambda record: record["actual"] == 2)
    await house.zero_allowed()
    await house.scale("a", lambda record: record["desired"] < 2)


async def test_the_number_outlives_the_role(open_house, monkeypatch):
    """When the role starts again there are as many workers as before: whoever was busy stays so."""
    async with open_house() as house:
        await house.revision("a", annotations={"class": HPA, "metric": "memory", "target": "1",
                                               "max-scale": "3"})
        await house.scale("a", lambda record: record["actual"] == 3)
    monkeypatch.setattr(hpa, "SYNC_S", 3600.0)
    async with open_house() as house:
        async def are_there():
            said = generate_latest(house.metrics).decode().splitlines()
            return [line[-4:] for line in said if line.startswith("kn_revision_pods_count{")] == [" 3.0"]
        await house.until(are_there)
