"""
What the API refused, for a person who wrote it in a file: an error a line, with the line of its field. Pure.

    clarion: t.yaml:7:3: trigger/audit: admission webhook "..." denied the request: validation failed: ...
    clarion: t.yaml:1:1: trigger/audit: admission webhook "..." denied the request: validation failed:
      t.yaml:7:3: expected at least one, got none: spec.subscriber.ref, spec.subscriber.uri
      t.yaml:5:3: missing field(s): spec.broker
"""

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from eventing.documents import Document

_HEAD = re.compile(
    r"(.*?(?:validation failed|cannot decode incoming new object|strict decoding error)): (.*)", re.DOTALL)
_SEVERAL_UNKNOWN = re.compile(r', (?=unknown field ")')  # how Kubernetes joins them
# Where an error names its field, if not at its end: the admission's, a decoder's, a schema's.
_FIELDS = (re.compile(r'unknown field "([^"]+)"$'), re.compile(r"Go struct field (\S+) of type"),
           re.compile(r"((?:spec|metadata|data)[^: ]*): [A-Z][a-z]+ value"))
_ROOTS = ("spec", "metadata", "data")
_DETAIL = re.compile(r"[\t{]")  # {v1.BrokerSpec}.Config and its values: of the error above


def told(document: "Document", message: str) -> str:
    """The lines to print for *message*, with which the API refused *document*."""
    head, errors = _split(message)
    if len(errors) == 1:
        place = _place(document, errors[0]) or document.place
        return f"{place}: {document.label}: {head}{errors[0]}\n"
    lines = [f"{document.place}: {document.label}: {head.rstrip()}"]
    for error in errors:
        place = "" if _DETAIL.match(error) else _place(document, error)
        lines.append(f"  {place}: {error}" if place else f"    {error.strip()}")
    return "".join(f"{line}\n" for line in lines)


def _split(message: str) -> tuple[str, list[str]]:
    """What comes before the errors, and the lines of the errors."""
    found = _HEAD.fullmatch(message)
    if found is None:
        return "", [" ".join(message.split())]
    return f"{found[1]}: ", [line for part in _SEVERAL_UNKNOWN.split(found[2])
                             for line in part.splitlines() if line.strip()]


def _place(document: "Document", error: str) -> str:
    """Where the field is that *error* names at its end; "" if it names none."""
    named = (found[1] for pattern in _FIELDS if (found := pattern.search(error)))
    path = next(named, error.rpartition(": ")[2].partition(", ")[0])
    return document.place_of(path) if path.startswith(_ROOTS) else ""
