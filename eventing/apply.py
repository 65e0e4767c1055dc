"""
From YAML files to objects in the API: read, bundle, sort, send.

    read     files, folders, `-` -> documents, each with its file and line; what is not YAML is a UsageError
    bundle   `image: func://./folder` -> the folder is packed and uploaded, the image names it by digest
    order    namespaces and settings before what lives by them, otherwise as written
    apply    create, or a three-way merge: what a person removed from the file goes, what others set stays

The merge is kubectl's, with kubectl's annotation, so that both may be used on the same object in turn. What
a Secret holds is not written into it: the merge needs the names only.
Nothing here knows a kind's fields: the API judges them.
"""

import copy
import json
import re
import sys
from collections.abc import Hashable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from eventing.client import Client
from eventing.errors import UsageError
from serving.functions import bundle
from serving.objects import images

Resource = dict[str, Any]

LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
_FUNC = "func://"
# Knative's advice on securityContext, for every Service without one: no function here runs in a container.
_CONTAINER_DEFAULTS = "Kubernetes default value is insecure"
_INDEX = re.compile(r"\[(\d{1,9})\]\.?")
_SUFFIXES = (".yaml", ".yml", ".json")
# What others refer to comes first; kinds not named here keep their order in the file, after these.
_FIRST_KINDS = ("Namespace", "ConfigMap", "Secret", "ServiceAccount", "Broker")


@dataclass(frozen=True)
class Document:
    """One object as a file describes it; *place* is `file:line:column` of its beginning."""

    resource: Resource
    path: Path
    place: str
    node: yaml.Node | None = field(default=None, repr=False, compare=False)  # None: written by no person

    def place_of(self, field_path: str) -> str:
        """`file:line:column` of `spec.filters[0].exact`, or of the innermost part of it that is there."""
        mark = None if self.node is None else _mark(self.node, field_path)
        return f"{self.path}:{mark.line + 1}:{mark.column + 1}" if mark else self.place

    @property
    def label(self) -> str:
        """`kind/name`, lower case, as commands print it."""
        return f"{self.resource['kind'].lower()}/{self.resource['metadata']['name']}"


class _Loader(yaml.SafeLoader):
    """YAML as the Kubernetes tools read it: dates stay text, a key may not stand twice."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        """Refuse a repeated key; `<<` may stand often."""
        seen = set()
        for key, _ in node.value:
            if key.tag != "tag:yaml.org,2002:merge" and key.value in seen:
                raise yaml.constructor.ConstructorError(
                    "", node.start_mark, f"key {key.value!r} stands twice in one mapping", key.start_mark)
            seen.add(key.value if isinstance(key.value, str) else id(key))
        return super().construct_mapping(node, deep=deep)


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def _mark(node: yaml.Node, path: str) -> yaml.Mark | None:
    """Where in *node* the key or element is that *path* leads to, or its innermost part that is there."""
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            for name in (str(key.value), f"[{key.value}]"):
                if path == name or path.startswith((f"{name}.", f"{name}[")):
                    mark: yaml.Mark = key.start_mark
                    return _mark(value, path[len(name):].removeprefix(".")) or mark
    index = _INDEX.match(path) if isinstance(node, yaml.SequenceNode) else None
    if index is not None and int(index[1]) < len(node.value):
        element = node.value[int(index[1])]
        return _mark(element, path[index.end():]) or element.start_mark
    return None


def read(paths: Iterable[Path]) -> list[Document]:
    """
    Every document of files, of the YAML and JSON files directly in folders, and of stdin (`-`).

    Raises:
        UsageError: a file is missing or is not what it should be; names file, line and column.
    """
    return sorted((document for path in paths for document in _read(path)), key=_rank)


def _rank(document: Document) -> int:
    kind = document.resource["kind"]
    return _FIRST_KINDS.index(kind) if kind in _FIRST_KINDS else len(_FIRST_KINDS)


def _read(path: Path) -> Iterator[Document]:
    if str(path) == "-":
        yield from parse(sys.stdin.read(), Path("-"))
        return
    if path.is_dir():
        files = sorted(file for file in path.iterdir() if file.suffix in _SUFFIXES and file.is_file())
        if not files:
            raise UsageError(f"{path}: no {', '.join(_SUFFIXES)} file in this folder")
    else:
        files = [path]
    for file in files:
        try:
            text = file.read_text("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise UsageError(f"cannot read {file}: {reason}") from error
        yield from parse(text, file)


def parse(text: str, path: Path) -> Iterator[Document]:
    """
    The documents in *text*, read from *path*; a List is its items, an empty document is nothing.

    Raises:
        UsageError: `file:line:column: what is wrong`.
    """
    try:
        loader = _Loader(text)
        while loader.check_node():
            node = loader.get_node()
            assert node is not None
            place = f"{path}:{node.start_mark.line + 1}:{node.start_mark.column + 1}"
            content = loader.construct_document(node)
            if content is not None:
                yield from _objects(content, node, path, place)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f"{path}:{mark.line + 1}:{mark.column + 1}" if mark else str(path)
        since = f" that began in line {error.context_mark.line + 1}" if error.context_mark else ""
        context = f" ({error.context}{since})" if error.context else ""
        raise UsageError(f"{place}: not YAML: {error.problem}{context}") from error
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        column = error.position - (text.rfind("\n", 0, error.position) + 1) + 1
        raise UsageError(f"{path}:{line}:{column}: not YAML: {error.reason}") from error


def _objects(content: Any, node: yaml.Node, path: Path, place: str) -> Iterator[Document]:
    if not isinstance(content, dict):
        raise UsageError(f"{place}: an object is a mapping with apiVersion, kind and metadata, "
                         f"not a {type(content).__name__}")
    if content.get("kind") == "List" and isinstance(content.get("items"), list):
        [items] = [value for key, value in node.value if key.value == "items"]
        for item, inner in zip(content["items"], items.value, strict=True):
            yield from _objects(item, inner, path, place)
        return
    for name in ("apiVersion", "kind"):
        if not isinstance(content.get(name), str):
            raise UsageError(f"{place}: {name} is missing; every object names its apiVersion and kind")
    metadata = content.get("metadata")
    if not isinstance(metadata, dict) or not isinstance(metadata.get("name"), str):
        raise UsageError(f"{place}: metadata.name is missing, or is no text; name the {content['kind']}")
    yield Document(copy.deepcopy(content), path, place, node)  # an anchor's copies may not change together


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
