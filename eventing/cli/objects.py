"""`clarion get|describe`: objects as they are, by the API that kubectl uses too."""

import contextlib
import json
import sys
from typing import Annotated, Any
from urllib.parse import urlencode

import typer

from eventing.cli import description, output, server
from eventing.client import Client, KindName, Resource
from eventing.errors import NotFound, UsageError

app = typer.Typer()

Kinds = Annotated[str, typer.Argument(help="Kind, plural or short name; several with commas.")]
Form = Annotated[str, typer.Option("--output", "-o", help="table, wide, json, yaml or name.")]


@app.command()
def get(
    kinds: Kinds,
    names: Annotated[list[str] | None, typer.Argument(help="Only these objects.")] = None,
    *,
    form: Form = "table",
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Go on with every change.")] = False,
    everywhere: Annotated[bool, typer.Option("--all-namespaces", "-A", help="In all of them.")] = False,
    selector: Annotated[str | None, typer.Option("--selector", "-l", help="Labels: app=shop.")] = None,
    namespace: server.Namespace = "default",
    server_url: server.Server = None,
) -> None:
    """
    List objects as a table, JSON or YAML. A table is cut to the terminal's width; what is piped is whole.

    Example: clarion get brokers,triggers,services -A
    """
    if form not in {"table", "wide", "json", "yaml", "name"}:
        raise UsageError(f"-o {form}: choose table, wide, json, yaml or name")
    if kinds.count("/") == 1 and not names:
        kinds, name = kinds.split("/")
        names = [name]
    with Client(server.find(server_url)) as client:
        found = client.kinds_named(kinds)
        query = f"?{urlencode({'labelSelector': selector})}" if selector else ""
        place = None if everywhere else namespace
        if watch:
            with contextlib.suppress(KeyboardInterrupt):
                _watch(client, found, place, query, is_wide=form == "wide")
            return None
        if form in {"table", "wide"}:
            return _print_tables(client, found, names or [], place, query, is_wide=form == "wide")
        objects = [item for kind in found for item in _objects(client, kind, names or [], place, query)]
    return _print_objects(objects, form, is_one=len(names or []) == 1 and len(found) == 1)


def _objects(
    client: Client, kind: KindName, names: list[str], place: str | None, query: str
) -> list[Resource]:
    if names:
        return [without_managers(client.get(kind.path(place or "default", name))) for name in names]
    answer = client.get(kind.path(place) + query)
    group = f"{kind.group}/{kind.version}" if kind.group else kind.version
    # The items of a list do not repeat what the list says of all of them.
    return [without_managers({"apiVersion": group, "kind": kind.kind, **item}) for item in answer["items"]]


def without_managers(item: Resource) -> Resource:
    """*item* without who applied which field on the server's side, which is long and says nothing of it."""
    item["metadata"].pop("managedFields", None)
    return item


def _print_objects(objects: list[Resource], form: str, *, is_one: bool) -> None:
    if form == "name":
        for item in objects:
            group = item["apiVersion"].rpartition("/")[0]
            kind = f"{item['kind'].lower()}.{group}".rstrip(".")
            sys.stdout.write(f"{kind}/{item['metadata']['name']}\n")
        return
    shown: Any = objects[0] if is_one else {"apiVersion": "v1", "kind": "List", "items": objects}
    sys.stdout.write(output.as_yaml(shown) if form == "yaml" else json.dumps(shown, indent=4) + "\n")


def _print_tables(client: Client, kinds: list[KindName], names: list[str], place: str | None, query: str, *,
                  is_wide: bool) -> None:
    printed = 0
    for kind in kinds:
        if names:
            answers = [client.table(kind.path(place or "default", name)) for name in names]
        else:
            answers = [client.table(kind.path(place) + query)]
        rows = [row for answer in answers for row in answer["rows"] or []]
        if not rows:
            continue
        shows_kind = len(kinds) > 1
        heads, cells = _cells(answers[0], rows, kind if shows_kind else None,
                              shows_place=place is None and kind.is_namespaced, is_wide=is_wide)
        sys.stdout.write(("\n" if printed else "") + output.table(*output.fitting(heads, cells)))
        printed += 1
    if not printed:
        where = f" in namespace {place}" if place else " in any namespace"
        if not any(kind.is_namespaced for kind in kinds):
            where = ""
        sys.stderr.write(f"No {', '.join(kind.plural for kind in kinds)} found{where}.\n")


