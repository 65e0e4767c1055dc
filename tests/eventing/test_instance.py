"""One instance on one machine: its directory, its lock, its ports."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from eventing import instance
from eventing.config import Config
from eventing.errors import UsageError

HOLDER = """
import sys
from pathlib import Path
from eventing import instance
with instance.lock(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def holder(tmp_path):
    """Another process that holds the lock of tmp_path."""
    with subprocess.Popen([sys.executable, "-c", HOLDER, tmp_path], stdin=subprocess.PIPE,
                          stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"held\n"
        yield process
        process.stdin.close()


def test_lock_names_the_other(tmp_path, holder):
    """Who comes second is told the pid of the first."""
    with pytest.raises(UsageError, match=f"pid {holder.pid};"), instance.lock(tmp_path):
        pass


def test_lock_of_the_dead(tmp_path, holder):
    """A killed holder's lock is free."""
    holder.kill()

    with instance.lock(tmp_path):
        assert int((tmp_path / "lock").read_text()) == os.getpid()


def test_port_in_use():
    """A port that is taken is named, with the option that chooses another one."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(UsageError, match=rf"port {port} on 127.0.0.1 is in use.*--port"):
            instance.listen("127.0.0.1", port, "--port")


@pytest.mark.parametrize("host", ["no.such.host.invalid", "203.0.113.7"])
def test_host_that_is_not_ours(host):
    """A host that cannot be listened on is a UsageError that names --host."""
    with pytest.raises(UsageError, match="--host"):
        instance.listen(host, 0, "--port")


def test_directory_that_cannot_be(tmp_path):
    """A data directory below a file is refused by name, with the option that chooses another one."""
    (tmp_path / "file").touch()

    with pytest.raises(UsageError, match=r"cannot write to .*/file/data: Not a directory; .*--data-dir"):
        instance.prepare(Config(data_dir=tmp_path / "file" / "data"))


def test_announced_instance_is_found(tmp_path):
    """Commands find a living instance by its directory, and no dead one."""
    config = Config(data_dir=tmp_path, port=1234, control_port=5678)
    instance.prepare(config)

    instance.announce(config)

    assert instance.running(tmp_path)["control_port"] == 5678
    instance.retract(config)
    assert instance.running(tmp_path) is None


def test_dead_instance_is_not_found(tmp_path):
    """What a killed instance announced counts for nothing."""
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "clarion.json").write_text(json.dumps({"pid": process.pid}))

    assert instance.running(tmp_path) is None


def test_sockets_of_a_deep_directory():
    """Where the data directory's path is too long for a unix socket, the sockets live elsewhere."""
    config = Config(data_dir=Path("/" + "long/" * 40))

    assert len(bytes(config.admin_socket("dispatcher", 63))) <= 107
