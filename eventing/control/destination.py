"""
KReference and Destination: what is wrong with one, and its defaults. Pure; `address.py` resolves them.

A Destination is where events go: `ref`, `uri`, or both, when `uri` is relative to what `ref` resolves to.
Rules and words are those of knative.dev/pkg/apis/duck/v1.
"""

from collections.abc import Mapping
from typing import Any
from urllib.parse import SplitResult, urlsplit

from eventing.control import field
from eventing.control.field import FieldError

_REF_PARTS = "[apiVersion, kind, name]"


def default(destination: Mapping[str, Any] | None, namespace: str) -> None:
    """Give the reference the namespace of the object it stands in, in place, where it has none."""
    ref = (destination or {}).get("ref")
    if isinstance(ref, dict) and not ref.get("namespace"):
        ref["namespace"] = namespace


def validate(destination: object) -> list[FieldError]:
    """What is wrong with a Destination; paths are relative to it."""
    if not isinstance(destination, Mapping):
        return [field.at_least_one("ref", "uri")]
    ref, uri = destination.get("ref"), destination.get("uri")
    if not ref and not uri:
        return [field.at_least_one("ref", "uri")]
    errors: list[FieldError] = []
    if uri:
        errors += _validate_uri(uri, has_ref=bool(ref))
    if ref and not errors:
        errors += field.via_field(validate_reference(ref), "ref")
    return errors


def validate_reference(ref: object) -> list[FieldError]:
    """What is wrong with a KReference; paths are relative to it."""
    if not isinstance(ref, Mapping):
        return [field.invalid_value(ref, "", "expected a map with apiVersion, kind and name")]
    missing = [part for part in ("name", "apiVersion", "kind") if not ref.get(part)]
    errors = [field.missing_field(part) for part in missing]
    if ref.get("group"):
        errors.append(field.disallowed_fields("group"))
    return errors


def _validate_uri(uri: object, *, has_ref: bool) -> list[FieldError]:
    parts = _split(uri)
    if parts is None:
        return [field.invalid_value(uri, "uri")]
    if has_ref:
        if parts.scheme:
            message = f"Absolute URI is not allowed when Ref or {_REF_PARTS} is present"
            return [field.generic(message, _REF_PARTS, "ref", "uri")]
        return []
    if not (parts.scheme and parts.netloc):
        message = f"Relative URI is not allowed when Ref and {_REF_PARTS} is absent"
        return [field.invalid_value(message, "uri")]
    return []


def _split(uri: object) -> SplitResult | None:
    try:
        return urlsplit(uri) if isinstance(uri, str) else None
    except ValueError:
        return None