def _cells(table: Resource, rows: list[Resource], kind: KindName | None, *, shows_place: bool,
           is_wide: bool) -> tuple[list[str], list[list[str]]]:
    """Heads and cells of a Table, as kubectl shows them: names with their kind where several are shown."""
    shown = [number for number, column in enumerate(table["columnDefinitions"])
             if is_wide or not column.get("priority")]
    heads = [table["columnDefinitions"][number]["name"].upper() for number in shown]
    cells = [["" if row["cells"][number] is None else str(row["cells"][number]) for number in shown]
             for row in rows]
    if kind and "NAME" in heads:
        name = heads.index("NAME")
        for line in cells:
            line[name] = f"{kind.singular}{'.' if kind.group else ''}{kind.group}/{line[name]}"
    if shows_place:
        heads.insert(0, "NAMESPACE")
        for line, row in zip(cells, rows, strict=True):
            line.insert(0, row["object"]["metadata"].get("namespace", ""))
    return heads, cells


def _watch(client: Client, kinds: list[KindName], place: str | None, query: str, *, is_wide: bool) -> None:
    """What there is, then a line for every change, until Ctrl-C."""
    if len(kinds) != 1:
        raise UsageError("-w follows one kind; name only one")
    kind = kinds[0]
    path = kind.path(place) + query
    table = client.table(path)
    columns = table["columnDefinitions"]
    heads, cells = _cells(table, table["rows"] or [], None, shows_place=place is None, is_wide=is_wide)
    sys.stdout.write(output.table(heads, cells))
    sys.stdout.flush()
    widths = [max(len(row[number]) for row in [heads, *cells]) for number in range(len(heads))]
    for event in client.watch(path, table["metadata"]["resourceVersion"]):
        if event["type"] == "BOOKMARK":
            continue
        columns = event["object"].get("columnDefinitions") or columns  # said once in a watch
        _, cells = _cells({"columnDefinitions": columns}, event["object"]["rows"], None,
                          shows_place=place is None, is_wide=is_wide)
        for line in cells:
            padded = "   ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
            sys.stdout.write(f"{padded}{'   (deleted)' if event['type'] == 'DELETED' else ''}\n")
        sys.stdout.flush()


@app.command()
def describe(
    kinds: Kinds,
    names: Annotated[list[str] | None, typer.Argument(help="Only these objects.")] = None,
    *,
    namespace: server.Namespace = "default",
    server_url: server.Server = None,
) -> None:
    """
    Show one object with its conditions and recent events.

    Example: clarion describe service price
    """
    if kinds.count("/") == 1 and not names:
        kinds, name = kinds.split("/")
        names = [name]
    with Client(server.find(server_url)) as client:
        found = [item for kind in client.kinds_named(kinds)
                 for item in _objects(client, kind, names or [], namespace, "")]
        if not found:
            raise NotFound(f"there is nothing to describe: no {kinds} in namespace {namespace}")
        for number, item in enumerate(found):
            text = description.describe(item, _events_of(client, item), _waiting_for(client, item))
            sys.stdout.write(("\n" if number else "") + text)


def _events_of(client: Client, item: Resource) -> list[Resource]:
    namespace = item["metadata"].get("namespace", "default")
    query = f"?fieldSelector=involvedObject.uid%3D{item['metadata']['uid']}"
    return list(client.get(f"/api/v1/namespaces/{namespace}/events{query}")["items"])


def _waiting_for(client: Client, item: Resource) -> Resource | None:
    """Of a Trigger, what waits for it; None for other kinds, and where the data plane does not know it."""
    if item["kind"] != "Trigger":
        return None
    metadata = item["metadata"]
    return client.find(f"/dead/{metadata['namespace']}/{metadata['name']}/waiting")
