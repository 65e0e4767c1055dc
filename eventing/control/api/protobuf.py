"""
Kubernetes' protobuf, as far as clients send it instead of JSON: `kubectl create namespace|configmap|secret`,
and DeleteOptions (`kn secret delete`, client-go).

    body       "k8s", a zero byte, Unknown{1: TypeMeta{1: apiVersion, 2: kind}, 2: the object}
    object     fields by number; those below are read, and an object with any other is refused, not halved

Answers stay JSON: such a client takes either. Pure. Source: the `generated.proto` files of k8s.io/api and
k8s.io/apimachinery.
"""

import base64
from collections.abc import Iterator, Mapping
from typing import Any

TYPE = "application/vnd.kubernetes.protobuf"

_MAGIC = b"k8s\x00"
_VARINT, _BYTES = 0, 2  # wire types; Kubernetes' objects of these kinds have no others
_VARINT_BITS = 64
_MORE = 0x80  # of a byte of a number: another one follows

Message = Mapping[int, tuple[str, Any]]  # number -> name, and how it is read

_TEXTS, _BLOBS, _FLAG, _LIST = "map of text", "map of bytes", "bool", "list of text"
# What the server owns (uid, generation, ..) is not believed anyway; a new object has it empty. Of a deletion
# it is what JSON's is not asked for either.
_IGNORED = "ignored"
_META: Message = {
    1: ("name", str), 2: ("generateName", str), 3: ("namespace", str), 4: ("selfLink", _IGNORED),
    5: ("uid", _IGNORED), 6: ("resourceVersion", str), 7: ("generation", _IGNORED),
    8: ("creationTimestamp", _IGNORED), 11: ("labels", _TEXTS), 12: ("annotations", _TEXTS),
    14: ("finalizers", _LIST), 17: ("managedFields", _IGNORED)}
_KINDS: Mapping[tuple[str, str], Message] = {
    ("v1", "Namespace"): {1: ("metadata", _META), 2: ("spec", {1: ("finalizers", _LIST)}),
                          3: ("status", _IGNORED)},
    ("v1", "ConfigMap"): {1: ("metadata", _META), 2: ("data", _TEXTS), 3: ("binaryData", _BLOBS),
                          4: ("immutable", _FLAG)},
    ("v1", "Secret"): {1: ("metadata", _META), 2: ("data", _BLOBS), 3: ("type", str),
                       4: ("stringData", _TEXTS), 5: ("immutable", _FLAG)},
}
# Of meta.k8s.io, and sent under the apiVersion of whatever is to be deleted.
_DELETE_OPTIONS: Message = {
    1: ("gracePeriodSeconds", _IGNORED), 2: ("preconditions", {1: ("uid", str), 2: ("resourceVersion", str)}),
    3: ("orphanDependents", _IGNORED), 4: ("propagationPolicy", str), 5: ("dryRun", _LIST),
    6: ("ignoreStoreReadErrorWithClusterBreakingPotential", _IGNORED)}


class Unread(ValueError):
    """It is of a kind, or has a field, that is not read here."""


def decode(raw: bytes) -> dict[str, Any]:
    """
    The object that *raw*, a whole body, holds, as its JSON has it.

    Raises:
        Unread: it is of another kind, or has other fields.
        ValueError: it is no such body at all.
    """
    if not raw.startswith(_MAGIC):
        raise ValueError("a body of Kubernetes' protobuf begins with k8s and a zero byte")
    unknown = dict(_fields(raw[len(_MAGIC):]))
    named = {number: _text(value) for number, value in _fields(_bytes(unknown.get(1, b"")))}
    api_version, kind = named.get(1, ""), named.get(2, "")
    message = _DELETE_OPTIONS if kind == "DeleteOptions" else _KINDS.get((api_version, kind))
    if message is None:
        raise Unread(kind or "an object of no kind")
    return {"apiVersion": api_version, "kind": kind, **_object(_bytes(unknown.get(2, b"")), message, kind)}


def _object(raw: bytes, message: Message, where: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for number, value in _fields(raw):
        if number not in message:
            raise Unread(f"field {number} of {where}")
        name, how = message[number]
        if isinstance(how, Mapping):
            found[name] = _object(_bytes(value), how, f"{where}.{name}")
        elif how == _FLAG:
            found[name] = bool(value)
        elif how == _LIST:
            found.setdefault(name, []).append(_text(value))
        elif how in (_TEXTS, _BLOBS):
            entry = {part: _bytes(content) for part, content in _fields(_bytes(value))}
            content = entry.get(2, b"")
            said = base64.b64encode(content).decode() if how == _BLOBS else _text(content)
            found.setdefault(name, {})[_text(entry.get(1, b""))] = said
        elif how is str and value:  # an empty text is one that nobody set
            found[name] = _text(value)
    return found


def _fields(raw: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Number and value of each field of a message."""
    at = 0
    while at < len(raw):
        tag, at = _varint(raw, at)
        value, at = _varint(raw, at)
        if tag & 7 == _VARINT:
            yield tag >> 3, value
        elif tag & 7 == _BYTES and at + value <= len(raw):
            yield tag >> 3, raw[at:at + value]
            at += value
        else:
            raise ValueError(f"it is no protobuf, or cut off, at byte {at}")


def _varint(raw: bytes, at: int) -> tuple[int, int]:
    found = 0
    for shift in range(0, _VARINT_BITS, 7):
        if at >= len(raw):
            break
        found |= (raw[at] & ~_MORE) << shift
        at += 1
        if not raw[at - 1] & _MORE:
            return found, at
    raise ValueError(f"it is no protobuf, or cut off, at byte {at}")


def _bytes(value: int | bytes) -> bytes:
    if isinstance(value, int):
        raise ValueError("a number stands where a text or message should")  # noqa: TRY004  it is a sender's
    return value


def _text(value: int | bytes) -> str:
    return _bytes(value).decode()
