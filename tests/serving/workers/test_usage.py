"""What a worker uses is seen as the kernel counts it, with all that it has started."""

import os
import signal
import subprocess
import sys

import pytest

from serving.workers import pids, usage

# Burns half a second of processor in itself and as much in a child that lives, and takes 64 MiB.
BUSY = """
import os, sys, time
def burn():
    end = time.process_time() + 0.5
    while time.process_time() < end:
        pass
taken = bytearray(b"x" * (64 << 20))
if os.fork():
    burn()
    print("burnt", flush=True)
else:
    burn()
    print("burnt", flush=True)
time.sleep(60)
"""


@pytest.fixture
def busy():
    """A process of its own group that has burnt, and its child has, too."""
    process = subprocess.Popen([sys.executable, "-c", BUSY], stdout=subprocess.PIPE, start_new_session=True)
    try:
        assert [process.stdout.readline() for _ in range(2)] == [b"burnt\n"] * 2
        yield process
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        process.stdout.close()


def test_group(busy):
    """Without a cgroup its process group counts; who has ended is left out."""
    found = usage.read({"a": (1, busy.pid), "b": (1, 2**22 + 1)})
    assert list(found) == ["a"]
    assert 1.0 <= found["a"].cpu_s < 10.0
    assert found["a"].memory_bytes >= 2 * (60 << 20)  # what both share counts for both


def test_cgroup(busy, tmp_path, monkeypatch):
    """With a cgroup those in it count, and nobody else."""
    (tmp_path / "clarion-1" / str(busy.pid)).mkdir(parents=True)
    (tmp_path / "clarion-1" / str(busy.pid) / "cgroup.procs").write_text(f"{busy.pid}\n{2**22 + 1}\n")
    monkeypatch.setattr(pids, "place", lambda: tmp_path)
    found = usage.read({"a": (1, busy.pid)})
    assert found["a"].cpu_s >= 0.5
    assert 60 << 20 <= found["a"].memory_bytes < 2 * (60 << 20)
    assert pids.members(2, busy.pid) is None
