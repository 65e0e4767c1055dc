"""
Where the control API is, and the options that say so.

    --server, else CLARION_SERVER, else the instance on the data directory (CLARION_DATA_DIR, .clarion),
    else http://127.0.0.1:8001
"""

import os
from pathlib import Path
from typing import Annotated

import typer

from eventing import instance
from eventing.errors import UsageError

DEFAULT = "http://127.0.0.1:8001"

Server = Annotated[str | None, typer.Option(
    "--server", envvar="CLARION_SERVER", show_default="the one on .clarion, else " + DEFAULT,
    help="URL of the control API.")]
Namespace = Annotated[str, typer.Option("--namespace", "-n", envvar="CLARION_NAMESPACE", help="Namespace.")]


def find(given: str | None) -> str:
    """URL of the control API, without a slash at its end."""
    if given:
        if not given.startswith(("http://", "https://")):
            raise UsageError(f"--server {given}: give a URL such as {DEFAULT}")
        return given.rstrip("/")
    record = instance.running(Path(os.environ.get("CLARION_DATA_DIR", ".clarion")))
    if record is None:
        return DEFAULT
    return f"http://{instance.reachable(record['host'])}:{record['control_port']}"
