"""
What becomes of an object: pure functions from the stored one and a wish to the next one.

| metadata | who decides |
|---|---|
| uid, creationTimestamp, generation, deletionTimestamp, resourceVersion | the server, whatever is sent |
| name, namespace | the path; generateName gets 5 random characters |
| labels, annotations, finalizers, ownerReferences | the sender |
| managedFields | server-side apply (managed.py); or the sender, who may say that it begins anew (`[]`) |

Generation counts changes of anything but metadata and status. A write of the object ignores `status`, a write
of `/status` ignores everything else.
"""

import re
import secrets
import uuid
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from eventing.control import failure
from eventing.control.failure import Cause, Failure
from eventing.control.kind import Kind
from eventing.control.resource import Resource, finalizers, meta, name, timestamp

FOREGROUND = "foregroundDeletion"
ORPHAN = "orphan"

_SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
_SUBDOMAIN_BYTES = 253  # RFC 1123
_LABEL_BYTES = 63  # RFC 1123
_SUBDOMAIN_WRONG = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must "
    "start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is "
    r"'[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')")
LABEL_WRONG = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start "
    "and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is "
    "'[a-z0-9]([-a-z0-9]*[a-z0-9])?')")

# Kubernetes' own alphabet for generated names: no vowels, so no words, and no 0, 1 or 3 to misread.
_ALPHABET = "bcdfghjklmnpqrstvwxz2456789"
_SUFFIX_CHARACTERS = 5
_SERVER_OWNED = ("uid", "creationTimestamp", "generation", "deletionTimestamp", "deletionGracePeriodSeconds")
_DROPPED = ("selfLink",)


def born(kind: Kind, wish: Resource, *, namespace: str, now: float) -> Resource:
    """A new object as it will be stored; what is wrong with its name is raised by `check`."""
    sent = {key: value for key, value in meta(wish).items() if key not in (*_SERVER_OWNED, *_DROPPED)}
    sent.pop("resourceVersion", None)
    _manage(sent, None)
    if not sent.get("name") and sent.get("generateName"):
        sent["name"] = generated(sent["generateName"])
    if kind.namespaced:
        sent["namespace"] = namespace
    sent["uid"] = str(uuid.uuid4())
    sent["creationTimestamp"] = timestamp(now)
    if kind.group:
        sent["generation"] = 1
    new = {"apiVersion": kind.api_version, "kind": kind.kind, "metadata": sent,
           **{key: value for key, value in wish.items() if key not in ("apiVersion", "kind", "metadata")}}
    if kind.has_status:
        new.pop("status", None)
    return with_finalizer(kind, new)


def with_finalizer(kind: Kind, new: Resource) -> Resource:
    """The object with its kind's finalizer, where the kind has work to do at the end."""
    if kind.finalize is not None and kind.finalizer not in finalizers(new):
        new["metadata"]["finalizers"] = [*finalizers(new), kind.finalizer]
    return new


def revised(kind: Kind, old: Resource, wish: Resource) -> Resource:
    """*old* with everything that a write of the object may change taken from *wish*."""
    sent = {key: value for key, value in meta(wish).items()
            if key not in (*_SERVER_OWNED, *_DROPPED, "name", "namespace")}
    _manage(sent, meta(old).get("managedFields"))
    kept = {key: meta(old)[key] for key in (*_SERVER_OWNED, "name", "namespace", "resourceVersion")
            if key in meta(old)}
    new = {"apiVersion": kind.api_version, "kind": kind.kind, "metadata": {**sent, **kept},
           **{key: value for key, value in wish.items() if key not in ("apiVersion", "kind", "metadata")}}
    if kind.has_status:
        new.pop("status", None)
        if "status" in old:
            new["status"] = old["status"]
    return new


def _manage(sent: dict[str, Any], before: list[Any] | None) -> None:
    """Leave in the metadata *sent* the managers that it names, else those *before*; null names none."""
    said = sent.pop("managedFields", None)
    managed = before if said is None else said
    if any(managed or ()):  # [] and [{}] say that they begin anew
        sent["managedFields"] = managed


def counted(kind: Kind, old: Resource, new: Resource) -> Resource:
    """*new* with its generation one higher where the spec is not *old*'s; after defaulting."""
    if kind.group and _content(old) != _content(new):
        new["metadata"]["generation"] = (meta(old).get("generation") or 0) + 1
    return new


def restatused(old: Resource, wish: Resource) -> Resource:
    """*old* with the status of *wish*."""
    new = {**old, "metadata": dict(meta(old))}
    if "status" in wish:
        new["status"] = wish["status"]
    else:
        new.pop("status", None)
    return new


def condemned(old: Resource, *, propagation: str | None, now: float) -> Resource:
    """
    *old* as it is once its deletion was asked for: gone if it has no finalizers, else marked.

    *propagation* is Background (dependents are collected afterwards), Foreground or Orphan (before).
    """
    new = {**old, "metadata": dict(meta(old))}
    if "deletionTimestamp" not in new["metadata"]:
        new["metadata"]["deletionTimestamp"] = timestamp(now)
        new["metadata"]["deletionGracePeriodSeconds"] = 0
    wanted = {"Foreground": FOREGROUND, "Orphan": ORPHAN}.get(propagation or "")
    others = [found for found in finalizers(old) if found not in (FOREGROUND, ORPHAN) or wanted is None]
    found = [*others, wanted] if wanted else others
    if found:
        new["metadata"]["finalizers"] = found
    else:
        new["metadata"].pop("finalizers", None)
    return new


