"""
What a pod is told of itself by `fieldRef`: namespace, uid, labels and annotations, in variables and in files.

Pure. Of its name, its node and its addresses nothing is known before a worker runs. Source: Kubernetes'
documentation, Downward API.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_MEMBER = re.compile(r"metadata\.(?P<part>labels|annotations)\['(?P<key>[^']+)'\]")


@dataclass(frozen=True)
class About:
    """What can be asked for; *metadata* has the labels and annotations."""

    namespace: str
    uid: str
    metadata: Mapping[str, Any]


def value(path: str, about: About) -> str | None:
    """What `fieldPath` *path* stands for; None where that is not known here."""
    plain = {"metadata.namespace": about.namespace, "metadata.uid": about.uid}
    if path in plain:
        return plain[path]
    if match := _MEMBER.fullmatch(path):
        return str((about.metadata.get(match["part"]) or {}).get(match["key"]) or "")
    return None


def lines(path: str, about: About) -> str | None:
    """The same, or all labels or annotations, as a file has them: a line each, `key="value"`."""
    part = path.removeprefix("metadata.")
    if part not in {"labels", "annotations"}:
        return value(path, about)
    members = sorted((about.metadata.get(part) or {}).items())
    return "\n".join(f"{key}={json.dumps(text, ensure_ascii=False)}" for key, text in members)
