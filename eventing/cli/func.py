"""
`clarion func new|run|deploy|invoke|list|delete`: a function from its first line to its end.

The words are those of Knative's `func`, and a folder made by it is read as it is (see funcyaml.py).
"""

import json
import os
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from eventing.cli import output, server
from eventing.client import Client, Resource
from eventing.errors import NotFound, UsageError
from serving.functions import funcyaml, manifest, templates
from serving.objects.names import not_dns_1035

app = typer.Typer()
func = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False,
                   context_settings={"help_option_names": ["-h", "--help"]})

Folder = Annotated[Path, typer.Argument(metavar="[DIR]", help="The function's folder.")]
Namespace = Annotated[str | None, typer.Option(
    "--namespace", "-n", envvar="CLARION_NAMESPACE", show_default="func.yaml's, else default",
    help="Namespace.")]
Env = Annotated[list[str] | None, typer.Option(
    "--env", "-e", help="Set a variable, NAME=VALUE, or leave out one of func.yaml's, NAME-; several times.")]
Path_ = Annotated[Path, typer.Option("--path", "-p", help="The folder whose function is meant.")]

_SERVICES = "/apis/serving.knative.dev/v1{}/services"
_BUNDLE = "func://"
_DATA = '{"message": "Hello World"}'  # what Knative's own command sends


@func.callback()
def _root() -> None:
    """
    Make, try out, deploy and call functions.

    Example: clarion func new hello && clarion func run hello
    """


@func.command()
def new(
    name: Annotated[str, typer.Argument(help="The function's name, and its folder's; may be a path.")],
    *,
    template: Annotated[str, typer.Option(
        "--template", "-t", help="event (a handle(event)), cloudevents or http (Knative's own layout).",
    )] = templates.DEFAULT,
) -> None:
    """
    Write a new function into a folder of its own.

    Example: clarion func new hello --template cloudevents
    """
    if not name:
        raise UsageError("a function has a name; clarion func new hello makes one called hello")
    folder = Path(name)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(f"{folder}: is there already, and not empty; choose another name")
    if wrong := not_dns_1035(folder.resolve().name):
        raise UsageError(f"{folder.resolve().name!r} cannot be a function's name: {wrong[0]}")
    created = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    for path, text in templates.files(template, folder.resolve().name, created).items():
        file = folder / path
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
        except OSError as error:
            raise UsageError(f"cannot write {file}: {error.strerror}") from error
    sys.stdout.write(f"Created python function in {folder}\n")
    sys.stderr.write(f"Try it: clarion func run {folder}   Deploy it: clarion func deploy {folder}\n")


@func.command()
def run(
    folder: Folder = Path(),
    *,
    env: Env = None,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int | None, typer.Option(
        "--port", min=0, max=65535, show_default="8080, or a free one", help="Port to listen on.")] = None,
) -> None:
    """
    Serve a folder on this machine, anew whenever a file changes.

    It needs no `clarion up`. What the function prints is printed; Ctrl-C ends it.

    Example: clarion func run hello --env GREETING=Hi
    """
    from eventing.cli import func_run  # noqa: PLC0415  what serves takes a while to import

    func_run.serve(folder, funcyaml.load(folder), env or [], host, port)


@func.command()
def deploy(
    folder: Folder = Path(),
    *,
    env: Env = None,
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Return when it is ready.")] = True,
    timeout_s: Annotated[float, typer.Option("--timeout", min=0, help="Seconds to wait at most.")] = 600,
    namespace: Namespace = None,
    server_url: server.Server = None,
) -> None:
    """
    Make a folder a Service, and wait until it is ready.

    The folder is packed and uploaded; func.yaml, where there is one, says name, variables, scale and
    subscriptions. Prints the function's URL.

    Example: clarion func deploy hello
    """
    from eventing.cli import func_deploy  # noqa: PLC0415  what packs bundles takes a while to import

    function = funcyaml.load(folder)
    place = namespace or function.namespace or "default"
    with Client(server.find(server_url)) as client:
        deployment = func_deploy.Deployment(client, function, folder, place)
        deployment.apply(env or [], os.environ)
        if wait:
            deployment.wait(timeout_s)
            sys.stdout.write(f"{deployment.url}\n")


@func.command("list")
def list_(
    *,
    form: Annotated[str, typer.Option("--output", "-o", help="human, json or yaml.")] = "human",
    everywhere: Annotated[bool, typer.Option("--all-namespaces", "-A", help="In all of them.")] = False,
    namespace: server.Namespace = "default",
    server_url: server.Server = None,
) -> None:
    """
    List deployed functions.

    Example: clarion func list -A
    """
    if form not in {"human", "json", "yaml"}:
        raise UsageError(f"-o {form}: choose human, json or yaml")
    place = "" if everywhere else f"/namespaces/{namespace}"
    with Client(server.find(server_url)) as client:
        found = [_row(item) for item in client.get(_SERVICES.format(place))["items"] if _is_function(item)]
    if form == "human" and not found:
        where = "any namespace" if everywhere else f"namespace {namespace}"
        sys.stderr.write(f"No functions found in {where}.\n")
    elif form == "human":
        rows = [[str(cell) for cell in row.values()] for row in found]
        sys.stdout.write(output.table(*output.fitting([head.upper() for head in found[0]], rows)))
    else:
        sys.stdout.write(json.dumps(found, indent=4) + "\n" if form == "json" else output.as_yaml(found))