def without_finalizer(old: Resource, finalizer: str) -> Resource:
    """*old* with that finalizer's work done."""
    new = {**old, "metadata": dict(meta(old))}
    left = [found for found in finalizers(old) if found != finalizer]
    if left:
        new["metadata"]["finalizers"] = left
    else:
        new["metadata"].pop("finalizers", None)
    return new


def generated(base: str) -> str:
    """*base* and 5 random characters, 63 in all at the most."""
    suffix = "".join(secrets.choice(_ALPHABET) for _ in range(_SUFFIX_CHARACTERS))
    return base[: _LABEL_BYTES - _SUFFIX_CHARACTERS] + suffix


def not_a_label(text: str) -> str:
    """What Kubernetes says of *text* where a name has to be a label (RFC 1123); "" if it is one."""
    if len(text) > _LABEL_BYTES:
        return f"must be no more than {_LABEL_BYTES} bytes"
    return "" if _LABEL.fullmatch(text) else LABEL_WRONG


def check(kind: Kind, new: Resource) -> None:
    """Raise Failure 422 for a name that Kubernetes would refuse."""
    found = name(new)
    if not found:
        wrong = "Required value: name or generateName is required"
        raise failure.invalid(kind, "", [("metadata.name", wrong, "FieldValueRequired")])
    causes = list(_name_causes(found, is_label=kind.full_name == "Namespace"))
    if causes:
        raise failure.invalid(kind, found, causes)


def _name_causes(found: str, *, is_label: bool) -> Iterator[Cause]:
    pattern, wrong, limit = ((_LABEL, LABEL_WRONG, _LABEL_BYTES) if is_label
                             else (_SUBDOMAIN, _SUBDOMAIN_WRONG, _SUBDOMAIN_BYTES))
    quoted = found.replace("\\", "\\\\").replace('"', '\\"')
    if not pattern.fullmatch(found):
        yield "metadata.name", f'Invalid value: "{quoted}": {wrong}', "FieldValueInvalid"
    if len(found) > limit:
        too_long = f'Invalid value: "{quoted}": must be no more than {limit} bytes'
        yield "metadata.name", too_long, "FieldValueInvalid"


def check_shape(kind: Kind, wish: Any) -> Resource:
    """*wish* if it is an object with metadata of the right types; Failure 400 as Go's decoder words it."""
    if not isinstance(wish, dict):
        raise _undecodable(kind, f"cannot unmarshal {_go_type(wish)} into Go value of type {kind.kind}")
    for path, is_right, go_type in _SHAPE:
        value: Any = wish
        for part in path.split("."):
            value = value.get(part) if isinstance(value, dict) else None
        if value is not None and not is_right(value):
            raise _undecodable(kind, _wrong(path, value, go_type))
    return wish


def _wrong(path: str, value: Any, go_type: str) -> str:
    """Which type stands where *go_type* belongs; in a map of texts, whose value that is."""
    hint = ""
    if go_type == _TEXTS and isinstance(value, dict):
        name, value = next(entry for entry in value.items() if not isinstance(entry[1], str))
        go_type, hint = "string", f': quote the value of "{name}"'
    where = f"Go struct field ObjectMeta.{path} of type {go_type}"
    return f"cannot unmarshal {_go_type(value)} into {where}{hint}"


def _undecodable(kind: Kind, wrong: str) -> Failure:
    return failure.bad_request(
        f'{kind.kind} in version "{kind.version}" cannot be handled as a {kind.kind}: json: {wrong}')


def _is_object(value: object) -> bool:
    return isinstance(value, dict)


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _are_texts(value: object) -> bool:
    return isinstance(value, dict) and all(isinstance(text, str) for text in value.values())


def _are_names(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(text, str) for text in value)


def _are_objects(value: object) -> bool:
    return isinstance(value, list) and all(map(_is_object, value))


def _are_owners(value: object) -> bool:
    parts = ("apiVersion", "kind", "name", "uid")
    return isinstance(value, list) and all(
        isinstance(ref, dict) and all(isinstance(ref.get(part), str) for part in parts) for ref in value)


_TEXTS = "map[string]string"
_SHAPE: tuple[tuple[str, Callable[[object], bool], str], ...] = (
    ("metadata", _is_object, "v1.ObjectMeta"),
    ("metadata.name", _is_text, "string"),
    ("metadata.generateName", _is_text, "string"),
    ("metadata.namespace", _is_text, "string"),
    ("metadata.resourceVersion", _is_text, "string"),
    ("metadata.labels", _are_texts, _TEXTS),
    ("metadata.annotations", _are_texts, _TEXTS),
    ("metadata.finalizers", _are_names, "[]string"),
    ("metadata.ownerReferences", _are_owners, "[]v1.OwnerReference"),
    ("metadata.managedFields", _are_objects, "[]v1.ManagedFieldsEntry"),
    ("spec", _is_object, "Spec"),
    ("status", _is_object, "Status"),
)


def _go_type(value: object) -> str:
    for types, go_type in ((bool, "bool"), ((int, float), "number"), (str, "string"), (list, "array")):
        if isinstance(value, types):
            return go_type
    return "object" if isinstance(value, dict) else "null"


def _content(resource: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in resource.items() if key not in ("metadata", "status")}
