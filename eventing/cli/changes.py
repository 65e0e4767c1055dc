"""`clarion apply|delete|edit`: objects as somebody wants them, by the API that kubectl uses too."""

import os
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from eventing.cli import output, readiness, refusal, server
from eventing.cli.objects import without_managers
from eventing.client import Client, Refused, Resource
from eventing.errors import ClarionError, UsageError

if TYPE_CHECKING:
    from eventing import documents

app = typer.Typer()

Files = Annotated[list[Path] | None, typer.Option(
    "--file", "-f", help="YAML or JSON file, folder, or - for stdin; may be given often.")]


@app.command("apply")
def apply_files(
    *,
    files: Files = None,
    wait: Annotated[bool, typer.Option(help="Return once everything is Ready.")] = True,
    timeout: Annotated[str, typer.Option(help="How long to wait at most: 30s, 5m.")] = "60s",
    validate: Annotated[str, typer.Option(help="Unknown fields: strict, warn or ignore.")] = "strict",
    namespace: server.Namespace = "default",
    server_url: server.Server = None,
) -> None:
    """
    Create or update what YAML files describe, and wait until it is Ready.

    Folders that images name as func://./folder are packed and uploaded on the way.

    Example: clarion apply -f examples/quickstart
    """
    from eventing import apply as applying  # noqa: PLC0415  what packs bundles takes a while to import

    found = _documents(files)
    timeout_s = output.duration_s(timeout)
    if validate not in {"strict", "warn", "ignore"}:
        raise UsageError(f"--validate {validate}: choose strict, warn or ignore")
    applied: dict[str, Resource] = {}
    code = 0
    with Client(server.find(server_url)) as client:
        for document in found:
            try:
                what, applied[document.label] = applying.apply(document, client, namespace,
                                                               validate.capitalize())
            except Refused as error:
                code = code or 1
                sys.stderr.write(f"clarion: {refusal.told(document, str(error))}")
            except UsageError as error:
                code = 2
                sys.stderr.write(f"clarion: {error}\n")  # the others are applied all the same
            else:
                sys.stdout.write(f"{document.label} {what}\n")
                sys.stdout.flush()
            for warning in applying.warnings(client):
                sys.stderr.write(f"clarion: {document.place}: {document.label}: warning: {warning}\n")
        unready = readiness.wait(applied, client, timeout_s) if wait else {}
    for label, reason in unready.items():
        sys.stderr.write(f"clarion: {label} was applied and is not Ready: {reason}\n")
    if unready or code:
        raise typer.Exit(code or 1)


def _documents(files: list[Path] | None) -> list["documents.Document"]:
    from eventing import documents  # noqa: PLC0415  what reads YAML takes a while to import

    if not files:
        raise UsageError("say what to read: -f FILE, -f FOLDER or -f -")
    found = documents.read(files)
    if not found:
        raise UsageError(f"no object is described in {', '.join(map(str, files))}")
    return found


@app.command()
def delete(
    kinds: Annotated[str | None, typer.Argument(help="Kind, plural or short name.")] = None,
    names: Annotated[list[str] | None, typer.Argument(help="The objects.")] = None,
    *,
    files: Files = None,
    lenient: Annotated[bool, typer.Option("--ignore-not-found", help="What is gone is gone.")] = False,
    namespace: server.Namespace = "default",
    server_url: server.Server = None,
) -> None:
    """
    Delete objects by name or by the files that describe them.

    Example: clarion delete trigger audit
    """
    with Client(server.find(server_url)) as client:
        if files and not kinds:
            # Backwards: what refers to others goes before them.
            chosen = [(document.label, client.path_of(document.resource, namespace))
                      for document in reversed(_documents(files))]
        else:
            chosen = _chosen(client, kinds, names, namespace)
        failed = False
        for label, path in chosen:
            try:
                client.delete(path)
            except Refused as error:
                if lenient and error.status == 404:  # noqa: PLR2004
                    continue
                failed = True  # the others go all the same
                sys.stderr.write(f"clarion: {label}: {error}\n")
            else:
                sys.stdout.write(f"{label} deleted\n")
    if failed:
        raise typer.Exit(1)


def _chosen(
    client: Client, kinds: str | None, names: list[str] | None, namespace: str
) -> list[tuple[str, str]]:
    if kinds and kinds.count("/") == 1 and not names:
        kinds, name = kinds.split("/")
        names = [name]
    if not kinds or not names:
        raise UsageError("say what to delete: KIND NAME, or -f FILE")
    return [(f"{kind.singular}/{name}", kind.path(namespace, name))
            for kind in client.kinds_named(kinds) for name in names]


@app.command()
def edit(
    kind: Annotated[str, typer.Argument(help="Kind, plural or short name.")],
    name: Annotated[str, typer.Argument(help="The object.")],
    *,
    namespace: server.Namespace = "default",
    server_url: server.Server = None,
) -> None:
    """
    Change an object in your editor.

    The editor is the one that VISUAL or EDITOR names, else vi. What the API refuses comes back into the
    editor's file, whose place is printed.

    Example: EDITOR=nano clarion edit trigger audit
    """
    from eventing import documents  # noqa: PLC0415  its YAML errors name line and column

    with Client(server.find(server_url)) as client:
        path = client.kinds_named(kind)[0].path(namespace, name)
        before = output.as_yaml(without_managers(client.get(path)))
        with tempfile.NamedTemporaryFile("w", suffix=".yaml", prefix="clarion-edit-", delete=False) as file:
            file.write(before)
        place = Path(file.name)
        _open_editor(place)
        after = place.read_text()
        if after == before:
            place.unlink()
            sys.stdout.write("unchanged\n")
            return
        try:
            [document] = documents.parse(after, place)
            client.replace(f"{path}?fieldValidation=Strict", document.resource)
        except ValueError as error:
            raise UsageError(f"{place}: keep one object in the file") from error
        except Refused as error:
            raise ClarionError(f"{error} (your text is kept in {place})") from error
        place.unlink()
        sys.stdout.write(f"{document.label} edited\n")


def _open_editor(place: Path) -> None:
    editor = os.environ.get("VISUAL") or os.environ.get("EDITOR") or "vi"
    try:
        status = subprocess.run([*shlex.split(editor), str(place)], check=False).returncode
    except OSError as error:
        raise UsageError(f"cannot start the editor {editor!r}: {error.strerror}; set EDITOR") from error
    if status:
        raise ClarionError(f"the editor {editor!r} ended with {status}; nothing was changed")
