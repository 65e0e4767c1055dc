"""
What an object passes before it is stored: unknown fields, defaults, validation, and what is worth a warning.

    unknown field in a Strict part     refused, in Knative's words with the path
    unknown field elsewhere            left out; fieldValidation says whether that is an error (Strict), a
                                       warning (Warn, if nothing is said) or neither (Ignore)
    unknown annotation of clarion.dev  kept, with a warning: it would silently mean nothing
                                       (also of other groups that the kind declares annotations of)

Sources: Kubernetes' "Field validation", knative.dev/pkg `webhook/resourcesemantics`.
"""

from collections.abc import Iterator
from difflib import get_close_matches
from itertools import islice

import structlog

from eventing.control import failure, resource, schema
from eventing.control.field import FieldError
from eventing.control.kind import Defaults, Kind, every
from eventing.control.resource import Resource

log = structlog.get_logger(__name__)

_TOLD = 10  # warnings of a sort: whoever sends more has sent something else than that kind
_OWN_GROUP = "clarion.dev"


def known(kind: Kind, new: Resource, admission: Defaults) -> Resource:
    """*new* without the fields that its kind has not; Failure 400 where one is refused."""
    if kind.fields is None:
        return new
    try:
        found = list(schema.unknown(new, kind.shape))
    except ValueError as deep:
        raise failure.undecodable(kind, [FieldError(f"json: {deep}")]) from deep
    left_out = [each.path for each in found if not each.is_refused]
    if left_out and admission.unknown_fields == "Strict":
        raise failure.unknown_fields(kind, left_out)
    if refused := [each for each in found if each.is_refused]:
        raise failure.undecodable(kind, [FieldError(f'json: unknown field "{each.name}"', (each.path,))
                                         for each in refused])
    if admission.unknown_fields == "Warn":
        for path in left_out[:_TOLD]:
            admission.warn(f'unknown field "{path}"')
    if kind.is_custom:  # Kubernetes' own kinds are decoded, and say so themselves
        _check_types(kind, new)
    return stored(kind, new)


def _check_types(kind: Kind, new: Resource) -> None:
    """Failure 422, in the words of a CRD's schema, for what is of another JSON type than it should be."""
    wrong = [(path, f'Invalid value: "{found}": {path} in body must be of type {wanted}: "{found}"',
              "FieldValueTypeInvalid")
             for path, found, wanted in islice(schema.mistyped(new, kind.shape), _TOLD)]
    if wrong:
        raise failure.invalid(kind, resource.name(new), wrong)


def stored(kind: Kind, old: Resource) -> Resource:
    """*old*, which may be from before a field was known to be none, without such fields."""
    clean: Resource = old if kind.fields is None else schema.known(old, kind.shape)
    return clean


def admit(kind: Kind, new: Resource, old: Resource | None, admission: Defaults) -> None:
    """Default, in place, and validate; an object on its way out is not looked at any more, as in Knative."""
    if resource.is_deleted(new):
        return
    try:
        if kind.default is not None:
            kind.default(new, old, admission)
        errors = kind.validate(new, old, admission) if kind.validate is not None else []
    except (TypeError, AttributeError, KeyError, ValueError, IndexError) as wrong:
        # A field of the wrong JSON type where a validator reads it; a CRD's schema would have said so first.
        # A ValueError says which field; where the others come from only their traceback says.
        log.info("admission_failed", kind=kind.full_name, name=resource.name(new), reason=str(wrong),
                 exc_info=not isinstance(wrong, ValueError))
        raise failure.undecodable(kind, [FieldError(f"json: {wrong}")]) from wrong
    if errors:
        raise failure.denied(kind, errors)
    for warning in islice(unknown_annotations(kind, new), _TOLD):
        admission.warn(warning)


def unknown_annotations(kind: Kind, new: Resource) -> Iterator[str]:
    """A sentence for each annotation that looks as if it meant something, and does not."""
    for place, names in kind.annotations.items():
        groups = {_OWN_GROUP, *(_group(name) for name in names)}
        for name in _annotations(new, place):
            if _group(name) in groups and name not in names:
                yield f'unknown annotation "{name}" in {place}.annotations{_hint(kind, name, place)}'


def _hint(kind: Kind, name: str, place: str) -> str:
    """Where the annotation belongs, or on which kind; which one may have been meant, or which there are."""
    for other, names in kind.annotations.items():
        if other != place and name in names:
            return f": it belongs in {other}.annotations"
    homes = sorted({each.kind for each in every() for names in each.annotations.values() if name in names})
    if homes:
        return f": it is for {' or '.join(homes)}, and means nothing on a {kind.kind}"
    listed = sorted(each for each in kind.annotations[place] if _group(each) == _group(name))
    if not listed:
        return f": a {kind.kind} has none of {_group(name)} there"
    meant = get_close_matches(name, listed, n=1)
    return (f": did you mean {meant[0]}?" if meant else ":") + f" Known are {', '.join(listed)}"


def _group(annotation: str) -> str:
    return annotation.partition("/")[0]


def _annotations(new: Resource, place: str) -> dict[str, str]:
    found: object = new
    for part in (*place.split("."), "annotations"):
        found = found.get(part) if isinstance(found, dict) else None
    return found if isinstance(found, dict) else {}
