"""
Volumes of a pod and where they are mounted: what is wrong with them, in Knative's words.

Pure. What becomes of them is mounting.py's affair, which has some kinds of them only: all are judged, so that
a YAML means the same as on Knative. A mode that no file has is refused as in Kubernetes, where it is found
out later. Source: Knative Serving's `pkg/apis/serving/k8s_validation.go`.
"""

import posixpath
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from eventing.control import field
from eventing.control.field import FieldError
from serving.objects import names, quantity
from serving.objects.probes import not_allowed
from serving.objects.settings import Features

_RESERVED_PATHS = {"/", "/dev", "/dev/log"}
_PLAIN_SOURCES = ("secret", "configMap", "projected")
# Source, its feature, what messages call it.
_FEATURED_SOURCES = {
    "emptyDir": ("kubernetes.podspec-volumes-emptydir", "EmptyDir"),
    "persistentVolumeClaim": ("kubernetes.podspec-persistent-volume-claim", "Persistent volume claim"),
    "hostPath": ("kubernetes.podspec-volumes-hostpath", "HostPath"),
    "csi": ("kubernetes.podspec-volumes-csi", "CSI"),
    "ephemeral": ("kubernetes.podspec-volumes-ephemeral", "Ephemeral"),
    "image": ("kubernetes.podspec-volumes-image", "Image"),
}
_CLAIM_WRITE = "kubernetes.podspec-persistent-volume-write"
_WRITE_DISABLED = ("Persistent volume write support is disabled, but found persistent volume claim {} that "
                   "is not read-only")
_PROPAGATION = "kubernetes.podspec-volumes-mount-propagation"
_PROJECTIONS = ("secret", "configMap", "serviceAccountToken", "downwardAPI")
_WRITABLE = ("emptyDir", "persistentVolumeClaim", "ephemeral")
_MOST_MODE = 0o777
MODE = "must be a number between 0 and 0777 (octal), both inclusive"  # Kubernetes' words


def default_mounts(container: dict[str, Any], volumes: Iterable[Mapping[str, Any]]) -> None:
    """Let mounts of what cannot be written be read-only, in place."""
    writable = {volume.get("name") for volume in volumes if any(volume.get(source) is not None
                                                                for source in _WRITABLE)}
    for mount in container.get("volumeMounts") or ():
        if mount.get("name") not in writable:
            mount["readOnly"] = True


def validate(volumes: list[Mapping[str, Any]], mounted: set[str], features: Features) -> list[FieldError]:
    """What is wrong with the volumes of a pod whose containers mount those called *mounted*."""
    errors: list[FieldError] = []
    seen: set[str] = set()
    for index, volume in enumerate(volumes):
        name = volume.get("name") or ""
        wrong: list[FieldError] = []
        if name in seen:
            wrong.append(field.generic(f'duplicate volume name "{name}"', "name"))
        if name not in mounted:
            wrong.append(field.generic(f'volume with name "{name}" not mounted', "name"))
        errors += field.via_index([*wrong, *_volume(volume, name, features)], index)
        seen.add(name)
    return errors


def _volume(volume: Mapping[str, Any], name: str, features: Features) -> list[FieldError]:
    errors: list[FieldError] = []
    for source, (feature, title) in _FEATURED_SOURCES.items():
        if volume.get(source) is not None and not features.enabled(feature):
            found = f"{title} volume {name}"
            if source == "persistentVolumeClaim":
                found = f"persistent volume claim {volume[source].get('claimName', '')}"
                errors.append(field.generic(f"{title} support is disabled, but found {found}", ""))
            else:
                errors.append(field.generic(f"{title} volume support is disabled, but found {found}", ""))
    claim = volume.get("persistentVolumeClaim")
    if claim is not None and not claim.get("readOnly") and not features.enabled(_CLAIM_WRITE):
        errors.append(field.generic(_WRITE_DISABLED.format(claim.get("claimName", "")), ""))
    allowed = {"name", *_PLAIN_SOURCES, *(source for source, (feature, _) in _FEATURED_SOURCES.items()
                                          if features.allowed(feature))}
    errors += not_allowed(volume, allowed)
    if not name:
        errors.append(field.missing_field("name"))
    elif not names.is_dns_1123(name):
        errors.append(field.invalid_value(name, "name"))
    return errors + _source(volume, features)


def _source(volume: Mapping[str, Any], features: Features) -> list[FieldError]:
    """Exactly one source, and that one well formed."""
    errors: list[FieldError] = []
    present = [source for source in (*_PLAIN_SOURCES, *_FEATURED_SOURCES) if volume.get(source) is not None]
    if not present:
        enabled = (source for source, (feature, _) in _FEATURED_SOURCES.items() if features.enabled(feature))
        errors.append(field.one_of_neither(*_PLAIN_SOURCES, *enabled))
    elif len(present) > 1:
        errors.append(field.one_of_both(*present))
    for source in ("secret", "configMap"):
        errors += _items((volume.get(source) or {}).get("items"))
    for index, projection in enumerate((volume.get("projected") or {}).get("sources") or ()):
        errors += field.via_field(field.via_index(_projection(projection), index), "projected")
    errors += [field.invalid_value(mode, path, MODE) for path, mode in wrong_modes(volume)]
    empty = volume.get("emptyDir") or {}
    if empty.get("medium") not in {None, "", "Memory"}:
        errors.append(field.invalid_value(empty["medium"], "emptyDir.medium"))
    if empty.get("sizeLimit") is not None and quantity.parse(empty["sizeLimit"]) < 0:
        errors.append(field.invalid_value(empty["sizeLimit"], "emptyDir.sizeLimit"))
    return errors