def _is_function(service: Resource) -> bool:
    containers = service["spec"]["template"]["spec"].get("containers") or [{}]
    labels = service["metadata"].get("labels") or {}
    return manifest.IS_FUNCTION in labels or str(containers[0].get("image")).startswith(_BUNDLE)


def _row(service: Resource) -> dict[str, Any]:
    metadata, status = service["metadata"], service.get("status") or {}
    container = (service["spec"]["template"]["spec"].get("containers") or [{}])[0]
    program = Path((container.get("command") or ["python"])[0]).name
    ready = {one["type"]: one["status"] for one in status.get("conditions") or ()}.get("Ready", "Unknown")
    return {"name": metadata["name"], "namespace": metadata["namespace"],
            "runtime": (metadata.get("labels") or {}).get(manifest.RUNTIME_LABEL, program),
            "url": status.get("url", ""), "ready": ready}


@func.command()
def delete(
    names: Annotated[list[str] | None, typer.Argument(
        metavar="[NAME]...", help="The functions; none: the one in this folder.")] = None,
    *,
    folder: Path_ = Path(),
    namespace: Namespace = None,
    server_url: server.Server = None,
) -> None:
    """
    Delete functions, and the Triggers of their subscriptions.

    Example: clarion func delete hello
    """
    function = None if names else _in_folder(folder)
    place = namespace or (function and function.namespace) or "default"
    with Client(server.find(server_url)) as client:
        for name in names or [function.name if function else ""]:
            path = _SERVICES.format(f"/namespaces/{place}") + f"/{name}"
            if client.find(path) is None:
                raise NotFound(f"there is no function {name} in namespace {place}; "
                               "clarion func list -A lists them")
            client.delete(path)
            sys.stdout.write(f"function {name} deleted\n")


def _in_folder(folder: Path) -> funcyaml.Function:
    """The function that a command means when it names none: only a func.yaml makes that unmistakable."""
    if not (folder / funcyaml.FILE).is_file():
        raise UsageError(f"which function? Name one, or a folder with a {funcyaml.FILE} (--path DIR)")
    return funcyaml.load(folder)


@func.command()
def invoke(
    target: Annotated[str | None, typer.Argument(
        metavar="[NAME|URL]", help="A deployed function or a URL; none: the one in this folder, as func run "
                                   "serves it, or else deployed.")] = None,
    *,
    folder: Path_ = Path(),
    form: Annotated[str | None, typer.Option(
        "--format", "-f", show_default="func.yaml's, else cloudevent", help="http or cloudevent.")] = None,
    data: Annotated[str, typer.Option("--data", "-d", help="The body, JSON or text.")] = _DATA,
    file: Annotated[Path | None, typer.Option(help="A file that is the body.")] = None,
    content_type: Annotated[str, typer.Option(help="The body's type.")] = "application/json",
    event_id: Annotated[str | None, typer.Option(
        "--id", show_default="a new UUID", help="The event's id.")] = None,
    event_type: Annotated[str, typer.Option("--type", help="The event's type.")] = "boson.fn",
    source: Annotated[str, typer.Option(help="The event's source.")] = "/boson/fn",
    extension: Annotated[list[str] | None, typer.Option(
        "--extension", "-e", help="An attribute more, NAME=VALUE; may be given often.")] = None,
    method: Annotated[str, typer.Option("--request-type", help="POST or GET, for http.")] = "POST",
    timeout_s: Annotated[float, typer.Option("--timeout", min=0.1, help="Seconds to wait for it.")] = 60,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Show the answer's head.")] = False,
    namespace: Namespace = None,
    server_url: server.Server = None,
) -> None:
    """
    Send one event or request to a function, and print what it answers.

    Exit code 1 if the answer is an error.

    Example: clarion func invoke hello --data '{"name":"Ada"}'
    """
    from eventing.cli import func_invoke  # noqa: PLC0415  listing functions needs none of it

    call = func_invoke.Call(data=func_invoke.body(data, file), content_type=content_type, method=method,
                            event_type=event_type, source=source, event_id=event_id, timeout_s=timeout_s,
                            extensions=func_invoke.attributes(extension or []))
    if target and target.startswith(("http://", "https://")):
        call.send(target, form or "cloudevent", is_verbose=verbose)
        return
    url = None if target else func_invoke.running_url(folder)
    function = None if target else funcyaml.load(folder) if url else _in_folder(folder)
    if url is None:
        name = target or (function.name if function else "")
        place = namespace or (function.namespace if function else None) or "default"
        url = func_invoke.deployed_url(server.find(server_url), place, name)
    call.send(url, form or (function.invoke if function else "cloudevent"), is_verbose=verbose)


app.add_typer(func, name="func")
