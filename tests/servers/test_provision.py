"""Servers that a person starts: how they end, and what is said when there is no room for one."""

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROGRAM = """
import contextlib, subprocess
from tests.servers import provision

@contextlib.contextmanager
def serve(port):
    with subprocess.Popen(["sleep", "1000"]) as server:
        try:
            yield server
        finally:
            server.kill()

provision.attend(serve, None, lambda server: f"{server.pid}\\n")
"""


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_end(how):
    """SIGTERM ends what was started, as Ctrl-C does."""
    with subprocess.Popen([sys.executable, "-c", PROGRAM], cwd=ROOT, stdout=subprocess.PIPE,
                          text=True) as process:
        server = int(process.stdout.readline())
        process.send_signal(how)
        assert process.wait(timeout=30) == 0

    with pytest.raises(ProcessLookupError):
        os.kill(server, 0)


@pytest.mark.parametrize("name", ["kafka", "rabbitmq", "kubernetes"])
def test_port_in_use(name):
    """A port that somebody listens on is named in one line."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = subprocess.run([sys.executable, "-m", f"tests.servers.{name}", "--port", str(port)], cwd=ROOT,
                              capture_output=True, text=True, check=False, timeout=60)

    assert (done.returncode, done.stderr) == (1, f"port {port} is in use\n")
