"""
`clarion cesql`: an expression of CloudEvents SQL, evaluated here, for people and for scripts.

    one expression   its value on stdout; an error as one line on stderr, and exit code 1
    --batch          a JSON object a line on stdin, one a line on stdout, in the same order, each at once:

        {"expression": "INT(x) > 1", "event": {"specversion": "1.0", "id": "1", "x": "2"}}
        {"value": true, "error": null}

`error` is null or the specification's kind of error; `value` is what the expression is worth beside it, false
for one that does not parse. A line that is no such object is answered with `generic`, and the next is read.

An event is a JSON object as in structured mode; it need not be complete, its data is not looked at, and
attributes keep the type they have in JSON. Nothing is started and nobody is asked.
"""

import functools
import sys
from pathlib import Path
from typing import Annotated, Any, BinaryIO

import orjson
import typer

from eventing import cesql as language
from eventing.cesql import Outcome
from eventing.errors import ClarionError, UsageError

app = typer.Typer()

# As large as the largest event that the ingress takes unless it is told otherwise, and its expression.
_LINE_LIMIT_BYTES = 2 * 1024 * 1024
_COMPILED = 1024  # expressions kept: a script asks the same one of many events
_INTEGERS = range(-(2**31), 2**31)


class _BadInput(ValueError):
    """What was given is no event, or no line of a batch."""


@app.command()
def cesql(
    expression: Annotated[str | None, typer.Argument(help="The expression.", show_default=False)] = None,
    *,
    event: Annotated[str | None, typer.Option(
        help="File with the event as JSON, - for stdin; without it, no attribute is there.")] = None,
    batch: Annotated[bool, typer.Option("--batch", help="Answer JSON lines on stdin.")] = False,
) -> None:
    """
    Evaluate a CloudEvents SQL expression.

    With --batch every line on stdin is {"expression": ..., "event": {...}}, and is answered by a line
    {"value": ..., "error": null or the kind of error}. An expression that begins with a minus goes behind --.

    Example: clarion cesql "type LIKE 'order.%'" --event order.json
    """
    if batch == (expression is not None) or (batch and event is not None):
        raise UsageError("give an expression, with --event FILE, or --batch alone")
    if batch:
        _answer_all(sys.stdin.buffer, sys.stdout.buffer)
        return
    outcome = _outcome(expression, {} if event is None else _load(event))
    sys.stdout.write(f"{_shown(outcome.value)}\n")
    if outcome.error is not None:
        raise ClarionError(f"{outcome.error}: {outcome.reason}")


def answer(line: bytes) -> bytes:
    """The answer to one line of a batch, both without line break."""
    try:
        asked = orjson.loads(line)
        if not isinstance(asked, dict) or not isinstance(asked.get("expression"), str):
            raise _BadInput('a line is {"expression": "...", "event": {...}}')
        outcome = _outcome(asked["expression"], asked.get("event"))
    except ValueError as error:
        outcome = Outcome(False, "generic", str(error))
    return orjson.dumps({"value": outcome.value, "error": outcome.error})


def _answer_all(lines: BinaryIO, answers: BinaryIO) -> None:
    """Answer each line as it comes; one that is too long is skipped to its end."""
    while line := lines.readline(_LINE_LIMIT_BYTES):
        is_whole = line.endswith(b"\n") or len(line) < _LINE_LIMIT_BYTES
        answers.write(answer(line if is_whole else b"") + b"\n")
        answers.flush()  # who asks may wait for it before it asks again
        while not is_whole:
            rest = lines.readline(_LINE_LIMIT_BYTES)
            is_whole = not rest or rest.endswith(b"\n")


def _outcome(expression: str | None, event: object) -> Outcome:
    attributes = _attributes(event)
    try:
        return _compiled(expression or "").evaluate(attributes)
    except language.ParseError as error:
        return Outcome(False, "parse", str(error))


@functools.lru_cache(_COMPILED)
def _compiled(expression: str) -> language.Expression:
    return language.parse(expression)


def _attributes(event: object) -> dict[str, Any]:
    """Attributes of an event in JSON, with the types of CESQL; null is absent. Raises _BadInput."""
    if event is None:
        return {}
    if not isinstance(event, dict):
        raise _BadInput("an event is a JSON object")
    found = {}
    for name, value in event.items():
        if value is None or name in ("data", "data_base64"):
            continue
        if not isinstance(value, str | bool) and not (type(value) is int and value in _INTEGERS):
            raise _BadInput(f"{name}: must be a string, a boolean, or a whole number of 32 bits")
        found[name] = value
    return found


def _load(path: str) -> object:
    try:
        text = sys.stdin.buffer.read() if path == "-" else Path(path).read_bytes()
        event = orjson.loads(text)
        _attributes(event)
    except OSError as error:
        raise UsageError(f"--event {path}: {error.strerror}") from error
    except ValueError as error:
        raise UsageError(f"--event {path}: {error}") from error
    return event


def _shown(value: str | int | bool) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
