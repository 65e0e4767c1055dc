"""
What a function's folder asks to have installed, and whether it is there already.

    requirements.txt                  its lines, as pip reads them
    pyproject.toml                    project.dependencies; the project itself is not installed: its folder is
                                      the bundle, and is imported from
    neither, or nothing in them       nothing

What Clarion provides by itself is not asked of anybody: the SDK (a function written for cloudevents 1.x gets
its interface from serving/functions/legacy.py) and `parliament`, whose requests are Flask's.

This module reads files and what is installed beside Clarion; it installs nothing and asks no network.
"""

import re
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from eventing.errors import ClarionError

REQUIREMENTS, PROJECT = "requirements.txt", "pyproject.toml"
_LIMIT_BYTES = 1024 * 1024  # of either file; a lock file of a thousand packages with hashes has 300 KB

# Lines whose meaning is in other files of the folder, which no other folder has.
_LOCAL = re.compile(r"(-r|-c|-e|--requirement|--constraint|--editable)\b|[./~]|"
                    r".*(file:|\.whl\b|\.tar\.gz\b|\.zip\b)")
_SDK, _PARLIAMENT, _FLASK = "cloudevents", "parliament-functions", "flask>=2"


class DependenciesInvalid(ClarionError):
    """A file cannot be read as what its name says; the message names it."""


@dataclass(frozen=True, kw_only=True)
class Dependencies:
    """
    What is asked for.

    *lines* are requirements that stand by themselves; *file* is set where only pip understands the folder's
    requirements.txt, which then is installed as it is. *is_local*: some of it lies in the folder.
    """

    lines: tuple[str, ...]
    file: Path | None = None
    file_lines: tuple[str, ...] = ()
    is_local: bool = False


def read(folder: Path) -> Dependencies | None:
    """
    What *folder* asks for; None if nothing.

    Raises:
        DependenciesInvalid: a file is no text, no TOML, or names what is no requirement.
    """
    lines = _lines(_text(folder / REQUIREMENTS))
    project = _project(folder / PROJECT)
    parsed = [_parse(line) for line in lines]
    if all(parsed):
        asked = tuple(_provided([*filter(None, parsed), *project]))
        is_local = any(_LOCAL.match(line) for line in asked)
        return Dependencies(lines=asked, is_local=is_local) if asked else None
    is_local = any(_LOCAL.match(line) for line in lines)
    return Dependencies(lines=tuple(_provided(project)), file=folder / REQUIREMENTS, file_lines=tuple(lines),
                        is_local=is_local)


def missing(dependencies: Dependencies) -> list[str]:
    """Which of them Clarion's own environment lacks, or has in another version; and what only pip reads."""
    lacking = list(dependencies.file_lines)
    todo = [(Requirement(line), frozenset[str]()) for line in dependencies.lines]
    seen = set()
    while todo:
        requirement, extras = todo.pop()
        asked_extras = frozenset(requirement.extras)
        identity = (canonicalize_name(requirement.name), str(requirement.specifier), asked_extras)
        if identity in seen or not _applies(requirement, extras):
            continue
        seen.add(identity)
        try:
            found = metadata.distribution(requirement.name)
        except metadata.PackageNotFoundError:
            lacking.append(str(requirement))
            continue
        if requirement.url or not requirement.specifier.contains(found.version, prereleases=True):
            lacking.append(str(requirement))
        todo += [(Requirement(line), asked_extras) for line in found.requires or ()]
    return lacking


def _applies(requirement: Requirement, extras: Iterable[str]) -> bool:
    marker = requirement.marker
    return marker is None or any(marker.evaluate({"extra": extra}) for extra in (*extras, ""))


def _provided(requirements: list[Requirement]) -> list[str]:
    """Without what Clarion provides, or what a newer version of it stands in for."""
    asked = []
    for requirement in requirements:
        name = canonicalize_name(requirement.name)
        if name == _PARLIAMENT:
            asked.append(_FLASK)
        elif name != _SDK or requirement.specifier.contains("99", prereleases=True):
            asked.append(str(requirement))
    return asked


def _text(path: Path) -> str:
    try:
        data = path.read_bytes()[: _LIMIT_BYTES + 1]
        if len(data) > _LIMIT_BYTES:
            raise DependenciesInvalid(f"{path.name}: larger than {_LIMIT_BYTES} bytes")
        return data.decode("utf-8-sig")
    except (FileNotFoundError, IsADirectoryError):
        return ""
    except UnicodeDecodeError as error:
        raise DependenciesInvalid(f"{path.name}: not text in UTF-8: {error.reason}") from error


def _lines(text: str) -> list[str]:
    """Lines that say something, continued ones joined, comments gone: pip's own reading."""
    joined = text.replace("\\\r\n", " ").replace("\\\n", " ")
    bare = (re.sub(r"(^|\s+)#.*$", "", line).strip() for line in joined.splitlines())
    return [line for line in bare if line]


def _parse(line: str) -> Requirement | None:
    try:
        return Requirement(line)
    except InvalidRequirement:
        return None


def _project(path: Path) -> list[Requirement]:
    try:
        content = tomllib.loads(_text(path))
    except tomllib.TOMLDecodeError as error:
        raise DependenciesInvalid(f"{path.name}: not TOML: {error}") from error
    project = content.get("project") or {}
    asked = project.get("dependencies") or [] if isinstance(project, dict) else []
    if not isinstance(asked, list) or not all(isinstance(line, str) for line in asked):
        raise DependenciesInvalid(f"{path.name}: project.dependencies is a list of texts, like httpx>=0.27")
    try:
        return [Requirement(line) for line in asked]
    except InvalidRequirement as error:
        said = " ".join(str(error).split())
        raise DependenciesInvalid(f"{path.name}: project.dependencies: {said}") from error
