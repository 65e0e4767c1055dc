"""`clarion source list|describe|list-types`: where events come from, in the words of Knative's `kn`."""

import json
import sys
from typing import Annotated, Any

import typer

from eventing.cli import description, output, server
from eventing.client import Client, KindName, Resource
from eventing.errors import NotFound, UsageError

app = typer.Typer()
source = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False,
                     context_settings={"help_option_names": ["-h", "--help"]})

Form = Annotated[str, typer.Option("--output", "-o", help="table, json or yaml.")]
Everywhere = Annotated[bool, typer.Option("--all-namespaces", "-A", help="In all of them.")]
Types = Annotated[list[str] | None, typer.Option("--type", "-t", help="Only this kind; may be given often.")]

_CATEGORY = "sources"
# What a person types for a sink, as kn has it.
_SINKS = {"Broker": "broker", "Service": "ksvc", "Channel": "channel"}
_DESCRIPTIONS = {
    "ApiServerSource": "Objects of a Kubernetes API, as they change",
    "ContainerSource": "Whatever a program of yours sends to K_SINK",
    "KafkaSource": "Records of Kafka topics",
    "PingSource": "An event whenever a cron line says so",
    "RabbitmqSource": "Messages of a RabbitMQ queue",
    "RedisStreamSource": "Entries of a Redis stream",
    "SinkBinding": "K_SINK for programs that run already",
}


@source.callback()
def _root() -> None:
    """
    List and describe where events come from.

    Example: clarion source list -A
    """


@source.command("list")
def list_sources(
    *,
    types: Types = None,
    form: Form = "table",
    everywhere: Everywhere = False,
    namespace: server.Namespace = "default",
    server_url: server.Server = None,
) -> None:
    """
    List sources of every kind with their sinks, and whether they are Ready.

    Example: clarion source list --type KafkaSource
    """
    with Client(server.find(server_url)) as client:
        found = _found(client, None if everywhere else namespace, types)
    if form in {"json", "yaml"}:
        return _print({"apiVersion": "v1", "kind": "List", "items": found}, form)
    if form != "table":
        raise UsageError(f"-o {form}: choose table, json or yaml")
    if not found:
        where = "any namespace" if everywhere else f"namespace {namespace}"
        sys.stderr.write(f"No sources found in {where}.\n")
        return None
    heads = ["NAME", "TYPE", "SINK", "AGE", "READY", "REASON"]
    rows = [_row(item) for item in found]
    if everywhere:
        heads.insert(0, "NAMESPACE")
        rows = [[item["metadata"]["namespace"], *row] for item, row in zip(found, rows, strict=True)]
    sys.stdout.write(output.table(*output.fitting(heads, rows)))
    return None


@source.command()
def describe(
    name: Annotated[str, typer.Argument(help="The source, or KIND/NAME where two kinds have one so called.")],
    *,
    form: Form = "table",
    namespace: server.Namespace = "default",
    server_url: server.Server = None,
) -> None:
    """
    Show one source with its conditions.

    Example: clarion source describe telemetry
    """
    type_, _, name = name.rpartition("/")
    with Client(server.find(server_url)) as client:
        found = [item for item in _found(client, namespace, [type_] if type_ else None)
                 if item["metadata"]["name"] == name]
    if not found:
        raise NotFound(f"there is no source {name} in namespace {namespace}; clarion source list shows all")
    if len(found) > 1:
        kinds = " or ".join(f"{item['kind']}/{name}" for item in found)
        raise UsageError(f"{name}: several kinds have one so called; say {kinds}")
    if form in {"json", "yaml"}:
        _print(found[0], form)
    else:
        sys.stdout.write(description.describe(found[0], []))


@source.command("list-types")
def list_types(*, form: Form = "table", server_url: server.Server = None) -> None:
    """
    List the kinds of sources that there are.

    Example: clarion source list-types
    """
    with Client(server.find(server_url)) as client:
        kinds = sorted(_kinds(client), key=lambda kind: kind.kind)
    heads = ["TYPE", "NAME", "VERSION", "DESCRIPTION"]
    rows = [[kind.kind, kind.full, kind.version, _DESCRIPTIONS.get(kind.kind, "")] for kind in kinds]
    if form in {"json", "yaml"}:
        names = [head.lower() for head in heads]
        _print([dict(zip(names, row, strict=True)) for row in rows], form)
    else:
        sys.stdout.write(output.table(*output.fitting(heads, rows, spare={"NAME"})))


def _kinds(client: Client) -> list[KindName]:
    """One a kind, the version that discovery names first."""
    kinds: dict[str, KindName] = {}
    for kind in client.kinds():
        if _CATEGORY in kind.categories:
            kinds.setdefault(kind.full, kind)
    return list(kinds.values())


def _found(client: Client, namespace: str | None, types: list[str] | None) -> list[Resource]:
    """Sources of all kinds, or of those that *types* name, by namespace and name."""
    kinds = _kinds(client)
    if types:
        wanted = {name.lower() for name in types}
        kinds = [kind for kind in kinds if wanted & {name.lower() for name in kind.names}]
        if not kinds:
            raise UsageError(f"there is no source of type {', '.join(types)}; clarion source list-types says "
                             "which there are")
    # The items of a list do not repeat what the list says of all of them.
    found = [{"apiVersion": f"{kind.group}/{kind.version}", "kind": kind.kind, **item}
             for kind in kinds for item in client.get(kind.path(namespace))["items"]]
    return sorted(found, key=lambda item: (item["metadata"]["namespace"], item["metadata"]["name"]))


def _row(item: Resource) -> list[str]:
    status = item.get("status") or {}
    conditions: list[Resource] = status.get("conditions") or []
    ready = next((each for each in conditions if each["type"] == "Ready"), {})
    accepting = next((each for each in conditions if each["type"] == "SinkAccepting"), {})
    return [item["metadata"]["name"], item["kind"], _sink(item),
            output.age(item["metadata"].get("creationTimestamp")), ready.get("status", "Unknown"),
            ready.get("reason") or accepting.get("reason", "")]


def _sink(item: Resource) -> str:
    """The sink as kn writes it: `broker:default`, `ksvc:price`, or its URL."""
    sink = (item.get("spec") or {}).get("sink") or {}
    ref = sink.get("ref")
    if not ref:
        return str(sink.get("uri") or "")
    place = ref.get("namespace") or item["metadata"]["namespace"]
    short = f"{_SINKS.get(ref['kind'], ref['kind'])}:{ref['name']}"
    return short if place == item["metadata"]["namespace"] else f"{short}:{place}"


def _print(shown: Any, form: str) -> None:
    sys.stdout.write(output.as_yaml(shown) if form == "yaml" else json.dumps(shown, indent=4) + "\n")


app.add_typer(source, name="source")
