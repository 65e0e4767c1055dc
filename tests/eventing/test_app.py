"""The composition root: how a role ends, and what it hears of a store that is gone."""

import asyncio
import subprocess
import sys

import pytest
import redis.exceptions
import uvloop

from eventing.connection import connect

RUN = """
import sys
from eventing.app import run_role
from eventing.config import Config
sys.exit(run_role("sources", Config(data_dir=sys.argv[1]), 0, {}))
"""


def test_a_role_that_finds_no_store(tmp_path):
    """It ends for another to be started, and says why in a line."""
    (tmp_path / "run").mkdir()
    done = subprocess.run([sys.executable, "-c", RUN, tmp_path], capture_output=True, text=True, timeout=60,
                          check=False)

    said = done.stdout + done.stderr
    assert done.returncode == 1
    assert "the store is away" in said
    assert "Traceback" not in said


def test_a_closed_transport_is_a_lost_connection(valkey_socket):
    """A store that ends while a command is being sent is one that is away, whatever uvloop calls that."""
    async def send_into_nothing():
        client = connect(f"unix://{valkey_socket}")
        connection = await client.connection_pool.get_connection()
        transport = connection._writer.transport
        transport.abort()
        async with asyncio.timeout(10):
            while True:  # uvloop closes it in one of the next turns of the loop
                await asyncio.sleep(0)
                await connection.send_command("PING")

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner, \
            pytest.raises(redis.exceptions.ConnectionError):
        runner.run(send_into_nothing())
