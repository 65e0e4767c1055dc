"""
From YAML files to objects in the API: read, bundle, send.

    read     (documents.py) files, folders, `-` -> documents, each with its file and line
    bundle   `image: func://./folder` -> the folder is packed and uploaded, the image names it by digest
    apply    create, or a three-way merge: what a person removed from the file goes, what others set stays

The merge is kubectl's, with kubectl's annotation, so that both may be used on the same object in turn. What
a Secret holds is not written into it: the merge needs the names only.
Nothing here knows a kind's fields: the API judges them.
"""

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from eventing.client import Client
from eventing.documents import Document, Resource
from eventing.errors import UsageError
from serving.functions import bundle
from serving.objects import images

LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
_FUNC = "func://"
# Knative's advice on securityContext, for every Service without one: no function here runs in a container.
_CONTAINER_DEFAULTS = "Kubernetes default value is insecure"


def build(document: Document, client: Client) -> Resource:
    """
    The document's object with every `func://folder` packed, uploaded and named by digest.

    Such folders stand as images of containers, and in the ConfigMap `clarion-images`.

    Raises:
        UsageError: the folder is missing or cannot be packed.
        Refused: the upload was.
    """
    resource = copy.deepcopy(document.resource)
    for holder, key, image, where in [*_images(resource), *_mapped(resource)]:
        if not image.startswith(_FUNC) or "@sha256:" in image:
            continue
        home = Path.cwd() if str(document.path) == "-" else document.path.parent
        folder = (home / image.removeprefix(_FUNC)).resolve()
        try:
            packed = bundle.pack(folder)
        except UsageError as error:
            if document.node is None:  # nobody wrote that image, and the folder is named
                raise
            raise UsageError(f"{document.place_of(where)}: image {image}: {error}") from error
        digest = bundle.digest(packed)
        client.upload(f"/bundles/sha256:{digest}", packed)
        holder[key] = holder[key].replace(image, f"{_FUNC}{folder.name}@sha256:{digest}")
    return resource


def _images(resource: Resource) -> Iterator[tuple[dict[str, Any], str, str, str]]:
    """Holder, key, image and path of every container."""
    for index, container in _containers(resource):
        if isinstance(container.get("image"), str):
            yield container, "image", container["image"], f"spec.template.spec.containers[{index}].image"


def _mapped(resource: Resource) -> Iterator[tuple[dict[str, Any], str, str, str]]:
    """Holder, key, target and path of every line of the ConfigMap that says what image names stand for."""
    data = resource.get("data")
    if resource["kind"] != "ConfigMap" or resource["metadata"]["name"] != images.CONFIG:
        return
    if isinstance(data, dict) and all(isinstance(text, str) for text in data.values()):
        yield from ((data, key, target, f"data.{key}") for _, key, target in images.lines(data))


def _containers(resource: Resource) -> list[tuple[int, dict[str, Any]]]:
    found: Any = resource
    for key in ("spec", "template", "spec", "containers"):
        found = found.get(key) if isinstance(found, dict) else None
    items = enumerate(found) if isinstance(found, list) else ()
    return [(index, item) for index, item in items if isinstance(item, dict)]


def apply(document: Document, client: Client, namespace: str,
          validation: str = "Strict") -> tuple[str, Resource]:
    """
    Make the API's object like the document's.

    Args:
        document: what to apply.
        client: the API.
        namespace: for a document that names none.
        validation: what to do about fields that the kind has not: Strict (refuse, as kubectl does), Warn or
            Ignore.

    Returns:
        `created`, `configured` or `unchanged`, and the object as it is now.

    Raises:
        UsageError: its kind is unknown here, or its bundle cannot be built.
        Refused: the API said no.
    """
    try:
        kind = client.kind_of(document.resource)
    except UsageError as error:
        raise UsageError(f"{document.place_of('kind')}: {error}") from error
    wanted = build(document, client)
    if kind.is_namespaced:  # kubectl notes it, too
        wanted["metadata"].setdefault("namespace", namespace)
    annotations = wanted["metadata"].setdefault("annotations", {})
    annotations.pop(LAST_APPLIED, None)  # in a file that was once printed by `get -o yaml`
    annotations[LAST_APPLIED] = json.dumps(_noted(wanted), separators=(",", ":"), sort_keys=True) + "\n"
    path = kind.path(wanted["metadata"].get("namespace"), wanted["metadata"]["name"])
    live = client.find(path)
    query = f"?fieldValidation={validation}"
    if live is None:
        return "created", client.create(path.rpartition("/")[0] + query, wanted)
    before = json.loads((live["metadata"].get("annotations") or {}).get(LAST_APPLIED) or "{}")
    patch = three_way(before, wanted, live)
    if not patch:
        return "unchanged", live
    now = client.patch(path + query, patch)
    # Defaults make a list differ from the file's; the API fills them in again, and then nothing has changed.
    is_same = now["metadata"]["resourceVersion"] == live["metadata"]["resourceVersion"]
    return "unchanged" if is_same else "configured", now


def _noted(wanted: Resource) -> Resource:
    """What the annotation keeps of *wanted*: all of it, but of a Secret's values only their names."""
    if (wanted["apiVersion"], wanted["kind"]) != ("v1", "Secret"):
        return wanted
    return wanted | {part: dict.fromkeys(wanted[part], "") for part in ("data", "stringData")
                     if isinstance(wanted.get(part), dict)}


def warnings(client: Client) -> list[str]:
    """What the API warned of since it was asked last, but for what does not concern this machine."""
    told = [text for text in client.warnings if not text.startswith(_CONTAINER_DEFAULTS)]
    client.warnings.clear()
    return told


def three_way(before: Any, wanted: Any, live: Any) -> dict[str, Any]:
    """
    The merge patch that makes *live* hold *wanted*, without what *before* held and *wanted* does not.

    Fields that neither *before* nor *wanted* name are left alone: defaults, and what others set.
    """
    patch: dict[str, Any] = {}
    for key in before.keys() - wanted.keys():
        if key in live:
            patch[key] = None
    for key, value in wanted.items():
        known = live.get(key)
        if isinstance(value, dict) and isinstance(known, dict):
            earlier = before.get(key)
            inner = three_way(earlier if isinstance(earlier, dict) else {}, value, known)
            if inner:
                patch[key] = inner
        elif value != known:  # null where nothing is, is equal
            patch[key] = value
    return patch
