"""A real sink, and the sources role running over a real Valkey."""

import asyncio
import contextlib

import pytest
from prometheus_client import CollectorRegistry

from eventing.config import Config
from eventing.runtime import Runtime
from sources import role
from tests.servers import provision
from tests.servers import rabbitmq as rabbitmq_server
from tests.sources.sink import Sink


@pytest.fixture(scope="session")
def rabbitmq():
    """A RabbitMQ node (tests/servers/rabbitmq.py); guarantees no empty queues."""
    with provision.needed("RabbitMQ", rabbitmq_server.serve) as server:
        yield server


@pytest.fixture
async def sink():
    """A sink that listens."""
    async with Sink() as made:
        yield made


@pytest.fixture
async def sources(store, tmp_path):
    """The sources role, running."""
    runtime = Runtime(config=Config(data_dir=tmp_path), store=store, metrics=CollectorRegistry())
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(role.run(runtime))
        yield runtime
        runtime.stopping.set()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(10):
                await running
