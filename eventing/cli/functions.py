"""`clarion logs`: what functions print."""

import contextlib
import sys
from typing import Annotated
from urllib.parse import quote

import typer

from eventing import client
from eventing.cli import server

app = typer.Typer()


@app.command()
def logs(
    name: Annotated[str, typer.Argument(help="Name of the Service, Deployment or ContainerSource.")],
    *,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with what comes.")] = False,
    namespace: server.Namespace = "default",
    server_url: server.Server = None,
) -> None:
    """
    Print what a Service's workers print.

    Or the program of a Deployment or of a ContainerSource of that name. The lines of all revisions; those of
    processes that ended are kept. Ctrl-C ends -f.

    Example: clarion logs price -f
    """
    path = f"/feeds/logs/{quote(namespace)}/{quote(name)}?follow={str(follow).lower()}"
    feed = client.endless if follow else client.lines
    with contextlib.suppress(KeyboardInterrupt):
        for line in feed(server.find(server_url), path):
            sys.stdout.write(line.decode(errors="replace"))
            sys.stdout.flush()
