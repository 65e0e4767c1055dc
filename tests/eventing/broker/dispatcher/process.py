"""One dispatcher as a process: `python process.py SOCKET DIRECTORY`; it prints a line when it is ready."""

import asyncio
import signal
import sys
from pathlib import Path

import redis.asyncio
from prometheus_client import CollectorRegistry

from eventing.broker.dispatcher import run
from eventing.cancellation import heeding
from eventing.config import Config
from eventing.runtime import Runtime


async def main():
    """Dispatch until SIGTERM."""
    path, directory = sys.argv[1:]
    async with heeding(redis.asyncio.Redis(unix_socket_path=path)) as store:
        runtime = Runtime(config=Config(data_dir=Path(directory), drain_s=5), store=store,
                          metrics=CollectorRegistry())
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, runtime.stopping.set)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(run(runtime))
            while not runtime.is_ready:
                await asyncio.sleep(0.01)
            sys.stdout.write("ready\n")
            sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(main())