def sources(volume: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Path and description of everything in *volume* that gives it files, or says their mode."""
    yield from ((kind, volume[kind]) for kind in _PLAIN_SOURCES if volume.get(kind) is not None)
    for index, projection in enumerate((volume.get("projected") or {}).get("sources") or ()):
        yield from ((f"projected.sources[{index}].{kind}", projection[kind]) for kind in _PROJECTIONS
                    if projection.get(kind) is not None)


def wrong_modes(volume: Mapping[str, Any]) -> Iterator[tuple[str, int]]:
    """Path and value of modes that no file has."""
    for path, source in sources(volume):
        modes = {f"{path}.defaultMode": source.get("defaultMode"),
                 **{f"{path}.items[{index}].mode": item.get("mode")
                    for index, item in enumerate(source.get("items") or ())}}
        yield from ((where, mode) for where, mode in modes.items()
                    if mode is not None and not 0 <= mode <= _MOST_MODE)


def _items(items: Any) -> list[FieldError]:
    return [field.missing_field(part).via_index(index).via_field("items")
            for index, item in enumerate(items or ()) for part in ("key", "path") if not item.get(part)]


def _projection(projection: Mapping[str, Any]) -> list[FieldError]:
    errors = not_allowed(projection, set(_PROJECTIONS))
    present = [source for source in _PROJECTIONS if projection.get(source) is not None]
    if not present:
        errors.append(field.one_of_neither(*_PROJECTIONS))
    elif len(present) > 1:
        errors.append(field.one_of_both(*present))
    for source in ("secret", "configMap"):
        if projection.get(source) is None:
            continue
        wrong = [] if projection[source].get("name") else [field.missing_field("name")]
        errors += field.via_field(wrong + _items(projection[source].get("items")), source)
    token = projection.get("serviceAccountToken")
    if token is not None and not token.get("path"):
        errors.append(field.missing_field("serviceAccountToken.path"))
    for index, item in enumerate((projection.get("downwardAPI") or {}).get("items") or ()):
        wrong = field.via_index(_downward(item), index)
        errors += field.via_field(field.via_field(wrong, "items"), "downwardAPI")
    return errors


def _downward(item: Mapping[str, Any]) -> list[FieldError]:
    """What is wrong with one file of a downwardAPI projection."""
    errors = not_allowed(item, {"fieldRef", "resourceFieldRef", "path", "mode"})
    present = [name for name in ("fieldRef", "resourceFieldRef") if item.get(name) is not None]
    if not present:
        errors.append(field.one_of_neither("fieldRef", "resourceFieldRef"))
    elif len(present) > 1:
        errors.append(field.generic("Within a single item, cannot set both", "resourceFieldRef", "fieldRef"))
    return errors if item.get("path") else [*errors, field.missing_field("path")]


def validate_mounts(
    mounts: list[Mapping[str, Any]], volumes: Mapping[str, Mapping[str, Any]], features: Features
) -> list[FieldError]:
    """What is wrong with the mounts of one container of a pod with *volumes* (by name)."""
    errors: list[FieldError] = []
    seen: set[str] = set()
    propagates = features.allowed(_PROPAGATION)
    allowed = {"name", "readOnly", "mountPath", "subPath", *(["mountPropagation"] if propagates else [])}
    for index, mount in enumerate(mounts):
        volume = volumes.get(mount.get("name") or "")
        wrong = not_allowed(mount, allowed)
        if volume is None:
            wrong.append(field.generic("volumeMount has no matching volume", "name"))
        wrong += _mount_path(mount.get("mountPath") or "", seen)
        is_writable = volume is not None and any(volume.get(source) is not None for source in _WRITABLE)
        if not is_writable and not mount.get("readOnly"):
            wrong.append(field.generic("volume mount should be readOnly for this type of volume", "readOnly"))
        wrong += _propagation(mount, features)
        claim = (volume or {}).get("persistentVolumeClaim") or {}
        if claim.get("readOnly") and not mount.get("readOnly"):
            wrong.append(field.generic("volume is readOnly but volume mount is not", "readOnly"))
        errors += field.via_index(wrong, index)
    return errors


def _propagation(mount: Mapping[str, Any], features: Features) -> list[FieldError]:
    said = mount.get("mountPropagation")
    errors: list[FieldError] = []
    if said is not None and not features.enabled(_PROPAGATION):
        errors.append(field.generic("Volume Mount Propagation support is disabled, but found volume mount "
                                    f"{mount.get('name', '')} with mount propagation", ""))
    if said not in {None, "None", "HostToContainer"}:
        errors.append(field.generic("mount propagation should be set to None or HostToContainer",
                                    "mountPropagation"))
    return errors


def _mount_path(path: str, seen: set[str]) -> list[FieldError]:
    """Absolute, not reserved, and not mounted twice; adds it to *seen*."""
    clean = posixpath.normpath(path) if path else ""
    is_known = clean in seen
    seen.add(clean)
    if not path:
        return [field.missing_field("mountPath")]
    if clean in _RESERVED_PATHS:
        return [field.generic(f'mountPath "{clean}" is a reserved path', "mountPath")]
    if not path.startswith("/"):
        return [field.invalid_value(path, "mountPath")]
    return [field.invalid_value(f'"{path}" must be unique', "mountPath")] if is_known else []
