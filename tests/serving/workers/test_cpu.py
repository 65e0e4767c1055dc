"""`resources.limits.cpu` on this machine: whole cores bound, fractions weigh."""

import os

import pytest

SAYS = "import os\nprint(len(os.sched_getaffinity(0)), os.nice(0))\ndef handle(event): pass\n"
CORES = len(os.sched_getaffinity(0))
NICE = os.nice(0)


@pytest.mark.parametrize(("cpu", "cores", "nice"), [
    pytest.param(None, CORES, 0, id="no limit"),
    pytest.param(1.0, 1, 0, id="one core"),
    pytest.param(0.5, 1, 3, id="half of one"),
    pytest.param(0.001, 1, 19, id="next to nothing"),
    pytest.param(1000.0, CORES, 0, id="more than there are"),
])
async def test_cpu(stage, cpu, cores, nice):
    """A worker may run on as many cores as its limit says; below one it gives way to others."""
    await stage.start(SAYS, cpu=cpu)

    assert stage.log() == [f"{min(cores, CORES)} {min(19, NICE + nice)}"]


async def test_cpu_of_a_command(stage):
    """A program is limited likewise."""
    worker = await stage.backend.start("default/hello-00001", {
        "uid": "1", "command": ["nproc"], "cpu": 0.5})
    await stage.within(worker.exited)

    assert stage.log() == ["1", "it has ended: exit 0"]
