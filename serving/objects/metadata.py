"""
Metadata that all kinds of Knative Serving judge alike: names, who made it, durations in annotations.

Pure. Source: knative.dev/pkg `apis/metadata_validation.go` and Knative Serving's
`pkg/apis/serving/metadata_validation.go`.
"""

from collections.abc import Mapping
from typing import Any

from eventing.control import field, resource
from eventing.control.field import FieldError
from eventing.control.resource import Resource
from serving import duration

# Nobody logs in to the control port, and Kubernetes has a name for that user.
from serving.objects import names, scale_annotations

# Nobody logs in to the control port, and Kubernetes has a name for that user.
_USER = "system:anonymous"


def set_user(made: Resource, old: Resource | None) -> None:
    """Say in annotations who created *made* and who changed its spec last, in place, unless it is owned."""
    if resource.owners(made):
        return
    annotations = dict(resource.annotations(made))
    if old is None:
        annotations[names.CREATOR] = _USER
    before = resource.annotations(old or {})
    for key in (names.CREATOR, names.LAST_MODIFIER):
        if key in before:
            annotations.setdefault(key, before[key])  # a sender that leaves it out does not mean to erase it
    if old is None or resource.spec(old) != resource.spec(made):
        annotations[names.LAST_MODIFIER] = _USER
    made.setdefault("metadata", {})["annotations"] = annotations


def user_errors(made: Resource, old: Resource) -> list[FieldError]:
    """Complain if an update forges who created or changed the object; paths are relative to the object."""
    if resource.owners(made):
        return []
    before, after = resource.annotations(old), resource.annotations(made)
    errors: list[FieldError] = []
    if before.get(names.CREATOR) != after.get(names.CREATOR):
        errors.append(field.generic("annotation value is immutable", names.CREATOR))
    is_same = resource.spec(old) == resource.spec(made)
    if is_same and before.get(names.LAST_MODIFIER) != after.get(names.LAST_MODIFIER):
        errors.append(field.invalid_value(after.get(names.LAST_MODIFIER, ""), names.LAST_MODIFIER))
    return field.via_field(errors, "metadata", "annotations")


def errors_of(made: Resource) -> list[FieldError]:
    """What is wrong with the metadata of a Service, Configuration or Route; paths are relative to it."""
    errors = name_errors(made)
    annotations = resource.annotations(made)
    wrong = scale_annotations.misplaced_errors(annotations)
    wrong += duration_errors(annotations, names.ROLLOUT_DURATION)
    visibility = resource.labels(made).get(names.VISIBILITY, names.CLUSTER_LOCAL)
    if visibility != names.CLUSTER_LOCAL:  # a typo would open to everybody what was meant for inner use
        errors.append(field.invalid_value(visibility, f"labels.{names.VISIBILITY}"))
    return errors + field.via_field(wrong, "annotations")


def name_errors(made: Resource) -> list[FieldError]:
    """Complain of a name that is no DNS-1035 label: it becomes part of a host name."""
    prefix, name = resource.meta(made).get("generateName") or "", resource.name(made)
    if prefix and (wrong := names.not_dns_1035(prefix.rstrip("-"))):
        return [field.generic(f"not a DNS 1035 label prefix: [{' '.join(wrong)}]", "generateName")]
    if name and (wrong := names.not_dns_1035(name)):
        return [field.generic(f"not a DNS 1035 label: [{' '.join(wrong)}]", "name")]
    return [] if prefix or name else [field.generic("name or generateName is required", "name")]


def owner_errors(made: Resource, label: str, kind: str) -> list[FieldError]:
    """A label that names an owner needs that owner; paths are relative to metadata."""
    owner = resource.labels(made).get(label)
    is_owned = any(ref.get("kind") == kind and ref.get("name") == owner for ref in resource.owners(made))
    return [] if owner is None or is_owned else [field.missing_field(label).via_field("labels")]


def duration_errors(annotations: Mapping[str, Any], spellings: tuple[str, ...]) -> list[FieldError]:
    """What is wrong with an annotation of whole, positive seconds; paths are relative to the annotations."""
    found = names.first(annotations, spellings)
    if found is None or not found[1]:
        return []
    key, text = found
    title = spellings[0].rpartition("/")[2]
    try:
        nanoseconds = duration.parse_ns(text)
    except ValueError:
        return [field.invalid_value(text, key)]
    if nanoseconds % duration.SECOND_NS:
        return [field.generic(f"{title}={text} is not at second precision", key)]
    return [field.generic(f"{title}={text} must be positive", key)] if nanoseconds < 0 else []
