"""
What an API request can fail with: a metav1.Status, word for word as Kubernetes has it.

One exception for all, made by the functions below; `Failure.as_status` is the JSON that kubectl prints.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from eventing.control.field import FieldError, render
from eventing.control.kind import Kind
from eventing.errors import Rejected

Cause = tuple[str, str, str]  # (field, what is wrong, reason): ("metadata.name", "Invalid value: ..", ..)


class Failure(Rejected):
    """A request to the API that was not carried out; `status`, `reason` and `details` as in metav1.Status."""

    def __init__(self, status: int, reason: str, message: str,
                 details: Mapping[str, Any] | None = None) -> None:
        """Fail with an HTTP *status* and one of Kubernetes' reasons."""
        super().__init__(message)
        self.status = status
        self.reason = reason
        self.message = message
        self.details = details

    def as_status(self) -> dict[str, Any]:
        """The metav1.Status."""
        found: dict[str, Any] = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
                                 "message": self.message, "reason": self.reason}
        if self.details:
            found["details"] = dict(self.details)
        return {**found, "code": self.status}


def success(kind: Kind, name: str, uid: str) -> dict[str, Any]:
    """The metav1.Status of a deletion that is complete."""
    return {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success",
            "details": {**_details(kind, name), "uid": uid}}


def not_found(kind: Kind, name: str) -> Failure:
    """404: there is no such object."""
    return Failure(404, "NotFound", f'{kind.resource_name} "{name}" not found', _details(kind, name))


def unknown_path() -> Failure:
    """404: there is no such kind, or the path is none of ours."""
    return Failure(404, "NotFound", "the server could not find the requested resource")


def already_exists(kind: Kind, name: str) -> Failure:
    """409 on create."""
    message = f'{kind.resource_name} "{name}" already exists'
    return Failure(409, "AlreadyExists", message, _details(kind, name))


_MODIFIED = "the object has been modified; please apply your changes to the latest version and try again"


def conflict(kind: Kind, name: str, why: str = _MODIFIED) -> Failure:
    """409: the object was changed since it was read, or a precondition does not hold."""
    message = f'Operation cannot be fulfilled on {kind.resource_name} "{name}": {why}'
    return Failure(409, "Conflict", message, _details(kind, name))


def forbidden(kind: Kind, name: str, why: str) -> Failure:
    """403."""
    message = f'{kind.resource_name} "{name}" is forbidden: {why}'
    return Failure(403, "Forbidden", message, _details(kind, name))


def invalid(kind: Kind, name: str, causes: Iterable[Cause]) -> Failure:
    """422: metadata that Kubernetes itself would refuse."""
    causes = list(causes)
    told = [f"{path}: {wrong}" for path, wrong, _ in causes]
    listed = told[0] if len(told) == 1 else f"[{', '.join(told)}]"
    details = {"name": name, "group": kind.group, "kind": kind.kind,
               "causes": [{"reason": reason, "message": wrong, "field": path}
                          for path, wrong, reason in causes]}
    message = f'{kind.full_name} "{name}" is invalid: {listed}'
    return Failure(422, "Invalid", message, {key: value for key, value in details.items() if value != ""})


def denied(kind: Kind, errors: Iterable[FieldError]) -> Failure:
    """400: Knative's admission refuses the object."""
    text = render(errors)
    return Failure(400, "BadRequest",
                   f'admission webhook "{kind.webhook}" denied the request: validation failed: {text}')


def undecodable(kind: Kind, errors: Iterable[FieldError]) -> Failure:
    """400: Knative's webhook cannot decode the object."""
    return Failure(400, "BadRequest", f'admission webhook "{kind.webhook}" denied the request: decoding '
                   f"request failed: cannot decode incoming new object: {render(errors)}")


def unknown_fields(kind: Kind, paths: Iterable[str]) -> Failure:
    """400: fields that the kind has not, where the sender asked for strict validation."""
    told = ", ".join(f'unknown field "{path}"' for path in paths)
    return Failure(400, "BadRequest", f'{kind.kind} in version "{kind.version}" cannot be handled as a '
                   f"{kind.kind}: strict decoding error: {told}")


def bad_request(message: str) -> Failure:
    """400: the request itself makes no sense."""
    return Failure(400, "BadRequest", message)


def expired(wanted: int, oldest: int) -> Failure:
    """410: changes after version *wanted* are not kept any more; list again."""
    return Failure(410, "Expired", f"too old resource version: {wanted} ({oldest})")


def unsupported_media_type(accepted: Iterable[str]) -> Failure:
    """415: a body of a type that this path does not take."""
    return Failure(415, "UnsupportedMediaType", "the body of the request was in an unknown format - accepted "
                   f"media types include: {', '.join(accepted)}")


def _details(kind: Kind, name: str) -> dict[str, str]:
    found = {"name": name, "group": kind.group, "kind": kind.plural}
    return {key: value for key, value in found.items() if value}
