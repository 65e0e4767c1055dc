"""What a request's query string and Accept header ask for: pure."""

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass

import orjson

from eventing.control import failure

# How long a watch lives that names no time: Kubernetes picks 30 to 60 minutes.
_WATCH_S = 3600.0

_FIELD_VALIDATIONS = ("Ignore", "Strict", "Warn")


@dataclass(frozen=True, slots=True)
class Options:
    """One request's options; names are those of the API without its capitals."""

    labels: str = ""
    fields: str = ""
    limit: int = 0  # 0: all
    after: tuple[str, str] = ("", "")  # namespace and name where the last page ended
    resource_version: str = ""
    is_watch: bool = False
    wants_bookmarks: bool = False
    wants_initial: bool = False  # sendInitialEvents: what there is, then a bookmark, then changes
    timeout_s: float = _WATCH_S
    is_dry_run: bool = False
    unknown_fields: str = "Warn"  # fieldValidation
    include: str = "Metadata"  # what a table's rows carry
    manager: str = ""  # fieldManager, of a server-side apply
    is_forced: bool = False


def options(query: Mapping[str, str]) -> Options:
    """Read a query string; Failure 400 for a value that makes no sense."""
    return Options(
        labels=query.get("labelSelector", ""),
        fields=query.get("fieldSelector", ""),
        limit=_number(query, "limit", 0),
        after=_position(query.get("continue", "")),
        resource_version=_version(query.get("resourceVersion", "")),
        is_watch=_flag(query, "watch"),
        wants_bookmarks=_flag(query, "allowWatchBookmarks"),
        wants_initial=_flag(query, "sendInitialEvents"),
        timeout_s=float(_number(query, "timeoutSeconds", 0)) or _WATCH_S,
        is_dry_run=_dry_run(query.get("dryRun", "")),
        unknown_fields=_field_validation(query.get("fieldValidation") or "Warn"),
        include=query.get("includeObject", "Metadata"),
        manager=query.get("fieldManager", ""),
        is_forced=_flag(query, "force"),
    )


def is_table(accept: str) -> bool:
    """Whether an Accept header asks for a v1 Table."""
    first = accept.partition(",")[0].replace(" ", "")
    parameters = set(first.split(";")[1:])
    return {"as=Table", "v=v1", "g=meta.k8s.io"} <= parameters


def token(position: tuple[str, str]) -> str:
    """The `continue` token for a list that ended at *position*."""
    return base64.urlsafe_b64encode(orjson.dumps(position)).decode().rstrip("=")


def _position(text: str) -> tuple[str, str]:
    if not text:
        return "", ""
    try:
        namespace, name = orjson.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    except (ValueError, TypeError, binascii.Error) as error:
        raise failure.bad_request(f"continue key is not valid: {error}") from error
    return str(namespace), str(name)


def _number(query: Mapping[str, str], name: str, default: int) -> int:
    text = query.get(name) or str(default)
    if not (text.isascii() and text.isdigit()):
        raise failure.bad_request(f'strconv.ParseInt: parsing "{text}": invalid syntax ({name})')
    return int(text)


def _version(text: str) -> str:
    if text and not (text.isascii() and text.isdigit()):
        raise failure.bad_request(f'Invalid value: "{text}": resourceVersion must be a number')
    return text


def _flag(query: Mapping[str, str], name: str) -> bool:
    return query.get(name, "") in ("1", "true", "True", "t")


def _dry_run(text: str) -> bool:
    if text not in ("", "All"):
        raise failure.bad_request(f'Invalid value: "{text}": dryRun must be All')
    return text == "All"


def _field_validation(text: str) -> str:
    if text not in _FIELD_VALIDATIONS:
        listed = ", ".join(f'"{each}"' for each in _FIELD_VALIDATIONS)
        raise failure.bad_request(f'fieldValidation: Unsupported value: "{text}": supported values: {listed}')
    return text
