"""
A RabbitMQ node on a free loopback port, in a directory of its own.

Taken from CLARION_TEST_RABBITMQ=amqp://USER:PASSWORD@HOST:PORT/ (then it is not restarted), from Debian's
package where that is installed, or from the same package unpacked into the cache: that needs no root, and
starts no service. The package's script is run in its library folder, as the wrapper on PATH changes to the
user `rabbitmq`, who may not write here. `epmd`, Erlang's name server, outlives a node, so it is started and
stopped here, apart. It takes 3 to 10 s to start and 150 MB.
"""

import argparse
import contextlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from tests.servers import provision
from tests.servers.provision import Missing

_PACKAGE = "rabbitmq-server"
_START_S = 100.0  # three, where nobody else works
_STOP_S = 30.0


class Program:
    """Where RabbitMQ's start script and Erlang are."""

    def __init__(self, root):
        """Look below *root*; nothing need be there."""
        scripts = sorted(root.glob("usr/lib/rabbitmq/lib/rabbitmq_server-*/sbin/rabbitmq-server"))
        self.script = scripts[-1] if scripts else None
        self.erlang = root / "usr/lib/erlang/bin"
        self.admin = root / "usr/bin/rabbitmqadmin"

    @property
    def is_there(self):
        """Whether it can be started."""
        return self.script is not None and (self.erlang / "epmd").exists()


def find():
    """The RabbitMQ that is installed, else the one in the cache, downloaded if need be; raises Missing."""
    if (installed := Program(Path("/"))).is_there:
        return installed
    root = provision.cache("rabbitmq") / "root"
    provision.unpack(_PACKAGE, root, _complete)
    return Program(root)


def _complete(unpacked, root):
    """Whether everything is there; Debian's `erl` knows one place only, its own, until it is told another."""
    if not Program(unpacked).is_there:
        return False
    erl = unpacked / "usr/lib/erlang/bin/erl"
    erl.write_text(re.sub(r"ROOTDIR=/usr/lib/erlang\b", f"ROOTDIR={root}/usr/lib/erlang", erl.read_text()))
    return True


class RabbitMQ:
    """One node, with what it stores; may be stopped, killed and started again on the same port."""

    def __init__(self, program, port=None):
        """Nothing but epmd is started yet."""
        self.program = program
        self.directory = Path(tempfile.mkdtemp(prefix="rmq-"))
        self.port, self._distribution, self._names, self.management_port = provision.free_ports(4)
        self.port = port or self.port
        self._node = None
        # For rabbitmqadmin; without the statistics, which cost what is to be tested time.
        (self.directory / "plugins").write_text("[rabbitmq_management].\n")
        (self.directory / "rabbitmq.conf").write_text(
            f"management.tcp.ip = 127.0.0.1\nmanagement.tcp.port = {self.management_port}\n"
            "management.disable_stats = true\nmanagement_agent.disable_metrics_collector = true\n")
        self._epmd = subprocess.Popen([program.erlang / "epmd", "-port", str(self._names),
                                       "-address", "127.0.0.1"], env=self._environment(),
                                      stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)

    @property
    def url(self):
        """Where to connect, as the user who may do anything."""
        return f"amqp://guest:guest@127.0.0.1:{self.port}/"

    def _environment(self):
        at = self.directory
        return {
            "PATH": f"{self.program.erlang}:/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8",
            "HOME": str(at),
            "RABBITMQ_NODENAME": "clarion@localhost", "RABBITMQ_NODE_PORT": str(self.port),
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1", "RABBITMQ_DIST_PORT": str(self._distribution),
            "RABBITMQ_MNESIA_BASE": str(at / "mnesia"), "RABBITMQ_LOG_BASE": str(at / "log"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(at / "plugins"), "RABBITMQ_PID_FILE": str(at / "pid"),
            "RABBITMQ_FEATURE_FLAGS_FILE": str(at / "flags"), "RABBITMQ_CONFIG_FILE": str(at / "rabbitmq"),
            "RABBITMQ_CONF_ENV_FILE": str(at / "none"), "ERL_EPMD_PORT": str(self._names),
            "ERL_EPMD_ADDRESS": "127.0.0.1", "ERL_CRASH_DUMP_BYTES": "0",
            # The script then becomes the node, so its pid is the one to kill.
            "RUNNING_UNDER_SYSTEMD": "1",
            # Two schedulers that never spin: the tests share two cores with what they test.
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "+S 2:2 +sbwt none +sbwtdcpu none +sbwtdio none",
        }

    def start(self):
        """Start the node and return once it says that it has started."""
        output = self.directory / "output"
        with output.open("wb") as file:
            self._node = subprocess.Popen([self.program.script], cwd=self.directory, env=self._environment(),
                                          stdin=subprocess.DEVNULL, stdout=file, stderr=file)
        deadline = time.monotonic() + _START_S
        while b"completed with" not in output.read_bytes():
            if self._node.poll() is not None or time.monotonic() > deadline:
                message = f"RabbitMQ did not start:\n{output.read_text()[-2000:]}"
                raise RuntimeError(message)
            time.sleep(0.05)

    def admin(self, *arguments):
        """Run `rabbitmqadmin`, which comes with the management plugin."""
        if not self.program.admin.exists():
            raise Missing("there is no rabbitmqadmin beside this RabbitMQ")
        subprocess.run([sys.executable, self.program.admin, "--port", str(self.management_port), *arguments],
                       check=True, stdout=subprocess.DEVNULL)

    def stop(self):
        """Stop the node as a person would."""
        if self._node is not None and self._node.poll() is None:
            self._node.terminate()
            try:
                self._node.wait(_STOP_S)
            except subprocess.TimeoutExpired:
                self.kill()

    def kill(self):
        """SIGKILL."""
        self._node.kill()
        self._node.wait()

    def close(self):
        """Stop everything and remove what was stored."""
        self.kill()  # its data goes with it
        self._epmd.terminate()
        self._epmd.wait()
        shutil.rmtree(self.directory, ignore_errors=True)


class External:
    """A node that somebody else runs."""

    def __init__(self, url):
        """Use it as it is."""
        self.url = url

    def kill(self, *_arguments):
        """Tests that take the server away, or administer it, need one of their own."""
        pytest.skip("RabbitMQ is not ours to restart: CLARION_TEST_RABBITMQ is set")

    stop = start = admin = kill


@contextlib.contextmanager
def serve(port=None):
    """A running node; raises Missing where there can be none."""
    if url := os.environ.get("CLARION_TEST_RABBITMQ"):
        yield External(url)
        return
    server = RabbitMQ(find(), port)
    try:
        server.start()
        yield server
    finally:
        server.close()


def main():
    """A RabbitMQ for a person."""
    parser = argparse.ArgumentParser(prog="python -m tests.servers.rabbitmq", description=main.__doc__)
    parser.add_argument("--port", type=int, help="where it listens (default: a free one)")
    provision.attend(serve, parser.parse_args().port,
                     lambda server: f"RabbitMQ listens on {server.url}; Ctrl-C ends it\n")


if __name__ == "__main__":
    main()
