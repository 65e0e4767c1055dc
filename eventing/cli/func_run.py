"""
`clarion func run`: the terminal around serving/functions/live.py.

Environments are kept where `clarion up` on this directory keeps them, so that what was installed for a try is
there for the deployment.
"""

import asyncio
import contextlib
import json
import os
import signal
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

from eventing import instance
from eventing.cli import func_deploy, output
from eventing.cli.func_invoke import RUNNING
from eventing.errors import UsageError
from serving.functions import envs, funcyaml, live, manifest
from serving.objects import names, workload
from serving.workers.environment import Environments

_USUAL_PORT = 8080


def serve(folder: Path, function: funcyaml.Function, changes: list[str], host: str, port: int | None) -> None:
    """
    Serve *function* of *folder* until Ctrl-C.

    Args:
        folder: where it is.
        function: what its func.yaml says.
        changes: of variables, NAME=VALUE or NAME-.
        host: to listen on.
        port: to listen on; None: the usual one, or a free one where that is taken.

    Raises:
        UsageError: the port is taken, a variable cannot be had.
    """
    changed = {change.partition("=")[0].removesuffix("-") for change in changes}
    variables = [{"name": name, "value": value}
                 for name, value in envs.variables(function, os.environ, changed).items()]
    env = {one["name"]: one["value"] for one in func_deploy.with_changes(variables, changes)}
    annotations = manifest.annotations_of(function, os.environ)
    preload = workload.modules(annotations.get(names.PRELOAD, ""))
    order = live.Order(folder=folder.resolve(), name=function.name, env=env,
                       entry=annotations.get(names.ENTRY), preload=tuple(preload))
    environments = Environments(Path(os.environ.get("CLARION_DATA_DIR", ".clarion")).absolute())
    with _listener(host, port) as listener, _noted(folder, listener) as url:
        served = live.Live(order, listener, environments, _say)
        asyncio.run(_until_ended(served, url))


async def _until_ended(served: live.Live, url: str) -> None:
    task = asyncio.current_task()
    assert task is not None
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    with contextlib.suppress(asyncio.CancelledError):
        await served.run(lambda: _ready(url))


def _ready(url: str) -> None:
    sys.stdout.write(f"Function running on {url}\n")
    sys.stdout.flush()


def _say(line: str) -> None:
    sys.stderr.write(f"{output.dim(line)}\n")
    sys.stderr.flush()


def _listener(host: str, port: int | None) -> socket.socket:
    if port is not None:
        return instance.listen(host, port, "--port")
    try:
        return instance.listen(host, _USUAL_PORT, "--port")
    except UsageError:
        return instance.listen(host, 0, "--port")


@contextlib.contextmanager
def _noted(folder: Path, listener: socket.socket) -> Iterator[str]:
    """The URL, which stands in the folder meanwhile, for `clarion func invoke`."""
    host, port = listener.getsockname()[:2]
    url = f"http://{instance.reachable(host)}:{port}"
    note = folder / RUNNING
    with contextlib.suppress(OSError):  # a folder that may not be written to is served all the same
        note.parent.mkdir(exist_ok=True)
        note.write_text(json.dumps({"url": url, "pid": os.getpid()}))
    try:
        yield url
    finally:
        with contextlib.suppress(OSError):
            note.unlink()
