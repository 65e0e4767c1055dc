"""`clarion dead`: events that no retry delivered. None is dropped: they are kept, to be sent once more."""

import json
import re
import sys
from collections.abc import Iterator
from typing import Annotated, Any
from urllib.parse import quote, urlencode

import typer

from eventing.cli import output, server
from eventing.client import Client
from eventing.errors import NotFound, UsageError

app = typer.Typer()
dead = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False,
                   help="Look at events that no retry delivered, and send them once more.\n\n"
                        "Example: clarion dead redrive price-orders --all")
app.add_typer(dead, name="dead")

_PAGE = 500  # letters of one request
_ID = re.compile(r"\d+\.\d+-\d+", re.ASCII)

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
            rows: list[Any] = json.loads(client.request("GET", _path(namespace)))
            heads = ["TRIGGER", "BACKLOG", "RETRIES", "DEAD", "LAST FAILURE"]
            cells = [[row["trigger"], str(row["backlog"]), str(row["retries"]), str(row["dead"]), _why(row)]
                     for row in rows]
        else:
            rows = list(_letters(client, namespace, trigger))
            heads = ["ID", "EVENT", "TYPE", "AGE", "ATTEMPTS", "REASON"]
            cells = [[row["id"], row["event"]["id"], row["event"]["type"], output.age(row["when"]),
                      str(row["attempts"]), row["reason"]] for row in rows]
    if form == "json":
        sys.stdout.writelines(f"{json.dumps(row, ensure_ascii=False)}\n" for row in rows)
    elif rows:
        sys.stdout.write(output.table(*output.fitting(heads, cells, spare={"EVENT"})))
    else:
        what = f"Triggers in namespace {namespace}" if trigger is None else "dead letters"
        sys.stderr.write(f"no {what}\n")


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
    if not _ID.fullmatch(letter):
        raise NotFound(f"there is no dead letter {letter or repr(letter)}; clarion dead list lists them")
    with Client(server.find(server_url)) as client:
        found = client.get(_path(namespace, trigger, letter))
    sys.stdout.write(output.as_yaml(found))


def _command(verb: str, done: str, explanation: str) -> None:
    """Add the command *verb*, which does something with chosen dead letters: they are then *done*."""
    @dead.command(verb, help=explanation)
    def command(
        trigger: Trigger,
        ids: Ids = None,
        *,
        everything: All = False,
        namespace: server.Namespace = "default",
        server_url: server.Server = None,
    ) -> None:
        if bool(ids) == everything:
            raise UsageError("say which: ids as `clarion dead list` prints them, or --all")
        count = 0
        with Client(server.find(server_url)) as client:
            chosen = [row["id"] for row in _letters(client, namespace, trigger)] if everything else ids or []
            path = _path(namespace, trigger, verb)
            for start in range(0, len(chosen), _PAGE):
                count += client.create(path, {"ids": chosen[start:start + _PAGE]})["count"]
        sys.stdout.write(f"{count} {done}\n")
        if count < len(chosen):
            sys.stderr.write(f"clarion: {len(chosen) - count} of them are no dead letters of {trigger}\n")
            raise typer.Exit(1)


_command("redrive", "sent again",
         "Send dead letters to the subscriber again, with all their retries anew.\n\n"
         "Example: clarion dead redrive price-orders --all")
_command("purge", "thrown away",
         "Throw dead letters away, for good.\n\nExample: clarion dead purge price-orders 0.1795400000000-0")


def _why(row: dict[str, Any]) -> str:
    """Reason of the last failure of a Trigger, unless it works again; else that of its last dead letter."""
    failure, letter = row["failure"], row["letter"]
    if failure and not failure["is_over"]:
        return str(failure["reason"])
    return str(letter["reason"]) if letter else ""


def _path(*names: str) -> str:
    """Where the API has what concerns a namespace, a Trigger in it, and so on."""
    for name in names:
        if not name or "/" in name:
            raise UsageError(f"{name!r} is no name: give one of a namespace or Trigger")
    return "/".join(["/dead", *map(quote, names)])


def _letters(client: Client, namespace: str, trigger: str) -> Iterator[dict[str, Any]]:
    """All letters of one Trigger, page by page."""
    after: dict[str, str] = {}
    while True:
        query = urlencode({"limit": _PAGE, **after})
        page = json.loads(client.request("GET", f"{_path(namespace, trigger)}?{query}"))
        yield from page
        if len(page) < _PAGE:
            return
        after = {"after": page[-1]["id"]}
