"""
From YAML files to documents, each with its file and line; what is not YAML is a UsageError that names both.

Namespaces and settings come before what lives by them, all else as it is written. Knows no kind's fields.
"""

import copy
import re
import sys
from collections.abc import Hashable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from eventing.errors import UsageError

Resource = dict[str, Any]

_INDEX = re.compile(r"\[(\d{1,9})\]\.?")
_SUFFIXES = (".yaml", ".yml", ".json")
# What others refer to comes first; kinds not named here keep their order in the file, after these.
_FIRST_KINDS = ("Namespace", "ConfigMap", "Secret", "Broker")


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
