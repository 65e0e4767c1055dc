"""`clarion dead`: events that no retry delivered. None is dropped: they are kept, to be sent once more."""

import json
import sys
from collections.abc import Iterator
from typing import Annotated, Any
from urllib.parse import quote, urlencode

import typer

from eventing.cli import output, server
from eventing.client import Client
from eventing.errors import UsageError

app = typer.Typer()
dead = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False,
                   help="Look at events that no retry delivered, and send them once more.\n\n"
                        "Example: clarion dead redrive price-orders --all")
app.add_typer(dead, name="dead")

_PAGE = 500  # letters of one request

Trigger = Annotated[str, typer.Argument(help="Name of the Trigger.")]
Ids = Annotated[list[str] | None, typer.Argument(help="Ids, as `list` prints them.")]
All = Annotated[bool, typer.Option("--all", help="All that there are now.")]
Form = Annotated[str, typer.Option("--output", "-o", help="table or json (a letter a line).")]


@dead.command("list")
def list_letters(
    trigger: Annotated[str | None, typer.Argument(help="Only of this Trigger, each by itself.")] = None,
    *,
    form: Form = "table",
    namespace: server.Namespace = "default",
    server_url: server.Server = None,
) -> None:
    """
    Count what waits for each Trigger, or list the dead letters of one.

    Example: clarion dead list price-orders
    """
    if form not in {"table", "json"}:
        raise UsageError(f"-o {form}: choose table or json")
    with Client(server.find(server_url)) as client:
        if trigger is None:
            rows: list[Any] = json.loads(client.request("GET", f"/dead/{quote(namespace)}"))
            heads = ["TRIGGER", "BACKLOG", "RETRIES", "DEAD"]
            cells = [[row["trigger"], str(row["backlog"]), str(row["retries"]), str(row["dead"])]
                     for row in rows]
        else:
            rows = list(_letters(client, namespace, trigger))
            heads = ["ID", "EVENT", "TYPE", "AGE", "ATTEMPTS", "REASON"]
            cells = [[row["id"], row["event"]["id"], row["event"]["type"], output.age(row["when"]),
                      str(row["attempts"]), row["reason"]] for row in rows]
    if form == "json":
        sys.stdout.writelines(f"{json.dumps(row, ensure_ascii=False)}\n" for row in rows)
    elif rows:
        sys.stdout.write(output.table(heads, cells))
    else:
        sys.stderr.write("no Triggers\n" if trigger is None else "no dead letters\n")


@dead.command()
def show(
    trigger: Trigger,
    letter: Annotated[str, typer.Argument(help="Id, as `list` prints it.")],
    *,
    namespace: server.Namespace = "default",
    server_url: server.Server = None,
) -> None:
    """
    Show one dead letter: the event, why it was given up, and what the subscriber answered.

    Example: clarion dead show price-orders 0.1795400000000-0
    """
    with Client(server.find(server_url)) as client:
        found = client.get(f"/dead/{quote(namespace)}/{quote(trigger)}/{quote(letter)}")
    sys.stdout.write(output.as_yaml(found))


@dead.command()
def redrive(
    trigger: Trigger,
    ids: Ids = None,
    *,
    everything: All = False,
    namespace: server.Namespace = "default",
    server_url: server.Server = None,
) -> None:
    """
    Send dead letters to the subscriber again, with all their retries anew.

    Example: clarion dead redrive price-orders --all
    """
    _act("redrive", "sent again", trigger, ids, everything=everything,
         namespace=namespace, server_url=server_url)


@dead.command()
def purge(
    trigger: Trigger,
    ids: Ids = None,
    *,
    everything: All = False,
    namespace: server.Namespace = "default",
    server_url: server.Server = None,
) -> None:
    """
    Throw dead letters away, for good.

    Example: clarion dead purge price-orders 0.1795400000000-0
    """
    _act("purge", "thrown away", trigger, ids, everything=everything,
         namespace=namespace, server_url=server_url)


def _act(verb: str, done: str, trigger: str, ids: list[str] | None, *, everything: bool,
         namespace: str, server_url: str | None) -> None:
    if bool(ids) == everything:
        raise UsageError("say which: ids as `clarion dead list` prints them, or --all")
    count = 0
    with Client(server.find(server_url)) as client:
        chosen = [row["id"] for row in _letters(client, namespace, trigger)] if everything else ids or []
        for start in range(0, len(chosen), _PAGE):
            path = f"/dead/{quote(namespace)}/{quote(trigger)}/{verb}"
            count += client.create(path, {"ids": chosen[start:start + _PAGE]})["count"]
    sys.stdout.write(f"{count} {done}\n")
    if count < len(chosen):
        sys.stderr.write(f"clarion: {len(chosen) - count} of them are no dead letters of {trigger}\n")
        raise typer.Exit(1)


def _letters(client: Client, namespace: str, trigger: str) -> Iterator[dict[str, Any]]:
    """All letters of one Trigger, page by page."""
    after: dict[str, str] = {}
    while True:
        query = urlencode({"limit": _PAGE, **after})
        page = json.loads(client.request("GET", f"/dead/{quote(namespace)}/{quote(trigger)}?{query}"))
        yield from page
        if len(page) < _PAGE:
            return
        after = {"after": page[-1]["id"]}
